"""Recording goes on when the platform changes its tables, and where a constraint of theirs is gone."""

from decimal import Decimal

import pytest
from psycopg import sql

from tests.support.platform import Platform
from tests.support.recorded import client_of, take, tutors, update


@pytest.mark.parametrize("table", ["session_audio_metrics", "session_video_metrics"])
async def test_metrics_whose_session_the_writer_cannot_see_are_recorded_all_the_same(
    platform: Platform, database_url: str, table: str
) -> None:
    await platform.user("tutor")
    # With the foreign key, the platform itself refuses such a row.
    await platform.connection.execute(
        sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
            sql.Identifier(table), sql.Identifier(f"{table}_session_id_fkey")
        )
    )
    async with client_of(database_url) as old, old.transaction():
        await old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await old.execute("SELECT FROM sessions")
        session_id = await platform.session()
        await take(platform)
        await old.execute(sql.SQL("INSERT INTO {} VALUES (%s)").format(sql.Identifier(table)), [session_id])

    assert await take(platform) == [(None, [session_id])]


async def test_a_connection_with_kept_plans_goes_on_recording_when_the_table_changes(
    platform: Platform, database_url: str
) -> None:
    session = await platform.session(score=8, audio={})
    for number in range(10):
        await update(platform, "sessions", "session_number", 10 + number)
        await update(platform, "session_audio_metrics", "open_ended_questions", number + 1)
    async with client_of(database_url) as operator:
        await operator.execute("ALTER TABLE sessions ADD COLUMN room text, DROP COLUMN ai_summary")
        await operator.execute("ALTER TABLE sessions ALTER COLUMN overall_session_score TYPE numeric(4, 2)")
        await operator.execute("ALTER TABLE session_audio_metrics ADD COLUMN loudness integer")
    await take(platform)

    await update(platform, "sessions", "overall_session_score", Decimal("3.25"))
    assert await take(platform) == tutors("tutor")
    await update(platform, "session_audio_metrics", "open_ended_questions", 99)
    assert await take(platform) == [("tutor", [session])]
    await update(platform, "sessions", "room", "7")
    assert await take(platform) == []
