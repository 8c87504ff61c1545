"""Which deliveries are written: once per event and channel, in the transaction that writes the history."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from rules import life
from rules.generation import generate
from rules.thresholds import Thresholds
from tests.support.alerts import insert_alert
from tests.support.command import tutorwatch
from tests.support.databases import check
from tests.support.listening import has_settled, listening, no_shows
from tests.support.platform import NOW, Platform
from tests.support.statements import watched
from tests.telling.channels import deliveries, make_channel

MAIL = "mailto:dana@example.test"


async def test_two_listeners_write_one_delivery_per_alert_and_channel(database_url: str, platform: Platform) -> None:
    first, second = await make_channel(platform, MAIL), await make_channel(platform, MAIL, "second")
    async with listening(database_url), listening(database_url):
        tutors = await no_shows(platform, 20, each=1)
        await no_shows(platform, 20, each=1)
        await has_settled(platform)

    found = await deliveries(platform, "tutor_id, channel_id")
    assert sorted(found) == sorted((tutor, channel) for tutor in tutors for channel in (first, second))


async def opened_by_hand(platform: Platform, **alert: Any) -> None:
    alert_id = await insert_alert(platform, **alert)
    await platform.connection.execute(
        "INSERT INTO tutorwatch.alert_history (alert_id, tutor_id, event) VALUES (%s, 'tutor', 'opened')", [alert_id]
    )


@pytest.mark.parametrize(
    ("columns", "is_told"),
    [
        pytest.param({}, True, id="no filter"),
        pytest.param({"severities": ["critical"]}, True, id="its severity"),
        pytest.param({"severities": ["warning"]}, False, id="another severity"),
        pytest.param({"types": ["no_show_pattern"]}, True, id="its type"),
        pytest.param({"types": ["high_talk_ratio"]}, False, id="another type"),
        pytest.param({"events": None}, True, id="all events"),
        pytest.param({"events": ["resolved"]}, False, id="another event"),
        pytest.param({"is_on": False}, False, id="switched off"),
    ],
)
async def test_channel_tells_what_passes_its_filters(
    columns: dict[str, Any], is_told: bool, platform: Platform
) -> None:
    await make_channel(platform, MAIL, **columns)
    await opened_by_hand(platform)
    assert await deliveries(platform) == ([("opened", "waiting")] if is_told else [])


async def test_acknowledging_that_is_taken_back_with_its_transaction_tells_nothing(
    platform: Platform, engine: AsyncEngine
) -> None:
    await make_channel(platform, MAIL, events=["acknowledged"])
    await platform.user("dana", role="admin")
    alert_id = await insert_alert(platform)
    async with engine.connect() as conn:
        await life.acknowledge(conn, alert_id, by="dana", now=NOW)
        await conn.rollback()
    assert await deliveries(platform) == []
    async with engine.begin() as conn:
        await life.acknowledge(conn, alert_id, by="dana", now=NOW)
    assert await deliveries(platform) == [("acknowledged", "waiting")]


@pytest.mark.parametrize("notifies", [False, True])
async def test_backfill_tells_only_if_it_is_asked_to(notifies: bool, database_url: str, platform: Platform) -> None:
    await make_channel(platform, MAIL)
    await no_shows(platform, 3)

    done = tutorwatch("backfill", *(["--notify"] if notifies else []), url=database_url)

    assert "Total alerts created: 3" in done.out
    assert len(await deliveries(platform)) == (3 if notifies else 0)


async def test_without_channels_generation_costs_no_more_statements_and_no_row(
    platform: Platform, engine: AsyncEngine, thresholds: Thresholds
) -> None:
    counts = []
    for tutor, has_channel in (("ann", False), ("bob", True)):
        for days in (1, 2):
            await platform.session(tutor, status="no_show_tutor", days_ago=days)
        if has_channel:
            await make_channel(platform, MAIL)
        with watched(engine) as statements:
            async with engine.begin() as conn:
                assert (await generate(conn, [tutor], NOW, thresholds)).alerts
        counts.append(len(statements))
        assert len(await deliveries(platform)) == int(has_channel)
    assert counts[0] == counts[1]


def test_nothing_is_left_for_migrate_to_do(database_url: str) -> None:
    assert check(database_url) == []
