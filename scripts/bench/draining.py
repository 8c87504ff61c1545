"""How long listeners take to work off changes."""

from contextlib import ExitStack

import psycopg

from scripts.bench.changes import record_anew
from scripts.bench.consumption import Stopwatch, Took
from scripts.bench.listening import listener, wait_until_drained

WARM_UP_TUTORS = 20
"""Worked off by each listener that is started: its first batch prepares statements, which no later one does."""


def drain(url: str, connection: psycopg.Connection, *, changes: int, tutors: int, listeners: int = 1) -> Took:
    """From the commit of so many changes of so many tutors, which wakes listeners that are up, until none is left.

    Nothing has been generated before: see `record_anew`.
    """
    with ExitStack() as stack:
        for _ in range(listeners):
            stack.enter_context(listener(url))
            record_anew(connection, WARM_UP_TUTORS, min(WARM_UP_TUTORS, tutors))
            wait_until_drained(url)
        record_anew(connection, changes, tutors)
        watch = Stopwatch()
        wait_until_drained(url)
        return watch.took()
