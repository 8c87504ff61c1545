"""Times are those of the viewer's zone, which is named, on every page and in what the script says."""

import re
from datetime import UTC, datetime

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.support.platform import Platform

HELD_AT = datetime(2026, 2, 1, 20, 30, tzinfo=UTC)
THERE = "2 Feb 2026, 02:15 UTC+5:45"


@pytest.fixture
async def held(platform: Platform) -> str:
    """The address of a session."""
    return f"/sessions/{await platform.session('ann', at=HELD_AT)}"


async def test_first_page_already_has_the_browsers_zone(visitor: Visitor, held: str) -> None:
    dana = await visitor("dana", timezone_id="Asia/Kathmandu")
    await dana.visit(held)
    await expect(dana.page.locator("main")).to_contain_text(THERE)
    await expect(dana.page.get_by_text("Times in Asia/Kathmandu")).to_be_visible()


async def test_script_says_times_as_the_server_wrote_them(visitor: Visitor, platform: Platform) -> None:
    at = datetime.now(UTC)
    await platform.session("ann", at=at, score="5.0")
    dana = await visitor("dana", timezone_id="Asia/Kathmandu")
    await dana.visit("/")
    await dana.live()
    title = await dana.page.locator("#recent time").first.get_attribute("title")
    assert title
    assert title.endswith("UTC+5:45")
    await dana.page.context.set_offline(True)
    await expect(dana.page.locator("#live")).to_have_text(re.compile(r"Reconnecting… list as of \d\d:\d\d UTC\+5:45"))

    await dana.page.context.set_offline(False)
    await dana.live()  # until then the page goes on connecting, and the browser complaining
    assert all("ERR_INTERNET_DISCONNECTED" in complaint for complaint in dana.complaints)
    dana.complaints.clear()


async def test_zone_is_chosen_without_a_script(visitor: Visitor, held: str) -> None:
    dana = await visitor("dana", java_script_enabled=False)
    await dana.visit(held)
    await expect(dana.page.locator("main")).to_contain_text("1 Feb 2026, 20:30 UTC")
    await dana.page.get_by_role("link", name="change the time zone").click()
    await dana.page.get_by_label("Time zone").select_option("Europe/Berlin")
    await dana.page.get_by_role("button", name="Save").click()
    await expect(dana.page.get_by_role("status")).to_contain_text(["Times are shown in Europe/Berlin."])
    await dana.visit(held)
    await expect(dana.page.locator("main")).to_contain_text("1 Feb 2026, 21:30 CET")


async def test_chosen_zone_stays_whatever_the_browser_says(visitor: Visitor, held: str) -> None:
    dana = await visitor("dana", timezone_id="Asia/Kathmandu")
    await dana.visit("/account")
    await dana.page.get_by_label("Time zone").select_option("Europe/Berlin")
    await dana.page.get_by_role("button", name="Save").click()
    await expect(dana.page.get_by_text("Times are shown in Europe/Berlin.")).to_be_visible()
    await dana.visit(held)
    await expect(dana.page.locator("main")).to_contain_text("1 Feb 2026, 21:30 CET")
