"""An open alert says what is true now: no longer met, or worse than when it was acknowledged."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.support.platform import Platform
from tests.support.waiting import eventually


async def says(platform: Platform, words: str) -> None:
    """Waits until the one alert says so."""

    async def is_so() -> bool:
        return any(words in description for description in await platform.rows("SELECT description FROM alerts"))

    await eventually(is_so, words)


@pytest.mark.parametrize("has_script", [True, False])
async def test_alert_that_is_no_longer_met_is_resolved_by_one_click(
    visitor: Visitor,
    platform: Platform,
    listener: None,  # noqa: ARG001 - it updates the alert
    has_script: bool,
) -> None:
    ids = [
        await platform.session("ann", status="no_show_tutor", at=datetime.now(UTC) - timedelta(days=days))
        for days in (1, 2)
    ]
    await says(platform, "2 no-shows in 30 days")
    await platform.connection.execute(
        "UPDATE sessions SET status = 'completed', overall_session_score = 8 WHERE id = ANY(%s)", [ids]
    )
    await says(platform, "No longer met since")
    dana = await visitor("dana", java_script_enabled=has_script)
    await dana.visit("/")
    await expect(dana.row("Ann Lee")).to_contain_text(": 0 no-shows in 30 days")

    await dana.visit("/alerts?status=no_longer_met")
    await expect(dana.row("Ann Lee").get_by_role("button", name="Acknowledge")).to_be_visible()
    await dana.row("Ann Lee").get_by_role("button", name="Resolve as no longer met").click()

    await expect(dana.row("Ann Lee")).to_have_count(0)
    await expect(dana.page.locator("#flash")).to_contain_text("Resolved.")
    assert await platform.rows("SELECT outcome FROM tutorwatch.alert_resolutions") == ["condition_cleared"]


async def test_alert_that_got_worse_is_unattended_again(
    visitor: Visitor,
    platform: Platform,
    listener: None,  # noqa: ARG001 - it updates the alert
) -> None:
    for days in (1, 2):
        await platform.session("ann", status="no_show_tutor", at=datetime.now(UTC) - timedelta(days=days))
    dana = await visitor("dana")
    await dana.visit("/")
    await dana.live()
    await expect(dana.page.locator("#critical-title")).to_contain_text("1 unattended")
    await dana.row("Ann Lee").get_by_role("button", name="Acknowledge").click()
    await expect(dana.page.locator("#critical-title")).to_contain_text("0 unattended")

    await platform.session("ann", status="no_show_tutor", at=datetime.now(UTC) - timedelta(days=3))

    await expect(dana.row("Ann Lee")).to_contain_text("Worse since it was acknowledged: 2 → 3")
    await expect(dana.page.locator("#critical-title")).to_contain_text("1 unattended")
    await dana.row("Ann Lee").get_by_role("button", name="Acknowledge").click()
    await expect(dana.row("Ann Lee")).not_to_contain_text("Worse")
    await dana.row("Ann Lee").get_by_role("link", name="Tutor no-shows", exact=True).click()
    await expect(dana.page.locator("#history")).to_contain_text("Worse")
