"""An import beside what is measured: a COPY of many sessions, from a process of its own."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks.listening import wait_until_drained

Span = tuple[float, float]
"""From when to when, in seconds of `time.perf_counter`, which processes share."""


@contextmanager
def importing(url: str, sessions: int, not_of: Sequence[str]) -> Iterator[Callable[[], Span]]:
    """Copies so many sessions into the database while the block runs; yields what waits for the import's end.

    They are new sessions, like those that the database holds already of other tutors than `not_of`. The import ends
    when listeners have worked off what it changed.
    """
    with tempfile.TemporaryDirectory(prefix="tutorwatch-bench-") as folder:
        rows = Path(folder) / "sessions"
        _write_rows(url, sessions, not_of, rows)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(_be_there).result()
            copying = pool.submit(_copy_in, url, rows)
            yield copying.result


# As many times the same sessions as it takes, each time under new ids.
_ROWS = """
    CREATE TEMP TABLE rows AS
    SELECT sessions.*
    FROM public.sessions
    CROSS JOIN generate_series(1, %(sessions)s::int)
    WHERE status <> 'no_show_tutor' AND tutor_id <> ALL(%(not_of)s)
    LIMIT %(sessions)s
"""


def _write_rows(url: str, sessions: int, not_of: Sequence[str], file: Path) -> None:
    with psycopg.connect(url) as connection, file.open("wb") as rows, connection.cursor() as cursor:
        cursor.execute(_ROWS, {"sessions": sessions, "not_of": list(not_of)})
        cursor.execute("UPDATE rows SET id = gen_random_uuid()")
        with cursor.copy("COPY rows TO STDOUT") as copy:
            for part in copy:
                rows.write(part)


def _be_there() -> None:
    """Returns once the process has started and knows this module."""


def _copy_in(url: str, file: Path) -> Span:
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor, file.open("rb") as rows:
        started = time.perf_counter()
        with cursor.copy("COPY public.sessions FROM STDIN") as copy:
            while part := rows.read(1 << 16):
                copy.write(part)
        wait_until_drained(url)
        return started, time.perf_counter()
