"""Changes of alerts are announced to the dashboards, and never at the writer's cost."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from tests.platform import Platform


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
    ["DROP TABLE tutorwatch.announcements", "ALTER TABLE tutorwatch.announcements RENAME COLUMN id TO number"],
    ids=["at the statement", "at the commit"],
)
async def test_write_goes_on_when_announcing_fails(platform: Platform, damage: str) -> None:
    await platform.connection.execute(damage.encode())

    await write_alert(platform)

    assert await platform.open_alerts() == ["no_show_pattern"]


async def test_announcing_does_not_depend_on_the_automation_switch(
    platform: Platform, heard: psycopg.AsyncConnection[Any]
) -> None:
    for event in ("update", "delete", "truncate"):
        await platform.connection.execute(f"ALTER TABLE alerts DISABLE TRIGGER tutorwatch_{event}".encode())

    await write_alert(platform)

    assert await announced(heard) == ["tutor"]
