"""F24: which listener of a camera's source counts, and through which day the site accepts it."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from orchestrator.app.side_doors import SideDoors, look_for_side_doors
from orchestrator.settings import Settings
from tests.edges.vpn.test_other_listeners import source
from tests.settings.configuration import SMALL, loaded

DOOR = '[[vpn.accepted_side_doors]]\nlistener = "0.0.0.0:{port}"\nwhy = "rebound"\nuntil = "2027-03-31"\n'


@pytest.fixture
def port() -> Iterator[int]:
    """Of a source that listens on 0.0.0.0."""
    with closing(source("0.0.0.0")) as sock:
        yield sock.getsockname()[1]


def site(folder: Path, port: int, text: str = "") -> Settings:
    return loaded(folder, SMALL.replace("127.0.0.1:8000", f"127.0.0.1:{port}") + text)


def at(text: str, zone: str = "Europe/Paris") -> int:
    """Wall time in microseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000


def test_what_nobody_accepted_is_open_and_says_what_to_do(port: int, tmp_path: Path) -> None:
    found = look_for_side_doors(site(tmp_path, port), at("2026-12-01T12:00:00"))
    assert (found.shut, found.open_count, found.accepted) == (False, 1, "")
    assert f"beyond this machine, on 0.0.0.0:{port} (process " in found.detail
    assert "bind it to 127.0.0.1" in found.detail


@pytest.mark.parametrize(
    ("now", "shut"),
    [("2027-03-31T00:00:00", True), ("2027-03-31T23:59:59", True), ("2027-04-01T00:00:00", False)],
)
def test_an_acceptance_lasts_through_its_day_in_the_sites_zone(
    port: int, tmp_path: Path, now: str, shut: bool
) -> None:
    """Paris is two hours ahead of UTC by then."""
    found = look_for_side_doors(site(tmp_path, port, DOOR.format(port=port)), at(now))
    assert found.shut is shut
    assert found.accepted == (f"0.0.0.0:{port} until 2027-03-31" if shut else "")
    assert ("which was accepted until 2027-03-31 only" in found.detail) is not shut


def test_an_accepted_door_hides_no_other(port: int, tmp_path: Path) -> None:
    settings = site(tmp_path, port, DOOR.format(port=port))
    with closing(source("::", port)):
        found = look_for_side_doors(settings, at("2026-12-01T12:00:00"))
    assert (found.shut, found.open_count) == (False, 1)
    assert f"[::]:{port}" in found.detail
    assert look_for_side_doors(settings, at("2026-12-01T12:00:00"), found.doors).shut


def test_a_source_on_this_machines_own_address_or_by_its_name_is_looked_at_too(
    port: int, tmp_path: Path
) -> None:
    for host in ("127.9.9.9", "localhost", "edge-gw.invalid"):
        settings = loaded(tmp_path, SMALL.replace("127.0.0.1:8000", f"{host}:{port}"))
        assert look_for_side_doors(settings, 0).open_count == 1


def test_a_kernel_that_does_not_answer_proves_nothing() -> None:
    found = SideDoors((), "no such thing")
    assert not found.shut
    assert "could not be read: no such thing" in found.detail
