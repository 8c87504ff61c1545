"""From a number on the dashboard to the tutors it counts; their list, sorted, searched and paged."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.browser.test_every_page import NARROWEST, violations, widths_exceeded
from tests.support.alerts import insert_alert
from tests.support.platform import Platform

RISKY = [f"risky-{number}" for number in range(8)]


async def eight_at_churn_risk(platform: Platform) -> None:
    at = datetime.now(UTC) - timedelta(days=2)
    for number, tutor in enumerate(RISKY):
        await platform.user(tutor, name=f"Risky {number}")
        for _ in range(2 + number):
            await platform.session(tutor, status="no_show_tutor", at=at)
    await platform.session("once", status="no_show_tutor", at=at)
    await insert_alert(platform, "risky-3")


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("width", [NARROWEST, 1440])
async def test_the_eight_tutors_at_churn_risk_are_found(
    visitor: Visitor, platform: Platform, width: int, has_script: bool
) -> None:
    await eight_at_churn_risk(platform)
    viewport = {"width": width, "height": 800}
    dana = await visitor("dana", viewport=viewport, java_script_enabled=has_script)
    await dana.visit("/")
    await dana.page.locator("#statistics").get_by_role("link", name="8", exact=True).click()
    names = dana.page.locator("#tutors tbody th")
    await expect(names).to_have_text([f"Risky {number}" for number in reversed(range(8))])
    await expect(dana.page.locator("#tutors-title .count")).to_contain_text("8")
    await expect(dana.page.get_by_label("Filter")).to_have_value("churn_risk")
    await names.first.get_by_role("link").click()
    await expect(dana.page.get_by_role("heading", level=1)).to_have_text("Risky 7")


async def test_headings_sort_and_say_so(visitor: Visitor, platform: Platform) -> None:
    await eight_at_churn_risk(platform)
    dana = await visitor("dana")
    await dana.visit("/tutors?name=risky")
    first = dana.page.locator("#tutors tbody th").first
    heading = dana.page.get_by_role("columnheader", name="No-shows")
    for text, direction in (("Risky 7", "descending"), ("Risky 0", "ascending")):
        await heading.get_by_role("link").click()
        await expect(heading).to_have_attribute("aria-sort", direction)
        await expect(first).to_have_text(text)
    await expect(dana.page.locator("#tutors tbody tr")).to_have_count(8)
    await expect(dana.page.locator("#sort option:checked")).to_have_text("As chosen in the table")


async def test_form_filters_sorts_and_says_where_in_the_list_one_is(visitor: Visitor, platform: Platform) -> None:
    await platform.rows(
        "INSERT INTO users (id, email, name, role)"
        " SELECT 'tutor-' || n, n || '@example.test', 'Tutor ' || to_char(n, 'FM000'), 'tutor'"
        " FROM generate_series(1, 120) AS n RETURNING 1"
    )
    dana = await visitor("dana")
    await dana.visit("/tutors")
    await dana.page.get_by_label("Search").fill("tutor")
    await dana.page.get_by_label("Sort by").select_option("Name, backwards")
    await dana.page.get_by_role("button", name="Show").click()
    first, pages = dana.page.locator("#tutors tbody th").first, dana.page.get_by_role("navigation", name="Pages")
    for link, text, range_shown in (
        ("", "Tutor 120", "1-50 of 120"),
        ("More tutors", "Tutor 070", "51-100 of 120"),
        ("More tutors", "Tutor 020", "101-120 of 120"),
        ("Previous tutors", "Tutor 070", "51-100 of 120"),
        ("First page", "Tutor 120", "1-50 of 120"),
    ):
        if link:
            await pages.get_by_role("link", name=link).click()
        await expect(first).to_have_text(text)
        await expect(pages).to_contain_text(range_shown)


async def test_list_is_accessible_and_within_its_width(visitor: Visitor, platform: Platform) -> None:
    await eight_at_churn_risk(platform)
    dana = await visitor("dana", reduced_motion="reduce")
    for path in ("/", "/tutors", "/tutors?sort=-no_shows&filter=best"):
        await dana.visit(path)
        await dana.connected()
        for width in (NARROWEST, 768, 1440):
            await dana.page.set_viewport_size({"width": width, "height": 800})
            assert await violations(dana) == [], (path, width)
        assert await widths_exceeded(dana) == [], path
    await expect(dana.page.get_by_text("Filter: “best” isn't known and was left out.")).to_be_visible()
    await expect(dana.page.locator("#tutors-source")).to_contain_text(re.compile("as of .* UTC"))
