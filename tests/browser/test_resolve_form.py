"""The form for resolving opens in its row, as wide as that, one at a time, and covers nothing."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.browser.test_every_page import WIDTHS, violations, widths_exceeded
from tests.support.alerts import insert_alert
from tests.support.platform import Platform


@pytest.mark.parametrize("has_script", [True, False])
@pytest.mark.parametrize("path", ["/", "/alerts", "/tutors/ann"])
async def test_form_covers_nothing_and_one_is_open(
    path: str, has_script: bool, visitor: Visitor, platform: Platform
) -> None:
    for alert_type in ("no_show_pattern", "poor_first_session"):
        await insert_alert(platform, "ann", title=alert_type, alert_type=alert_type)
    await insert_alert(platform, "bob")
    dana = await visitor("dana", java_script_enabled=has_script)
    await dana.visit(path)
    rows = dana.page.locator("li.alert")
    for width in WIDTHS:
        await dana.page.set_viewport_size({"width": width, "height": 800})
        for number in range(await rows.count()):
            row = rows.nth(number)
            await row.locator("summary").click()
            form = row.locator(".resolve-form")
            await expect(form).to_be_visible()
            await expect(dana.page.locator(".resolve-form:visible")).to_have_count(1)
            outer, inner = await row.bounding_box(), await form.bounding_box()
            assert outer is not None
            assert inner is not None
            assert outer["y"] <= inner["y"]
            assert inner["y"] + inner["height"] <= outer["y"] + outer["height"]
            assert inner["width"] >= 0.9 * outer["width"] - 20
        await rows.last.locator("summary").click()
        await expect(dana.page.locator(".resolve-form:visible")).to_have_count(0)


async def test_open_form_is_accessible_at_every_width(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann")
    dana = await visitor("dana", reduced_motion="reduce")
    await dana.visit("/alerts")
    await dana.row("Ann Lee").locator("summary").click()
    await expect(dana.row("Ann Lee").get_by_label("Action taken")).to_be_focused()
    assert await widths_exceeded(dana) == []
    assert await violations(dana) == []
    await dana.page.keyboard.press("Escape")
    await expect(dana.row("Ann Lee").locator("summary")).to_be_focused()
    await expect(dana.row("Ann Lee").locator(".resolve-form")).to_be_hidden()
