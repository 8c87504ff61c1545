"""What is dropped, replaced or broken after migrating: it is found, and migrating again mends it."""

import asyncio
import logging
from uuid import UUID

import psycopg
import pytest
from alembic import command
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from listener.sweep import sweep
from migrations import automation, installed, upgrade
from migrations.automation import Automation
from migrations.installed import Kind
from tests.migrations.catalog import snapshot
from tests.migrations.recorded import EVERY_TUTOR, client_of, take, tutors
from tests.migrations.waiting import until_blocked
from tests.platform import Platform
from tests.scripts.command import find_psql, psql

REPLACED = """
    CREATE OR REPLACE FUNCTION tutorwatch.record_sessions_v1() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS 'BEGIN RETURN NULL; END'
"""
INVALID_INDEX = """
    INSERT INTO alerts (tutor_id, alert_type, severity, title, description)
    SELECT 'tutor', 'no_show_pattern', 'critical', 't', 'd' FROM generate_series(1, 3)
"""


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def leave_invalid(url: str) -> None:
    """A unique index that failed to build because of duplicates, as an operator's own attempt would leave it."""
    run(url, "DROP INDEX tutorwatch_one_open_alert", INVALID_INDEX)
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(
            url,
            "CREATE UNIQUE INDEX CONCURRENTLY tutorwatch_one_open_alert ON alerts (tutor_id, alert_type)"
            " WHERE NOT resolved",
        )


def test_every_part_of_a_migrated_database_is_known_and_whole(platform_url: str) -> None:
    engine = upgrade._engine(platform_url)  # noqa: SLF001 - without the repair that follows
    upgrade._upgrade(engine, before=None, automation=True)  # noqa: SLF001

    assert upgrade.damage(platform_url) == []
    with psycopg.connect(platform_url) as connection:
        catalog = {
            Kind.TABLE: "SELECT relname FROM pg_class WHERE relnamespace = 'tutorwatch'::regnamespace"
            " AND relkind = 'r'",
            Kind.FUNCTION: "SELECT proname FROM pg_proc WHERE pronamespace = 'tutorwatch'::regnamespace",
            Kind.TRIGGER: "SELECT relnamespace::regnamespace || '.' || relname || '.' || tgname"
            " FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid WHERE NOT tgisinternal",
            Kind.INDEX: "SELECT relname FROM pg_class WHERE relname LIKE 'tutorwatch\\_%' AND relkind = 'i'",
        }
        for kind, query in catalog.items():
            there = {name for (name,) in connection.execute(query.encode())}
            assert {part.name for part in installed.parts() if part.kind is kind} == there, kind
    assert all(part.expected for part in installed.parts() if part.kind is not Kind.TABLE)


async def test_whatever_is_damaged_is_found_and_mended(
    database_url: str, platform: Platform, head_snapshot: list[str]
) -> None:
    await platform.session()
    await take(platform)
    run(
        database_url,
        "DROP TRIGGER tutorwatch_insert ON sessions",
        "CREATE OR REPLACE TRIGGER tutorwatch_update AFTER INSERT ON session_audio_metrics"
        " FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_truncate_v1()",
        "ALTER TABLE alerts DISABLE TRIGGER tutorwatch_announce_update",
        "DROP FUNCTION tutorwatch.record_video_metrics_v1 CASCADE",
        REPLACED,
        "ALTER FUNCTION tutorwatch.record_alerts_v1 SECURITY INVOKER",
        "ALTER FUNCTION tutorwatch.announce_alerts_v1 RESET search_path",
        "DROP INDEX tutorwatch_sessions_of_tutor",
        "DROP INDEX tutorwatch_one_active_insight",
        "CREATE INDEX tutorwatch_one_active_insight ON tutor_insights (tutor_id, category) WHERE is_active",
    )
    leave_invalid(database_url)
    expected = {
        "trigger tutorwatch_insert on sessions is missing",
        "trigger tutorwatch_update on session_audio_metrics is not as it was installed",
        "trigger tutorwatch_announce_update on alerts is switched off",
        "function record_video_metrics_v1 is missing",
        *(
            f"trigger tutorwatch_{event} on session_video_metrics is missing"
            for event in ("insert", "update", "delete")
        ),
        "function record_sessions_v1 is not as it was installed",
        "function record_alerts_v1 is not as it was installed",
        "function announce_alerts_v1 is not as it was installed",
        "index tutorwatch_sessions_of_tutor is missing",
        "index tutorwatch_one_active_insight is not as it was installed",
        "index tutorwatch_one_open_alert is invalid",
    }
    assert sorted(upgrade.check(database_url)) == sorted(expected)

    mended = await asyncio.to_thread(upgrade.migrate, database_url)

    assert sorted(mended.mended) == sorted(expected)
    assert mended.settled_alerts == 2
    assert snapshot(database_url) == head_snapshot
    assert EVERY_TUTOR in await take(platform), "what went unrecorded is caught up"
    assert upgrade.migrate(database_url).mended == ()
    await platform.session()
    assert await take(platform) == tutors("tutor")


async def test_change_that_commits_after_the_mending_is_looked_for_then(
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


def test_knowing_the_parts_builds_nothing_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert installed.parts.__wrapped__() == installed.parts()

    assert [record.message for record in caplog.records if not record.name.startswith("alembic")] == []


@pytest.mark.parametrize("lost", ["one", "all"])
async def test_what_is_switched_off_stays_off(database_url: str, platform: Platform, lost: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        automation.switch(connection, on=False)
        for table, triggers in automation.TRIGGERS.items():
            for trigger in triggers if lost == "all" else triggers[-1:]:
                connection.execute(
                    sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(trigger), sql.Identifier(table))
                )
        connection.execute("ALTER FUNCTION tutorwatch.record_sessions_v1 SECURITY INVOKER")

        upgrade.migrate(database_url, automation=lost == "one")

        assert automation.status(connection) is Automation.OFF
        await platform.session()
        assert await take(platform) == []
        automation.switch(connection, on=True)
        assert upgrade.damage(database_url) == []


async def test_a_busy_table_is_mended_later_and_nobody_waits_long(database_url: str, head_snapshot: list[str]) -> None:
    run(database_url, "DROP TRIGGER tutorwatch_insert ON sessions")
    async with (
        client_of(database_url) as busy,
        client_of(database_url, options="-c statement_timeout=3s") as other,
    ):
        await busy.execute("BEGIN")
        await busy.execute("DELETE FROM sessions")
        mending = asyncio.create_task(asyncio.to_thread(upgrade.migrate, database_url))
        await until_blocked(other, "tutorwatch-migrate")
        await other.execute("DELETE FROM sessions WHERE false")
        await busy.execute("COMMIT")
        await mending
    assert snapshot(database_url) == head_snapshot


def test_lost_tables_are_told_and_nothing_is_done(database_url: str) -> None:
    run(database_url, "DROP TABLE tutorwatch.failures, tutorwatch.sweep", "DROP TRIGGER tutorwatch_insert ON sessions")
    before = snapshot(database_url)

    assert "table sweep is missing" in upgrade.check(database_url)
    for attempt in (upgrade.migrate, lambda url: upgrade.to_sql(url, automation=True)):
        with pytest.raises(upgrade.SchemaError, match=r"failures, sweep.*backup"):
            attempt(database_url)
    assert snapshot(database_url) == before


def test_what_cannot_be_mended_is_told(database_url: str) -> None:
    run(
        database_url,
        "DROP FUNCTION tutorwatch.record_truncate_v1 CASCADE",
        "CREATE FUNCTION tutorwatch.record_truncate_v1() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    )

    with pytest.raises(upgrade.SchemaError, match="cannot change return type"):
        upgrade.migrate(database_url)


@pytest.mark.skipif(find_psql() is None, reason="psql is not to be found")
def test_the_script_mends_the_same(database_url: str, head_snapshot: list[str]) -> None:
    run(database_url, "DROP TRIGGER tutorwatch_insert ON sessions", REPLACED, "DROP INDEX tutorwatch_one_open_alert")

    psql(database_url, upgrade.to_sql(database_url, automation=True))

    assert snapshot(database_url) == head_snapshot
    assert upgrade.to_sql(database_url, automation=True) == ""


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE tutorwatch.x", "DROP FUNCTION IF EXISTS tutorwatch.x", "DROP INDEX CONCURRENTLY IF EXISTS public.x"],
)
def test_what_a_later_revision_drops_is_not_missed(monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    created = (
        "CREATE TABLE tutorwatch.x (i integer);\nCREATE INDEX CONCURRENTLY IF NOT EXISTS x ON public.sessions (id);\n"
        "CREATE OR REPLACE FUNCTION tutorwatch.x() RETURNS void LANGUAGE sql AS $$ SELECT 1 $$;\n"
    )
    monkeypatch.setattr(
        command, "upgrade", lambda config, *_, **__: config.output_buffer.write(created + statement + ";")
    )

    left = installed.parts.__wrapped__()

    assert len(left) == 2
    assert not any(part.kind.upper() in statement for part in left)
