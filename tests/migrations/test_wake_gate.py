"""Which of the writers that commit together wakes the listeners: decided by a lock that no other role can hold."""

import asyncio
import time
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.migrations.test_client_is_never_harmed import LOCK_WAIT_SECONDS, Warned
from tests.support.platform import Platform
from tests.support.recorded import INSERT_SESSIONS, client_of, insert_sessions, listening

COMPLETES = "UPDATE sessions SET status = 'completed' WHERE tutor_id = %s"
MODES = (
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
OF_0_1_0 = 7310118243
"""The advisory lock that did this in version 0.1.0."""


@pytest.fixture
async def stranger_url(database_url: str, worker_id: str) -> AsyncIterator[str]:
    """A role that may connect, use our schema, read all of it, and nothing else."""
    name = f"tutorwatch_gate_stranger_{worker_id}"
    role = sql.Identifier(name)
    async with client_of(database_url) as operator:
        await operator.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        await operator.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'stranger'").format(role))
        await operator.execute(sql.SQL("GRANT USAGE ON SCHEMA tutorwatch TO {}").format(role))
        await operator.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA tutorwatch TO {}").format(role))
        yield make_conninfo(database_url, user=name, password="stranger")
        await operator.execute(sql.SQL("DROP OWNED BY {}").format(role))
        await operator.execute(sql.SQL("DROP ROLE {}").format(role))


async def test_no_other_role_can_keep_writers_from_waking(
    platform: Platform, database_url: str, stranger_url: str
) -> None:
    await insert_sessions(platform, ["a"], status="scheduled")
    async with listening(database_url) as ear, client_of(stranger_url) as stranger:
        await stranger.execute("SELECT pg_advisory_lock(%s)", [OF_0_1_0])
        for mode in MODES:
            await stranger.execute("BEGIN")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await stranger.execute(f"LOCK TABLE tutorwatch.wake_gate IN {mode} MODE".encode())
            await stranger.execute("ROLLBACK")
        await stranger.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        await stranger.execute("SELECT FROM tutorwatch.wake_gate")

        await platform.connection.execute(COMPLETES, ["a"])
        assert await ear.next() == "a"


@pytest.mark.parametrize(
    "damage",
    [
        "DROP VIEW tutorwatch.wake_gate",
        "REVOKE ALL ON tutorwatch.wake_gate FROM CURRENT_USER; ALTER VIEW tutorwatch.wake_gate OWNER TO pg_monitor;"
        " ALTER FUNCTION tutorwatch.wake_listeners OWNER TO pg_database_owner",
    ],
    ids=["gone", "without a right"],
)
async def test_without_the_view_everybody_notifies(platform: Platform, database_url: str, damage: str) -> None:
    await insert_sessions(platform, ["a", "b"], status="scheduled")
    async with client_of(database_url) as operator:
        await operator.execute(damage.encode())
    warned = Warned(platform.connection)
    async with listening(database_url) as ear, client_of(database_url) as first:
        async with first.transaction():
            await first.execute(COMPLETES, ["a"])
            await first.execute("SET CONSTRAINTS ALL IMMEDIATE")
            await platform.connection.execute(COMPLETES, ["b"])
            assert await ear.next() == "b"
        assert await ear.next() == "a"
    assert warned.take() == []


async def test_whoever_holds_the_lock_delays_no_write(platform: Platform, database_url: str) -> None:
    await insert_sessions(platform, ["a"], status="scheduled")
    warned = Warned(platform.connection)
    async with client_of(database_url) as owner, owner.transaction():
        await owner.execute("LOCK TABLE tutorwatch.wake_gate IN ACCESS EXCLUSIVE MODE")
        started = time.perf_counter()
        await platform.connection.execute(COMPLETES, ["a"])
        seconds = time.perf_counter() - started

    assert seconds < LOCK_WAIT_SECONDS, "nobody waits for it"
    assert warned.take() == []
    assert await platform.rows("SELECT status::text FROM sessions") == ["completed"]


async def test_vacuum_and_a_client_that_holds_the_lock_do_not_wait_for_each_other(
    platform: Platform, database_url: str
) -> None:
    await insert_sessions(platform, ["a"], status="scheduled")
    held = "SELECT count(*) FROM pg_locks WHERE relation = 'tutorwatch.wake_gate'::regclass"
    async with client_of(database_url) as client, client.transaction():
        await client.execute(COMPLETES, ["a"])
        await client.execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert await platform.rows(held) == [1]

        async with client_of(database_url, options="-c lock_timeout=5s") as operator:
            await operator.execute("VACUUM")
            await operator.execute("ANALYZE")


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_clients_of_any_isolation_write_side_by_side(
    platform: Platform, database_url: str, isolation: str
) -> None:
    names = ["a", "b", "c", "d"]
    await insert_sessions(platform, names)

    async def write(name: str) -> None:
        options = f"-c default_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}"
        async with client_of(database_url, options=options) as client:
            for _ in range(20):
                async with client.transaction():
                    await client.execute(INSERT_SESSIONS, [platform.subject_id, "completed", [name], 1])

    await asyncio.gather(*map(write, names))

    assert await platform.rows("SELECT count(*) FROM sessions") == [84]
