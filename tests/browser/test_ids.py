"""Users whose id a browser would take for a folder."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.support.alerts import insert_alert
from tests.support.platform import Platform


@pytest.mark.parametrize("user_id", [".", "..", "~.."])
async def test_tutor_of_dots_has_a_page_that_follows_what_happens(
    user_id: str, visitor: Visitor, platform: Platform
) -> None:
    await platform.user(user_id, name="Dot Dotson")
    await insert_alert(platform, user_id)
    dana, dot = await visitor("dana"), await visitor(user_id)

    await dana.visit("/")
    await dana.row("Dot Dotson").get_by_role("link", name="View details").click()
    await expect(dana.page.locator("h1")).to_have_text("Dot Dotson")
    await dana.live()
    await dana.page.get_by_label("New note").fill("Called her")
    await dana.page.get_by_role("button", name="Add note").click()
    await expect(dana.page.locator("#note-list")).to_contain_text("Called her")

    await dot.visit("/")
    await expect(dot.page.locator("h1")).to_have_text("Dot Dotson")
    await dot.live()
    await insert_alert(platform, user_id, title="High talk ratio", alert_type="high_talk_ratio", severity="warning")
    await expect(dot.page.locator("#open-alerts")).to_contain_text("High talk ratio")
