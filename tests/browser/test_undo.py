"""A wrong click is taken back right away, with a script and without."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.support.alerts import insert_alert
from tests.support.platform import Platform


@pytest.mark.parametrize("has_script", [True, False])
async def test_wrong_acknowledgement_is_undone(visitor: Visitor, platform: Platform, has_script: bool) -> None:
    await insert_alert(platform, "ann")
    dana = await visitor(java_script_enabled=has_script)
    await dana.visit("/alerts")
    await dana.sign_in("dana@example.test")
    await dana.visit("/alerts")

    await dana.row("Ann Lee").get_by_role("button", name="Acknowledge").click()
    await expect(dana.row("Ann Lee")).to_contain_text("Acknowledged by Dana Whitfield")
    await dana.page.get_by_role("button", name="Undo").click()

    await expect(dana.row("Ann Lee").get_by_role("button", name="Acknowledge")).to_be_visible()
    await expect(dana.page.get_by_role("button", name="Undo")).to_have_count(0)


async def test_wrong_resolution_is_undone_on_the_alerts_page(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann")
    dana = await visitor()
    await dana.visit("/alerts")
    await dana.sign_in("dana@example.test")
    await dana.visit("/alerts")

    await dana.resolve(dana.row("Ann Lee"), "The wrong one")
    await expect(dana.row("Ann Lee")).to_have_count(0)
    await dana.page.get_by_role("button", name="Undo").click()
    await expect(dana.row("Ann Lee")).to_be_visible()
    await dana.row("Ann Lee").get_by_role("link", name="Tutor no-shows").click()

    await expect(dana.page.locator("#history")).to_contain_text("Reopened by Dana Whitfield")
