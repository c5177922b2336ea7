"""What an opening must pass: proof, order, one session, one generation, a good clock (S2, S3, S15, S22 …)."""

from __future__ import annotations

from tests.controls.control import Control

CONTROLS = (
    Control(
        holds="S2 S13",
        protection="an opening step takes effect once it is durable",
        switch="effect-before-the-log",
        file="orchestrator/runtime/camera_actor.py",
        old="            records = await self._ledger.append(self.camera, sealed, fence)\n",
        new=(
            "            self._evolve_as_if(sealed)\n"
            "            await self._reconcile()\n"
            "            records = await self._ledger.append(self.camera, sealed, fence)\n"
        ),
        test=(
            "tests/runtime/test_camera_actor_closing.py::test_each_opening_step_is_durable_before_"
            "its_effect_begins"
        ),
        says="assert way.workshop.workers == []",
    ),
    Control(
        holds="S3",
        protection="checks_passed holds the evidence of every check",
        switch="opening-without-evidence",
        file="orchestrator/core/camera.py",
        old='        evidence = {"checks": [check.chained(Stage.OPENING) for check in checks]}\n',
        new='        evidence: dict[str, object] = {"checks": []}\n',
        test=(
            "tests/core/test_camera.py::test_a_session_goes_from_request_through_the_checks_to_the_"
            "picture_and_back"
        ),
        says='assert event.data["checks"][0]["id"] == "window"',
    ),
    Control(
        holds="S3",
        protection="first_frame is decided on the facts of its moment",
        switch="first-frame-unjudged",
        file="orchestrator/core/camera.py",
        old="    if failing(checks, Stage.STARTING) or end is None:\n",
        new="    if end is None:\n",
        test="tests/core/test_camera.py::test_the_first_frame_is_decided_on_the_facts_of_its_moment",
        says="assert decide(CHART, POLICY, story.state, Reported(FirstFrame(1)), bad) == ()",
    ),
    Control(
        holds="S15",
        protection="a camera with a session takes no second request",
        switch="second-request-taken",
        file="orchestrator/core/camera.py",
        old=('    if target is None:\n        return _not_permitted(chart, state, "request", facts)\n'),
        new="    target = target or REQUESTED\n",
        test="tests/core/test_camera.py::test_a_second_request_is_refused_wherever_the_first_has_come_to",
        says="assert isinstance(decision, Refusal)",
    ),
    Control(
        holds="S15",
        protection="a request under a key that was used adds nothing",
        switch="keys-forgotten",
        file="orchestrator/app/repeats.py",
        old="            shelf[key] = self._kept(body, answer)\n",
        new="            pass\n",
        test="tests/app/test_repeats.py::test_a_key_is_kept_for_a_day_and_no_longer",
        says="assert await desk.ask() == first",
    ),
    Control(
        holds="S15 S12",
        protection="an event that is in the log already is not written twice",
        switch="written-twice",
        file="orchestrator/runtime/event_store/writer.py",
        old="map(record_of_row, filter(None, found))}\n",
        new="map(record_of_row, ())}\n",
        test="tests/runtime/test_event_store.py::test_an_id_that_is_there_is_a_success_and_adds_nothing",
        says="again = await store.append([two, one, two, three])",
    ),
    Control(
        holds="S22",
        protection="the writer asks the fence between INSERT and COMMIT",
        switch="no-fence-at-the-commit",
        file="orchestrator/runtime/event_store/writer.py",
        old="                if fence is not None and not fence():\n",
        new="                if False:\n",
        test="tests/runtime/test_event_store.py::test_a_fence_that_fell_takes_the_append_back",
        says="with pytest.raises(Fenced):",
    ),
    Control(
        holds="S22",
        protection="a request that waited in the queue during a closing does not open",
        switch="old-request-opens",
        file="orchestrator/runtime/camera_actor.py",
        old=(
            "            if isinstance(asked.command, Request) and asked.generation != "
            "self.shutter.gate.generation:\n"
        ),
        new="            if False:\n",
        test=(
            "tests/runtime/test_camera_actor_closing.py::test_a_request_that_waited_in_the_queue_"
            "when_somebody_closed_does_not_open"
        ),
        says="assert isinstance(outcome, Refusal)",
    ),
    Control(
        holds="S22",
        protection="the gate opens for the generation that was asked for alone",
        switch="any-generation-opens",
        file="orchestrator/runtime/gate.py",
        old=("        if generation == self.generation:\n            self._open_for = generation\n"),
        new="        self._open_for = generation = self.generation\n",
        test="tests/runtime/test_gate.py::test_a_late_opening_under_an_old_generation_stays_shut",
        says="assert not shutter.gate.open(asked_for)",
    ),
    Control(
        holds="S22",
        protection="a closing after the durable first frame and before the gate wins",
        switch="gate-opens-after-a-closing",
        file="orchestrator/runtime/camera_actor.py",
        old=(
            "        if want.gate_open and self.shutter.holds(self._generation):\n"
            "            gate.open(self._generation)\n"
        ),
        new=("        if want.gate_open:\n            gate.open(gate.generation)\n"),
        test=(
            "tests/runtime/test_camera_actor_closing.py::test_a_closing_between_the_durable_first_"
            "frame_and_the_gate_wins"
        ),
        says="assert True not in opens",
    ),
    Control(
        holds="S23",
        protection="a worker is started, and started again, only while every rule holds",
        switch="retry-unjudged",
        file="orchestrator/runtime/camera_actor.py",
        old=(
            "            why = reason_to_shut(self.policy, self.state, Look(), facts)\n"
            "            if why is not None:\n"
            "                self.shutter.shut_now(why, facts.now)\n"
            "            else:\n"
            "                self.keeper"
        ),
        new=("            if True:\n                self.keeper"),
        test=(
            "tests/model/test_scenarios.py::test_a_story_goes_the_same_way_on_the_real_lanes[the_"
            "VPN_goes_while_the_log_takes_the_passed_checks]"
        ),
        says="assert replay.way.events() == log_of(path)",
    ),
    Control(
        holds="S25",
        protection="no session under a clock that the kernel calls unsynchronised",
        switch="unsynchronised-opens",
        file="orchestrator/core/checks.py",
        old="    settled = now.synchronised or not case.policy.require_clock_sync\n",
        new="    settled = True\n",
        test=(
            "tests/core/test_checks.py::test_an_unsynchronised_clock_refuses_to_open_and_lets_stay_"
            "open_unless_the_site_does_without"
        ),
        says='assert _failed(facts, Stage.OPENING) == ["clock"]',
    ),
    Control(
        holds="S25",
        protection="no session under a clock that stands before the last event",
        switch="clock-behind-opens",
        file="orchestrator/core/checks.py",
        old="    if behind_us > CLOCK_STEP_US and not (session and session.opened):\n",
        new="    if False:\n",
        test="tests/core/test_checks.py::test_a_clock_that_stands_before_the_last_event_opens_nothing",
        says='assert _failed(facts, Stage.OPENING) == ["clock"]',
    ),
    Control(
        holds="S25",
        protection="what the kernel says of its clock is believed, and a wide error is not",
        switch="clock-always-good",
        file="orchestrator/edges/clock.py",
        old="    return not timex.status & _STA_UNSYNC and timex.maxerror < _MAX_ERROR_US\n",
        new="    return True\n",
        test="tests/edges/test_host.py::test_an_unsynchronised_clock_and_a_wide_error_are_not_trusted_s25",
        says="assert clock.trusted(clock.Timex(status=status, maxerror=maxerror)) is word",
    ),
    Control(
        holds="S17",
        protection="a step of the wall clock ends a session",
        switch="step-overlooked",
        file="orchestrator/core/ending.py",
        old="    if abs(step_us) > CLOCK_STEP_US:\n",
        new="    if False:\n",
        test="tests/core/test_ending.py::test_a_step_of_the_wall_clock_closes_and_never_lengthens",
        says='assert story.last("fault").data["step_ms"] == step_s * 1000',
    ),
    Control(
        holds="S17",
        protection="a window that was over does not open again when the clock is set back",
        switch="window-opens-twice",
        file="orchestrator/runtime/board.py",
        old="            self._windows_over[camera] = span\n",
        new="            pass\n",
        test=(
            "tests/runtime/test_board.py::test_a_window_that_was_over_does_not_open_again_when_the_"
            "clock_is_set_back"
        ),
        says="assert (again.window, again.window_over_us) == (None, end_us)",
    ),
    Control(
        holds="S17",
        protection="an hour that comes twice opens once",
        switch="repeated-hour-opens-twice",
        file="orchestrator/core/window.py",
        old="    start_us = (seconds - offset.days * 86_400 - offset.seconds) * SECOND_US\n",
        new="    start_us = (seconds - other.days * 86_400 - other.seconds) * SECOND_US\n",
        test=(
            "tests/core/test_window.py::test_a_repeated_hour_opens_at_its_first_coming_only_and_"
            "ends_after_its_duration_s17"
        ),
        says="assert [(one.start_us, one.end_us) for one in ours] == [",
    ),
    Control(
        holds="L1",
        protection="a request ends when its wait is over",
        switch="endless-wait",
        file="orchestrator/core/camera.py",
        old=("    if facts.now.boottime_us < session.wait_until_us:\n        return ()\n"),
        new=("    if not session.wait_until_us < 0:\n        return ()\n"),
        test=(
            "tests/core/test_camera.py::test_when_wait_is_over_the_failing_checks_alone_stand_in_"
            "checks_failed"
        ),
        says='event = story.last("checks_failed")',
    ),
)
