"""What every test shares: with `VOLET_REQUIRE=all` a skipped test has failed; whole processes are slow; and
what the run showed stands at its end."""

import gc
import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

Figure = Callable[[str], None]
_HERE = Path(__file__).parent
_WHOLE_PROCESSES = (_HERE / "crash", _HERE / "e2e")
_NO_SKIPS = os.environ.get("VOLET_REQUIRE") == "all"

# How long an example takes says how busy the machine is, and nothing of the product.
settings.register_profile("volet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("volet")


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not _NO_SKIPS or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"VOLET_REQUIRE=all allows no skip: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The quick tests do not even read what is slow as a whole: each process of theirs would."""
    return True if collection_path in _WHOLE_PROCESSES and config.option.markexpr == "not slow" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in _WHOLE_PROCESSES):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Thousands of tests that stay to the end are not walked again by each collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Takes a line that is shown at the end of the run, whichever process ran the test."""
    return lambda line: record_property("figure", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the run showed: the cuts survived, the cost of each fault, the protections taken out."""
    from tests.tables import tables

    for title, text in tables(terminalreporter.stats):
        terminalreporter.section(title)
        terminalreporter.write_line(text)
