"""Removing Tutorwatch: the platform's schema is as it was, every row is kept, and it can be repeated."""

import asyncio
import re
import subprocess
from typing import Any

import psycopg
import pytest

from database.recording import Automation
from migrations import automation, rights, upgrade
from migrations.uninstall import step_aside, uninstall
from tests.support.alerts import insert_alert
from tests.support.catalog import count_rows, snapshot
from tests.support.command import find_program, tutorwatch
from tests.support.databases import revision_of
from tests.support.interruptions import migrate_up_to
from tests.support.platform import Platform
from tests.support.recorded import client_of
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import until_blocked

UNINSTALLING = "tutorwatch-uninstall"


def remove(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True, application_name=UNINSTALLING) as connection:
        uninstall(connection)


async def fill(database_url: str) -> None:
    async with client_of(database_url) as connection:
        platform = Platform(connection)
        await platform.session(audio={}, video={}, score=8)
        for alert_type in ("no_show_pattern", "student_churn_risk"):
            await insert_alert(platform, alert_type=alert_type)
        await platform.insert(
            "tutor_insights", tutor_id="tutor", insight_type="strength", category="high_engagement", display_text="d"
        )


async def test_the_platforms_schema_is_as_it_was_and_its_rows_stay(
    platform_url: str, platform_snapshot: list[str]
) -> None:
    assert snapshot(platform_url) == platform_snapshot
    upgrade.migrate(platform_url)
    await fill(platform_url)
    rows = count_rows(platform_url)

    remove(platform_url)

    assert snapshot(platform_url) == platform_snapshot
    assert count_rows(platform_url) == rows
    assert rows["alerts"] == 2
    assert revision_of(platform_url) is None


@pytest.mark.skipif(find_program("pg_dump") is None, reason="pg_dump is not to be found")
async def test_a_dump_of_the_schema_is_the_same_afterwards_to_the_letter(
    platform_url: str,
    service_roles: None,  # noqa: ARG001 - who gets rights, and loses them again
) -> None:
    before = dump_schema(platform_url)
    upgrade.migrate(platform_url)
    with psycopg.connect(platform_url, autocommit=True) as connection:
        rights.give(connection, listener=LISTENER.name, web=WEB.name)
    await fill(platform_url)
    assert dump_schema(platform_url) != before

    remove(platform_url)

    assert dump_schema(platform_url) == before


def dump_schema(database_url: str) -> str:
    """What pg_dump says of everything but rows; without the random key of \\restrict."""
    program = find_program("pg_dump")
    assert program
    done = subprocess.run([program, "--schema-only", database_url], capture_output=True, text=True, check=True)
    return "\n".join(line for line in done.stdout.splitlines() if not re.match(r"\\(un)?restrict ", line))


def test_of_a_database_that_was_empty_the_platforms_tables_stay(
    database_url: str, platform_snapshot: list[str]
) -> None:
    remove(database_url)

    assert snapshot(database_url) == platform_snapshot


def test_it_can_be_repeated(database_url: str, platform_snapshot: list[str]) -> None:
    for _ in range(2):
        remove(database_url)

        assert snapshot(database_url) == platform_snapshot


@pytest.mark.parametrize("database", ["empty_url", "platform_url"])
def test_a_database_without_tutorwatch_is_left_as_it_is(request: pytest.FixtureRequest, database: str) -> None:
    url = request.getfixturevalue(database)
    before = snapshot(url)

    remove(url)

    assert snapshot(url) == before


async def test_migrating_again_works(database_url: str, head_snapshot: list[str]) -> None:
    await fill(database_url)
    remove(database_url)

    migrated = upgrade.migrate(database_url)

    assert migrated == upgrade.Migrated(None, upgrade.head_revision())
    assert snapshot(database_url) == head_snapshot


def test_it_removes_what_is_switched_off(database_url: str, platform_snapshot: list[str]) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        automation.switch(connection, on=False)
        uninstall(connection)

        assert automation.status(connection) is Automation.MISSING
    assert snapshot(database_url) == platform_snapshot


class Mortal(psycopg.Connection[Any]):
    """A connection that is lost before its n-th statement."""

    statements_left = 0

    def execute(self, *args: Any, **options: Any) -> psycopg.Cursor[Any]:
        if not self.statements_left:
            self.close()
        self.statements_left -= 1
        return super().execute(*args, **options)


def test_interrupted_anywhere_it_can_be_run_again(database_url: str, platform_snapshot: list[str]) -> None:
    for statements in range(1, 200):
        with Mortal.connect(database_url, autocommit=True) as connection:
            connection.statements_left = statements
            try:
                uninstall(connection)
            except psycopg.OperationalError:
                continue
            break

    assert statements > 15
    assert snapshot(database_url) == platform_snapshot


@pytest.mark.parametrize(
    ("database", "statement"),
    [
        pytest.param("empty_url", "The platform's own tables", id="schema only"),
        pytest.param("platform_url", "tutorwatch_alerts_by_tutor", id="tables and some indexes"),
    ],
)
def test_it_removes_what_an_interrupted_migration_left(
    request: pytest.FixtureRequest, database: str, statement: str
) -> None:
    url = request.getfixturevalue(database)
    before = snapshot(url)
    migrate_up_to(url, statement)

    remove(url)

    assert snapshot(url) == before


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        pytest.param("DELETE FROM sessions", "sessions", id="a writer"),
        pytest.param(
            "SELECT FROM sessions",
            "sessions",
            id="a reader",
        ),
    ],
)
async def test_an_open_transaction_only_delays_it_and_nobody_else(
    database_url: str, platform_snapshot: list[str], statement: str, table: str
) -> None:
    async with (
        client_of(database_url) as client,
        client_of(database_url, options="-c statement_timeout=3s") as other,
        client_of(database_url) as observer,
    ):
        await client.execute("BEGIN")
        await client.execute(statement.encode())
        removing = asyncio.create_task(asyncio.to_thread(remove, database_url))
        try:
            await until_blocked(observer, UNINSTALLING)
            await other.execute(f"SELECT FROM {table}".encode())
            await other.execute(f"DELETE FROM {table} WHERE false".encode())
        finally:
            await client.execute("COMMIT")
            await removing

    assert snapshot(database_url) == platform_snapshot


# Stepping aside: what is on the platform's tables goes, the rest stays


@pytest.mark.usefixtures("service_roles")
async def test_stepping_aside_keeps_evidence_and_accounts_and_migrating_brings_all_back(
    platform_url: str, platform_snapshot: list[str], head_snapshot: list[str]
) -> None:
    upgrade.migrate(platform_url)
    await fill(platform_url)
    async with client_of(platform_url) as connection:
        platform = Platform(connection)
        await platform.rows(
            "INSERT INTO tutorwatch.credentials (user_id, parameters, key_digest) VALUES ('tutor', 'salt', '')"
            " RETURNING 1"
        )
        await platform.rows(
            "INSERT INTO tutorwatch.alert_evidence (alert_id, tutor_id, session_ids, refreshed_at)"
            " SELECT id, tutor_id, '{}', now() FROM alerts RETURNING 1"
        )
        await platform.rows(
            "INSERT INTO tutorwatch.failures"
            " (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
            " VALUES ('tutor', 5, 'e', now(), now(), now()) RETURNING 1"
        )
        await platform.rows("DELETE FROM tutorwatch.outbox RETURNING 1")
        kept = "SELECT (SELECT count(*) FROM tutorwatch.credentials), (SELECT count(*) FROM tutorwatch.alert_evidence)"

        aside = tutorwatch("uninstall", "--keep-data", "--yes", url=platform_url)

        assert aside.code == 0
        assert "on the platform's tables any more" in aside.out
        assert [line for line in snapshot(platform_url) if is_on_platform(line)] == [
            line for line in platform_snapshot if is_on_platform(line)
        ]
        assert await platform.rows(kept) == [(1, 2)]
        await platform.connection.execute("UPDATE sessions SET overall_session_score = 2")
        assert await platform.rows("SELECT tutor_id FROM tutorwatch.outbox") == []

        back = tutorwatch("migrate", url=platform_url)

        assert back.code == 0
        assert "Failing tutors that are tried again: 1" in back.out
        assert snapshot(platform_url) == head_snapshot
        assert await platform.rows(kept) == [(1, 2)]
        assert await platform.rows("SELECT tutor_id FROM tutorwatch.outbox") == [None], "all tutors"


def is_on_platform(line: str) -> bool:
    """Whether a line of a snapshot is of one of the platform's tables, or about what is on it."""
    of_ours = ("schema tutorwatch", "relation tutorwatch.", "column tutorwatch.", "sequence tutorwatch.")
    return not line.startswith(of_ours) and not re.search(r"\btutorwatch\.(?!\w+\()|FUNCTION tutorwatch\.", line)


def test_stepping_aside_before_and_after_uninstalling_is_fine(database_url: str, platform_snapshot: list[str]) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        step_aside(connection)
        step_aside(connection)
        uninstall(connection)
        step_aside(connection)

    assert snapshot(database_url) == platform_snapshot
