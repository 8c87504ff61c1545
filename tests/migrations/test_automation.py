"""The switch: off records nothing, on makes up for it, and no client waits long for it."""

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg import sql

from migrations import automation
from migrations.automation import TRIGGERS, Automation
from tests.migrations.catalog import snapshot
from tests.migrations.recorded import EVERY_TUTOR, client_of, listening, take, tutors, update
from tests.migrations.waiting import until, until_blocked
from tests.platform import Platform

SWITCHING = "tutorwatch-switch"


def switch(database_url: str, *, on: bool) -> None:
    with psycopg.connect(database_url, autocommit=True, application_name=SWITCHING) as connection:
        automation.switch(connection, on=on)


def status(database_url: str) -> Automation:
    with psycopg.connect(database_url) as connection:
        return automation.status(connection)


def test_it_is_on_after_migrating_and_can_be_switched(database_url: str, head_snapshot: list[str]) -> None:
    assert status(database_url) is Automation.ON

    for on in (False, False, True, True):
        switch(database_url, on=on)
        assert status(database_url) is (Automation.ON if on else Automation.OFF)
    assert snapshot(database_url) == head_snapshot


async def test_off_records_nothing(platform: Platform, database_url: str) -> None:
    await platform.user("tutor")
    await asyncio.to_thread(switch, database_url, on=False)
    async with listening(database_url) as listener:
        for table in TRIGGERS:
            await platform.session(audio={}, video={})
            await platform.insert(
                "alerts",
                tutor_id="tutor",
                alert_type="no_show_pattern",
                severity="critical",
                title="t",
                description="d",
            )
            await update(platform, "sessions", "session_number", 5)
            await update(platform, "session_audio_metrics", "open_ended_questions", 5)
            await update(platform, "session_video_metrics", "tutor_uses_visual_aids", value=True)
            await update(platform, "alerts", "resolved", value=True)
            await platform.connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            await platform.connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.Identifier(table)))

        await listener.hears_only(platform.connection)
    assert await take(platform) == []


async def test_on_puts_every_tutor_on_record_and_wakes_a_listener(platform: Platform, database_url: str) -> None:
    await asyncio.to_thread(switch, database_url, on=False)
    await platform.session()
    async with listening(database_url) as listener:
        await asyncio.to_thread(switch, database_url, on=True)

        await listener.hears_only(platform.connection, "")
    assert await take(platform) == [EVERY_TUTOR]

    await platform.session()
    assert await take(platform) == tutors("tutor")


def test_half_a_switch_is_partly_on(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for table, triggers in TRIGGERS.items():
            for trigger in triggers:
                name = sql.Identifier("public", table), sql.Identifier(trigger)
                connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(*name))
                assert automation.status(connection) is Automation.PARTLY
                connection.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER {}").format(*name))
        assert automation.status(connection) is Automation.ON


def test_a_trigger_that_is_gone_is_missing(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        for table, triggers in TRIGGERS.items():
            for trigger in triggers:
                name = sql.Identifier(trigger), sql.Identifier("public", table)
                connection.execute(sql.SQL("DROP TRIGGER {} ON {}").format(*name))
                assert automation.status(connection) is Automation.MISSING
                connection.rollback()


def test_it_is_missing_before_migrating(platform_url: str, empty_url: str) -> None:
    assert status(platform_url) is Automation.MISSING
    assert status(empty_url) is Automation.MISSING


def test_triggers_of_the_same_names_elsewhere_do_not_count(platform_url: str) -> None:
    with psycopg.connect(platform_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA copy")
        for table, triggers in TRIGGERS.items():
            name = sql.Identifier("copy", table)
            connection.execute(sql.SQL("CREATE TABLE {} (id integer)").format(name))
            for trigger in triggers:
                connection.execute(
                    sql.SQL(
                        "CREATE TRIGGER {} BEFORE UPDATE ON {} FOR EACH ROW"
                        " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
                    ).format(sql.Identifier(trigger), name)
                )

        assert automation.status(connection) is Automation.MISSING


@pytest.mark.parametrize("on", [False, True], ids=["off", "on"])
async def test_a_busy_table_is_tried_again_and_others_go_on_writing(
    platform: Platform, database_url: str, on: bool
) -> None:
    async with (
        client_of(database_url) as busy,
        client_of(database_url, options="-c statement_timeout=10s") as other,
        client_of(database_url) as observer,
    ):
        for table in TRIGGERS:
            await platform.session()
            await asyncio.to_thread(switch, database_url, on=not on)
            await take(platform)
            await busy.execute("BEGIN")
            await busy.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            switching = asyncio.create_task(asyncio.to_thread(switch, database_url, on=on))
            await until_blocked(observer, SWITCHING)
            # This one queues behind the switch, until the switch gives way.
            await other.execute(sql.SQL("DELETE FROM {} WHERE false").format(sql.Identifier(table)))
            await until_blocked(observer, SWITCHING)
            assert EVERY_TUTOR not in await take(Platform(other)), "not before the last change that wasn't recorded"
            await busy.execute("COMMIT")
            await switching

            assert status(database_url) is (Automation.ON if on else Automation.OFF)
            assert (EVERY_TUTOR in await take(platform)) == on


async def test_a_table_that_stays_busy_is_reported_and_the_switch_can_be_repeated(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.automation._switch_table.retry.stop", lambda state: state.attempt_number >= 2)
    async with client_of(database_url) as busy:
        async with busy.transaction():
            await busy.execute("DELETE FROM alerts")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await asyncio.to_thread(switch, database_url, on=False)

        assert status(database_url) is Automation.PARTLY
    switch(database_url, on=False)
    assert status(database_url) is Automation.OFF


async def test_an_interrupted_switch_is_partly_on(platform: Platform, database_url: str) -> None:
    async with client_of(database_url) as busy, client_of(database_url) as observer, busy.transaction():
        await busy.execute("DELETE FROM session_video_metrics")
        switching = asyncio.create_task(asyncio.to_thread(switch, database_url, on=False))
        await until_blocked(observer, SWITCHING)
        await observer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = %s",
            [SWITCHING],
        )
        with pytest.raises(psycopg.OperationalError):
            await switching

    assert status(database_url) is Automation.PARTLY
    await platform.session()
    assert await take(platform) == [], "sessions are off already"


async def test_switching_while_clients_write_fails_no_writer(platform: Platform, database_url: str) -> None:
    await platform.session()
    stop = asyncio.Event()
    writes = 0

    async def write(connection: psycopg.AsyncConnection[Any]) -> None:
        nonlocal writes
        client = Platform(connection, platform.subject_id, set(platform.known_users))
        while not stop.is_set():
            async with connection.transaction():
                await client.session(audio={}, video={})
            writes += 1

    async def has_written() -> bool:
        return writes > before

    async with client_of(database_url) as one, client_of(database_url) as two, asyncio.TaskGroup() as group:
        for connection in (one, two):
            group.create_task(write(connection))
        try:
            for on in (False, True, False, True):
                before = writes
                await until(has_written, "clients write")
                await asyncio.to_thread(switch, database_url, on=on)
        finally:
            stop.set()

    assert status(database_url) is Automation.ON
    assert [row for row in await take(platform) if row == EVERY_TUTOR] == [EVERY_TUTOR] * 2
