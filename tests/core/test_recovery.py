"""What a worker's end means: a retry, a storm, a fault, or the end that was due (S23, F9, F10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.backoff import cool_down_us
from orchestrator.core.commands import Reported
from orchestrator.core.desired import desired
from orchestrator.core.events import Record
from orchestrator.core.moment import SECOND_US
from orchestrator.core.refusal import Refusal
from orchestrator.core.worker import FailureClass, FirstFrame, WorkerStarted
from tests.core.scene import (
    CHART,
    GONE,
    POLICY,
    Story,
    exited,
    good_facts,
    rule_broken,
    spoilt,
    story_in,
    why,
    with_lane,
)

RETRIED = [f for f in FailureClass if f not in ("unauthorised", "not-a-picture")]


def _watched() -> Story:
    story = Story().opened()
    story.join()
    return story


def _run(story: Story) -> int:
    assert story.state.session is not None
    return story.state.session.run


def _retry(story: Story, frames: bool = True) -> None:
    """The next run starts when it may, and shows a frame."""
    session = story.state.session
    assert session is not None
    assert session.retry_at_us is not None
    assert not desired(CHART, POLICY, story.state, story.facts).start_now
    story.wait((session.retry_at_us - story.now.boottime_us) / SECOND_US)
    want = desired(CHART, POLICY, story.state, story.facts)
    assert (want.worker_run, want.start_now) == (session.run + 1, True)
    story.done(Reported(WorkerStarted(session.run + 1, 4712, {})))
    if frames:
        story.done(Reported(FirstFrame(session.run + 1)))


def _storm(story: Story) -> Record:
    """The worker fails until the camera is shut."""
    while not story.state.is_shut:
        story.done(exited(_run(story), FailureClass.REFUSED, random=0.0))
        if not story.state.is_shut:
            _retry(story)
    return next(record for record in reversed(story.records) if record.event.name == "fault")


@pytest.mark.parametrize("failure", RETRIED)
def test_a_lost_worker_is_written_down_and_tried_again_while_the_gate_stays_open(
    failure: FailureClass,
) -> None:
    story = _watched()
    story.done(exited(1, failure, random=0.75, last_line="Connection refused"))
    assert story.events()[-2:] == ["worker_exited", "frames_lost"]
    event = story.last("worker_exited")
    assert event.data == {
        "run": 1,
        "failure": str(failure),
        "exit_code": 1,
        "signal": None,
        "frames": 12,
        "retry_in_ms": 750,
        "was_healthy": False,
    }
    assert event.details == {"last_line": "Connection refused"}
    assert story.place == "streaming.reconnecting"
    want = desired(CHART, POLICY, story.state, story.facts)
    assert want.gate_open
    assert (want.worker_run, want.wake_at_us) == (None, story.now.boottime_us + 750_000)
    _retry(story)
    assert story.place == "streaming.live"
    assert story.last("frames_back").data == {"run": 2}


def test_a_retry_never_moves_the_deadline() -> None:
    """S23."""
    story = _watched()
    assert story.state.session is not None
    before = story.state.session.ends_boottime_us, story.state.session.ends_wall_us
    story.done(exited(1, FailureClass.STALLED))
    _retry(story)
    assert (story.state.session.ends_boottime_us, story.state.session.ends_wall_us) == before


def test_a_retry_asks_the_hold_rules_and_the_window_again_but_not_the_lanes_open_rules() -> None:
    """S23."""
    story = _watched()
    story.done(exited(1, FailureClass.STALLED))
    story.facts = with_lane(story.facts, no_vehicle=rule_broken("1"))
    _retry(story)
    assert story.place == "streaming.live"
    for spoil in (
        lambda f: with_lane(f, sensor_ok=rule_broken("EIO")),
        lambda f: replace(f, window=None),
        lambda f: spoilt(f, "interface", "vpn-down"),
    ):
        story = _watched()
        story.done(exited(1, FailureClass.STALLED))
        story.facts = spoil(story.facts)
        story.look()
        assert story.place == "disabled.closing"
        assert not desired(CHART, POLICY, story.state, story.facts).start_now


def test_a_run_that_fails_before_its_first_frame_is_one_more_failure_and_no_second_frames_lost() -> None:
    story = _watched()
    story.done(exited(1, FailureClass.REFUSED))
    _retry(story, frames=False)
    story.done(exited(2, FailureClass.REFUSED))
    assert story.events().count("frames_lost") == 1
    assert story.place == "streaming.reconnecting"
    assert story.state.session is not None
    assert len(story.state.session.failures) == 2


def test_five_failures_within_two_minutes_are_a_storm() -> None:
    story = _watched()
    data = _storm(story).event.data
    assert data == {"fault": "worker-storm", "failure": "refused", "failures": 5}
    assert story.events().count("worker_exited") == 5
    assert story.events()[-3:] == ["fault", "viewer_left", "worker_exited"]
    assert story.last("worker_exited").data["retry_in_ms"] is None
    assert story.state.locks == frozenset()


def test_failures_older_than_the_window_of_time_do_not_count() -> None:
    story = _watched()
    for _ in range(8):
        story.done(exited(_run(story), FailureClass.REFUSED, random=0.0))
        assert story.place == "streaming.reconnecting"
        _retry(story)
        story.wait(30)
        story.look()
    assert story.place == "streaming.live"


def test_a_healthy_minute_of_frames_clears_the_count_and_the_back_off() -> None:
    story = _watched()
    for _ in range(4):
        story.done(exited(_run(story), FailureClass.REFUSED, random=0.0))
        _retry(story)
    story.wait(60)
    story.done(exited(_run(story), FailureClass.REFUSED, random=1 - 2**-53))
    assert story.place == "streaming.reconnecting"
    assert story.last("worker_exited").data["was_healthy"] is True
    assert story.last("worker_exited").data["retry_in_ms"] <= 1_000
    assert story.state.session is not None
    assert len(story.state.session.failures) == 1


def test_just_short_of_a_healthy_minute_clears_nothing() -> None:
    story = _watched()
    for _ in range(4):
        story.done(exited(_run(story), FailureClass.REFUSED, random=0.0))
        _retry(story)
    story.wait(59.999)
    story.done(exited(_run(story), FailureClass.REFUSED))
    assert story.last("fault").data["fault"] == "worker-storm"


def test_after_a_storm_requests_are_refused_for_a_cool_down_that_doubles_with_each_storm() -> None:
    """L3: no approver, only time."""
    story = _watched()
    for storms, seconds in enumerate((30, 60, 120), start=1):
        at_us = _storm(story).sealed.at.boottime_us
        story.done(GONE)
        assert story.place == "disabled.ready"
        assert story.state.storms == storms
        assert story.state.cool_down_until_us == at_us + cool_down_us(storms)
        refusal = story.request()
        assert isinstance(refusal, Refusal)
        assert refusal.code == "cooling-down"
        assert refusal.retry_after_s == seconds + 1
        story.wait(seconds - 0.001)
        assert isinstance(story.request(), Refusal)
        story.wait(0.001)
        story.opened()
        story.join()


def test_a_session_that_was_closed_by_a_person_or_by_time_calms_the_storms() -> None:
    story = _watched()
    _storm(story)
    story.done(GONE)
    story.wait(30)
    story.opened().ended()
    assert story.state.storms == 0


@pytest.mark.parametrize("failure", ["unauthorised", "not-a-picture"])
def test_what_will_not_get_better_is_not_tried_again(failure: str) -> None:
    """Cameras lock accounts."""
    story = _watched()
    story.done(exited(1, FailureClass(failure)))
    assert story.last("fault").data == {"fault": "worker-failed", "failure": failure, "failures": 1}
    assert story.place == "disabled.closing"
    assert story.state.cool_down_until_us == 0


def test_a_worker_that_ends_before_the_first_frame_is_start_failed_is_not_retried_and_is_no_storm() -> None:
    story = story_in("safety_checked")
    story.done(exited(1, FailureClass.NOT_FOUND, last_line="404 Not Found"))
    assert story.events()[-2:] == ["start_failed", "worker_exited"]
    event = story.last("start_failed")
    assert event.data == {"failure": "not-found"}
    assert event.details == {"last_line": "404 Not Found"}
    assert story.place == "disabled.closing"
    story.done(GONE)
    assert (story.place, story.state.fault, story.state.storms) == ("disabled.ready", "worker-failed", 0)
    assert not isinstance(story.request(), Refusal)


@pytest.mark.parametrize(("left_s", "trigger"), [(1.0, "expire"), (0.2, "expire"), (1.001, "frames_lost")])
def test_a_worker_that_ends_within_a_second_of_the_deadline_is_expire(left_s: float, trigger: str) -> None:
    """CONTRACT 4."""
    story = story_in("expiring.live")
    story.wait(60 - left_s)
    story.done(exited(1, FailureClass.ENDED))
    assert (story.place == "disabled.closing") == (trigger == "expire")
    assert trigger in story.events()
    if trigger == "expire":
        assert story.last("expire").data == {"limit": "asked", "by": "worker"}


def test_a_worker_that_was_told_to_end_is_no_failure() -> None:
    story = story_in("disabled.closing")
    story.done(exited(1, None, signal=15))
    assert story.last("worker_exited").data["failure"] is None
    assert story.place == "disabled.closing"
    assert story.state.session is not None
    assert story.state.session.failures == ()


def test_an_exit_that_is_reported_after_a_fault_keeps_the_fault_that_was_first() -> None:
    story = _watched()
    story.shut(why("lane-unsafe"))
    story.done(exited(1, FailureClass.KILLED))
    assert story.state.fault == "lane-unsafe"
    assert story.events()[-1] == "worker_exited"


def test_a_run_that_could_not_even_be_spawned_has_had_its_number() -> None:
    """A folder of its own for every run: no number is given twice."""
    story = _watched()
    story.done(exited(1, FailureClass.REFUSED, random=0.0))
    story.wait(1)
    story.done(exited(2, FailureClass.UNKNOWN, random=0.0, exit_code=None))
    story.wait(30)
    assert desired(CHART, POLICY, story.state, story.facts).worker_run == 3


def test_five_failures_count_across_runs_that_never_started() -> None:
    story = Story(facts=good_facts())
    story.opened()
    for run in range(1, 6):
        story.done(exited(run, FailureClass.UNKNOWN, random=0.0))
        story.wait(1)
    assert story.last("fault").data["fault"] == "worker-storm"
