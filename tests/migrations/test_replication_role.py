"""Rows that come in under session_replication_role = replica, as bulk loads and some tools write them."""

from uuid import UUID

import pytest

from tests.support.platform import Platform
from tests.support.recorded import EVERY_TUTOR, insert_sessions, listening, take, tutors, update


@pytest.fixture
async def replica(platform: Platform) -> Platform:
    """A client that writes as a replica, with a tutor and another one whose sessions have been taken already."""
    await insert_sessions(platform, ["tutor", "other"], per_tutor=2)
    await platform.connection.execute("INSERT INTO session_audio_metrics (session_id) SELECT id FROM sessions")
    await platform.connection.execute("INSERT INTO session_video_metrics (session_id) SELECT id FROM sessions")
    await take(platform)
    await platform.connection.execute("SET session_replication_role = replica")
    return platform


async def test_inserted_rows_record_each_tutor_once_per_statement(replica: Platform, database_url: str) -> None:
    async with listening(database_url) as listener:
        await insert_sessions(replica, ["tutor", "other"], per_tutor=50)
        await insert_sessions(replica, ["tutor"], per_tutor=3)

        await listener.hears_only(replica.connection, "", "tutor")
    assert await take(replica) == tutors("other", "tutor", "tutor")


async def test_copied_rows_record_each_tutor_once(replica: Platform) -> None:
    subject = await replica.subject()
    columns = "tutor_id, student_id, scheduled_start, scheduled_duration, subject_id, session_number, status"
    async with (
        replica.connection.cursor() as cursor,
        cursor.copy(f"COPY sessions ({columns}) FROM STDIN".encode()) as copy,
    ):
        for number in range(100):
            tutor = ("tutor", "other")[number % 2]
            await copy.write_row((tutor, "student", "2026-06-14", 60, subject, 2, "completed"))

    assert await take(replica) == tutors("other", "tutor")


@pytest.mark.parametrize("in_one_transaction", [False, True])
async def test_updates_and_deletes_record_each_tutor_once_per_statement(
    replica: Platform, in_one_transaction: bool
) -> None:
    ids: dict[str, list[UUID]] = {}
    for tutor, session in await replica.rows("SELECT tutor_id, id FROM sessions ORDER BY id"):
        ids.setdefault(tutor, []).append(session)
    if in_one_transaction:
        await replica.connection.execute("BEGIN")

    await update(replica, "sessions", "overall_session_score", 5)
    assert await take(replica) == tutors("other", "tutor")
    await update(replica, "sessions", "ai_summary", "nothing a rule reads")
    assert await take(replica) == []
    for table, column, value in (
        ("session_audio_metrics", "open_ended_questions", 3),
        ("session_video_metrics", "tutor_uses_visual_aids", True),
    ):
        await update(replica, table, column, value)
        assert await take(replica) == [("other", ids["other"]), ("tutor", ids["tutor"])]
        await replica.connection.execute(f"DELETE FROM {table}".encode())
        assert await take(replica) == [("other", ids["other"]), ("tutor", ids["tutor"])]
    await replica.connection.execute("DELETE FROM sessions")
    assert await take(replica) == tutors("other", "tutor")
    await replica.connection.execute("TRUNCATE sessions CASCADE")
    assert EVERY_TUTOR in await take(replica)


async def test_alerts_and_insights_record_each_tutor_once_per_statement(replica: Platform) -> None:
    for table, columns, values, change in (
        ("alerts", "alert_type, severity, title, description", "'no_show_pattern', 'critical', 't', 'd'", "resolved"),
        ("tutor_insights", "category, insight_type, display_text", "'high_engagement', 'strength', 'd'", "is_active"),
    ):
        await replica.connection.execute(
            f"INSERT INTO {table} (tutor_id, {columns})"
            f" SELECT tutor_id, {values} FROM sessions, generate_series(1, 3)".encode()
        )
        assert await take(replica) == tutors("other", "tutor")
        await replica.connection.execute(f"UPDATE {table} SET {change} = NOT {change}".encode())
        assert await take(replica) == tutors("other", "tutor")
        await replica.connection.execute(f"DELETE FROM {table}".encode())
        assert await take(replica) == tutors("other", "tutor")
