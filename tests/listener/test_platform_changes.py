"""The platform changes under a running listener: changes wait, nobody is booked a failure, and it goes on by itself."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy.ext.asyncio import AsyncEngine

from database.condition import Check, Condition, load_condition
from database.connections import open_engine
from listener import watch
from tests.support.command import tutorwatch
from tests.support.listening import (
    alerted,
    has_settled,
    is_up,
    listening,
    no_shows,
    waiting,
)
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import eventually

ROW_SECURITY_OFF = "-c row_security=off"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RECHECK_SECONDS", 0.1)
    monkeypatch.setattr(watch, "FIRST_TRIAL_SECONDS", 0.05)
    monkeypatch.setattr(watch, "LONGEST_TRIAL_SECONDS", 0.2)


CASES = [
    pytest.param(
        "ALTER TABLE sessions RENAME overall_session_score TO score",
        "ALTER TABLE sessions RENAME score TO overall_session_score",
        "column sessions.overall_session_score is missing",
        Check.PLATFORM,
        id="a renamed column",
    ),
    pytest.param(
        "ALTER TYPE session_status RENAME VALUE 'no_show_tutor' TO 'absent'",
        "ALTER TYPE session_status RENAME VALUE 'absent' TO 'no_show_tutor'",
        "column sessions.status is session_status, which lacks the label no_show_tutor",
        Check.PLATFORM,
        id="a renamed label",
    ),
    pytest.param(
        "ALTER TABLE alerts ADD organisation text NOT NULL",
        "ALTER TABLE alerts ALTER organisation SET DEFAULT 'one'",
        "column alerts.organisation is NOT NULL without a default",
        Check.PLATFORM,
        id="a required column",
    ),
    pytest.param(
        "CREATE TABLE copy (LIKE session_video_metrics INCLUDING ALL); DROP TABLE session_video_metrics",
        f"ALTER TABLE copy RENAME TO session_video_metrics; GRANT SELECT ON session_video_metrics TO {LISTENER.name}",
        "table public.session_video_metrics is missing",
        Check.PLATFORM,
        id="a dropped table",
    ),
    pytest.param(
        "ALTER TABLE users RENAME TO people",
        "ALTER TABLE people RENAME TO users",
        "table public.users is missing",
        Check.PLATFORM,
        id="a renamed table",
    ),
    pytest.param(
        "ALTER TABLE sessions ENABLE ROW LEVEL SECURITY; CREATE POLICY everything ON sessions USING (true)",
        "ALTER TABLE sessions DISABLE ROW LEVEL SECURITY",
        f"hides rows of public.sessions from {LISTENER.name}: ALTER ROLE {LISTENER.name} BYPASSRLS",
        Check.ROWS,
        id="hidden rows",
    ),
    pytest.param(
        f"REVOKE EXECUTE ON FUNCTION tutorwatch.open_alerts FROM {LISTENER.name}",
        f"GRANT EXECUTE ON FUNCTION tutorwatch.open_alerts TO {LISTENER.name}",
        "Generation fails for every tutor (permission denied for function open_alerts)",
        Check.LISTENERS,
        id="a right that is missing",
    ),
    pytest.param(
        "ALTER TABLE alerts ADD CONSTRAINT theirs CHECK (title = 'x') NOT VALID",
        "ALTER TABLE alerts DROP CONSTRAINT theirs",
        'Generation fails for every tutor (new row for relation "alerts" violates check constraint "theirs")',
        Check.LISTENERS,
        id="a check of the platform's",
    ),
]


@pytest.mark.parametrize(("breaking", "repair", "said", "check"), CASES)
async def test_changes_wait_while_nothing_can_be_evaluated_and_are_caught_up(
    database_url: str,
    platform: Platform,
    caplog: pytest.LogCaptureFixture,
    breaking: str,
    repair: str,
    said: str,
    check: Check,
) -> None:
    caplog.set_level(logging.INFO)
    async with listening(make_conninfo(database_url, options=ROW_SECURITY_OFF), heartbeat_seconds=0.1):
        await is_up(platform)
        await has_settled(platform)
        async with platform.connection.transaction():
            tutors = await no_shows(platform, 3)
            await platform.connection.execute(breaking.encode())

        assert said in await blocked(platform)
        assert sorted(await waiting(platform)) == tutors
        condition = await condition_of(database_url)
        assert said in " ".join(each.message for each in condition.problems if each.check is check)
        assert next(each.since for each in condition.problems if each.check is check)
        await has_looked_again(platform)
        assert await nobody_is_booked(platform)
        assert await alerted(platform) == []

        await platform.connection.execute(repair.encode())
        await has_settled(platform)

        async def all_are_alerted() -> bool:
            return await alerted(platform) == tutors

        await eventually(all_are_alerted)
        assert await nobody_is_booked(platform)
        await eventually(lambda: is_well_but_for_recording(database_url))
    (error,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert error.message.startswith("Nothing is evaluated, changes wait: ")
    assert said in error.message
    assert len([record for record in caplog.records if getattr(record, "action", "") == "unblocked"]) == 1


async def blocked(platform: Platform) -> str:
    """What the listener says in its heartbeat, once it does."""

    async def message() -> str:
        rows = await platform.rows("SELECT figures #>> '{blocked,message}' FROM tutorwatch.listeners")
        return rows[0] or "" if rows else ""

    return await eventually(message)


async def has_looked_again(platform: Platform) -> None:
    """Waits for some more heartbeats: between any two of them the listener looks again."""
    seen_at = max(await platform.rows("SELECT seen_at FROM tutorwatch.listeners"))

    async def is_later() -> bool:
        return await platform.rows(
            "SELECT max(seen_at) > %s::timestamptz + interval '1 s' FROM tutorwatch.listeners", seen_at
        ) == [True]

    await eventually(is_later)


async def nobody_is_booked(platform: Platform) -> bool:
    return await platform.rows("SELECT * FROM tutorwatch.failures") == []


async def condition_of(database_url: str) -> Condition:
    """As a dashboard reads it."""
    engine = open_engine(WEB.url(database_url), application_name="tutorwatch-web")
    try:
        async with engine.connect() as conn:
            return await load_condition(conn)
    finally:
        await engine.dispose()


async def is_well_but_for_recording(database_url: str) -> bool:
    """Triggers of a table that was dropped are gone with it: that is for `migrate` to repair."""
    return all(each.check is Check.RECORDING for each in (await condition_of(database_url)).problems)


async def test_listener_that_starts_beside_a_schema_that_does_not_fit_waits(
    database_url: str, platform: Platform
) -> None:
    tutors = await no_shows(platform, 1)
    await platform.connection.execute("ALTER TABLE alerts RENAME severity TO gravity")
    async with listening(database_url, heartbeat_seconds=0.1):
        assert "column alerts.severity is missing" in await blocked(platform)
        await platform.connection.execute("ALTER TABLE alerts RENAME gravity TO severity")
        await has_settled(platform)
    assert await alerted(platform) == tutors


async def test_error_of_a_single_tutor_is_booked_on_that_one_and_keeps_nobody_else(
    database_url: str, platform: Platform
) -> None:
    await platform.connection.execute(
        "ALTER TABLE alerts ADD CONSTRAINT theirs CHECK (tutor_id <> 'tutor-0002') NOT VALID"
    )
    async with listening(database_url, heartbeat_seconds=0.1, failure_attempts=1):
        await is_up(platform)
        tutors = await no_shows(platform, 3)

        async def others_are_alerted() -> bool:
            return await alerted(platform) == [tutors[0], tutors[2]]

        await eventually(others_are_alerted)
        assert await platform.rows("SELECT tutor_id, parked_at IS NOT NULL FROM tutorwatch.failures") == [
            ("tutor-0002", True)
        ]
        assert await platform.rows("SELECT figures -> 'blocked' FROM tutorwatch.listeners") == [None]


async def test_tutors_given_up_on_for_the_schema_are_freed_when_it_fits_again(
    database_url: str, platform: Platform
) -> None:
    tutors = await no_shows(platform, 2)
    await platform.rows("DELETE FROM tutorwatch.outbox RETURNING 1")
    for tutor, error in zip(tutors, ("UndefinedColumn: no score", "ZeroDivisionError: by zero"), strict=True):
        await platform.rows(
            "INSERT INTO tutorwatch.failures"
            " (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
            " VALUES (%s, 5, %s, now(), now(), now()) RETURNING 1",
            tutor,
            error,
        )
    await platform.connection.execute("ALTER TABLE sessions RENAME status TO state")
    async with listening(database_url, heartbeat_seconds=0.1):
        await blocked(platform)
        await platform.connection.execute("ALTER TABLE sessions RENAME state TO status")

        async def first_is_alerted() -> bool:
            return await alerted(platform) == tutors[:1]

        await eventually(first_is_alerted)
    assert await platform.rows("SELECT tutor_id FROM tutorwatch.failures") == tutors[1:]


async def test_attempt_at_a_failing_tutor_that_meets_another_schema_does_not_count(
    database_url: str, platform: Platform
) -> None:
    (tutor,) = await no_shows(platform, 1)
    await platform.rows("DELETE FROM tutorwatch.outbox RETURNING 1")
    async with listening(database_url, heartbeat_seconds=0.1, poll_seconds=0.2):
        await is_up(platform)
        async with platform.connection.transaction():
            await platform.connection.execute("ALTER TABLE sessions RENAME status TO state")
            await platform.rows(
                "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at,"
                " next_attempt_at) VALUES (%s, 3, 'ZeroDivisionError', now(), now(), now()) RETURNING 1",
                tutor,
            )
        await blocked(platform)
        assert await platform.rows("SELECT attempts, unfinished, parked_at FROM tutorwatch.failures") == [
            (3, False, None)
        ]
        await platform.connection.execute("ALTER TABLE sessions RENAME state TO status")
        await has_settled(platform)
    assert await alerted(platform) == [tutor]


async def test_changes_given_back_by_one_listener_set_no_tutor_apart_for_another(
    database_url: str, platform: Platform
) -> None:
    async with listening(database_url, heartbeat_seconds=0.1), listening(database_url, heartbeat_seconds=0.1):
        await is_up(platform, 2)
        await has_settled(platform)
        async with platform.connection.transaction():
            tutors = await no_shows(platform, 3)
            await platform.connection.execute("ALTER TABLE sessions RENAME status TO state")
        await blocked(platform)
        await has_looked_again(platform)
        assert await nobody_is_booked(platform)
        await platform.connection.execute("ALTER TABLE sessions RENAME state TO status")
        await has_settled(platform)
        assert await alerted(platform) == tutors
        assert await nobody_is_booked(platform)


async def test_insight_without_a_label_is_off_and_evaluated_once_it_has_one(
    database_url: str, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "COMPARE_SECONDS", 0.1)
    await platform.connection.execute("ALTER TYPE insight_category RENAME VALUE 'low_engagement' TO 'dull'")
    async with listening(database_url, heartbeat_seconds=0.1):
        await is_up(platform)
        for _ in range(5):
            await platform.session(at=datetime.now(UTC) - timedelta(days=1), audio=BORING)
        await has_settled(platform)
        assert await platform.active_insights() == ["infrequent_understanding_checks"]
        assert await nobody_is_booked(platform)

        await platform.connection.execute("ALTER TYPE insight_category RENAME VALUE 'dull' TO 'low_engagement'")

        async def has_both() -> bool:
            return await platform.active_insights() == ["infrequent_understanding_checks", "low_engagement"]

        await eventually(has_both)


BORING: dict[str, Any] = {"student_engagement_score": 3, "tutor_talk_ratio": 0.55}
"""Also without a check of whether anything was understood."""


async def test_alert_type_without_a_label_is_off_and_opens_no_alert(database_url: str, platform: Platform) -> None:
    await platform.connection.execute("ALTER TYPE alert_type RENAME VALUE 'no_show_pattern' TO 'absent'")
    async with listening(database_url, heartbeat_seconds=0.1):
        await is_up(platform)
        await no_shows(platform, 2)
        await platform.session("tutor-0001", number=1, score=5, at=datetime.now(UTC) - timedelta(days=1))
        await has_settled(platform)
        assert await platform.open_alerts("tutor-0001") == ["poor_first_session"]
        assert await platform.open_alerts("tutor-0002") == []
        await platform.session("tutor-0001", number=1, score=4, at=datetime.now(UTC) - timedelta(days=1))
        await has_settled(platform)
        assert await nobody_is_booked(platform)


async def test_labels_are_written_whatever_type_the_platform_gives_their_columns(
    database_url: str, platform: Platform
) -> None:
    await platform.connection.execute(
        "ALTER TABLE alerts ALTER severity TYPE text; ALTER TYPE alert_type RENAME TO kind_of_alert;"
        "ALTER TABLE tutor_insights ALTER category TYPE text, ALTER insight_type TYPE varchar(20)"
    )
    async with listening(database_url, heartbeat_seconds=0.1):
        await is_up(platform)
        tutors = await no_shows(platform, 2)
        for _ in range(6):
            await platform.session("tutor-0001", at=datetime.now(UTC) - timedelta(days=1), audio=BORING)
        await has_settled(platform)
        assert await alerted(platform) == tutors
        assert await platform.rows("SELECT DISTINCT severity FROM alerts ORDER BY 1") == ["critical", "warning"]
        assert await platform.active_insights("tutor-0001") == ["infrequent_understanding_checks", "low_engagement"]
        assert await nobody_is_booked(platform)


async def test_insight_of_a_category_that_is_not_ours_is_left_alone(database_url: str, platform: Platform) -> None:
    await platform.connection.execute("ALTER TYPE insight_category ADD VALUE 'patience'")
    await platform.user("tutor")
    await platform.connection.execute(
        "INSERT INTO tutor_insights (tutor_id, insight_type, category, display_text)"
        " VALUES ('tutor', 'strength', 'patience', 'theirs')"
    )
    async with listening(database_url, heartbeat_seconds=0.1):
        await platform.rows("INSERT INTO tutorwatch.outbox (tutor_id) VALUES ('tutor') RETURNING 1")
        await has_settled(platform)
    assert await platform.active_insights() == ["patience"]


async def test_backfill_beside_a_schema_that_does_not_fit_is_one_line_and_retires_nothing(
    database_url: str, platform: Platform, engine: AsyncEngine
) -> None:
    del engine
    await platform.user("tutor")
    await platform.connection.execute(
        "INSERT INTO tutor_insights (tutor_id, insight_type, category, display_text)"
        " VALUES ('tutor', 'strength', 'high_engagement', 'as it was')"
    )
    for breaking, said in (
        ("ALTER TABLE sessions RENAME status TO state", "column sessions.status is missing"),
        (
            "ALTER TABLE sessions RENAME state TO status; ALTER TABLE sessions ENABLE ROW LEVEL SECURITY",
            f"row-level security hides rows of public.sessions from {LISTENER.name}",
        ),
    ):
        await platform.connection.execute(breaking.encode())
        done = tutorwatch("backfill", url=LISTENER.url(database_url))
        assert (done.code, done.out) == (1, "")
        (line,) = done.err.splitlines()
        assert line.startswith("Nothing can be evaluated: ")
        assert said in line
    assert await platform.active_insights() == ["high_engagement"]
