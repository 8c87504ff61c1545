"""A subscriber of logical replication: what comes in by its subscription is recorded and wakes a listener."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from migrations import automation, upgrade
from migrations.sql import read_sql
from tests.faults.own_server import OwnServer, aside
from tests.support import partitioned
from tests.support.alerts import insert_alert
from tests.support.platform import Platform
from tests.support.recorded import EVERY_TUTOR, client_of, insert_sessions, listening, take, tutors
from tests.support.waiting import eventually


@pytest.fixture(params=["as deployed", "sessions in partitions"])
async def subscriber_url(request: pytest.FixtureRequest, own_server: OwnServer) -> str:
    """An adopted platform's database, on a server that replicates."""
    own_server.configure(wal_level="logical")
    await aside(own_server.restart)
    if request.param == "as deployed":
        return own_server.url
    url = make_conninfo(own_server.url, dbname="parted")
    await recreate(own_server, "parted", partitioned.platform_tables())
    await asyncio.to_thread(upgrade.migrate, url)
    return url


async def recreate(server: OwnServer, database: str, statements: str) -> None:
    async with client_of(server.url) as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)".encode())
        await connection.execute(f"CREATE DATABASE {database}".encode())
    async with client_of(make_conninfo(server.url, dbname=database)) as connection:
        await connection.execute(statements.encode())


@asynccontextmanager
async def publisher(server: OwnServer) -> AsyncIterator[Platform]:
    """A client of the platform's other database, which publishes its tables."""
    await recreate(server, "publisher", read_sql("platform_tables"))
    async with client_of(make_conninfo(server.url, dbname="publisher")) as connection:
        await connection.execute("CREATE PUBLICATION p FOR ALL TABLES")
        # Within one server a subscription can't make its slot by itself: it would wait for its own transaction.
        await connection.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        try:
            yield Platform(connection)
        finally:  # with a slot left behind, the server wouldn't start without logical replication
            await connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@asynccontextmanager
async def subscribed(subscriber: Platform, server: OwnServer) -> AsyncIterator[None]:
    """While there is a subscription; returns when its initial copy is done."""
    source = make_conninfo(server.url, dbname="publisher")
    await subscriber.connection.execute(
        f"CREATE SUBSCRIPTION s CONNECTION '{source}' PUBLICATION p"
        " WITH (create_slot = false, slot_name = 's')".encode()
    )

    async def all_is_copied() -> bool:
        return await subscriber.rows("SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'") == [0]

    try:
        await eventually(all_is_copied)
        yield
    finally:
        await subscriber.connection.execute("DROP SUBSCRIPTION s")


async def test_what_a_subscription_brings_is_recorded_and_wakes(subscriber_url: str, own_server: OwnServer) -> None:
    """Its initial copy, then inserts, updates, deletes and a TRUNCATE of sessions, metrics and alerts."""
    async with publisher(own_server) as source, client_of(subscriber_url) as connection:
        subscriber = Platform(connection)
        if subscriber_url != own_server.url:  # its key has another column, which must come along
            await source.connection.execute("ALTER TABLE sessions REPLICA IDENTITY FULL")
        await insert_sessions(source, ["copied", "copied too"], per_tutor=20)
        async with listening(subscriber_url) as listener, subscribed(subscriber, own_server):
            assert await take(subscriber) == tutors("copied", "copied too"), "a row for each, not for each session"
            assert await listener.next() == ""

            await source.session("tutor", score=8, audio={}, video={})
            await insert_alert(source)
            await has_come_in(subscriber, source)
            [session] = await source.rows("SELECT id FROM sessions WHERE tutor_id = 'tutor'")
            assert await take(subscriber) == [("tutor", []), ("tutor", []), ("tutor", [session]), ("tutor", [session])]
            assert [await listener.next() for _ in range(4)] == ["tutor"] * 4

            for change, recorded in (
                ("UPDATE sessions SET ai_summary = 'nothing a rule reads' WHERE tutor_id = 'tutor'", []),
                ("UPDATE sessions SET overall_session_score = 3 WHERE tutor_id = 'tutor'", tutors("tutor")),
                ("UPDATE alerts SET title = 'nothing a rule reads'", []),
                ("UPDATE alerts SET resolved = true", tutors("tutor")),
                ("DELETE FROM alerts", tutors("tutor")),
                ("UPDATE session_audio_metrics SET long_pauses_count = 9", []),
                ("UPDATE session_audio_metrics SET open_ended_questions = 4", [("tutor", [session])]),
                ("UPDATE session_video_metrics SET tutor_uses_visual_aids = true", [("tutor", [session])]),
                ("DELETE FROM session_audio_metrics", [("tutor", [session])]),
                ("DELETE FROM sessions WHERE tutor_id = 'copied'", tutors("copied") * 20),
                ("TRUNCATE sessions CASCADE", [EVERY_TUTOR]),
            ):
                await source.connection.execute(change.encode())
                await has_come_in(subscriber, source)
                found = await take(subscriber)
                if recorded == [EVERY_TUTOR]:
                    found = found[:1]  # one for each table
                assert found == recorded, change
            assert await subscriber.rows("SELECT is_called FROM tutorwatch.unrecorded") == [False]

            await asyncio.to_thread(switch, subscriber_url, on=False)
            await source.session("tutor", score=8, audio={}, video={})
            await has_come_in(subscriber, source)
            assert await take(subscriber) == [], "the switch is off"
            await asyncio.to_thread(switch, subscriber_url, on=True)
            await take(subscriber)

            subscriber.known_users, subscriber.subject_id = source.known_users, source.subject_id
            await insert_sessions(subscriber, ["tutor"], per_tutor=5)
            assert await take(subscriber) == tutors("tutor"), "its own clients' writes are recorded as ever"


def switch(url: str, *, on: bool) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        automation.switch(connection, on=on)


async def has_come_in(subscriber: Platform, source: Platform) -> None:
    """Waits until all that the source has written has come, too: it comes in the order of the commits."""
    [mark] = await source.rows("UPDATE subjects SET name = gen_random_uuid()::text RETURNING name")

    async def mark_has_come() -> bool:
        return await subscriber.rows("SELECT name FROM subjects") == [mark]

    await eventually(mark_has_come, within=20)
