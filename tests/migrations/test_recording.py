"""What the triggers record: which change of which table, by which operation, wakes whom."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from migrations.sql import read_sql
from tests.support.alerts import insert_alert
from tests.support.databases import cloned
from tests.support.platform import Platform
from tests.support.recorded import (
    EVERY_TUTOR,
    Listening,
    client_of,
    insert_sessions,
    listening,
    take,
    tutors,
    update,
)

COLUMNS: dict[str, dict[str, str]] = {
    table: dict(re.findall(r"^    (\w+) ([\w.]+)", columns, re.MULTILINE))
    for table, columns in re.findall(r"CREATE TABLE public\.(\w+) \((.*?)\n\);", read_sql("platform_tables"), re.DOTALL)
}
"""The types of the deployed platform's columns, by table."""

END_STATES = ["completed", "no_show_tutor", "no_show_student", "cancelled", "rescheduled"]
OTHER_STATES = ["scheduled", "in_progress"]
MOMENT = datetime(2026, 6, 1, 9, 30)  # noqa: DTZ001 - as the platform's columns hold it


@pytest.fixture(scope="module")
def shared_url(server_url: str, worker_id: str, migrated_template: str) -> Iterator[str]:
    """One database for all of these tests: to clone one for each would take longer than the tests."""
    with cloned(server_url, f"tutorwatch_recording_{worker_id}", migrated_template) as url:
        yield url


@pytest.fixture
def database_url(shared_url: str) -> str:
    """The shared database, without a row of the tests before."""
    with psycopg.connect(shared_url) as connection:
        connection.execute("TRUNCATE users, subjects CASCADE")
        connection.execute("DELETE FROM tutorwatch.outbox")
    return shared_url


@pytest.fixture
async def session(platform: Platform) -> UUID:
    """A completed session of `tutor` with both kinds of metrics, whose recording has been taken already."""
    session_id = await platform.session(score=8, audio={}, video={})
    await platform.user("other")
    await platform.user("other-student", role="student")
    await platform.rows("DELETE FROM tutorwatch.outbox RETURNING 1")
    return session_id


# Sessions: INSERT, COPY, DELETE


@pytest.mark.parametrize("status", END_STATES)
async def test_inserting_a_session_in_an_end_state_records_its_tutor(platform: Platform, status: str) -> None:
    await platform.session(status=status)

    assert await take(platform) == tutors("tutor")


@pytest.mark.parametrize("status", OTHER_STATES)
async def test_a_session_that_has_not_ended_records_nothing(platform: Platform, status: str) -> None:
    session_id = await platform.session(status=status)
    await update(platform, "sessions", "scheduled_start", MOMENT)
    await update(platform, "sessions", "tutor_id", await platform.user("other"))
    await platform.connection.execute("DELETE FROM sessions WHERE id = %s", [session_id])

    assert await take(platform) == []


async def test_every_status_is_one_or_the_other(platform: Platform) -> None:
    assert {*END_STATES, *OTHER_STATES} == set(
        await platform.rows("SELECT unnest(enum_range(NULL::session_status))::text")
    )


async def test_a_statement_of_many_rows_records_each_tutor_once(platform: Platform) -> None:
    await insert_sessions(platform, ["b", "a", "c", "a"], per_tutor=5)

    assert await take(platform) == tutors("a", "b", "c")


async def test_a_thousand_rows_record_one_row_per_tutor(platform: Platform) -> None:
    names = [f"tutor-{n}" for n in range(10)]
    await insert_sessions(platform, names, per_tutor=100)
    assert await take(platform) == tutors(*names)

    await platform.connection.execute("UPDATE sessions SET overall_session_score = 5")
    assert await take(platform) == tutors(*names)

    await platform.connection.execute("INSERT INTO session_audio_metrics (session_id) SELECT id FROM sessions")
    audio = await take(platform)
    assert [tutor for tutor, _ in audio] == names
    assert [len(ids) for _, ids in audio] == [100] * 10

    await platform.connection.execute("DELETE FROM sessions")
    assert await take(platform) == tutors(*names)


async def test_of_a_mixed_statement_only_the_tutors_with_an_ended_session_count(platform: Platform) -> None:
    await insert_sessions(platform, ["a", "b"], status="scheduled")

    await platform.connection.execute("UPDATE sessions SET status = 'completed' WHERE tutor_id = 'b'")
    assert await take(platform) == tutors("b")
    await platform.connection.execute("DELETE FROM sessions")
    assert await take(platform) == tutors("b")


async def test_copy_records_each_tutor_once(platform: Platform) -> None:
    for name in ("a", "b"):
        await platform.user(name)
    await platform.user("student", role="student")
    subject = await platform.subject()
    async with (
        platform.connection.cursor() as cursor,
        cursor.copy(
            "COPY sessions (tutor_id, student_id, scheduled_start, scheduled_duration, subject_id, session_number,"
            " status) FROM STDIN"
        ) as copy,
    ):
        for n in range(50):
            await copy.write_row(["ab"[n % 2], "student", MOMENT, 60, subject, 1, "completed"])

    assert await take(platform) == tutors("a", "b")


async def test_copy_of_metrics_records_the_tutors_with_their_sessions(platform: Platform) -> None:
    sessions = {name: await platform.session(name) for name in ("a", "b")}
    await take(platform)

    for table in ("session_audio_metrics", "session_video_metrics"):
        async with (
            platform.connection.cursor() as cursor,
            cursor.copy(sql.SQL("COPY {} (session_id) FROM STDIN").format(sql.Identifier(table))) as copy,
        ):
            for session_id in sessions.values():
                await copy.write_row([session_id])

        assert await take(platform) == [("a", [sessions["a"]]), ("b", [sessions["b"]])]


async def test_deleting_a_session_records_its_tutor_once(platform: Platform, session: UUID) -> None:
    await platform.connection.execute("DELETE FROM sessions WHERE id = %s", [session])

    assert await take(platform) == tutors("tutor")


async def test_deleting_nothing_records_nothing(platform: Platform, session: UUID) -> None:
    await platform.connection.execute("DELETE FROM sessions WHERE id <> %s", [session])
    await platform.connection.execute("UPDATE sessions SET session_number = 9 WHERE id <> %s", [session])
    await platform.connection.execute("INSERT INTO sessions SELECT * FROM sessions WHERE false")

    assert await take(platform) == []


@pytest.mark.usefixtures("session")
async def test_deleting_the_tutor_records_the_tutor(platform: Platform) -> None:
    await platform.connection.execute("DELETE FROM users WHERE id = 'tutor'")

    assert await take(platform) == tutors("tutor")


async def test_deleting_a_student_records_every_tutor_that_loses_a_session(platform: Platform) -> None:
    await insert_sessions(platform, ["a", "b"])
    await platform.session("c", student="somebody else")
    await take(platform)

    await platform.connection.execute("DELETE FROM users WHERE id = 'student'")

    assert await take(platform) == tutors("a", "b")


# Sessions: UPDATE

SESSION_COLUMNS = {
    "id": UUID(int=1),
    "student_id": "other-student",
    "session_number": 1,
    "status": "cancelled",
    "overall_session_score": Decimal("7.9"),
    "scheduled_start": MOMENT,
    "completed_at": MOMENT,
    "rescheduled_by": "tutor",
}
OTHER_SESSION_COLUMNS = {
    "actual_start": MOMENT,
    "scheduled_duration": 45,
    "actual_duration": 45,
    "subject_id": None,
    "tutor_showed_up": False,
    "student_showed_up": False,
    "technical_issues": True,
    "technical_issues_description": "no sound",
    "has_audio_analysis": True,
    "has_video_analysis": True,
    "has_screen_monitoring": True,
    "homework_assigned": True,
    "follow_up_booked": True,
    "ai_summary": "went well",
    "created_at": MOMENT,
}


@pytest.mark.parametrize("column", SESSION_COLUMNS)
async def test_a_changed_column_that_rules_read_records_the_tutor(platform: Platform, column: str) -> None:
    await platform.session(score=8)
    await platform.user("other-student", role="student")
    await take(platform)

    await update(platform, "sessions", column, SESSION_COLUMNS[column])
    assert await take(platform) == tutors("tutor")

    await update(platform, "sessions", column, SESSION_COLUMNS[column])
    assert await take(platform) == [], "the same value again"


@pytest.mark.parametrize("column", OTHER_SESSION_COLUMNS)
async def test_a_changed_column_that_no_rule_reads_records_nothing(platform: Platform, column: str) -> None:
    await platform.session(score=8)
    await take(platform)
    value = OTHER_SESSION_COLUMNS[column]
    if column == "subject_id":
        value = uuid4()
        await platform.insert("subjects", id=value, name="Geometry", category="math")

    await update(platform, "sessions", column, value)

    assert await take(platform) == []


def test_every_column_of_sessions_is_one_or_the_other() -> None:
    assert {*SESSION_COLUMNS, *OTHER_SESSION_COLUMNS, "tutor_id"} == set(COLUMNS["sessions"])


@pytest.mark.parametrize("column", ["overall_session_score", "completed_at", "rescheduled_by"])
@pytest.mark.usefixtures("session")
async def test_null_is_a_value_like_any_other(platform: Platform, column: str) -> None:
    await update(platform, "sessions", column, None)
    await take(platform)

    await update(platform, "sessions", column, SESSION_COLUMNS[column])
    assert await take(platform) == tutors("tutor"), "null to a value"
    await update(platform, "sessions", column, None)
    assert await take(platform) == tutors("tutor"), "a value to null"
    await update(platform, "sessions", column, None)
    assert await take(platform) == [], "null to null"


@pytest.mark.usefixtures("session")
async def test_entering_and_leaving_an_end_state_records_the_tutor(platform: Platform) -> None:
    await update(platform, "sessions", "status", "in_progress")
    assert await take(platform) == tutors("tutor"), "left"
    await update(platform, "sessions", "status", "scheduled")
    assert await take(platform) == [], "neither"
    await update(platform, "sessions", "status", "completed")
    assert await take(platform) == tutors("tutor"), "entered"


@pytest.mark.usefixtures("session")
async def test_moving_a_session_records_both_tutors(platform: Platform) -> None:
    await update(platform, "sessions", "tutor_id", "other")

    assert await take(platform) == tutors("other", "tutor")


async def test_swapping_two_sessions_between_tutors_records_both(platform: Platform) -> None:
    await insert_sessions(platform, ["a", "b"])
    await take(platform)

    await platform.connection.execute(
        "UPDATE sessions SET tutor_id = CASE tutor_id WHEN 'a' THEN 'b' ELSE 'a' END, session_number = 3"
    )

    assert await take(platform) == tutors("a", "b")


async def test_of_many_updated_rows_only_the_changed_ones_count(platform: Platform) -> None:
    await insert_sessions(platform, ["a", "b"], per_tutor=3)
    await take(platform)

    await platform.connection.execute("UPDATE sessions SET session_number = CASE tutor_id WHEN 'a' THEN 2 ELSE 3 END")

    assert await take(platform) == tutors("b")


async def test_an_upsert_records_what_it_inserts_and_what_it_changes(platform: Platform, session: UUID) -> None:
    upsert = """
        INSERT INTO sessions
            (id, tutor_id, student_id, scheduled_start, scheduled_duration, subject_id, session_number, status)
        SELECT new.id, new.tutor_id, 'student', '2026-06-14', 60, %s, 2, 'completed'
        FROM unnest(%s::uuid[], %s::text[]) AS new (id, tutor_id)
        ON CONFLICT (id) DO UPDATE SET overall_session_score = 3
    """
    subject = await platform.subject()

    await platform.connection.execute(upsert, [subject, [session, uuid4()], ["tutor", "other"]])
    assert await take(platform) == tutors("other", "tutor")
    await platform.connection.execute(upsert, [subject, [session], ["tutor"]])
    assert await take(platform) == [], "the same value again"


@pytest.mark.usefixtures("session")
async def test_merge_records_what_it_does(platform: Platform) -> None:
    merge = """
        MERGE INTO sessions AS s
        USING (SELECT * FROM sessions UNION ALL SELECT * FROM sessions) AS n
        ON s.id = n.id AND false
        WHEN NOT MATCHED THEN
            INSERT (tutor_id, student_id, scheduled_start, scheduled_duration, subject_id, session_number, status)
            VALUES ('other', n.student_id, n.scheduled_start, 60, n.subject_id, 1, 'no_show_tutor')
    """
    await platform.connection.execute(merge)
    assert await take(platform) == tutors("other")

    await platform.connection.execute(
        "MERGE INTO sessions AS s USING users AS u ON u.id = s.tutor_id"
        " WHEN MATCHED AND u.id = 'other' THEN DELETE WHEN MATCHED THEN UPDATE SET session_number = 7"
    )
    assert await take(platform) == tutors("other", "tutor")


# Metrics

AUDIO_COLUMNS: dict[str, Any] = {
    "tutor_talk_ratio": Decimal("0.5"),
    "student_engagement_score": Decimal("8.5"),
    "tutor_checks_understanding_count": 4,
    "tutor_positive_reinforcement_count": 4,
    "open_ended_questions": 4,
    "closed_ended_questions": 4,
}
VIDEO_COLUMNS: dict[str, Any] = {"tutor_uses_visual_aids": True}
METRICS: dict[str, dict[str, Any]] = {"session_audio_metrics": AUDIO_COLUMNS, "session_video_metrics": VIDEO_COLUMNS}
TABLES = sorted(METRICS)
A_VALUE: dict[str, Any] = {
    "integer": 4,
    "numeric": Decimal("0.5"),
    "boolean": True,
    "timestamp": MOMENT,
}


def metric_columns(*, read: bool) -> list[Any]:
    return [
        pytest.param(table, column, A_VALUE[kind], id=f"{table}.{column}")
        for table, read_columns in METRICS.items()
        for column, kind in COLUMNS[table].items()
        if column != "session_id" and (column in read_columns) == read
    ]


@pytest.mark.parametrize("table", TABLES)
async def test_metrics_that_arrive_later_record_the_tutor_and_the_session(platform: Platform, table: str) -> None:
    session_id = await platform.session()
    await take(platform)

    await platform.insert(table, session_id=session_id)

    assert await take(platform) == [("tutor", [session_id])]


@pytest.mark.parametrize(("table", "column", "value"), metric_columns(read=True))
async def test_a_changed_metric_that_rules_read_records_the_tutor(
    platform: Platform, session: UUID, table: str, column: str, value: Any
) -> None:
    await update(platform, table, column, value)
    assert await take(platform) == [("tutor", [session])]

    await update(platform, table, column, value)
    assert await take(platform) == [], "the same value again"


@pytest.mark.parametrize(("table", "column", "value"), metric_columns(read=False))
@pytest.mark.usefixtures("session")
async def test_a_changed_metric_that_no_rule_reads_records_nothing(
    platform: Platform, table: str, column: str, value: Any
) -> None:
    await update(platform, table, column, value)

    assert await take(platform) == []


@pytest.mark.parametrize("table", TABLES)
async def test_a_changed_metric_names_its_session_once(platform: Platform, session: UUID, table: str) -> None:
    column = next(iter(METRICS[table]))
    await update(platform, table, column, METRICS[table][column])

    assert await platform.rows("SELECT session_ids FROM tutorwatch.outbox") == [[session]]


@pytest.mark.parametrize("column", ["tutor_talk_ratio", "student_engagement_score"])
async def test_a_metric_from_null_to_a_value_and_back_counts(platform: Platform, session: UUID, column: str) -> None:
    for value in (AUDIO_COLUMNS[column], None):
        await update(platform, "session_audio_metrics", column, value)
        assert await take(platform) == [("tutor", [session])]
    await update(platform, "session_audio_metrics", column, None)
    assert await take(platform) == []


@pytest.mark.parametrize("table", TABLES)
async def test_deleted_metrics_record_the_tutor(platform: Platform, session: UUID, table: str) -> None:
    await platform.connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))

    assert await take(platform) == [("tutor", [session])]


@pytest.mark.parametrize("table", TABLES)
async def test_metrics_moved_to_another_session_record_both(platform: Platform, session: UUID, table: str) -> None:
    other = await platform.session("other")
    await take(platform)

    await update(platform, table, "session_id", other)

    assert await take(platform) == [("other", [other]), ("tutor", [session])]


@pytest.mark.parametrize("table", TABLES)
async def test_metrics_name_the_session_that_another_client_is_moving(
    platform: Platform, database_url: str, session: UUID, table: str
) -> None:
    await platform.connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    await take(platform)
    async with client_of(database_url) as mover, mover.transaction():
        await mover.execute("UPDATE sessions SET tutor_id = 'other' WHERE id = %s", [session])
        await platform.insert(table, session_id=session)
        assert await take(platform) == [("tutor", [session])], "as the metrics' writer sees it"

    assert await take(platform) == tutors("other", "tutor")


async def test_metrics_written_with_an_older_snapshot_name_the_session(platform: Platform, database_url: str) -> None:
    session_id = await platform.session()
    await platform.user("other")
    await take(platform)
    async with client_of(database_url) as old, old.transaction():
        await old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await old.execute("SELECT FROM sessions")
        await update(platform, "sessions", "tutor_id", "other")
        await old.execute("INSERT INTO session_audio_metrics (session_id) VALUES (%s)", [session_id])
    rows = await take(platform)

    assert ("tutor", [session_id]) in rows, "the tutor that the writer still sees, and the session to look it up"
    assert [row for row in rows if row[1] == []] == tutors("other", "tutor")


async def test_other_tables_of_the_platform_record_nothing(platform: Platform, session: UUID) -> None:
    await platform.insert("session_screen_metrics", session_id=session)
    await platform.insert("session_feedback", session_id=session, student_satisfaction_rating=5)
    await platform.insert("coaching_notes", tutor_id="tutor", note_type="manual", content="well done")
    await platform.connection.execute("UPDATE users SET name = 'Somebody'")

    assert await take(platform) == []


# Alerts

ALERT_COLUMNS = {
    "id": UUID(int=1),
    "tutor_id": "other",
    "alert_type": "student_churn_risk",
    "acknowledged": True,
    "resolved": True,
    "resolved_at": MOMENT,
}
OTHER_ALERT_COLUMNS = {
    "severity": "info",
    "title": "another",
    "description": "refreshed",
    "triggered_date": MOMENT,
    "session_id": None,
    "acknowledged_by": "other",
    "acknowledged_at": MOMENT,
    "action_taken": "called",
    "created_at": MOMENT,
}


async def test_a_new_alert_records_its_tutor(platform: Platform, session: UUID) -> None:
    """It may be the second open one of its type."""
    await insert_alert(platform, session_id=session)

    assert await take(platform) == tutors("tutor")


@pytest.mark.parametrize("column", ALERT_COLUMNS)
async def test_an_alert_whose_state_or_owner_changes_records_its_tutor(
    platform: Platform, session: UUID, column: str
) -> None:
    await insert_alert(platform, session_id=session)
    await take(platform)

    await update(platform, "alerts", column, ALERT_COLUMNS[column])
    assert await take(platform) == (tutors("other", "tutor") if column == "tutor_id" else tutors("tutor"))

    await update(platform, "alerts", column, ALERT_COLUMNS[column])
    assert await take(platform) == [], "the same value again"


@pytest.mark.parametrize("column", OTHER_ALERT_COLUMNS)
async def test_an_alert_that_is_refreshed_records_nothing(platform: Platform, session: UUID, column: str) -> None:
    await insert_alert(platform, session_id=session)
    await take(platform)

    await update(platform, "alerts", column, OTHER_ALERT_COLUMNS[column])

    assert await take(platform) == []


def test_every_column_of_alerts_is_one_or_the_other() -> None:
    assert {*ALERT_COLUMNS, *OTHER_ALERT_COLUMNS} == set(COLUMNS["alerts"])


async def test_a_corrected_resolution_time_of_an_alert_without_evidence_records_its_tutor(
    platform: Platform, session: UUID
) -> None:
    await insert_alert(platform, session_id=session, resolved=True, resolved_at=datetime(2026, 6, 14))  # noqa: DTZ001
    await take(platform)

    await update(platform, "alerts", "resolved_at", MOMENT)

    assert await take(platform) == tutors("tutor")


@pytest.mark.usefixtures("session")
async def test_resolved_reopened_and_deleted_alerts_record_each_tutor_once(platform: Platform) -> None:
    for tutor in ("tutor", "other"):
        for alert_type in ("no_show_pattern", "poor_first_session"):
            await insert_alert(platform, tutor, alert_type=alert_type)
    await take(platform)

    await platform.connection.execute("UPDATE alerts SET resolved = true")
    assert await take(platform) == tutors("other", "tutor")
    await platform.connection.execute("UPDATE alerts SET resolved = false WHERE tutor_id = 'other'")
    assert await take(platform) == tutors("other")
    await platform.connection.execute("DELETE FROM alerts")
    assert await take(platform) == tutors("other", "tutor")


async def test_deleting_the_session_of_an_alert_records_its_tutor_once(platform: Platform, session: UUID) -> None:
    await insert_alert(platform, session_id=session)
    await take(platform)

    await platform.connection.execute("DELETE FROM sessions")

    assert await take(platform) == tutors("tutor")
    assert await platform.rows("SELECT session_id FROM alerts") == [None]


# Insights

INSIGHT_COLUMNS = {"id": UUID(int=1), "tutor_id": "other", "category": "low_engagement", "is_active": False}
OTHER_INSIGHT_COLUMNS = {
    "insight_type": "growth_area",
    "display_text": "another",
    "detected_at": MOMENT,
    "last_confirmed_at": MOMENT,
    "resolved_at": MOMENT,
    "sample_sessions": [UUID(int=1)],
    "metric_value": Decimal("1.5"),
}


async def insert_insight(platform: Platform, tutor: str = "tutor") -> None:
    await platform.insert(
        "tutor_insights", tutor_id=tutor, insight_type="strength", category="high_engagement", display_text="why"
    )


@pytest.mark.usefixtures("session")
async def test_insights_that_come_and_go_record_each_tutor_once(platform: Platform) -> None:
    for tutor in ("tutor", "tutor", "other"):
        await insert_insight(platform, tutor)
        assert await take(platform) == tutors(tutor)

    await platform.connection.execute("DELETE FROM tutor_insights")
    assert await take(platform) == tutors("other", "tutor")


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("column", [*INSIGHT_COLUMNS, *OTHER_INSIGHT_COLUMNS])
async def test_an_insight_records_its_tutor_when_its_state_or_owner_changes(platform: Platform, column: str) -> None:
    await insert_insight(platform)
    await take(platform)

    await update(platform, "tutor_insights", column, (INSIGHT_COLUMNS | OTHER_INSIGHT_COLUMNS)[column])

    concerned = ["other", "tutor"] if column == "tutor_id" else ["tutor"]
    assert await take(platform) == (tutors(*concerned) if column in INSIGHT_COLUMNS else [])


def test_every_column_of_insights_is_one_or_the_other() -> None:
    assert {*INSIGHT_COLUMNS, *OTHER_INSIGHT_COLUMNS} == set(COLUMNS["tutor_insights"])


# TRUNCATE, transactions


@pytest.mark.parametrize("table", ["session_audio_metrics", "session_video_metrics", "alerts", "tutor_insights"])
@pytest.mark.usefixtures("session")
async def test_truncate_records_every_tutor(platform: Platform, table: str) -> None:
    await platform.connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))

    assert await take(platform) == [EVERY_TUTOR]


@pytest.mark.usefixtures("session")
async def test_truncating_sessions_records_every_tutor_per_table(platform: Platform) -> None:
    await platform.connection.execute("TRUNCATE sessions CASCADE")

    assert await take(platform) == [EVERY_TUTOR] * 4, "sessions, audio, video and alerts"


async def test_a_rolled_back_change_leaves_nothing(platform: Platform) -> None:
    async with platform.connection.transaction() as transaction:
        await platform.session(audio={}, video={})
        await platform.connection.execute("TRUNCATE alerts")
        raise psycopg.Rollback(transaction)

    assert await take(platform) == []


async def test_a_change_rolled_back_to_a_savepoint_leaves_nothing(platform: Platform) -> None:
    async with platform.connection.transaction():
        await platform.session("kept")
        async with platform.connection.transaction() as savepoint:
            await platform.session("dropped")
            raise psycopg.Rollback(savepoint)

    assert await take(platform) == tutors("kept")


async def test_each_statement_of_a_transaction_is_seen_at_its_commit(platform: Platform, database_url: str) -> None:
    async with client_of(database_url) as observer:
        async with platform.connection.transaction():
            await platform.session("a")
            await platform.session("b")
            assert await Platform(observer).rows("SELECT tutor_id FROM tutorwatch.outbox") == []

        assert await Platform(observer).rows("SELECT tutor_id FROM tutorwatch.outbox ORDER BY id") == ["a", "b"]


async def test_recorded_at_is_the_moment_of_the_statement(platform: Platform) -> None:
    async with platform.connection.transaction():
        await platform.session()
        [(is_later,)] = [(row,) for row in await platform.rows("SELECT recorded_at > now() FROM tutorwatch.outbox")]

    assert is_later is True


async def test_a_plan_kept_from_single_rows_does_not_make_a_large_update_quadratic(
    platform: Platform, database_url: str
) -> None:
    names = [f"tutor-{n}" for n in range(20)]
    await insert_sessions(platform, names, per_tutor=500)
    await platform.connection.execute("INSERT INTO session_audio_metrics (session_id) SELECT id FROM sessions")

    async def update_all(connection: psycopg.AsyncConnection[Any]) -> float:
        started = time.perf_counter()
        await connection.execute("UPDATE sessions SET session_number = session_number + 1")
        await connection.execute("UPDATE session_audio_metrics SET open_ended_questions = open_ended_questions + 1")
        return time.perf_counter() - started

    async with client_of(database_url) as fresh, client_of(database_url) as warm:
        for n in range(10):
            await warm.execute(
                "WITH one AS (UPDATE sessions SET overall_session_score = %s"
                " WHERE id = (SELECT min(id::text)::uuid FROM sessions) RETURNING id)"
                " UPDATE session_audio_metrics SET closed_ended_questions = %s WHERE session_id = (SELECT id FROM one)",
                [n, n],
            )
        # A nested loop over 10,000 rows takes a hundred times as long and more.
        without_kept_plan = max(await update_all(fresh), 0.05)
        with_kept_plan = await update_all(warm)
    await take(platform)

    assert with_kept_plan / without_kept_plan < 10


# NOTIFY


@pytest.fixture
async def listener(platform: Platform, database_url: str) -> AsyncIterator[Listening]:
    """A listener that has received nothing yet; on a server whose writers notify at all."""
    if await platform.rows("SELECT current_setting('max_prepared_transactions')") != ["0"]:
        pytest.skip("writers don't notify where PREPARE TRANSACTION is possible")
    async with listening(database_url) as listener:
        yield listener


async def test_the_notification_comes_at_commit_with_the_tutors_id(
    platform: Platform, database_url: str, listener: Listening
) -> None:
    async with client_of(database_url) as other_client:
        async with platform.connection.transaction():
            await platform.session("Täter mit Übung 1")
            await listener.hears_only(other_client)

        await listener.hears_only(other_client, "Täter mit Übung 1")


async def test_each_kind_of_change_notifies(platform: Platform, session: UUID, listener: Listening) -> None:
    await platform.connection.execute("UPDATE session_audio_metrics SET open_ended_questions = 1")
    await platform.connection.execute("UPDATE session_video_metrics SET tutor_uses_visual_aids = true")
    await insert_alert(platform, session_id=session)
    await platform.connection.execute("UPDATE alerts SET resolved = true")
    await platform.connection.execute("DELETE FROM sessions")

    await listener.hears_only(platform.connection, *["tutor"] * 5)


async def test_one_notification_without_an_id_for_several_tutors(platform: Platform, listener: Listening) -> None:
    await insert_sessions(platform, ["a", "b"])
    await platform.connection.execute("INSERT INTO session_audio_metrics (session_id) SELECT id FROM sessions")
    await platform.connection.execute("TRUNCATE alerts")

    await listener.hears_only(platform.connection, "", "", "")


async def test_a_large_transaction_for_one_tutor_is_one_notification(platform: Platform, listener: Listening) -> None:
    await platform.user("tutor")
    async with platform.connection.transaction():
        for _ in range(20):
            await platform.session()

    await listener.hears_only(platform.connection, "tutor")


async def test_nothing_recorded_or_committed_notifies_nobody(platform: Platform, listener: Listening) -> None:
    await platform.session(status="scheduled")
    async with platform.connection.transaction() as transaction:
        await platform.session()
        raise psycopg.Rollback(transaction)

    await listener.hears_only(platform.connection)


async def test_an_id_of_full_length_is_recorded_and_notified(platform: Platform, listener: Listening) -> None:
    name = "ü" * 128
    await platform.user(name, name="Long")
    await insert_sessions(platform, [name])

    assert await take(platform) == tutors(name)
    await listener.hears_only(platform.connection, name)


async def test_of_writers_that_commit_together_one_wakes_the_listeners(platform: Platform, database_url: str) -> None:
    await insert_sessions(platform, ["a", "b", "c"], status="scheduled")
    async with listening(database_url) as ear, client_of(database_url) as first:
        async with first.transaction():
            await first.execute("UPDATE sessions SET status = 'completed' WHERE tutor_id = 'a'")
            await first.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as if its commit were under way
            await platform.rows("UPDATE sessions SET status = 'completed' WHERE tutor_id = 'b' RETURNING 1")
            await ear.hears_only(platform.connection)
        assert await ear.next() == "a"

        await platform.rows("UPDATE sessions SET status = 'completed' WHERE tutor_id = 'c' RETURNING 1")
        assert await ear.next() == "c"
    assert await take(platform) == tutors("a", "b", "c")


async def test_open_transaction_keeps_nobody_else_from_waking(platform: Platform, database_url: str) -> None:
    await insert_sessions(platform, ["a", "b"], status="scheduled")
    async with listening(database_url) as ear, client_of(database_url) as first, first.transaction():
        await first.execute("UPDATE sessions SET status = 'completed' WHERE tutor_id = 'a'")

        await platform.rows("UPDATE sessions SET status = 'completed' WHERE tutor_id = 'b' RETURNING 1")
        assert await ear.next() == "b"


async def test_client_without_deferred_constraints_keeps_nobody_else_from_waking(
    platform: Platform, database_url: str
) -> None:
    await insert_sessions(platform, ["a", "b"], status="scheduled")
    async with listening(database_url) as ear, client_of(database_url) as first:
        async with first.transaction():
            await first.execute("SET CONSTRAINTS ALL IMMEDIATE")
            await first.execute("UPDATE sessions SET status = 'completed' WHERE tutor_id = 'a'")

            await platform.rows("UPDATE sessions SET status = 'completed' WHERE tutor_id = 'b' RETURNING 1")
            await ear.hears_only(platform.connection, "b")
        assert await ear.next() == "a"
