"""What happens to an alert is on record in order, and what a person did can be taken back."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from rules import life
from rules.life import AlreadyDoneError, AnotherOpenError, Outcome, UnknownAlertError
from tests.rules.generating import Generation
from tests.support.platform import NOW, Platform

STATE = (
    "SELECT acknowledged, acknowledged_by, acknowledged_at, resolved, resolved_at, action_taken FROM alerts"
    " WHERE id = %s"
)


async def history(platform: Platform, alert_id: UUID) -> list[Any]:
    """The events of the alert with who did it."""
    return await platform.rows(
        "SELECT event, actor FROM tutorwatch.alert_history WHERE alert_id = %s ORDER BY id", alert_id
    )


async def an_open_alert(platform: Platform, generation: Generation) -> UUID:
    """Two no-shows have opened it."""
    for days in (1, 2):
        await platform.session(status="no_show_tutor", days_ago=days)
    await generation()
    await platform.user("dana", role="admin")
    [alert_id] = await platform.rows("SELECT id FROM alerts WHERE NOT resolved")
    found: UUID = alert_id
    return found


async def resolve(engine: AsyncEngine, alert_id: UUID, outcome: Outcome = Outcome.COACHED) -> None:
    async with engine.begin() as conn:
        await life.resolve(conn, alert_id, by="dana", action_taken="Talked", outcome=outcome, now=NOW)


async def reopen(engine: AsyncEngine, alert_id: UUID) -> str:
    async with engine.begin() as conn:
        return await life.reopen(conn, alert_id, by="dana")


async def test_every_step_is_on_record(platform: Platform, generation: Generation, engine: AsyncEngine) -> None:
    alert_id = await an_open_alert(platform, generation)
    async with engine.begin() as conn:
        await life.acknowledge(conn, alert_id, by="dana", now=NOW)
        await life.unacknowledge(conn, alert_id, by="dana")
    await generation(now=NOW + timedelta(days=60))
    await generation()
    await resolve(engine, alert_id)
    await reopen(engine, alert_id)

    assert await history(platform, alert_id) == [
        ("opened", None),
        ("acknowledged", "dana"),
        ("unacknowledged", "dana"),
        ("no_longer_met", None),
        ("met_again", None),
        ("resolved", "dana"),
        ("reopened", "dana"),
    ]


async def test_generating_again_adds_nothing(platform: Platform, generation: Generation) -> None:
    alert_id = await an_open_alert(platform, generation)
    for days in (0, 0, 60, 60, 61):
        await generation(now=NOW + timedelta(days=days))

    assert [event for event, _ in await history(platform, alert_id)] == ["opened", "no_longer_met"]


@pytest.mark.parametrize("was_acknowledged", [True, False])
async def test_reopening_brings_the_state_before_back(
    platform: Platform, generation: Generation, engine: AsyncEngine, was_acknowledged: bool
) -> None:
    alert_id = await an_open_alert(platform, generation)
    if was_acknowledged:
        async with engine.begin() as conn:
            await life.acknowledge(conn, alert_id, by="dana", now=NOW - timedelta(hours=1))
    before = await platform.rows(STATE, alert_id)
    await resolve(engine, alert_id)

    assert await reopen(engine, alert_id) == "tutor"

    assert await platform.rows(STATE, alert_id) == before
    assert await platform.rows("SELECT count(*) FROM tutorwatch.alert_resolutions") == [0]
    assert await platform.rows("SELECT count(*) FROM coaching_notes") == [0]


async def test_reopening_takes_no_other_note_back(
    platform: Platform, generation: Generation, engine: AsyncEngine
) -> None:
    alert_id = await an_open_alert(platform, generation)
    async with engine.begin() as conn:
        await life.add_note(conn, "tutor", "By hand", by="dana", now=NOW)
    await resolve(engine, alert_id)

    await reopen(engine, alert_id)

    assert await platform.rows("SELECT content FROM coaching_notes") == ["By hand"]


async def test_reopened_alert_is_refreshed_and_its_sessions_open_no_other(
    platform: Platform, generation: Generation, engine: AsyncEngine
) -> None:
    alert_id = await an_open_alert(platform, generation)
    await resolve(engine, alert_id)
    await reopen(engine, alert_id)
    await platform.session(status="no_show_tutor", days_ago=3)

    assert (await generation()).alerts == []
    assert await platform.rows("SELECT description FROM alerts") == ["3 no-shows in 30 days (alert from 2)"]


async def test_reopening_beside_another_open_one_is_refused(
    platform: Platform, generation: Generation, engine: AsyncEngine
) -> None:
    alert_id = await an_open_alert(platform, generation)
    await resolve(engine, alert_id)
    await platform.session(status="no_show_tutor", days_ago=3)
    assert len((await generation()).alerts) == 1

    with pytest.raises(AnotherOpenError):
        await reopen(engine, alert_id)

    assert await platform.rows("SELECT resolved FROM alerts WHERE id = %s", alert_id) == [True]
    assert await history(platform, alert_id) == [("opened", None), ("resolved", "dana")]


async def test_nothing_to_take_back_is_refused(platform: Platform, generation: Generation, engine: AsyncEngine) -> None:
    alert_id = await an_open_alert(platform, generation)
    with pytest.raises(AlreadyDoneError):
        await reopen(engine, alert_id)
    with pytest.raises(AlreadyDoneError):
        async with engine.begin() as conn:
            await life.unacknowledge(conn, alert_id, by="dana")
    with pytest.raises(UnknownAlertError):
        await reopen(engine, UUID(int=0))
