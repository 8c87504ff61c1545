"""A real `tutorwatch listen`, in a process of its own."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg

from benchmarks.processes import Running, running
from scripts.errors import CommandError

DRAIN_SECONDS = 300.0
"""How long it may take to work off what is in the outbox."""


@contextmanager
def listener(url: str) -> Iterator[Running]:
    """Runs a listener on the database and yields it; it has worked off the outbox when the block begins.

    Raises CommandError, with the end of its log, if it doesn't come up.
    """
    with running("listen", url, until="listening") as process:
        wait_until_drained(url)
        yield process


def wait_until_drained(url: str) -> None:
    """Returns once the outbox is empty, as the committed rows have it. Raises CommandError if it stays full."""
    wait_until_none(url, "SELECT FROM tutorwatch.outbox LIMIT 1", "The listener didn't work off the outbox")


def wait_until_none(
    url: str, query: LiteralString, complaint: str, *, is_alive: Callable[[], bool] = lambda: True
) -> None:
    """Returns once the query has no row, to within 20 ms. Raises CommandError with the complaint if it keeps one, or
    if whoever works on it is alive no more.
    """
    give_up_at = time.monotonic() + DRAIN_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(query).fetchone() is not None:
            if not is_alive():
                raise CommandError(f"{complaint}: its process has ended")
            if time.monotonic() > give_up_at:
                raise CommandError(f"{complaint} within {DRAIN_SECONDS:.0f} s")
            time.sleep(0.02)
