"""Databases and roles beyond what the shared fixtures give a test."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from migrations import upgrade
from tests.conftest import database_on


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


@contextmanager
def cloned(server_url: str, name: str, template: str | None = None, *, owner: str | None = None) -> Iterator[str]:
    """A database that is dropped at the end."""
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
            connection.execute(drop)
