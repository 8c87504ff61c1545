"""A real `tutorwatch listen`, in a process of its own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import psycopg

from scripts.errors import CommandError

START_SECONDS = 30.0
"""How long a listener may take to say that it listens."""
STOP_SECONDS = 15.0
"""How long it may take to stop; more than its grace time."""
DRAIN_SECONDS = 300.0
"""How long it may take to work off what is in the outbox."""

_LISTEN = (sys.executable, "-c", "from scripts.cli import main; main()", "listen", "--log-format", "json")


@contextmanager
def listener(url: str) -> Iterator[None]:
    """Runs a listener on the database; it has worked off the outbox when the block begins.

    Raises CommandError, with the end of its log, if it doesn't come up.
    """
    settings = {name: value for name, value in os.environ.items() if name != "TUTORWATCH_LISTEN_URL"}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            _LISTEN, env=settings | {"TUTORWATCH_DATABASE_URL": url}, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_listening(process, log)
            wait_until_drained(url)
            yield
        finally:
            _stop(process)


def wait_until_drained(url: str) -> None:
    """Returns once the outbox is empty, as the committed rows have it. Raises CommandError if it stays full."""
    give_up_at = time.monotonic() + DRAIN_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute("SELECT FROM tutorwatch.outbox LIMIT 1").fetchone() is not None:
            if time.monotonic() > give_up_at:
                raise CommandError(f"The listener didn't work off the outbox within {DRAIN_SECONDS:.0f} s")
            time.sleep(0.02)


def _wait_until_listening(process: subprocess.Popen[bytes], log: IO[str]) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while '"action": "listening"' not in (said := _read(log)):
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise CommandError(f"The listener didn't come up:\n{said[-2000:]}")
        time.sleep(0.05)


def _read(log: IO[str]) -> str:
    """All that the process has written: read by position, because it shares the file's offset."""
    return os.pread(log.fileno(), 1 << 20, 0).decode(errors="replace")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
