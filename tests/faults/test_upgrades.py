"""Upgrades beside writers and listeners: a program that meets another schema refuses, and nothing is lost meanwhile."""

import asyncio
import io
import itertools
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from migrations import rights, upgrade
from tests.faults.record import FaultRecorder
from tests.support.command import Running, tutorwatch
from tests.support.interruptions import migrate_up_to
from tests.support.listening import alerted, has_settled, no_shows, waiting
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import eventually

CREATING_TRIGGERS = "CREATE OR REPLACE TRIGGER"
VERSION_0_1_0 = "a83258b"
"""Its newest commit: the program that databases of revision 0017 are used with."""
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def version_0_1_0(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """What starts the program of version 0.1.0, up to its arguments."""
    git = shutil.which("git")
    if not git:
        pytest.skip("no git on this machine")
    done = subprocess.run([git, "-C", ROOT, "archive", VERSION_0_1_0], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("the history here doesn't go back to version 0.1.0")
    folder = tmp_path_factory.mktemp("version-0.1.0")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return ("env", f"PYTHONPATH={folder}", sys.executable, "-c", "from scripts.cli import main; main()")


def give_rights(url: str) -> None:
    """To the services, as after every migration."""
    with psycopg.connect(url, autocommit=True) as connection:
        rights.give(connection, listener=LISTENER.name, web=WEB.name)


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
            assert await listener.end() == 1
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

        await eventually(all_alerted)
    fault_record("listener that meets another schema", injected=4, lost=first - 1 - len(await alerted(platform)))


@pytest.mark.usefixtures("service_roles")
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
        give_rights(platform_url)
        with Running("listen", url=LISTENER.url(platform_url)):
            await no_shows(platform, 2, first=5)
            assert tutorwatch("backfill", url=platform_url).code == 0  # as after every first migration

            async def all_alerted() -> bool:
                return len(await alerted(platform)) == 6

            await eventually(all_alerted)
        found = await alerted(platform)
    fault_record("migration interrupted", injected=1, lost=6 - len(set(found)), doubled=len(found) - len(set(found)))


@pytest.mark.usefixtures("service_roles")
async def test_first_migration_beside_writers_loses_nothing(platform_url: str, fault_record: FaultRecorder) -> None:
    """Clients write before it, all through it, and on beside the listener that starts when it is done."""
    async with await psycopg.AsyncConnection.connect(platform_url, autocommit=True) as connection:
        platform = Platform(connection)
        first = await no_shows(platform, 1)
        with ExitStack() as at_the_end:
            async with writing(platform_url, platform) as written:
                migrated, meanwhile = await asyncio.to_thread(migrate_and_count, platform_url, written)
                assert (migrated.before, migrated.after) == (None, upgrade.head_revision())
                assert meanwhile > 0
                give_rights(platform_url)
                listener = at_the_end.enter_context(Running("listen", url=LISTENER.url(platform_url)))
                await listener.log(action="listening")
                assert tutorwatch("backfill", url=platform_url).code == 0  # as after every first migration
                await clients_have_gone_on(written)
            await all_are_alerted(platform, [*first, *written])
            assert listener.is_running
        found = await alerted(platform)
    fault_record(
        "migration beside writers",
        injected=1,
        lost=len({*first, *written} - set(found)),
        doubled=len(found) - len(set(found)),
    )


@pytest.mark.usefixtures("service_roles")
async def test_upgrade_beside_services_of_version_0_1_0_and_writers_loses_nothing(
    revision_0017_url: str, version_0_1_0: tuple[str, ...], fault_record: FaultRecorder
) -> None:
    """Its listener generates until it is ended; clients write before it, all through it, and after."""
    url = revision_0017_url
    with Running(
        "rights", "--listener", LISTENER.name, "--web", WEB.name, url=url, program=version_0_1_0
    ) as rights_of_then:
        assert await rights_of_then.end() == 0
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        platform = Platform(connection)
        first = await no_shows(platform, 1)
        with ExitStack() as at_the_end:
            old = [
                at_the_end.enter_context(Running("listen", url=LISTENER.url(url), program=version_0_1_0)),
                at_the_end.enter_context(Running("web", url=WEB.url(url), web_port=0, program=version_0_1_0)),
            ]
            await old[0].log(action="listening")
            await old[1].log(action="serving")
            async with writing(url, platform) as written:

                async def the_old_listener_generates() -> bool:
                    return len(await alerted(platform)) > 10

                await eventually(the_old_listener_generates)
                migrated, meanwhile = await asyncio.to_thread(migrate_and_count, url, written)
                assert (migrated.before, migrated.after, migrated.freed) == ("0017", upgrade.head_revision(), 0)
                assert meanwhile > 0
                assert [await service.end() for service in old] == [1, 1]
                listener = at_the_end.enter_context(Running("listen", url=LISTENER.url(url)))
                await listener.log(action="listening")
                await clients_have_gone_on(written)
            await all_are_alerted(platform, [*first, *written])
            assert listener.is_running
        found = await alerted(platform)
        assert await platform.rows("SELECT tutor_id, last_error FROM tutorwatch.failures") == []
        assert await platform.rows("SELECT is_called FROM tutorwatch.unrecorded") == [False]
    fault_record(
        "upgrade beside old services and writers",
        injected=1,
        lost=len({*first, *written} - set(found)),
        doubled=len(found) - len(set(found)),
    )


async def clients_have_gone_on(written: list[str]) -> None:
    """Waits until they have written some more."""
    before = len(written)

    async def have() -> bool:
        return len(written) > before + 10

    await eventually(have)


async def all_are_alerted(platform: Platform, tutors: list[str]) -> None:
    """Waits until they are, and nothing is left to do."""

    async def all_alerted() -> bool:
        return set(tutors) <= set(await alerted(platform))

    await eventually(all_alerted)
    await has_settled(platform)


def migrate_and_count(url: str, written: list[str]) -> tuple[upgrade.Migrated, int]:
    """Migrates; says, too, how many writes were committed meanwhile."""
    before = len(written)
    migrated = upgrade.migrate(url)
    return migrated, len(written) - before


@asynccontextmanager
async def writing(url: str, platform: Platform, *, clients: int = 3) -> AsyncIterator[list[str]]:
    """So many clients that write all the time; yields the tutors that are due an alert. A failing write is an error."""
    written, stop = list[str](), asyncio.Event()

    async def write(first: int) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            client = Platform(connection, platform.subject_id, set(platform.known_users))
            for number in itertools.count(first):
                if stop.is_set():
                    return
                written.extend(await no_shows(client, 1, first=number))
                await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as tasks:
        for number in range(1, clients + 1):
            tasks.create_task(write(10_000 * number))

        async def all_write() -> bool:
            return len(written) > clients

        try:
            await eventually(all_write)
            yield written
        finally:
            stop.set()
