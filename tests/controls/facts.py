"""What proves nothing: the old, the retained, the unreadable (S5)."""

from __future__ import annotations

from tests.controls.control import Control

CONTROLS = (
    Control(
        holds="S5",
        protection="a sight that is too old or from the future proves nothing",
        switch="old-sights-believed",
        file="orchestrator/core/facts.py",
        old="        return age_us < 0 or (self.max_age_us is not None and age_us > self.max_age_us)\n",
        new="        return False\n",
        test=(
            "tests/core/test_checks.py::test_a_sight_that_is_too_old_or_from_the_future_or_never_"
            "had_proves_nothing"
        ),
        says='assert len(_failed(_with(facts, name, bad), Stage.OPEN)) == (name != "bus_trusted")',
    ),
    Control(
        holds="S5",
        protection="a retained heartbeat proves nothing",
        switch="retained-beat-counts",
        file="orchestrator/core/lane_memory.py",
        old='    if not retained and beat == "good":\n',
        new='    if beat == "good":\n',
        test="tests/core/test_lane_heartbeat.py::test_a_retained_beat_proves_nothing_however_fresh",
        says="assert not lane.verdict(ALIVE).holds",
    ),
    Control(
        holds="S5",
        protection="one beat proves nothing, two in a row do",
        switch="one-beat-proves",
        file="orchestrator/core/lane_memory.py",
        old="BEATS_TO_PROVE = 2\n",
        new="BEATS_TO_PROVE = 1\n",
        test="tests/core/test_lane_heartbeat.py::test_after_a_lapse_two_beats_must_prove_it_anew",
        says="assert not lane.verdict(ALIVE).holds",
    ),
    Control(
        holds="S5",
        protection="a heartbeat's own time must be near ours, behind and ahead",
        switch="future-beats-count",
        file="orchestrator/core/lane_memory.py",
        old="    if abs(epoch_us - now.wall_us) > rule.max_age_us:\n",
        new="    if now.wall_us - epoch_us > rule.max_age_us:\n",
        test="tests/core/test_lane_heartbeat.py::test_a_beat_may_be_max_age_from_our_clock_and_no_further",
        says='assert lane.verdict(ALIVE).evidence["beats"] == (1 if first_counts else 0)',
    ),
    Control(
        holds="S5",
        protection="a lapse of the heartbeat forgets what it vouched for",
        switch="vouching-outlives-a-lapse",
        file="orchestrator/core/lane_memory.py",
        old='            unbroken = beat == "good" and at_us < until_us\n',
        new='            unbroken = beat == "good"\n',
        test=(
            "tests/core/test_lane_heartbeat.py::test_a_lapse_forgets_the_vouching_of_live_and_"
            "retained_values_alike"
        ),
        says="assert not lane.verdict(NO_VEHICLE).holds",
    ),
    Control(
        holds="S5",
        protection="a retained value that nobody vouches for proves nothing",
        switch="retained-value-counts",
        file="orchestrator/core/lane_memory.py",
        old='        return (from_us, None) if entry.live or rule.when_absent == "pass" else None\n',
        new="        return from_us, None\n",
        test=(
            "tests/core/test_lane.py::test_a_retained_value_that_nobody_vouches_for_is_never_"
            "steady_unless_absence_would_pass"
        ),
        says='assert lane.verdict(STEADY).fault == "lane-unknown"',
    ),
    Control(
        holds="S5",
        protection="a lost session with the broker forgets the lane",
        switch="lane-outlives-the-broker",
        file="orchestrator/core/lane_memory.py",
        old="    return empty(lane)\n",
        new="    return memory\n",
        test="tests/core/test_lane.py::test_a_disconnect_forgets_everything_and_a_new_session_begins_anew",
        says="assert not lane.verdict(rule).holds",
    ),
    Control(
        holds="S5",
        protection="the word that the broker is there is as old as its thread's last turn",
        switch="dead-thread-believed",
        file="orchestrator/runtime/board.py",
        old="            return replace(bus, seen_at_us=self.bus_alive_at_us())\n",
        new="            return replace(bus, max_age_us=None)\n",
        test="tests/runtime/test_board.py::test_the_buss_word_is_as_old_as_its_threads_last_turn",
        says='assert board.facts("cam1", lambda: START).bus.fault_at(START.boottime_us) == "broker-lost"',
    ),
    Control(
        holds="S5 S26",
        protection="what is no text of at most 4 KiB is unreadable",
        switch="anything-readable",
        file="orchestrator/core/lane_values.py",
        old=("    if len(payload) > MAX_PAYLOAD_BYTES:\n        return None\n"),
        new="",
        test="tests/core/test_lane_values.py::test_text_is_trimmed_of_ascii_white_space_alone_and_bounded",
        says="assert read_value(PLAIN, payload) == value",
    ),
)
