"""Databases for tests: cloned from a template, and dropped at the end."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from migrations import upgrade


def check(database_url: str) -> list[str]:
    """What `migrate --check` says: what `migrate` would do, or what keeps it from it; empty if nothing."""
    found = upgrade.preview(database_url)
    return [*found.problems, *found.pending]


def revision_of(database_url: str) -> str | None:
    """The database's revision; None where Tutorwatch isn't installed."""
    with psycopg.connect(database_url) as connection:
        if connection.execute("SELECT to_regclass('tutorwatch.alembic_version')").fetchone() == (None,):
            return None
        (found,) = connection.execute("SELECT version_num FROM tutorwatch.alembic_version").fetchall()
        return str(found[0])


def database_on(server_url: str, name: str) -> str:
    """The URL of one of the server's databases, as libpq and psql take it."""
    if server_url.startswith("postgres"):
        head, _, query = server_url.partition("?")
        return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
    return make_conninfo(server_url, dbname=name)


@contextmanager
def cloned(server_url: str, name: str, template: str | None = None, *, owner: str | None = None) -> Iterator[str]:
    """The URL of a database that is dropped at the end; one of that name that is there already is replaced."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template:
        create += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    if owner:
        create += sql.SQL(" OWNER {}").format(sql.Identifier(owner))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(create)
    try:
        yield database_on(server_url, name)
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(drop)


_numbers = itertools.count(1)


@contextmanager
def own_database(server_url: str, worker_id: str, template: str | None) -> Iterator[str]:
    """The URL of a database that no other test uses: a copy of the template, or empty."""
    with cloned(server_url, f"tutorwatch_test_{worker_id}_{next(_numbers)}", template) as url:
        yield url
