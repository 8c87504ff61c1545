"""Row-level security on the platform's tables: a trigger never takes hidden rows for rows that aren't there."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from migrations import upgrade
from migrations.installed import find_damage
from migrations.session import open_session
from tests.migrations.test_client_is_never_harmed import Warned
from tests.support.platform import Platform
from tests.support.recorded import client_of, take, tutors, update


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[Platform]:
    """The platform's client is the tables' owner, an ordinary role."""
    await asyncio.to_thread(upgrade.migrate, owner_url)
    async with client_of(owner_url) as connection:
        yield Platform(connection)


async def unrecorded(platform: Platform) -> int:
    [(last, is_called)] = await platform.rows("SELECT last_value, is_called FROM tutorwatch.unrecorded")
    return int(last) if is_called else 0


async def test_with_row_security_changes_are_recorded(owner: Platform) -> None:
    session = await owner.session(audio={}, video={})
    for table in ("sessions", "alerts", "tutor_insights", "session_audio_metrics"):
        await owner.connection.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY".encode())
    await take(owner)

    await update(owner, "session_audio_metrics", "open_ended_questions", 3)
    assert await take(owner) == [("tutor", [session])]
    await owner.connection.execute("DELETE FROM session_video_metrics")
    assert await take(owner) == [("tutor", [session])]
    assert await unrecorded(owner) == 0


@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET session_id = session_id, {} = {}"])
@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("session_audio_metrics", "open_ended_questions", "7"),
        ("session_video_metrics", "tutor_uses_visual_aids", "true"),
    ],
)
async def test_what_forced_row_security_keeps_from_being_recorded_is_noted_and_the_write_passes(
    owner: Platform, change: str, table: str, column: str, value: str
) -> None:
    """The session's tutor can't be looked up: not even its owner sees it."""
    await owner.session(audio={}, video={})
    await take(owner)
    await owner.connection.execute("ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    warned = Warned(owner.connection)

    written = await owner.connection.execute(change.format(table, column, value).encode())

    assert written.rowcount == 1
    [warning] = warned.take()
    assert f"WARNING: tutorwatch could not record a change of {table}" in warning
    assert "row-level security" in warning
    assert await take(owner) == []
    assert await unrecorded(owner) == 1


async def test_forced_row_security_hides_nothing_of_a_statement_from_the_trigger(owner: Platform) -> None:
    await owner.session()
    await take(owner)
    await owner.connection.execute("CREATE POLICY all_rows ON sessions USING (true)")
    await owner.connection.execute("ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")

    await update(owner, "sessions", "overall_session_score", 5)

    assert await take(owner) == tutors("tutor")
    assert await unrecorded(owner) == 0


async def test_a_superusers_functions_record_what_row_security_hides_from_the_client(
    platform: Platform, database_url: str
) -> None:
    session = await platform.session(audio={})
    await take(platform)
    await platform.connection.execute("ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    async with client_of(database_url) as client:
        await client.execute("DELETE FROM session_audio_metrics")

    assert await take(platform) == [("tutor", [session])]


def test_the_catalogs_are_read_whatever_is_hidden(owner_url: str) -> None:
    upgrade.migrate(owner_url)
    with psycopg.connect(owner_url) as connection:
        connection.execute("ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")

    with open_session(owner_url) as session:
        assert find_damage(session) == []
