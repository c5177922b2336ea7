"""The gateways of a test, what they said when it failed, and what each fault cost."""

import json
import sqlite3
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import fault_table
from tests.e2e.follower import told
from tests.e2e.gateway import GATEWAYS as GATEWAYS
from tests.e2e.gateway import Gateway
from tests.e2e.incident import Incident
from tests.e2e.parts import segment_root

MakeGateway = Callable[..., Gateway]
Begin = Callable[..., Incident]


@pytest.fixture
def make_gateway(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MakeGateway]:
    """Makes gateways with settings of their own, not started; ends all of them."""
    made: list[Gateway] = request.node.stash.setdefault(GATEWAYS, [])

    def make(segments: Path | None = None, **settings: str) -> Gateway:
        made.append(_made(tmp_path / f"gateway-{len(made)}", segments, **settings))
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()


def _made(folder: Path, segments: Path | None = None, **settings: str) -> Gateway:
    """A gateway in a folder that it makes, not started."""
    folder.mkdir(mode=0o700)
    return Gateway(folder, segments or segment_root(), **settings)


@pytest.fixture(scope="module")
def make_shared_gateway(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[MakeGateway]:
    """Makes gateways for all tests of a module, not started; ends all of them."""
    made: list[Gateway] = request.node.stash.setdefault(GATEWAYS, [])

    def make(**settings: str) -> Gateway:
        made.append(_made(tmp_path_factory.mktemp("shared") / "gateway", None, **settings))
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()


@pytest.fixture(scope="module")
def _gateway_of_the_module(make_shared_gateway: MakeGateway) -> Gateway:
    gateway = make_shared_gateway()
    gateway.start()
    return gateway


@pytest.fixture
def gateway(_gateway_of_the_module: Gateway) -> Iterator[Gateway]:
    """One gateway that runs, for the tests of a module whose traces can be taken away: they are."""
    yield _gateway_of_the_module
    _gateway_of_the_module.restore()


@pytest.fixture
def own_gateway(make_gateway: MakeGateway) -> Gateway:
    """A gateway that runs, for one test alone."""
    gateway = make_gateway()
    gateway.start()
    return gateway


@pytest.fixture
def incident_of(record_property: Callable[[str, object], None]) -> Begin:
    """Begins an incident: a session with bytes flowing."""

    def begin(gateway: Gateway, fault: str, **wish: Any) -> Incident:
        return Incident(gateway, fault, record_property).begin(**wish)

    return begin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    item.user_properties += fault_table.taken()
    report = yield
    if report.failed:
        for gateway in (g for node in item.listchain() for g in node.stash.get(GATEWAYS, [])):
            report.sections += [(f"{p.name} ({p.pid})", p.text()) for p in gateway.processes]
            report.sections.append(("the log", _log_of(gateway.database)))
    return report


def _log_of(database: Path) -> str:
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=1) as log:
            rows = log.execute("SELECT canonical FROM events ORDER BY seq DESC LIMIT 60").fetchall()
    except sqlite3.Error as error:
        return str(error)
    return told([json.loads(row[0]) for row in reversed(rows)], last=60)
