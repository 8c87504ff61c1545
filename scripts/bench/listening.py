"""A real `tutorwatch listen`, in a process of its own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from scripts.bench.processes import running
from scripts.errors import CommandError

DRAIN_SECONDS = 300.0
"""How long it may take to work off what is in the outbox."""


@contextmanager
def listener(url: str) -> Iterator[None]:
    """Runs a listener on the database; it has worked off the outbox when the block begins.

    Raises CommandError, with the end of its log, if it doesn't come up.
    """
    with running("listen", url, until="listening"):
        wait_until_drained(url)
        yield


def wait_until_drained(url: str) -> None:
    """Returns once the outbox is empty, as the committed rows have it. Raises CommandError if it stays full."""
    give_up_at = time.monotonic() + DRAIN_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute("SELECT FROM tutorwatch.outbox LIMIT 1").fetchone() is not None:
            if time.monotonic() > give_up_at:
                raise CommandError(f"The listener didn't work off the outbox within {DRAIN_SECONDS:.0f} s")
            time.sleep(0.02)
