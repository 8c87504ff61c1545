"""An alert that got worse since it was acknowledged says so, and is unattended again."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from database.tables import alerts
from rules import life
from tests.rules.generating import Generation
from tests.support.platform import NOW, Platform


def talking(ratio: str) -> dict[str, Any]:
    return {"audio": {"tutor_talk_ratio": ratio, "tutor_checks_understanding_count": 6}}


TALKS, LISTENS = talking("0.70"), talking("0.40")
FEW, NONE = {"audio": {"tutor_checks_understanding_count": 3}}, {"audio": {"tutor_checks_understanding_count": 0}}
MISSED, MOVED = {"status": "no_show_tutor"}, {"status": "rescheduled", "rescheduled_by": "tutor"}
POOR = {"number": 1, "score": "6.4"}
KINDS: list[Any] = [
    pytest.param("poor_first_session", [POOR], POOR, "1 → 2", id="poor_first_session"),
    pytest.param("no_show_pattern", [MISSED] * 2, MISSED, "2 → 3", id="no_show_pattern"),
    pytest.param("high_talk_ratio", [TALKS] * 4 + [LISTENS], TALKS, "80% → 83%", id="high_talk_ratio"),
    pytest.param("low_understanding_checks", [FEW] * 5, NONE, "3.0 → 2.5", id="low_understanding_checks"),
    pytest.param("high_reschedule_rate", [MOVED] * 5, MOVED, "5 → 6", id="high_reschedule_rate"),
    pytest.param(
        "declining_performance", [{"score": "6.0"}] * 3, {"score": "3.0"}, "33% → 42%", id="declining_performance"
    ),
]


async def write(platform: Platform, *sessions: dict[str, Any], at_hour: int = 1) -> list[UUID]:
    """Sessions, each with a student of its own, an hour apart."""
    return [
        await platform.session(
            "tutor", student=f"student-{at_hour}-{index}", at=NOW - timedelta(hours=at_hour + index), **each
        )
        for index, each in enumerate(sessions)
    ]


async def opened(platform: Platform, generation: Generation, sessions: list[dict[str, Any]]) -> UUID:
    """The alert that these sessions open."""
    for _ in range(3 if any("score" in each and "number" not in each for each in sessions) else 0):
        await platform.session("tutor", days_ago=45, score="9.0")
    await write(platform, *sessions, at_hour=10)
    await generation()
    await platform.user("dana", role="admin")
    [alert_id] = await platform.rows("SELECT id FROM alerts WHERE NOT resolved")
    found: UUID = alert_id
    return found


async def acknowledge(engine: AsyncEngine, alert_id: UUID) -> None:
    async with engine.begin() as conn:
        await life.acknowledge(conn, alert_id, by="dana", now=NOW)


async def is_unattended(engine: AsyncEngine) -> bool:
    async with engine.begin() as conn:
        found = await conn.execute(select(life.is_unattended()).select_from(alerts))
    return bool(found.scalar_one())


async def events(platform: Platform, alert_id: UUID) -> list[Any]:
    return await platform.rows(
        "SELECT event, details, is_noticed FROM tutorwatch.alert_history WHERE alert_id = %s"
        " AND event <> 'value_changed' ORDER BY id",
        alert_id,
    )


@pytest.mark.parametrize(("rule", "sessions", "worse", "told"), KINDS)
async def test_every_alert_says_so_once(
    platform: Platform,
    generation: Generation,
    engine: AsyncEngine,
    rule: str,
    sessions: list[dict[str, Any]],
    worse: dict[str, Any],
    told: str,
) -> None:
    alert_id = await opened(platform, generation, sessions)
    assert await platform.rows("SELECT alert_type::text FROM alerts") == [rule]
    assert await is_unattended(engine)
    await acknowledge(engine, alert_id)
    await generation()
    assert not await is_unattended(engine)

    [session_id] = await write(platform, worse)
    await generation()
    await generation()
    assert await is_unattended(engine)
    assert (await events(platform, alert_id))[-1] == ("worse", told, False)

    await acknowledge(engine, alert_id)
    await generation()
    assert not await is_unattended(engine)
    assert [event for event, *_ in await events(platform, alert_id)] == [
        "opened",
        "acknowledged",
        "worse",
        "acknowledged",
    ]

    await platform.connection.execute("UPDATE sessions SET status = 'scheduled' WHERE id = %s", [session_id])
    await generation()
    assert not await is_unattended(engine)


@pytest.mark.parametrize(
    ("sessions", "more"),
    [
        pytest.param([FEW] * 5, FEW, id="same value"),
        pytest.param([TALKS] * 4 + [LISTENS] * 1, talking("0.10"), id="no longer met"),
        pytest.param([NONE] * 5, FEW, id="better"),
        pytest.param([MISSED] * 2, {"score": "9.0"}, id="another session"),
    ],
)
async def test_nothing_else_is_worse(
    platform: Platform,
    generation: Generation,
    engine: AsyncEngine,
    sessions: list[dict[str, Any]],
    more: dict[str, Any],
) -> None:
    alert_id = await opened(platform, generation, sessions)
    await acknowledge(engine, alert_id)

    await write(platform, more)
    await generation()

    assert not await is_unattended(engine)
    assert "worse" not in {event for event, *_ in await events(platform, alert_id)}


async def test_further_session_is_worse_though_their_number_is_the_same(
    platform: Platform, generation: Generation, engine: AsyncEngine
) -> None:
    alert_id = await opened(platform, generation, [MISSED] * 2)
    await acknowledge(engine, alert_id)
    await platform.connection.execute(
        "UPDATE sessions SET status = 'scheduled' WHERE id = (SELECT min(id::text)::uuid FROM sessions)"
    )
    await write(platform, MISSED)

    await generation()

    assert await is_unattended(engine)
    assert (await events(platform, alert_id))[-1] == ("worse", None, False)


async def test_what_another_client_acknowledges_is_compared_from_when_it_was_noticed(
    platform: Platform, generation: Generation, engine: AsyncEngine
) -> None:
    alert_id = await opened(platform, generation, [MISSED] * 2)
    await platform.connection.execute(
        "UPDATE alerts SET acknowledged = true, acknowledged_by = 'dana', acknowledged_at = %s", [NOW]
    )
    await generation()
    await generation()
    assert not await is_unattended(engine)
    assert await events(platform, alert_id) == [
        ("opened", "2 no-shows in 30 days (alert from 2)", False),
        ("acknowledged", None, True),
    ]

    await write(platform, MISSED)
    await generation()
    assert await is_unattended(engine)

    later = NOW + timedelta(hours=1)
    await platform.connection.execute("UPDATE alerts SET acknowledged_at = %s", [later])
    assert not await is_unattended(engine), "at once"
    await generation()
    assert not await is_unattended(engine)

    await platform.connection.execute("UPDATE alerts SET acknowledged = false, acknowledged_at = NULL")
    await generation()
    assert [event for event, _, is_noticed in await events(platform, alert_id) if is_noticed] == [
        "acknowledged",
        "acknowledged",
        "unacknowledged",
    ]


async def test_what_another_client_resolves_or_reopens_is_noticed_once(
    platform: Platform, generation: Generation
) -> None:
    alert_id = await opened(platform, generation, [MISSED] * 2)

    await platform.connection.execute("UPDATE alerts SET resolved = true, resolved_at = %s", [NOW])
    await generation()
    await generation()
    assert (await events(platform, alert_id))[1:] == [("resolved", None, True)]

    await platform.connection.execute("UPDATE alerts SET resolved = false, resolved_at = NULL")
    await generation()
    await generation()
    assert (await events(platform, alert_id))[2:] == [("reopened", None, True)]


async def test_what_the_dashboard_resolves_and_reopens_is_noticed_by_nobody(
    platform: Platform, generation: Generation, engine: AsyncEngine
) -> None:
    alert_id = await opened(platform, generation, [MISSED] * 2)
    await acknowledge(engine, alert_id)
    await generation.resolve("no_show_pattern", now=NOW + timedelta(minutes=1))
    await generation()

    async with engine.begin() as conn:
        await life.reopen(conn, alert_id, by="dana")
    await generation()

    assert await is_unattended(engine), "until somebody acknowledges it anew"
    assert [(event, is_noticed) for event, _, is_noticed in await events(platform, alert_id)] == [
        ("opened", False),
        ("acknowledged", False),
        ("resolved", False),
        ("reopened", False),
    ]


async def test_deleted_alert_is_noticed_without_a_word(platform: Platform, generation: Generation) -> None:
    alert_id = await opened(platform, generation, [MISSED] * 2)
    await platform.connection.execute("DELETE FROM alerts")

    await generation()

    assert len(await events(platform, alert_id)) == 1
    assert await platform.rows("SELECT is_over FROM tutorwatch.alert_evidence") == [True]


async def test_acknowledgement_that_came_with_a_resolution_goes_with_it(
    platform: Platform, generation: Generation, engine: AsyncEngine
) -> None:
    alert_id = await opened(platform, generation, [MISSED] * 2)
    await generation.resolve("no_show_pattern")
    async with engine.begin() as conn:
        await life.reopen(conn, alert_id, by="dana")

    await generation()

    assert await is_unattended(engine)
    assert [event for event, *_ in await events(platform, alert_id)] == ["opened", "resolved", "reopened"]
