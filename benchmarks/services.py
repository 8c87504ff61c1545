"""Tutorwatch's services, each in a process of its own, as an operator starts them; and changes for them to process."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any, LiteralString

import psycopg

from database.channels import CHANGES
from scripts.errors import CommandError

START_SECONDS = 30.0
STOP_SECONDS = 15.0
"""Longer than a service's grace time."""
DRAIN_SECONDS = 300.0
WARM_UP_CHANGES = 200
"""Processed by listeners that are started: their first batches prepare statements, which no later ones do."""
COMMAND = (sys.executable, "-c", "from scripts.cli import main; main()")
"""`tutorwatch`, by the interpreter that runs the benchmark."""
_OF_ANOTHER_DATABASE = ("TUTORWATCH_LISTEN_URL", "TUTORWATCH_WEB_", "TUTORWATCH_LISTENER_PORT")


@dataclass(frozen=True)
class Service:
    """A service that is up: its process id, and the line of its log that said so."""

    process_id: int
    said: Mapping[str, Any]


@contextmanager
def running(service: str, url: str, *, until: str, **settings: str) -> Iterator[Service]:
    """Runs `tutorwatch SERVICE` on the database while the block runs, with these settings on top of the defaults.

    It is up once it has logged the action `until`. Raises CommandError, with the end of its log, if it doesn't.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*COMMAND, service, "--log-format", "json"],
            env=environment_for(url) | settings,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        with stopping(process):
            yield Service(process.pid, _wait_for(service, until, process, log))


@contextmanager
def stopping(process: "subprocess.Popen[Any]") -> Iterator[None]:
    """Ends the process after the block."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment_for(url: str) -> dict[str, str]:
    """This process's environment, but for the database."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_ANOTHER_DATABASE)}
    return kept | {"TUTORWATCH_DATABASE_URL": url}


def _wait_for(service: str, action: str, process: subprocess.Popen[bytes], log: IO[str]) -> Mapping[str, Any]:
    give_up_at = time.monotonic() + START_SECONDS
    while True:
        # Read by position, because the process shares the file's offset.
        written = os.pread(log.fileno(), 1 << 20, 0).decode(errors="replace")
        for line in written.splitlines():
            if f'"action": "{action}"' in line and line.endswith("}"):
                found: Mapping[str, Any] = json.loads(line)
                return found
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise CommandError(f"`tutorwatch {service}` didn't come up:\n{written[-2000:]}")
        time.sleep(0.01)


@contextmanager
def listener(url: str) -> Iterator[Service]:
    """Runs a listener on the database and yields it; the outbox is empty when the block begins."""
    with running("listen", url, until="listening") as service:
        wait_until_drained(url)
        yield service


def wait_until_drained(url: str) -> None:
    """Returns once the outbox is empty, as the committed rows have it. Raises CommandError if it stays full."""
    wait_until_none(url, "SELECT FROM tutorwatch.outbox LIMIT 1", "The listener didn't drain the outbox")


def wait_until_none(url: str, query: LiteralString, complaint: str) -> None:
    """Returns once the query has no row, to within 20 ms. Raises CommandError with the complaint if it keeps one."""
    give_up_at = time.monotonic() + DRAIN_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(query).fetchone() is not None:
            if time.monotonic() > give_up_at:
                raise CommandError(f"{complaint} within {DRAIN_SECONDS:.0f} s")
            time.sleep(0.02)


def remove_results(connection: psycopg.Connection) -> None:
    """Removes every alert, insight and piece of evidence; then the changes that our own triggers record of that."""
    tables = "public.alerts, public.tutor_insights, tutorwatch.alert_evidence, tutorwatch.consumed_sessions"
    with connection.transaction():
        connection.execute(f"TRUNCATE {tables}".encode())
        connection.execute("DELETE FROM tutorwatch.outbox")


def record_anew(connection: psycopg.Connection, changes: int, tutors: int) -> None:
    """Removes all results, and commits so many changes of the first so many tutors, as the triggers record them.

    The changes of different tutors alternate, in an order that is the same each time. Listeners are woken.
    """
    record = """
        INSERT INTO tutorwatch.outbox (tutor_id)
        SELECT 'bench-tutor-' || 1 + n %% %(tutors)s::int FROM generate_series(1, %(changes)s::int) AS n
        ORDER BY hashint4extended(n, 7)
    """
    with connection.transaction():
        remove_results(connection)
        connection.execute(record, {"changes": changes, "tutors": tutors})
        connection.execute("SELECT pg_notify(%s, '')", [CHANGES])


def drain_seconds(url: str, connection: psycopg.Connection, *, changes: int, tutors: int, listeners: int = 1) -> float:
    """The seconds from the commit of so many changes of so many tutors, which wakes warm listeners, until none is left.

    Nothing has been generated before.
    """
    with ExitStack() as stack:
        for _ in range(listeners):
            stack.enter_context(listener(url))
        record_anew(connection, WARM_UP_CHANGES, WARM_UP_CHANGES)
        wait_until_drained(url)
        record_anew(connection, changes, tutors)
        started = time.perf_counter()
        wait_until_drained(url)
        return time.perf_counter() - started
