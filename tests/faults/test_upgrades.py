"""Upgrades beside writers and listeners: a program that meets another schema refuses, and nothing is lost meanwhile."""

import asyncio

import psycopg

from migrations import upgrade
from tests.faults.record import FaultRecorder
from tests.listener.surroundings import alerted, no_shows, waiting
from tests.migrations.interruptions import migrate_up_to
from tests.platform import Platform
from tests.roles import LISTENER
from tests.scripts.command import Running, eventually, tutorwatch

CREATING_TRIGGERS = "CREATE OR REPLACE TRIGGER"


async def set_revision(platform: Platform, revision: str) -> str:
    """Makes the schema look like another one's; returns what it was."""
    [before] = await platform.rows("SELECT version_num FROM tutorwatch.alembic_version")
    await platform.connection.execute("UPDATE tutorwatch.alembic_version SET version_num = %s", [revision])
    return str(before)


async def test_listener_that_meets_another_schema_ends_and_leaves_everything_on_record(
    database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    """Running when the schema becomes a newer or an older one: it finds out when it connects again."""
    first = 1
    for revision in ("9999", "0001"):
        with Running("listen", url=LISTENER.url(database_url)) as listener:
            await listener.log(action="listening")
            right = await set_revision(platform, revision)
            await platform.rows(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'tutorwatch%%'"
            )
            assert await listener.end(within=20) == 1
        tutors = await no_shows(platform, 3, first=first)
        refused = tutorwatch("listen", url=LISTENER.url(database_url))
        assert refused.code == 1
        assert ("newer" if revision == "9999" else "older") in refused.err
        assert set(tutors) <= set(await waiting(platform))
        await set_revision(platform, right)
        first += 3

    with Running("listen", url=LISTENER.url(database_url)):

        async def all_alerted() -> bool:
            return len(await alerted(platform)) == first - 1

        await eventually(all_alerted, within=20)
    fault_record("listener that meets another schema", injected=4, lost=first - 1 - len(await alerted(platform)))


async def test_what_is_written_around_an_interrupted_migration_is_generated_in_the_end(
    platform_url: str, fault_record: FaultRecorder
) -> None:
    """Before it, between its interruption and the next run, and after that; a listener waits or refuses meanwhile."""
    async with await psycopg.AsyncConnection.connect(platform_url, autocommit=True) as connection:
        platform = Platform(connection)
        await no_shows(platform, 2, first=1)
        await asyncio.to_thread(migrate_up_to, platform_url, CREATING_TRIGGERS)
        refused = tutorwatch("listen", url=platform_url)
        assert refused.code == 1
        assert "tutorwatch migrate" in refused.err
        await no_shows(platform, 2, first=3)
        await asyncio.to_thread(upgrade.migrate, platform_url)
        with Running("listen", url=platform_url):
            await no_shows(platform, 2, first=5)
            assert tutorwatch("backfill", url=platform_url).code == 0  # as after every first migration

            async def all_alerted() -> bool:
                return len(await alerted(platform)) == 6

            await eventually(all_alerted, within=20)
        found = await alerted(platform)
    fault_record("migration interrupted", injected=1, lost=6 - len(set(found)), doubled=len(found) - len(set(found)))


async def test_migration_beside_writers_and_listeners_loses_nothing(
    database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    """Migrating again what is migrated already, while a listener runs and clients write."""
    written = 0

    async def write(stop: asyncio.Event) -> None:
        nonlocal written
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            client = Platform(connection, platform.subject_id, set(platform.known_users))
            while not stop.is_set():
                await no_shows(client, 1, first=100 + written)
                written += 1
                await asyncio.sleep(0.02)

    await no_shows(platform, 1)
    with Running("listen", url=LISTENER.url(database_url)) as listener:
        await listener.log(action="listening")
        stop = asyncio.Event()
        writing = asyncio.create_task(write(stop))
        for _ in range(3):
            await asyncio.to_thread(upgrade.migrate, database_url)
        stop.set()
        await writing

        async def all_alerted() -> bool:
            return len(await alerted(platform)) == written + 1

        await eventually(all_alerted, within=20)
        assert listener.is_running
    fault_record("migration beside writers and listeners", injected=3, lost=written + 1 - len(await alerted(platform)))
