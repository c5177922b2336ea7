"""What every test shares: where `VOLET_REQUIRE=all` is set, a test that was skipped has failed; and what the
negative controls showed stands at the end."""

import os
from collections.abc import Generator

import pytest

_NO_SKIPS = os.environ.get("VOLET_REQUIRE") == "all"


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which protection was taken out, and whether its test then failed."""
    outcomes = {
        report.nodeid: how
        for how in ("passed", "skipped", "failed", "error")
        for report in terminalreporter.stats.get(how, [])
        if report.nodeid.startswith("tests/")
    }
    if any(test.startswith("tests/controls/test_without") for test in outcomes):
        from tests.controls import table

        terminalreporter.section("negative controls")
        terminalreporter.write_line(table.verdicts(outcomes))
