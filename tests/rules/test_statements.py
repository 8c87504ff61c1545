"""What generation asks of the database: a handful of statements, each through an index."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import open_engine
from rules.generation import generate
from rules.insights.high_engagement import ENGAGEMENT
from rules.statistics import load_statistics
from rules.thresholds import Thresholds
from tests.rules.generating import Generation
from tests.support.databases import own_database
from tests.support.platform import NOW, Platform
from tests.support.statements import explained, nodes, watched


async def write_alerts_and_insights(platform: Platform, tutors: list[str]) -> None:
    """For each tutor sessions that open two alerts and show two insights."""
    async with platform.connection.pipeline():
        for tutor in tutors:
            for day in range(1, 6):
                await platform.session(
                    tutor, days_ago=day, audio={"tutor_talk_ratio": "0.9", "tutor_checks_understanding_count": 1}
                )


async def test_hundred_tutors_cost_as_many_statements_as_one(
    platform: Platform, engine: AsyncEngine, generation: Generation
) -> None:
    tutors = [f"tutor-{number}" for number in range(101)]
    await write_alerts_and_insights(platform, tutors)

    with watched(engine) as for_one:
        one = await generation(tutors[100])
    with watched(engine) as for_hundred:
        hundred = await generation(*tutors[:100])

    assert (len(one.alerts), len(one.insights)) == (2, 2)
    assert (len(hundred.alerts), len(hundred.insights)) == (200, 200)
    assert [statement for statement, _ in for_hundred] == [statement for statement, _ in for_one]
    assert len(for_one) == 6


async def test_alerts_that_are_open_cost_no_attempt_to_open_them(
    platform: Platform, engine: AsyncEngine, generation: Generation
) -> None:
    await write_alerts_and_insights(platform, ["tutor-0"])
    with watched(engine) as opening:
        opened = await generation("tutor-0")
    with watched(engine) as refreshing:
        again = await generation("tutor-0")

    assert (len(opened.alerts), len(again.alerts)) == (2, 0)
    assert len(refreshing) == len(opening) == 6
    assert [s for s, _ in refreshing if "INSERT INTO public.alerts" in s] == []


async def test_tutors_of_whom_nothing_is_found_cost_fewer(
    platform: Platform, engine: AsyncEngine, generation: Generation
) -> None:
    for number in range(20):
        await platform.user(f"tutor-{number}")
    with watched(engine) as statements:
        await generation(*(f"tutor-{number}" for number in range(20)))
    assert len(statements) == 3


_FILL = b"""
    SET LOCAL session_replication_role = replica;  -- no triggers: it is history
    INSERT INTO users (id, email, name, role)
    SELECT 'tutor-' || n, 'tutor-' || n || '@example.test', 'Tutor ' || n, 'tutor'
    FROM generate_series(0, 999) AS n;
    INSERT INTO users (id, email, name, role)
    SELECT 'student-' || n, 'student-' || n || '@example.test', 'Student ' || n, 'student'
    FROM generate_series(0, 4999) AS n;
    INSERT INTO subjects (name, category) VALUES ('Algebra', 'math');
    INSERT INTO sessions (tutor_id, student_id, scheduled_start, completed_at, scheduled_duration, subject_id,
                          session_number, status, rescheduled_by, overall_session_score)
    SELECT 'tutor-' || n % 1000, 'student-' || n % 5000, at, at, 60, subjects.id, 1 + n / 5000 % 9,
           CASE WHEN n % 37 = 0 THEN 'no_show_tutor' WHEN n % 41 = 0 THEN 'rescheduled' ELSE 'completed' END
               ::session_status,
           CASE WHEN n % 41 = 0 THEN 'tutor' END::reschedule_by, n % 100 / 10.0
    FROM generate_series(1, 100000) AS n, subjects,
         LATERAL (SELECT timestamp '2026-06-15 12:00' - n * interval '5 minutes' AS at) AS dated;
    INSERT INTO session_audio_metrics (session_id, tutor_talk_ratio, student_engagement_score)
    SELECT id, 0.7, 7.0 FROM sessions;
    INSERT INTO session_video_metrics (session_id) SELECT id FROM sessions;
"""


@pytest.fixture
def large_database_url(server_url: str, worker_id: str, migrated_template: str) -> Iterator[str]:
    """A database of a large platform: a thousand tutors, 100,000 sessions with their metrics over a year."""
    with own_database(server_url, worker_id, migrated_template) as url:
        with psycopg.connect(url) as connection:
            connection.execute(_FILL)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        yield url


async def explained_statistics(url: str, tutors: list[str], thresholds: Thresholds, options: str = "") -> Any:
    """The plan of these tutors' statistics."""
    engine = open_engine(url, application_name="tutorwatch-test")
    async with engine.connect() as conn:
        with watched(engine) as statements:
            await load_statistics(conn, tutors, NOW, thresholds)
        [statement] = statements
        plan = await explained(conn, statement, options)
    await engine.dispose()
    return plan


async def test_statistics_read_completed_sessions_from_their_index_alone(
    large_database_url: str, thresholds: Thresholds
) -> None:
    plan = await explained_statistics(large_database_url, ["tutor-7"], thresholds)

    indexes = [node["Index Name"] for node in nodes(plan, "Index Only Scan")]
    assert indexes.count("tutorwatch_sessions_by_tutor") == 6, (
        "by date and by schedule: those held in the windows, and scores; twice the missed"
    )


async def test_statistics_of_many_tutors_read_no_metrics_but_theirs(
    large_database_url: str, thresholds: Thresholds
) -> None:
    tutors = [f"tutor-{number}" for number in range(400)]

    plan = await explained_statistics(large_database_url, tutors, thresholds)

    whole = {node["Relation Name"] for node in nodes(plan, "Seq Scan")}
    assert whole & {"session_audio_metrics", "session_video_metrics"} == set()


async def test_generation_reads_no_large_table_from_beginning_to_end(
    large_database_url: str, thresholds: Thresholds
) -> None:
    engine = open_engine(large_database_url, application_name="tutorwatch-test")
    async with engine.connect() as conn:
        with watched(engine) as statistics:
            [tutor] = await load_statistics(conn, ["tutor-7"], NOW, thresholds)
        with watched(engine) as statements:
            generated = await generate(conn, ["tutor-7"], NOW + timedelta(hours=1), thresholds)
        read: dict[str, set[str]] = {}
        for statement in statistics + statements:
            plan = await explained(conn, statement)
            read[statement[0]] = {node["Relation Name"] for node in nodes(plan, "Seq Scan")}
    await engine.dispose()

    assert tutor[ENGAGEMENT].count > 5
    assert generated.alerts
    assert generated.insights
    large = {"users", "sessions", "session_audio_metrics", "session_video_metrics"}
    assert {statement: tables for statement, tables in read.items() if tables & large} == {}


_OTHERS_OPEN_ALERTS: LiteralString = """
    INSERT INTO alerts (tutor_id, alert_type, severity, title, description)
    SELECT 'tutor-' || n, 'no_show_pattern', 'critical', 'No-shows', 'Three' FROM generate_series(100, 999) AS n
"""


async def test_refreshing_an_open_alert_reads_nobody_elses(large_database_url: str, thresholds: Thresholds) -> None:
    with psycopg.connect(large_database_url, autocommit=True) as connection:
        connection.execute(_OTHERS_OPEN_ALERTS)
        connection.execute("VACUUM ANALYZE alerts")
    engine = open_engine(large_database_url, application_name="tutorwatch-test")
    async with engine.connect() as conn:
        assert (await generate(conn, ["tutor-7"], NOW, thresholds)).alerts
        with watched(engine) as statements:
            await generate(conn, ["tutor-7"], NOW, thresholds)
        [refreshing] = [statement for statement in statements if "FOR UPDATE" in statement[0]]
        plan = await explained(conn, refreshing, "ANALYZE,")
    await engine.dispose()

    scans = [node for kind in ("Seq Scan", "Index Scan", "Bitmap Heap Scan") for node in nodes(plan, kind)]
    assert sum(node["Actual Rows"] for node in scans if node["Relation Name"] == "alerts") < 50


_ALL_COMPLETED: LiteralString = """
    INSERT INTO users (id, email, name, role)
    SELECT 'tutor-' || n, 'tutor-' || n || '@example.test', 'Tutor ' || n, 'tutor' FROM generate_series(0, 99) AS n;
    INSERT INTO users (id, email, name, role) VALUES ('student', 'student@example.test', 'Student', 'student');
    INSERT INTO subjects (name, category) VALUES ('Algebra', 'math');
    INSERT INTO sessions (tutor_id, student_id, scheduled_start, scheduled_duration, subject_id, session_number, status)
    SELECT 'tutor-' || n % 100, 'student', '2026-06-13 12:00', 60, subjects.id, 2, 'completed'
    FROM generate_series(1, 20000) AS n, subjects;
    INSERT INTO session_audio_metrics (session_id, tutor_talk_ratio, tutor_checks_understanding_count)
    SELECT id, 0.5, 5 FROM sessions;
"""


async def test_planner_that_expects_sessions_where_none_are_left_reads_little(
    database_url: str, thresholds: Thresholds
) -> None:
    """A bulk update has taken them all out of the rules' sight, and no ANALYZE has come by yet."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE sessions SET (autovacuum_enabled = off)")
        connection.execute(_ALL_COMPLETED)
        connection.execute("ANALYZE")
        connection.execute("UPDATE sessions SET status = 'scheduled'")
        [(size,)] = connection.execute("SELECT pg_relation_size('sessions') / 8192").fetchall()
    tutors = [f"tutor-{number}" for number in range(100)]

    [plan] = await explained_statistics(database_url, tutors, thresholds, "ANALYZE, BUFFERS,")

    # Everybody's sessions for each tutor, as often as they are read, would be 1,300 times that.
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 200 * size


async def test_planner_that_expects_no_sessions_where_many_are_compares_few(
    database_url: str, thresholds: Thresholds
) -> None:
    """An import has just brought them all, and no ANALYZE has come by yet."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for table in ("sessions", "session_audio_metrics"):
            connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        connection.execute("ANALYZE")
        connection.execute(_ALL_COMPLETED)
    tutors = [f"tutor-{number}" for number in range(100)]

    plan = await explained_statistics(database_url, tutors, thresholds, "ANALYZE,")

    joins = [node for kind in ("Nested Loop", "Hash Join", "Merge Join") for node in nodes(plan, kind)]
    compared_in_vain = sum(join.get("Rows Removed by Join Filter", 0) * join["Actual Loops"] for join in joins)
    assert compared_in_vain < 200 * 20_000, "each with each would be 400 million"
