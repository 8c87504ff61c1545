"""Fixtures of the fault tests, and the table of what they found."""

import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType

import pytest
from _pytest.terminal import TerminalReporter

from tests.faults.own_server import OwnServer
from tests.faults.record import FaultRecorder, table
from tests.support.scale import IS_SOAK
from tests.support.servers import folder_for_servers

PATIENCE_MINUTES = 5
"""How long a test may take that doesn't say anything else: several times as long as it needs."""
AGAIN_SECONDS = 10.0
"""A test that should give up is told so again: where it was, the first time may have been taken for a fault."""


def pytest_configure(config: pytest.Config) -> None:
    """Makes the mark known that says how long a test takes."""
    config.addinivalue_line("markers", "soak_minutes(about): how long it takes in `make soak`, if two minutes or more")


def soak_minutes(item: pytest.Item) -> float:
    """About how long this test takes in `make soak`; 0: less than two minutes."""
    mark = item.get_closest_marker("soak_minutes")
    return float(mark.args[0]) if mark else 0.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fails a test that takes much longer than it should: what it waits for won't come."""
    minutes = PATIENCE_MINUTES + (2 * soak_minutes(item) if IS_SOAK else 0)

    def give_up(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"still not done after {minutes:g} minutes")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, minutes * 60, AGAIN_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def fault_record(request: pytest.FixtureRequest) -> FaultRecorder:
    """Call it once per fault: `fault_record("listener killed", injected=200, lost=0, doubled=0, recovery_seconds=1.2)`.

    It fails the test if anything was lost or doubled.
    """
    return FaultRecorder(request.node)


@pytest.fixture(scope="session")
def server_to_break() -> Iterator[OwnServer]:
    """One for all tests that break servers: `own_server` mends it."""
    with tempfile.TemporaryDirectory(
        prefix="tutorwatch-", dir=folder_for_servers(), ignore_cleanup_errors=True
    ) as folder:
        server = OwnServer(Path(folder))
        server.create()
        yield server
        server.end()


@pytest.fixture
def own_server(server_to_break: OwnServer) -> OwnServer:
    """A running PostgreSQL of the test's own, with a migrated database, that it may do anything to."""
    server_to_break.renew()
    return server_to_break


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make soak` begins with what takes longest, so that all processors end their work at about the same time."""
    if IS_SOAK:
        items.sort(key=soak_minutes, reverse=True)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Prints the table of faults: where these tests are named on the command line, as `make soak` does."""
    ended = (report for reports in terminalreporter.stats.values() for report in reports)
    calls = [report for report in ended if getattr(report, "when", None) == "call"]
    if lines := table(calls):
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.write_line(line)
