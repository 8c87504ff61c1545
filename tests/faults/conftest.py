"""Fixtures of the fault tests, and the table of what they found."""

import pytest
from _pytest.terminal import TerminalReporter

from tests.faults.record import FaultRecorder, table
from tests.faults.scale import IS_SOAK


@pytest.fixture
def fault_record(request: pytest.FixtureRequest) -> FaultRecorder:
    """Call it once per fault: `fault_record("listener killed", injected=200, lost=0, doubled=0, recovery_seconds=1.2)`.

    It fails the test if anything was lost or doubled.
    """
    return FaultRecorder(request.node)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves what is marked `soak` to `make soak`."""
    if IS_SOAK:
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Prints the table of faults: where these tests are named on the command line, as `make soak` does."""
    ended = (report for reports in terminalreporter.stats.values() for report in reports)
    calls = [report for report in ended if getattr(report, "when", None) == "call"]
    if lines := table(calls):
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.write_line(line)
