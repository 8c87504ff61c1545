"""Fixtures of the fault tests, and the table of what they found."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from tests.faults.own_server import OwnServer
from tests.faults.record import FaultRecorder, table
from tests.faults.scale import IS_SOAK


@pytest.fixture
def fault_record(request: pytest.FixtureRequest) -> FaultRecorder:
    """Call it once per fault: `fault_record("listener killed", injected=200, lost=0, doubled=0, recovery_seconds=1.2)`.

    It fails the test if anything was lost or doubled.
    """
    return FaultRecorder(request.node)


@pytest.fixture(scope="session")
def server_to_break() -> Iterator[OwnServer]:
    """One for all tests that break servers: `own_server` mends it."""
    with tempfile.TemporaryDirectory(prefix="tutorwatch-", ignore_cleanup_errors=True) as folder:
        server = OwnServer(Path(folder))
        server.create()
        yield server
        server.end()


@pytest.fixture
def own_server(server_to_break: OwnServer) -> OwnServer:
    """A running PostgreSQL of the test's own, with a migrated database, that it may do anything to."""
    server_to_break.renew()
    return server_to_break


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
