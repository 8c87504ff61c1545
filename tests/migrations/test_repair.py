"""What is dropped, replaced or broken after migrating: it is found, and migrating again repairs it."""

import asyncio
import re
import time
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.recording import Automation
from database.tables import own
from listener.sweep import sweep
from migrations import automation, manifest, rights, upgrade
from tests.support.catalog import snapshot
from tests.support.command import find_psql, psql
from tests.support.databases import check
from tests.support.platform import Platform
from tests.support.recorded import EVERY_TUTOR, client_of, take, tutors
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import until_blocked

WRITERS_WAIT_SECONDS = 0.15
"""A try waits for 50 ms; the rest is for the machine, which other tests use, too."""

REPLACED = """
    CREATE OR REPLACE FUNCTION tutorwatch.record_sessions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS 'BEGIN RETURN NULL; END'
"""


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def leave_invalid(url: str) -> None:
    """An index that failed to build, as an operator's own attempt would leave it."""
    run(
        url,
        "DROP INDEX tutorwatch_insights_by_tutor",
        "INSERT INTO tutor_insights (tutor_id, insight_type, category, display_text)"
        " SELECT 'tutor', 'strength', 'high_engagement', 't' FROM generate_series(1, 3)",
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(url, "CREATE UNIQUE INDEX CONCURRENTLY tutorwatch_insights_by_tutor ON tutor_insights (tutor_id)")


def test_every_part_of_a_migrated_database_is_known_and_whole(database_url: str) -> None:
    assert check(database_url) == []
    known = {
        "SELECT relname FROM pg_class WHERE relnamespace = 'tutorwatch'::regnamespace AND relkind = 'r'": {
            *(table.name for table in own.sorted_tables),
            "alembic_version",
        },
        "SELECT proname FROM pg_proc WHERE pronamespace = 'tutorwatch'::regnamespace": set(manifest.FUNCTIONS),
        "SELECT relnamespace::regnamespace || '.' || relname || '.' || tgname"
        " FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid WHERE NOT tgisinternal": {
            f"{trigger.table}.{trigger.name}" for trigger in manifest.triggers()
        },
        "SELECT relname FROM pg_class WHERE relname LIKE 'tutorwatch\\_%' AND relkind = 'i'": set(manifest.INDEXES),
    }
    with psycopg.connect(database_url) as connection:
        for query, names in known.items():
            assert {name for (name,) in connection.execute(query.encode())} == names


def test_every_file_of_a_function_is_in_the_manifest() -> None:
    files = {path.stem for path in (Path(manifest.__file__).parent / "sql/functions").glob("*.sql")}

    assert files == {function.file or function.name for function in manifest.FUNCTIONS.values()}
    assert not [function.name for function in manifest.FUNCTIONS.values() if "{" in function.sql.replace("'{}'", "")]


@pytest.mark.usefixtures("service_roles")
def test_services_may_use_what_was_made_anew(database_url: str) -> None:
    """What was dropped has taken the rights on it along."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rights.give(connection, listener=LISTENER.name, web=WEB.name)
    run(
        database_url,
        "DROP FUNCTION tutorwatch.password_parameters(text)",
        "DROP SEQUENCE tutorwatch.automation_off, tutorwatch.unrecorded",
    )

    done = upgrade.migrate(database_url)

    assert done.repaired == (
        "sequence automation_off is missing",
        "sequence unrecorded is missing",
        "function password_parameters is missing",
    )
    with psycopg.connect(database_url) as connection:
        may = connection.execute(
            "SELECT has_function_privilege(%s, 'tutorwatch.password_parameters(text)', 'EXECUTE'),"
            " has_sequence_privilege(%s, 'tutorwatch.automation_off', 'SELECT')",
            [WEB.name, LISTENER.name],
        ).fetchone()
    assert may == (True, True)


async def test_whatever_is_damaged_is_found_and_repaired(
    database_url: str, platform: Platform, head_snapshot: list[str]
) -> None:
    await platform.session()
    await take(platform)
    run(
        database_url,
        "DROP TRIGGER tutorwatch_insert ON sessions",
        "CREATE OR REPLACE TRIGGER tutorwatch_update AFTER INSERT ON session_audio_metrics"
        " FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_truncate()",
        "ALTER TABLE alerts DISABLE TRIGGER tutorwatch_announce_update",
        "DROP FUNCTION tutorwatch.record_video_metrics CASCADE",
        REPLACED,
        "ALTER FUNCTION tutorwatch.record_alerts SECURITY INVOKER",
        "ALTER FUNCTION tutorwatch.announce_alerts RESET search_path",
        "DROP INDEX tutorwatch_sessions_by_tutor",
        "DROP INDEX tutorwatch_alerts_by_tutor",
        "CREATE INDEX tutorwatch_alerts_by_tutor ON alerts (tutor_id, alert_type) WHERE NOT resolved",
        "ALTER TABLE session_audio_metrics ENABLE TRIGGER tutorwatch_row",
        "DROP TRIGGER tutorwatch_wake ON tutorwatch.outbox",
        "ALTER FUNCTION tutorwatch.record_row RESET row_security",
        "DROP VIEW tutorwatch.wake_gate",
    )
    leave_invalid(database_url)
    expected = {
        "trigger tutorwatch_insert on sessions is missing",
        "trigger tutorwatch_update on session_audio_metrics is not as it was installed",
        "trigger tutorwatch_announce_update on alerts is switched off",
        "function record_video_metrics is missing",
        *(
            f"trigger tutorwatch_{event} on session_video_metrics is missing"
            for event in ("insert", "update", "delete")
        ),
        "view wake_gate is missing",
        "function record_sessions is not as it was installed",
        "function record_alerts is not as it was installed",
        "function announce_alerts is not as it was installed",
        "function record_row is not as it was installed",
        "trigger tutorwatch_row on session_audio_metrics is switched off",
        "trigger tutorwatch_wake on tutorwatch.outbox is missing",
        "index tutorwatch_sessions_by_tutor is missing",
        "index tutorwatch_alerts_by_tutor is not as it was installed",
        "index tutorwatch_insights_by_tutor is invalid",
    }
    assert sorted(check(database_url)) == sorted(expected)

    done = await asyncio.to_thread(upgrade.migrate, database_url)

    assert sorted(done.repaired) == sorted(expected)
    assert snapshot(database_url) == head_snapshot
    assert EVERY_TUTOR in await take(platform), "what went unrecorded is caught up"
    assert upgrade.migrate(database_url).repaired == ()
    await platform.session()
    assert await take(platform) == tutors("tutor")


async def test_change_that_commits_after_the_repair_is_evaluated_then(
    database_url: str, platform: Platform, engine: AsyncEngine
) -> None:
    run(database_url, REPLACED)
    async with client_of(database_url) as writer:
        async with writer.transaction():
            await Platform(writer).session()
            await asyncio.to_thread(upgrade.migrate, database_url)
            looks = [await take(platform), await sweep_and_take(engine, platform)]
        looks += [await sweep_and_take(engine, platform) for _ in range(2)]

    assert looks == [[EVERY_TUTOR], [], [EVERY_TUTOR], []]


async def sweep_and_take(engine: AsyncEngine, platform: Platform) -> list[tuple[str | None, list[UUID]]]:
    async with engine.begin() as conn:
        await sweep(conn, every_hours=24)
    return await take(platform)


@pytest.mark.parametrize("lost", ["one", "all"])
async def test_what_is_switched_off_stays_off(database_url: str, platform: Platform, lost: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        automation.switch(connection, on=False)
        for trigger in manifest.triggers()[: 1 if lost == "one" else None]:
            connection.execute(f"DROP TRIGGER {trigger.name} ON {trigger.table}".encode())
        connection.execute("ALTER FUNCTION tutorwatch.record_sessions SECURITY INVOKER")

        upgrade.migrate(database_url)

        assert automation.status(connection) is Automation.OFF
        await take(platform)  # what was lost has all tutors re-evaluated
        await platform.session()
        assert await take(platform) == []
        automation.switch(connection, on=True)
        assert check(database_url) == []


def test_what_an_older_version_left_behind_is_dropped(database_url: str, head_snapshot: list[str]) -> None:
    run(
        database_url,
        "CREATE FUNCTION tutorwatch.record_old() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER tutorwatch_old AFTER INSERT ON sessions"
        " FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_old()",
        "CREATE UNIQUE INDEX tutorwatch_one_open_alert ON alerts (tutor_id, alert_type) WHERE NOT resolved",
        "CREATE INDEX tutorwatch_users_email ON users (lower(email))",
        "CREATE SCHEMA archive CREATE TABLE old (id integer)",
        "CREATE INDEX tutorwatch_archived ON archive.old (id)",
        "CREATE INDEX of_the_platform ON users (name)",
    )
    left_over = {
        "function record_old is no longer needed",
        "trigger tutorwatch_old on sessions is no longer needed",
        "index archive.tutorwatch_archived is no longer needed",
        "index public.tutorwatch_one_open_alert is no longer needed",
        "index public.tutorwatch_users_email is no longer needed",
    }
    assert set(check(database_url)) == left_over

    assert set(upgrade.migrate(database_url).repaired) == left_over

    run(database_url, "DROP SCHEMA archive CASCADE", "DROP INDEX of_the_platform")
    assert snapshot(database_url) == head_snapshot
    with psycopg.connect(database_url) as connection:
        outbox = connection.execute("SELECT FROM tutorwatch.outbox").fetchall()
    assert outbox == [], "nothing had gone unrecorded for it"


async def test_repaired_failures_are_tried_again_and_counted(database_url: str, platform: Platform) -> None:
    """What made them fail may have been what was repaired."""
    for tutor in ("dead-lettered", "waiting"):
        await platform.user(tutor)
    run(
        database_url,
        "INSERT INTO tutorwatch.failures"
        " (tutor_id, attempts, last_error, first_failed_at, last_failed_at, next_attempt_at, parked_at)"
        " VALUES ('dead-lettered', 5, 'e', now(), now(), NULL, now()),"
        " ('waiting', 1, 'e', now(), now(), now() + interval '1 hour', NULL)",
    )
    assert upgrade.migrate(database_url).freed == 0, "there is nothing to repair"

    run(database_url, "DROP INDEX tutorwatch_alerts_by_tutor")
    assert upgrade.migrate(database_url).freed == 2

    due = "SELECT tutor_id FROM tutorwatch.failures WHERE next_attempt_at <= clock_timestamp() AND parked_at IS NULL"
    assert sorted(await platform.rows(due)) == ["dead-lettered", "waiting"]


async def test_a_busy_table_is_repaired_later_and_nobody_waits_long(
    database_url: str, head_snapshot: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    run(database_url, "DROP TRIGGER tutorwatch_insert ON sessions")
    waits = []
    async with (
        client_of(database_url, application_name="an importer") as busy,
        client_of(database_url) as other,
    ):
        await busy.execute("BEGIN")
        await busy.execute("DELETE FROM sessions")
        [pid] = [row[0] for row in await (await busy.execute("SELECT pg_backend_pid()")).fetchall()]
        repairing = asyncio.create_task(asyncio.to_thread(upgrade.migrate, database_url))
        await until_blocked(other, "tutorwatch-migrate")
        while not any("Waiting for" in record.getMessage() for record in caplog.records):
            began = time.monotonic()
            await other.execute("DELETE FROM sessions WHERE false")
            waits.append(time.monotonic() - began)
            await asyncio.sleep(0.002)
            assert not repairing.done()
        await busy.execute("COMMIT")
        await repairing
    assert snapshot(database_url) == head_snapshot
    assert 0.02 < max(waits) < WRITERS_WAIT_SECONDS
    [told] = {record.getMessage() for record in caplog.records if "Waiting for" in record.getMessage()}
    assert re.fullmatch(
        rf"Waiting for public.sessions: pid {pid} \(\w+, an importer\), in a transaction since \d\d:\d\d:\d\d UTC", told
    )


def test_lost_tables_are_told_and_nothing_is_done(database_url: str) -> None:
    run(database_url, "DROP TABLE tutorwatch.failures, tutorwatch.sweep", "DROP TRIGGER tutorwatch_insert ON sessions")
    before = snapshot(database_url)

    assert "table sweep is missing" in check(database_url)
    for attempt in (upgrade.migrate, lambda url: upgrade.to_sql(url, automation=True)):
        with pytest.raises(upgrade.SchemaError, match=r"failures, sweep.*backup"):
            attempt(database_url)
    assert snapshot(database_url) == before


def test_what_cannot_be_repaired_is_told(database_url: str) -> None:
    run(
        database_url,
        "DROP FUNCTION tutorwatch.record_truncate CASCADE",
        "CREATE FUNCTION tutorwatch.record_truncate() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    )

    with pytest.raises(upgrade.SchemaError, match="cannot change return type"):
        upgrade.migrate(database_url)


@pytest.mark.skipif(find_psql() is None, reason="psql is not to be found")
def test_the_script_repairs_the_same(database_url: str, head_snapshot: list[str]) -> None:
    run(database_url, "DROP TRIGGER tutorwatch_insert ON sessions", REPLACED, "DROP INDEX tutorwatch_alerts_open")

    psql(database_url, upgrade.to_sql(database_url, automation=True))

    assert snapshot(database_url) == head_snapshot
    assert upgrade.to_sql(database_url, automation=True) == ""
