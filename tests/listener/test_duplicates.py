"""Clients that insert, move and merge alerts while a listener runs: their writes pass, and wake it."""

import psycopg
import pytest

from tests.support.listening import NEVER, alerted, has_settled, is_up, listening, no_shows
from tests.support.platform import Platform
from tests.support.waiting import eventually

INSERT = """
    INSERT INTO alerts (tutor_id, alert_type, severity, title, description)
    VALUES ('tutor-0001', 'no_show_pattern', 'critical', 'theirs', 'theirs')
"""
MOVE = "UPDATE alerts SET tutor_id = 'tutor-0001' WHERE tutor_id = 'tutor-0002'"
MOVE_SESSIONS = "UPDATE sessions SET tutor_id = 'tutor-0001' WHERE tutor_id = 'tutor-0002'"
REOPEN = "UPDATE alerts SET resolved = false, resolved_at = NULL WHERE resolved"


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "SERIALIZABLE"])
@pytest.mark.parametrize(
    "writes",
    [
        pytest.param([INSERT], id="a second one inserted"),
        pytest.param([MOVE], id="moved to a tutor who has one"),
        pytest.param([MOVE_SESSIONS, MOVE], id="merged, sessions first"),
        pytest.param([MOVE, MOVE_SESSIONS], id="merged, alerts first"),
        pytest.param([INSERT, REOPEN], id="a duplicate reopened"),
    ],
)
async def test_a_duplicate_is_ended_at_once_and_no_write_fails(
    database_url: str, platform: Platform, writes: list[str], isolation: str
) -> None:
    """Without a poll: what ends it is the wake-up."""

    async def one_is_open() -> bool:
        tutors = await platform.rows(
            "SELECT tutor_id FROM alerts WHERE NOT resolved AND alert_type = 'no_show_pattern' ORDER BY 1"
        )
        return tutors.count("tutor-0001") == 1

    async def both_are_alerted() -> bool:
        return await alerted(platform) == ["tutor-0001", "tutor-0002"]

    async with listening(database_url, poll_seconds=NEVER):
        await is_up(platform)
        await no_shows(platform, 2)
        await eventually(both_are_alerted)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as client:
            for statement in writes:
                if statement == REOPEN:
                    await eventually(one_is_open)
                async with client.transaction():
                    await client.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}".encode())
                    assert (await client.execute(statement.encode())).rowcount > 0
        await eventually(one_is_open)
        await has_settled(platform)

    assert await platform.rows("SELECT DISTINCT outcome FROM tutorwatch.alert_resolutions") == ["duplicate"]
    assert await platform.rows("SELECT tutor_id FROM tutorwatch.failures") == []


async def test_insights_that_a_client_inserts_are_looked_at_at_once(database_url: str, platform: Platform) -> None:
    await platform.user("tutor")
    async with listening(database_url, poll_seconds=NEVER):
        await is_up(platform)
        for _ in range(2):
            await platform.insert(
                "tutor_insights",
                tutor_id="tutor",
                insight_type="strength",
                category="high_engagement",
                display_text="theirs",
            )

        async def none_is_active() -> bool:
            return await platform.active_insights() == []

        await eventually(none_is_active)  # it doesn't hold
