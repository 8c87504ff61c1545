"""Tutorwatch's own services, each in a process of its own, as an operator starts them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from scripts.errors import CommandError

START_SECONDS = 30.0
"""How long a service may take to say that it is there."""
STOP_SECONDS = 15.0
"""How long it may take to stop; more than its grace time."""

_NOT_THEIRS = ("TUTORWATCH_LISTEN_URL", "TUTORWATCH_WEB_")
"""Settings that are about another database than the benchmark's, or about another address."""
COMMAND = (sys.executable, "-c", "from scripts.cli import main; main()")
"""`tutorwatch`, by the interpreter that runs the benchmark."""


@dataclass(frozen=True)
class Running:
    """A service that is up: its process id, the line of its log that said so, and how long it took to say it."""

    process_id: int
    said: Mapping[str, Any]
    start_seconds: float


@contextmanager
def running(service: str, url: str, *, until: str, **settings: str) -> Iterator[Running]:
    """Runs `tutorwatch SERVICE` on the database while the block runs, with these settings on top of the defaults.

    It is up once it has logged the action `until`. Raises CommandError, with the end of its log, if it doesn't.
    """
    with tempfile.TemporaryFile("w+") as log:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*COMMAND, service, "--log-format", "json"],
            env=environment_for(url) | settings,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            said = _wait_for(service, until, process, log)
            yield Running(process.pid, said, time.perf_counter() - started)
        finally:
            stop(process)


@contextmanager
def paused(process: Running) -> Iterator[None]:
    """Lets it do nothing while the block runs."""
    os.kill(process.process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.process_id, signal.SIGCONT)


def environment_for(url: str) -> dict[str, str]:
    """This process's environment, but for the database."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_THEIRS)}
    return kept | {"TUTORWATCH_DATABASE_URL": url}


def _wait_for(service: str, action: str, process: subprocess.Popen[bytes], log: IO[str]) -> Mapping[str, Any]:
    give_up_at = time.monotonic() + START_SECONDS
    while (line := _find(action, said := _read(log))) is None:
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise CommandError(f"`tutorwatch {service}` didn't come up:\n{said[-2000:]}")
        time.sleep(0.01)
    return line


def _find(action: str, said: str) -> Mapping[str, Any] | None:
    for line in said.splitlines():
        if f'"action": "{action}"' in line and line.endswith("}"):
            found: Mapping[str, Any] = json.loads(line)
            return found
    return None


def _read(log: IO[str]) -> str:
    """What the process has written: read by position, because it shares the file's offset."""
    return os.pread(log.fileno(), 1 << 20, 0).decode(errors="replace")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Lets it end, and ends it where it doesn't."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
