"""A platform that lives on beside a listener and a dashboard: what it does passes, is told where it matters, is undone,
and in the end everything has been caught up."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.support.command import Running, tutorwatch
from tests.support.platform import Platform
from tests.support.platform_sample import TABLES, read
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import eventually

MINUTE = 60.0
"""Within so long each state is to be told."""

STATUSES = "'scheduled', 'in_progress', 'completed', 'no_show_tutor', 'no_show_student', 'cancelled', 'rescheduled'"
BY_WAY_OF_TEXT = f"""
    BEGIN;
    ALTER TABLE sessions ALTER status DROP DEFAULT, ALTER status TYPE text;
    DROP TYPE session_status;
    CREATE TYPE session_status AS ENUM ({STATUSES});
    ALTER TABLE sessions ALTER status TYPE session_status USING status::session_status,
        ALTER status SET DEFAULT 'scheduled';
    COMMIT;
"""
DROP_OUR_INDEXES = """
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT indexrelid::regclass FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                    WHERE relname LIKE 'tutorwatch_%' AND relnamespace = 'public'::regnamespace
        LOOP EXECUTE 'DROP INDEX ' || name; END LOOP;
    END $$
"""
TELLING = ("sessions", "session_audio_metrics", "session_video_metrics")


class Installation:
    """A client of the platform, a listener and a dashboard, as their roles."""

    def __init__(self, url: str, platform: Platform, session: aiohttp.ClientSession, ports: tuple[str, str]) -> None:
        self.url = url
        self.platform = platform
        self._session = session
        self._listener, self._dashboard = ports

    async def client(self, statement: str, *values: Any) -> None:
        """What another client or the platform's own tools do: it passes."""
        await self.platform.connection.execute(statement.encode(), values or None)

    async def no_shows(self, tutor: str, count: int) -> None:
        """Sessions of the last hours that the tutor missed."""
        await self.platform.user(tutor)
        await self.client(
            "INSERT INTO sessions (tutor_id, student_id, scheduled_start, scheduled_duration, subject_id,"
            " session_number, status)"
            " SELECT %s, (SELECT user_id FROM students LIMIT 1), now() AT TIME ZONE 'UTC' - n * interval '1 hour', 60,"
            " (SELECT id FROM subjects LIMIT 1), 2, 'no_show_tutor' FROM generate_series(1, %s) AS n",
            tutor,
            count,
        )

    async def is_told(self, *words: str) -> None:
        """By the command line, by the listener and by the dashboard, in these words."""

        async def everywhere() -> bool:
            status = tutorwatch("status", "--json", url=self.url)
            ready, by_listener = await self._get(self._listener)
            _, by_dashboard = await self._get(self._dashboard)
            told = [status.out, json.dumps(by_listener), json.dumps(by_dashboard["condition"])]
            return status.code == 1 and ready == 503 and all(word in text for word in words for text in told)

        assert await eventually(everywhere, within=MINUTE)

    async def is_well(self) -> None:
        """Nothing is told any more, and nothing waits."""

        async def everywhere() -> bool:
            ready, _ = await self._get(self._listener)
            _, by_dashboard = await self._get(self._dashboard)
            return (
                tutorwatch("status", url=self.url).code == 0
                and ready == 200
                and by_dashboard["condition"]["is_well"] is True
                and await self.platform.rows("SELECT count(*) FROM tutorwatch.outbox") == [0]
            )

        assert await eventually(everywhere, within=MINUTE)

    async def has_alert(self, tutor: str) -> None:
        """An open one for no-shows."""

        async def is_open() -> bool:
            return "no_show_pattern" in await self.platform.open_alerts(tutor)

        assert await eventually(is_open, within=MINUTE)

    async def _get(self, url: str) -> tuple[int, Any]:
        async with self._session.get(f"{url}/readyz") as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def installation(database_url: str, platform: Platform) -> AsyncIterator[Installation]:
    """An adopted copy of the sample, everything evaluated."""
    shift = datetime.now(UTC).replace(tzinfo=None)
    async with platform.connection.pipeline():
        for table in TABLES:
            for row in read(table, at=shift):
                await platform.insert(table, **row)
    listener = Running("listen", url=LISTENER.url(database_url), listener_port=0, poll_seconds=2)
    dashboard = Running("web", url=WEB.url(database_url), web_port=0)
    with listener, dashboard:
        ports = [
            (await each.log(action="serving"))["message"].removeprefix("Serving on ") for each in (listener, dashboard)
        ]
        async with aiohttp.ClientSession() as session:
            found = Installation(database_url, platform, session, (ports[0], ports[1]))
            await found.is_well()
            yield found


async def test_whatever_it_does_is_told_undone_and_caught_up(installation: Installation) -> None:
    """No client statement fails, no tutor is dead-lettered, and at the end a backfill creates nothing."""
    platform = installation.platform
    await installation.client(DROP_OUR_INDEXES)
    await installation.no_shows("without-indexes", 2)
    await installation.has_alert("without-indexes")

    await installation.client(BY_WAY_OF_TEXT)
    await installation.no_shows("new-enum", 2)
    await installation.has_alert("new-enum")

    for table in ("sessions", "alerts", "tutor_insights"):
        await installation.client(f"UPDATE {table} SET tutor_id = 'new-enum' WHERE tutor_id = 'without-indexes'")
    await installation.is_well()
    assert (await platform.open_alerts("new-enum")).count("no_show_pattern") == 1
    assert await platform.open_alerts("without-indexes") == []

    insights = await platform.rows("SELECT count(*) FROM tutor_insights WHERE is_active")
    for table in TELLING:
        await installation.client(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    await installation.no_shows("unseen", 2)
    await installation.is_told("row-level security")
    assert await platform.rows("SELECT count(*) FROM tutor_insights WHERE is_active") == insights
    for table in TELLING:
        await installation.client(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    await installation.has_alert("unseen")
    await installation.is_well()

    await installation.client("ALTER TABLE sessions RENAME overall_session_score TO score")
    await installation.client("UPDATE sessions SET score = 1 WHERE tutor_id = 'unseen'")
    await installation.is_told("sessions.overall_session_score")
    await installation.no_shows("renamed", 2)
    await installation.client("ALTER TABLE sessions RENAME score TO overall_session_score")
    await installation.has_alert("renamed")
    await installation.is_well()

    assert await platform.rows("SELECT tutor_id FROM tutorwatch.failures") == []
    backfill = tutorwatch("backfill", url=installation.url)
    assert backfill.code == 0
    assert "- Total alerts created: 0\n- Total insights created: 0\n" in backfill.out
    repaired = tutorwatch("migrate", url=installation.url)
    assert repaired.code == 0
    assert "Repaired: index tutorwatch_sessions_by_tutor is missing" in repaired.out
