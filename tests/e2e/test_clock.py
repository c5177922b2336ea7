"""The wall clock is stepped under a running daemon, and its timers fail: nothing lasts longer, nothing twice.

The daemon and the lane read a clock that a file sets off; the kernel, the viewers and the boot clock do not.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.configuration import ALWAYS, put
from tests.e2e.conftest import GATEWAYS
from tests.e2e.conftest import _made as made
from tests.e2e.follower import Event, name_of
from tests.e2e.gateway import Flow, Gateway
from tests.e2e.incident import at_us, log_is_whole
from tests.e2e.off_clock import BROKE

pytestmark = pytest.mark.slow

DAEMON, LANE = "orchestrator", "orchestrator.demo.lane"
SECOND = 1_000_000
SEEN_WITHIN_US = 2 * SECOND
"""Both clocks are looked at each second; the machine may be busy."""
LEFT_S = 15
"""What is left of the minute when a window of that minute is made."""


def boottime_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Clock:
    """What the daemon and the lane take for the wall clock."""

    def __init__(self, gateway: Gateway) -> None:
        self._folder = gateway.folder
        self.offset_s = 0.0
        self.set()

    def launcher(self, module: str) -> tuple[str, ...]:
        return ("-m", "tests.e2e.off_clock", str(self._folder / f"{module}.json"), module)

    def set(self, *modules: str, **more: Any) -> None:
        for module in modules or (DAEMON, LANE):
            put(self._folder / f"{module}.json", json.dumps({"offset_s": self.offset_s, **more}))

    def step(self, seconds: float, *modules: str, **more: Any) -> int:
        """The boot clock's microsecond at which the clock of these (of both) was stepped."""
        self.offset_s += seconds
        self.set(*modules, **more)
        return boottime_us()

    def now_s(self) -> float:
        return time.time() + self.offset_s

    def run_up_to_the_end_of_a_minute(self, **more: Any) -> tuple[str, int]:
        """Step on until little of the minute is left: a window of this minute, and its end."""
        self.step((60 - LEFT_S - self.now_s()) % 60, **more)
        minute = int(self.now_s() // 60) * 60
        start = datetime.fromtimestamp(minute, UTC)
        window = f'[[windows]]\nname = "short"\ncameras = ["cam1"]\ncron = "{start.minute} * * * *"\n'
        return f'{window}duration = "1m"\n', (minute + 60) * SECOND


@pytest.fixture(scope="module")
def _stepped(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[Gateway, Clock]]:
    gateway = made(tmp_path_factory.mktemp("stepped") / "gateway")
    request.node.stash[GATEWAYS] = [gateway]
    clock = Clock(gateway)
    gateway.write_configuration()
    gateway.start_broker()
    gateway.start_camera()
    gateway.start_lane(clock.launcher(LANE))
    gateway.start_daemon(clock.launcher(DAEMON))
    gateway.follow()
    yield gateway, clock
    gateway.stop()


@pytest.fixture
def gateway(_stepped: tuple[Gateway, Clock]) -> Gateway:
    _stepped[0].wait_lane_free()
    return _stepped[0]


@pytest.fixture
def clock(_stepped: tuple[Gateway, Clock]) -> Clock:
    return _stepped[1]


def shuts(gateway: Gateway, flow: Flow) -> Event:
    """The closing event, once all is proven; not a byte came after its gate."""
    closing = gateway.wait_end(flow.session, timeout_s=20)
    closed = gateway.wait("closed", flow.session)
    flow.viewer.wait_end()
    gate_ago_us = boottime_us() - closing["boottime_us"] - closed["data"]["shut_us"]
    assert flow.viewer.last_us <= time.time_ns() // 1000 - gate_ago_us
    gateway.wait_no_workers(1.0)
    return closing


def refused(gateway: Gateway, wait_s: int) -> dict[str, Any]:
    """The checks that a request fails by, by id."""
    failed = gateway.wait("checks_failed", gateway.request(wait_s=wait_s))
    return {check["id"]: check for check in failed["data"]["checks"]}


def opens(gateway: Gateway) -> None:
    """What the sensor said before a step is said again: nobody vouches for it across one."""
    gateway.wait_lane_free()
    gateway.shut(gateway.open())
    log_is_whole(gateway)


@pytest.mark.parametrize("step_s", [3, -3, 3_600, -3_600, 86_400, -86_400])
def test_a_step_of_the_wall_clock_shuts_it_at_once(gateway: Gateway, clock: Clock, step_s: int) -> None:
    """S17, F14; after a step back nothing opens before the clock is right again (S25)."""
    flow = gateway.flow(duration_s=60)
    stepped_us = clock.step(step_s)
    closing = shuts(gateway, flow)
    assert (name_of(closing), closing["data"]["fault"]) == ("fault", "clock-jumped")
    assert abs(closing["data"]["step_ms"] - step_s * 1000) < 500
    assert closing["boottime_us"] - stepped_us < SEEN_WITHIN_US
    if step_s < 0:
        # The sensor's next beat is older than its last one.
        gateway.wait_check("lane-no-vehicle", passes=False)
    if step_s < -60:
        gateway.wait_lane_free()
        failed = refused(gateway, wait_s=1)
        assert list(failed) == ["clock"]
        assert failed["clock"]["evidence"]["behind_ms"] > (-step_s - 60) * 1000
        clock.step(-step_s)
    opens(gateway)


@pytest.mark.parametrize("step_s", [1.5, -1.5])
def test_a_small_step_ends_it_by_whichever_clock_comes_first(
    gateway: Gateway, clock: Clock, step_s: float
) -> None:
    """S6: never longer than was asked, by either clock. The sensor's own clock is not stepped: beats that go
    backwards would shut by themselves."""
    flow = gateway.flow(duration_s=10)
    opened = gateway.wait("first_frame", flow.session)["data"]
    clock.step(step_s, DAEMON)
    closing = shuts(gateway, flow)
    clock.step(-step_s, DAEMON)
    assert name_of(closing) == "expire", closing
    assert closing["data"]["limit"] == "asked"
    late_by_boot_us = closing["boottime_us"] - opened["ends_boottime_us"]
    late_by_wall_us = at_us(closing) - at_us({"at": opened["ends_at"]})
    assert 0 <= max(late_by_boot_us, late_by_wall_us) < SECOND
    assert abs(late_by_wall_us - late_by_boot_us - step_s * SECOND) < SECOND // 4
    opens(gateway)


@pytest.mark.parametrize(
    ("broken", "by"),
    [
        ("missed", {"timer", "look", "sentinel"}),
        ("raising", {"timer", "look", "sentinel"}),
        ("hung timer", {"look", "sentinel"}),
    ],
)
def test_a_window_ends_and_opens_no_second_time_whatever_becomes_of_the_scheduler(
    gateway: Gateway, clock: Clock, broken: str, by: set[str]
) -> None:
    """S6, S17, F20: and the log says which layer ended it."""
    window, end_us = clock.run_up_to_the_end_of_a_minute(broken=broken.split())
    gateway.reconfigure(windows=window)
    gateway.wait_lane_free()
    flow = gateway.flow()
    assert at_us({"at": gateway.wait("first_frame", flow.session)["data"]["ends_at"]}) == end_us
    closing = shuts(gateway, flow)
    assert (name_of(closing), closing["data"]["limit"]) == ("expire", "window")
    assert closing["data"]["by"] in by
    assert 0 <= at_us(closing) - end_us < SECOND
    if broken != "missed":
        gateway.daemon.wait_line(lambda line: line == BROKE + broken.split()[0])
    clock.step(-30)
    failed = refused(gateway, wait_s=0)
    assert {"window", "clock"} <= set(failed)
    assert failed["window"]["evidence"] == {"open": False, "over_us": end_us}
    clock.step(30)
    gateway.reconfigure(windows=ALWAYS)
    opens(gateway)


def test_a_session_of_more_than_ten_minutes_ago_is_not_taken_up_again(gateway: Gateway, clock: Clock) -> None:
    """CONTRACT 5 `resume`."""
    session = gateway.open()
    gateway.shut(session)
    clock.step(601)
    late = gateway.transition("request", resume=session, wait_s=0)
    assert (late.status, late.body["pointer"]) == (422, "/resume")
    assert "more than 10 minutes ago" in late.body["detail"]


def test_an_unsynchronised_clock_opens_nothing_where_the_site_wants_one(
    gateway: Gateway, clock: Clock
) -> None:
    """S25, F26: no time source for a week."""
    with gateway.configured(require_clock_sync="true"):
        clock.set(synchronised=False)
        failed = refused(gateway, wait_s=2)
        assert list(failed) == ["clock"]
        assert failed["clock"]["evidence"]["synchronised"] is False
        clock.set(synchronised=True)
        opens(gateway)


def test_a_machine_that_boots_in_1970_or_a_day_late_opens_nothing(gateway: Gateway, clock: Clock) -> None:
    """S25, F26: however often it is asked, and though its own events stand in 1970 by then."""
    gateway.daemon.stop()
    right_s = clock.offset_s
    clock.step(-clock.now_s() + 100)
    gateway.start_daemon(clock.launcher(DAEMON))
    for _ in range(2):
        assert "clock" in refused(gateway, wait_s=1)
        assert gateway.events()[-1]["at"].startswith("1970-01-01")
    clock.step(right_s - 86_400 - clock.offset_s)
    gateway.wait_lane_free()
    assert list(refused(gateway, wait_s=1)) == ["clock"]
    clock.step(86_400)
    opens(gateway)
