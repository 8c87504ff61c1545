"""Ends a migration in its middle, as a power cut or an impatient operator would."""

from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy.exc import SQLAlchemyError

import migrations.repair
import migrations.sql
from migrations import upgrade
from migrations.indexes import Step

MIGRATING = "tutorwatch-migrate"
"""The name of a migration's connections."""

INTERRUPTED = (SQLAlchemyError, psycopg.OperationalError)
"""What a migration raises that was ended: in a revision, or in what follows the revisions."""


def end_migration(database_url: str) -> None:
    """Ends the connections of whatever migrates this database."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            [MIGRATING],
        )


def watch_statements(
    monkeypatch: pytest.MonkeyPatch,
    *,
    before: Callable[[str], None] = lambda _: None,
    after: Callable[[str], None] = lambda _: None,
) -> None:
    """Calls these before and after each statement of the revisions, and each step of what follows them."""
    execute, run = migrations.sql.execute, migrations.repair.run

    def watched(statements: str) -> None:
        before(statements)
        execute(statements)
        after(statements)

    def watched_step(connection: psycopg.Connection, step: Step) -> None:
        statements = "\n".join(step.statements)
        before(statements)
        run(connection, step)
        after(statements)

    monkeypatch.setattr("migrations.sql.execute", watched)
    monkeypatch.setattr("migrations.repair.run", watched_step)


def migrate_up_to(database_url: str, statement: str) -> None:
    """Migrates, and is interrupted before the first statement that contains this text."""

    def end(statements: str) -> None:
        if statement in statements:
            end_migration(database_url)

    with pytest.MonkeyPatch.context() as monkeypatch:
        watch_statements(monkeypatch, before=end)
        with pytest.raises(INTERRUPTED):
            upgrade.migrate(database_url)


def interrupt_everywhere(database_url: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Migrates, interrupted after each statement once; returns how often that was."""
    seen: set[str] = set()
    interruptions = 0

    def interrupt(statement: str) -> None:
        if len(seen) == interruptions and statement not in seen:  # the first new one of this run
            seen.add(statement)
            end_migration(database_url)

    watch_statements(monkeypatch, after=interrupt)
    while True:
        try:
            migrated = upgrade.migrate(database_url)
        except INTERRUPTED:
            interruptions += 1
            assert len(seen) == interruptions, "a run failed without being interrupted"
        else:
            assert migrated.after == upgrade.head_revision()
            return interruptions
