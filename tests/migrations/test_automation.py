"""The switch: off records nothing, on makes up for it, and it neither waits for a client nor makes one wait."""

import asyncio
import time
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from database.recording import RECORDED, Automation
from listener.sweep import sweep
from migrations import automation
from tests.support.alerts import insert_alert
from tests.support.catalog import snapshot
from tests.support.platform import Platform
from tests.support.recorded import EVERY_TUTOR, client_of, listening, take, tutors, update
from tests.support.waiting import eventually

AT_ONCE_SECONDS = 1.0


def switch(database_url: str, *, on: bool) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        automation.switch(connection, on=on)


def status(database_url: str) -> Automation:
    with psycopg.connect(database_url) as connection:
        return automation.status(connection)


async def swept(engine: AsyncEngine, platform: Platform) -> list[tuple[str | None, list[UUID]]]:
    """What is recorded after a listener's sweep."""
    async with engine.begin() as conn:
        await sweep(conn, every_hours=24)
    return await take(platform)


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
        for role in ("origin", "replica"):
            await platform.connection.execute(f"SET session_replication_role = {role}".encode())
            for recorded in RECORDED:
                await write_each(platform)
                table = sql.Identifier(recorded.table)
                await platform.connection.execute(sql.SQL("DELETE FROM {}").format(table))
                await platform.connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(table))

        await listener.hears_only(platform.connection)
    assert await take(platform) == []


async def write_each(platform: Platform) -> None:
    """Inserts into every recorded table, and updates what it inserted."""
    await platform.session(audio={}, video={})
    await insert_alert(platform)
    await platform.insert(
        "tutor_insights", tutor_id="tutor", insight_type="strength", category="high_engagement", display_text="t"
    )
    await update(platform, "sessions", "session_number", 5)
    await update(platform, "session_audio_metrics", "open_ended_questions", 5)
    await update(platform, "session_video_metrics", "tutor_uses_visual_aids", value=True)
    await update(platform, "alerts", "resolved", value=True)
    await update(platform, "tutor_insights", "is_active", value=False)


async def test_on_puts_every_tutor_on_record_and_wakes_a_listener(platform: Platform, database_url: str) -> None:
    await asyncio.to_thread(switch, database_url, on=False)
    await platform.session()
    async with listening(database_url) as listener:
        await asyncio.to_thread(switch, database_url, on=True)

        await listener.hears_only(platform.connection, "")
    assert await take(platform) == [EVERY_TUTOR]

    await platform.session()
    assert await take(platform) == tutors("tutor")


def test_it_is_missing_before_migrating(platform_url: str, empty_url: str) -> None:
    assert status(platform_url) is Automation.MISSING
    assert status(empty_url) is Automation.MISSING


@pytest.mark.parametrize("on", [False, True], ids=["off", "on"])
async def test_a_client_in_the_middle_of_a_write_delays_neither_the_switch_nor_other_writers(
    platform: Platform, database_url: str, on: bool
) -> None:
    await platform.session()
    await asyncio.to_thread(switch, database_url, on=not on)
    async with client_of(database_url) as busy, client_of(database_url, options="-c lock_timeout=1") as other:
        await busy.execute("BEGIN")
        await busy.execute("UPDATE sessions SET session_number = 7")
        began = time.monotonic()
        switching = asyncio.create_task(asyncio.to_thread(switch, database_url, on=on))
        while not switching.done():
            await other.execute("DELETE FROM sessions WHERE false")  # fails if it waits for any lock
            await asyncio.sleep(0.001)
        await switching
        assert time.monotonic() - began < AT_ONCE_SECONDS
        await busy.execute("COMMIT")

    assert status(database_url) is (Automation.ON if on else Automation.OFF)


async def test_what_is_written_before_on_and_committed_after_it_is_covered_by_the_second_re_evaluation(
    platform: Platform, database_url: str, engine: AsyncEngine
) -> None:
    await asyncio.to_thread(switch, database_url, on=False)
    async with client_of(database_url) as writer:
        async with writer.transaction():
            await Platform(writer).session()
            await asyncio.to_thread(switch, database_url, on=True)
            meanwhile = [await take(platform), await swept(engine, platform)]
        afterwards = [await swept(engine, platform) for _ in range(2)]

    assert meanwhile == [[EVERY_TUTOR], []], "at once, then not before the writer has ended"
    assert afterwards == [[EVERY_TUTOR], []], "then once more"


async def test_a_transaction_that_is_open_while_it_is_switched_records_from_its_next_statement_on(
    platform: Platform, database_url: str
) -> None:
    await platform.session()
    await take(platform)
    async with client_of(database_url) as writer, writer.transaction():
        await writer.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await writer.execute("UPDATE sessions SET session_number = 7")
        await asyncio.to_thread(switch, database_url, on=False)
        await writer.execute("UPDATE sessions SET session_number = 8")
        await asyncio.to_thread(switch, database_url, on=True)
        await writer.execute("UPDATE sessions SET session_number = 9")

    assert sorted(map(str, await take(platform))) == sorted(map(str, [EVERY_TUTOR, *tutors("tutor") * 2]))


async def test_a_serializable_client_does_not_fail_by_the_switch(platform: Platform, database_url: str) -> None:
    """Two of them read the switch and write; it is turned both ways between their writes and their commits."""
    await platform.session("one")
    await platform.session("two")
    begin = "BEGIN ISOLATION LEVEL SERIALIZABLE"
    change = "UPDATE sessions SET session_number = 3 WHERE id = %s"
    ids = await platform.rows("SELECT id FROM sessions")
    async with client_of(database_url) as first, client_of(database_url) as second:
        for on in (False, True):
            for client, session in zip((first, second), ids, strict=True):
                await client.execute(begin)
                await client.execute("SET LOCAL enable_seqscan = off")
                await client.execute(change, [session])
            await asyncio.to_thread(switch, database_url, on=on)
            for client, session in zip((first, second), ids, strict=True):
                await client.execute(change, [session])
                await client.execute("COMMIT")


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
                await eventually(has_written, "clients write")
                await asyncio.to_thread(switch, database_url, on=on)
        finally:
            stop.set()

    assert status(database_url) is Automation.ON
    assert [row for row in await take(platform) if row == EVERY_TUTOR] == [EVERY_TUTOR] * 2
