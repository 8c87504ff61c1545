"""How long listeners take to work off changes."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import psycopg

from benchmarks.changes import record_anew
from benchmarks.consumption import Stopwatch, Took
from benchmarks.listening import listener, wait_until_drained
from benchmarks.processes import Running, paused

WARM_UP_TUTORS = 20
"""Worked off by each listener that is started: its first batch prepares statements, which no later one does."""


def drain(url: str, connection: psycopg.Connection, *, changes: int, tutors: int, listeners: int = 1) -> Took:
    """From the commit of so many changes of so many tutors, which wakes listeners that are up, until none is left.

    Nothing has been generated before: see `record_anew`.
    """
    with warm_listeners(url, connection, listeners, tutors=tutors):
        record_anew(connection, changes, tutors)
        watch = Stopwatch()
        wait_until_drained(url)
        return watch.took()


@contextmanager
def warm_listeners(
    url: str, connection: psycopg.Connection, listeners: int, *, tutors: int
) -> Iterator[Sequence[Running]]:
    """Runs so many listeners while the block runs, each of which has worked off a few changes when it begins."""
    with ExitStack() as stack:
        up: list[Running] = []
        for _ in range(listeners):
            with ExitStack() as alone:
                for other in up:  # they would take the changes that are meant for the new one
                    alone.enter_context(paused(other))
                up.append(stack.enter_context(listener(url)))
                record_anew(connection, WARM_UP_TUTORS, min(WARM_UP_TUTORS, tutors))
                wait_until_drained(url)
        yield up
