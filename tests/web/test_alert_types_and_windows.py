"""What pages say of alert types and windows is what the platform and the page itself have, whatever the settings."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rules import settings
from rules.registry import THRESHOLDS
from rules.thresholds import Thresholds, Unit
from tests.support.alerts import insert_alert
from tests.support.browsers import Browser, SignIn, read_page
from tests.support.platform import Platform

WINDOWS = [threshold.name for threshold in THRESHOLDS if threshold.unit is Unit.DAYS]


@pytest.fixture
def thresholds() -> Thresholds:
    """Every window another length than the page's 30 days, and than every other one."""
    return settings.thresholds(**{name: 50 + number for number, name in enumerate(WINDOWS)})


async def test_every_alert_type_can_be_filtered_by(sign_in: SignIn, platform: Platform) -> None:
    admin = await sign_in("dana")
    await platform.connection.execute("DELETE FROM alerts")
    types = set(await platform.rows("SELECT unnest(enum_range(NULL::alert_type))::text"))
    assert len(types) >= 8
    for each in types:
        await insert_alert(platform, "ann", alert_type=each)

    offered = re.search(r'<select id="type".*?</select>', await read_page(admin, "/alerts"), re.DOTALL)
    assert offered
    assert set(re.findall(r'value="(\w+)"', offered[0])) == types
    for each in types:
        async with admin.get("/api/alerts", params={"type": each}) as response:
            assert [alert["type"] for alert in (await response.json())["alerts"]] == [each]
        page = await read_page(admin, f"/alerts?type={each}")
        assert page.count('<li class="alert ') == 1


async def test_last_30_days_of_a_tutors_page_are_30_whatever_the_windows_of_the_rules(
    admin: Browser, platform: Platform
) -> None:
    assert len(WINDOWS) >= 5
    now = datetime.now(UTC)
    await platform.connection.execute("DELETE FROM sessions")
    for days in (29, 31, 49):
        at = now - timedelta(days=days)
        await platform.session("ann", score="8.0" if days < 30 else "6.0", at=at, completed_at=at)
        await platform.session("ann", status="no_show_tutor", at=at)
        await platform.session("ann", status="rescheduled", rescheduled_by="tutor", at=at)

    async with admin.get("/api/tutors/ann") as response:
        document: dict[str, Any] = await response.json()

    statistics = document["statistics"]
    assert (statistics["completed"], statistics["no_shows"], statistics["reschedules"]) == (1, 1, 1)
    assert statistics["score"] == {"value": 8.0, "count": 1}
    assert statistics["score_before"] == {"value": 6.0, "count": 2}
    assert document["figures"] == statistics, "its deprecated name"
    assert "1 no-show<" in await read_page(admin, "/tutors/ann")


async def test_tutors_page_speaks_of_consumed_sessions_only_where_an_alert_was_resolved(
    admin: Browser, platform: Platform
) -> None:
    sentence = "leave out the sessions that an earlier alert of the same type was based on"
    assert sentence not in await read_page(admin, "/tutors/ann")

    await platform.connection.execute("UPDATE alerts SET resolved = true, resolved_at = now()")

    assert sentence in await read_page(admin, "/tutors/ann")
