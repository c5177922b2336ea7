"""What the site's own programs do, as separate processes: none of it opens, and the person is told why.

The broker is the site's: amqtt, anonymous, with no memory on disk. Every story looks at the whole run, and
ends with an honest lane that opens, so that the test can fail.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import GATEWAYS
from tests.e2e.follower import name_of
from tests.e2e.gateway import Gateway
from tests.e2e.parts import segment_root
from tests.e2e.processes import Process, python

pytestmark = pytest.mark.slow

NO_VEHICLE = "lane-no-vehicle"


class Site(Gateway):
    """A gateway beside the site's own broker and sensor."""

    sensor: Process

    def start_sensor(self) -> Process:
        """The sensor's program, connected; it has said nothing but its heartbeat."""
        sensor = self._begin("sensor", python("-m", "tests.e2e.site_sensor", f"--port={self.broker_port}"))
        sensor.wait_json("connected")
        return sensor

    def told(self, session: str) -> dict[str, str]:
        """The words in which a refused person was told why, by check."""
        failed = self.wait("checks_failed", session)
        items = self.get(f"/api/v1/events?session={session}&details=true")["items"]
        (found,) = [item for item in items if item["event"]["seq"] == failed["seq"]]
        words: dict[str, str] = found["details"]["words"]
        assert list(words) == [check["id"] for check in failed["data"]["checks"]]
        return words

    def refuses(self, *, after: int, wait_s: int) -> dict[str, str]:
        """A request ends in words; since `after` nothing came near opening."""
        words = self.told(self.request(wait_s=wait_s))
        self.never_opened(after)
        return words

    def never_opened(self, after: int) -> None:
        """In the whole run since then."""
        names = {name_of(event) for event in self.events() if event["seq"] > after}
        assert "checks_failed" in names
        assert not names & {"checks_passed", "worker_started", "first_frame"}

    def opens(self) -> None:
        """An honest lane."""
        self.shut(self.open())


@pytest.fixture(scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site") / "gateway"
    folder.mkdir(mode=0o700)
    site = Site(folder, segment_root(), trust="open", quiet_for="500ms", boundary_settle="200ms")
    request.node.stash[GATEWAYS] = [site]
    site.write_configuration()
    site.start_site_broker()
    site.start_camera()
    site.start_daemon()
    site.follow()
    yield site
    site.stop()


@pytest.fixture
def site(_site: Site) -> Iterator[Site]:
    _site.sensor = _site.start_sensor()
    yield _site
    _site.sensor.stop()


def test_a_sensor_that_hangs_while_a_vehicle_stands_there(site: Site) -> None:
    """It says 0 for a while before it notices, with its heartbeat alive: `settle` is longer than that."""
    after = site.last_seq()
    with site.configured(lane_settle="4s"):
        site.sensor.say("vehicle comes")
        site.wait_check("lane-sensor-alive", passes=True)
        session = site.request(wait_s=10)
        site.sensor.say("hangs")
        site.sensor.wait_json("hung")
        words = site.told(session)
    site.never_opened(after)
    assert list(words) == [NO_VEHICLE]
    assert "“1” has stood there for" in words[NO_VEHICLE]
    assert "“0” is wanted" in words[NO_VEHICLE]
    heard = [e["data"]["rules"] for e in site.events(session) if name_of(e) == "lane_changed"]
    assert [rules["no-vehicle"] for rules in heard if "no-vehicle" in rules].count(True) >= 1
    site.sensor.say("vehicle goes")
    site.opens()


def test_a_sensor_that_restarts_while_a_vehicle_stands_there(site: Site) -> None:
    """S5: an old, stored 0 beside a heartbeat that lives: nobody vouched for it in between."""
    site.sensor.say("vehicle goes")
    site.opens()
    after = site.last_seq()
    site.sensor.kill()
    site.wait_check("lane-sensor-alive", passes=False)
    site.sensor = site.start_sensor()
    site.wait_check("lane-sensor-alive", passes=True)
    words = site.refuses(after=after, wait_s=2)
    assert list(words) == [NO_VEHICLE]
    assert "“0” is" in words[NO_VEHICLE]
    assert "nobody vouches for it" in words[NO_VEHICLE]
    assert "it must be said again" in words[NO_VEHICLE]
    site.sensor.say("vehicle goes")
    site.opens()


def test_a_broker_that_forgets_everything_when_it_restarts(site: Site) -> None:
    """CONTRACT 9: what is sent only on change must be sent again, and the person is told so."""
    site.sensor.say("vehicle goes")
    site.opens()
    after = site.last_seq()
    site.broker.stop()
    site.wait_check("bus-connected", passes=False)
    site.start_site_broker()
    site.wait_check("lane-sensor-alive", passes=True)
    words = site.refuses(after=after, wait_s=2)
    assert list(words) == [NO_VEHICLE]
    assert "nothing came on parking/sensor_gate/present since we listen" in words[NO_VEHICLE]
    assert "what is sent only on change must be sent again" in words[NO_VEHICLE]
    site.sensor.say("vehicle goes")
    site.opens()


def test_a_stranger_on_the_network_who_forges_a_free_lane(site: Site) -> None:
    """F30: to the rules it is a perfect lane; that anybody could have said it is the check that fails."""
    site.sensor.kill()
    after = site.last_seq()
    site.reconfigure(trust="acl")
    site.sensor = site.start_sensor()
    site.sensor.say("vehicle goes")
    site.wait_check(NO_VEHICLE, passes=True)
    words = site.refuses(after=after, wait_s=2)
    assert list(words) == ["bus-trusted"]
    assert "lets anonymous clients in, so anybody could publish the lane's state" in words["bus-trusted"]
    site.reconfigure(trust="open")
    site.opens()
    opened = next(e for e in reversed(site.events()) if name_of(e) == "first_frame")
    (trusted,) = [check for check in opened["data"]["checks"] if check["id"] == "bus-trusted"]
    assert trusted["evidence"]["trust"] == "open"
