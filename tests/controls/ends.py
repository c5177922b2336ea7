"""What ends a session: two clocks, three watchers, the bounds (S6)."""

from __future__ import annotations

from tests.controls.control import Control

CONTROLS = (
    Control(
        holds="S6",
        protection="the camera's own timer ends the session",
        switch="no-own-timer",
        file="orchestrator/runtime/camera_actor.py",
        old="            self._timer = self._loop.call_later(delay_s, self._on_timer)\n",
        new="",
        test=(
            "tests/runtime/test_ends_by_itself.py::test_the_cameras_own_timer_ends_a_session_"
            "though_the_sentinel_sleeps"
        ),
        says='await way.at("expiring.live")',
    ),
    Control(
        holds="S6 S4",
        protection="a sentinel thread looks at the clocks while the loop stands still",
        switch="no-sentinel",
        file="orchestrator/runtime/site.py",
        old='            self.look(by="sentinel")\n',
        new="",
        test="tests/runtime/test_site.py::test_the_sentinel_enforces_the_end_while_the_loop_stands_still",
        says='await way.at("disabled.ready")',
    ),
    Control(
        holds="S6",
        protection="ffmpeg ends itself after the longest end it could have (-t)",
        switch="no-end-in-the-arguments",
        file="orchestrator/edges/worker/command.py",
        old='        t=f"{spec.longest_end_s:.3f}",\n',
        new="",
        test=(
            "tests/edges/worker/test_command.py::test_the_worker_ends_by_itself_at_the_longest_end_"
            "it_could_have_s6"
        ),
        says="'-t' is not in list",
    ),
    Control(
        holds="S6",
        protection="a kernel timer ends a worker that nobody reads",
        switch="no-kernel-timer",
        file="orchestrator/edges/worker/confinement.py",
        old="        signal.setitimer(signal.ITIMER_REAL, self._life_s)\n",
        new="",
        test=(
            "tests/edges/worker/test_holding.py::test_a_worker_reaches_nothing_but_its_folder_and_says_so_s26"
        ),
        says='assert 20 < found["timer"] <= 32',
    ),
    Control(
        holds="S6",
        protection="the boot clock ends a session, which suspend does not stop",
        switch="wall-clock-alone",
        file="orchestrator/core/ending.py",
        old=(
            "    return min(session.ends_boottime_us - now.boottime_us, session.ends_wall_us - now.wall_us)\n"
        ),
        new="    return session.ends_wall_us - now.wall_us\n",
        test=(
            "tests/core/test_ending.py::test_a_small_step_either_way_leaves_whichever_clock_is_"
            "first_to_end_the_session"
        ),
        says="assert story.state.is_shut",
    ),
    Control(
        holds="S6",
        protection="the wall clock ends a session as well",
        switch="boot-clock-alone",
        file="orchestrator/core/ending.py",
        old=(
            "    return min(session.ends_boottime_us - now.boottime_us, session.ends_wall_us - now.wall_us)\n"
        ),
        new="    return session.ends_boottime_us - now.boottime_us\n",
        test=(
            "tests/core/test_ending.py::test_a_small_step_either_way_leaves_whichever_clock_is_"
            "first_to_end_the_session"
        ),
        says="assert story.state.is_shut == (step_s > 0)",
    ),
    Control(
        holds="S6",
        protection="the end of the window bounds the session",
        switch="end-beyond-the-window",
        file="orchestrator/core/ending.py",
        old=("    if now.wall_us + lasts_us > span.end_us:\n        lasts_us, limit"),
        new=("    if False:\n        lasts_us, limit"),
        test=(
            "tests/core/test_ending.py::test_the_end_is_the_earliest_of_asked_max_session_the_"
            "purposes_own_and_the_window"
        ),
        says='assert data["ends_at"] == rfc3339(START.wall_us + lasts_s * SECOND_US)',
    ),
    Control(
        holds="S6",
        protection="what is asked for beyond max_session is cut",
        switch="end-beyond-the-longest",
        file="orchestrator/core/ending.py",
        old="    if session.asked_us is not None and session.asked_us <= longest:\n",
        new="    if session.asked_us is not None:\n",
        test=(
            "tests/core/test_ending.py::test_the_end_is_the_earliest_of_asked_max_session_the_"
            "purposes_own_and_the_window"
        ),
        says='assert data["ends_at"] == rfc3339(START.wall_us + lasts_s * SECOND_US)',
    ),
)
