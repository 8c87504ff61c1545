"""Changes of alerts are announced to the dashboards, and never at the writer's cost."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from listener.sweep import sweep
from tests.support.platform import Platform


@pytest.fixture
async def heard(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("LISTEN tutorwatch_alerts")
        yield connection


async def announced(heard: psycopg.AsyncConnection[Any]) -> list[str]:
    """What has been announced so far: a marker of our own is heard after it."""
    await heard.execute("SELECT pg_notify('tutorwatch_alerts', 'marker')")
    payloads: list[str] = []
    async for notification in heard.notifies(timeout=5):
        if notification.payload == "marker":
            return payloads
        payloads.append(notification.payload)
    raise AssertionError("the marker was not heard")


async def write_alert(platform: Platform, tutor: str = "tutor", alert_type: str = "no_show_pattern") -> None:
    await platform.user(tutor)
    await platform.insert(
        "alerts", tutor_id=tutor, alert_type=alert_type, severity="critical", title="No-shows", description="2 in 30"
    )


async def test_new_alert_is_announced_with_its_tutor(platform: Platform, heard: psycopg.AsyncConnection[Any]) -> None:
    await write_alert(platform)

    assert await announced(heard) == ["tutor"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alerts SET resolved = true",
        "UPDATE alerts SET acknowledged = true",
        "UPDATE alerts SET description = '3 in 30'",
        "DELETE FROM alerts",
    ],
)
async def test_change_of_an_alert_is_announced(
    change: str, platform: Platform, heard: psycopg.AsyncConnection[Any]
) -> None:
    await write_alert(platform)
    await announced(heard)

    await platform.connection.execute(change.encode())

    assert await announced(heard) == ["tutor"]


async def test_update_that_changes_nothing_is_not_announced(
    platform: Platform, heard: psycopg.AsyncConnection[Any]
) -> None:
    await write_alert(platform)
    await announced(heard)

    await platform.connection.execute("UPDATE alerts SET title = title")

    assert await announced(heard) == []


async def test_statement_about_several_tutors_is_announced_once_without_names(
    platform: Platform, heard: psycopg.AsyncConnection[Any]
) -> None:
    await write_alert(platform, "ann")
    await write_alert(platform, "bob")
    await announced(heard)

    await platform.connection.execute("UPDATE alerts SET acknowledged = true")
    await platform.connection.execute("TRUNCATE alerts")

    assert await announced(heard) == ["", ""]


@pytest.mark.parametrize(
    "damage",
    ["DROP TABLE tutorwatch.announcements", "ALTER FUNCTION pg_catalog.pg_notify RENAME TO pg_notify_as_it_was"],
    ids=["at the statement", "at the commit"],
)
async def test_write_goes_on_when_announcing_fails(platform: Platform, damage: str) -> None:
    await platform.connection.execute(damage.encode())

    await write_alert(platform)

    assert await platform.open_alerts() == ["no_show_pattern"]


async def test_serializable_clients_never_fail_for_being_announced(
    platform: Platform, engine: AsyncEngine, database_url: str, heard: psycopg.AsyncConnection[Any]
) -> None:
    tutors = [await platform.user(f"tutor-{number}") for number in range(6)]
    await platform.connection.execute("VACUUM ANALYZE tutorwatch.announcements")  # as happens by itself
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(await psycopg.AsyncConnection.connect(database_url, autocommit=True))
            for _ in tutors
        ]
        for client, tutor in zip(clients, tutors, strict=True):
            await client.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
            await write_alert(Platform(client, known_users=set(tutors)), tutor)
        for client in clients:
            await client.execute("SET CONSTRAINTS ALL IMMEDIATE")  # does what a COMMIT does, all of them before any
        for client in clients:
            await client.execute("COMMIT")

    assert await announced(heard) == tutors
    async with engine.begin() as conn:
        await sweep(conn, every_hours=24)
    assert await platform.rows("SELECT FROM tutorwatch.announcements") == []


async def test_announcing_does_not_depend_on_the_automation_switch(
    platform: Platform, heard: psycopg.AsyncConnection[Any]
) -> None:
    for event in ("update", "delete", "truncate"):
        await platform.connection.execute(f"ALTER TABLE alerts DISABLE TRIGGER tutorwatch_{event}".encode())

    await write_alert(platform)

    assert await announced(heard) == ["tutor"]
