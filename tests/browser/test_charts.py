"""A tutor's charts: what they show can be read with the keyboard, a finger, a pointer, and on paper."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.support.alerts import insert_alert
from tests.support.platform import Platform

pytestmark = pytest.mark.usefixtures("held")


@pytest.fixture
async def noon() -> datetime:
    """Today's."""
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
async def held(platform: Platform, noon: datetime) -> None:
    """Sessions of some days, two of them on one, and an alert on a day without any."""
    for days_ago, score in ((3, "7.1"), (5, "6.0"), (5, "9.0"), (9, "5.5")):
        await platform.session("ann", at=noon - timedelta(days=days_ago), score=score)
    await insert_alert(platform, "ann", at=noon - timedelta(days=7))


def on(noon: datetime, *, days_ago: int) -> str:
    day = noon - timedelta(days=days_ago)
    return f"{day.day} {day:%b}"


async def test_values_are_read_with_the_keyboard(visitor: Visitor, noon: datetime) -> None:
    dana = await visitor("dana")
    await dana.visit("/tutors/ann")
    slider = dana.page.get_by_role("slider", name="Session score, day by day")
    reading = dana.page.locator(".of-score .reading")
    await expect(reading).to_have_text(f"{on(noon, days_ago=3)}: 7.1")
    for key, expected in (
        ("ArrowLeft", f"{on(noon, days_ago=5)}: 7.5"),
        ("ArrowLeft", f"{on(noon, days_ago=7)}: no data; alert: Tutor no-shows"),
        ("ArrowLeft", f"{on(noon, days_ago=9)}: 5.5"),
        ("ArrowLeft", f"{on(noon, days_ago=9)}: 5.5"),
        ("ArrowRight", f"{on(noon, days_ago=7)}: no data; alert: Tutor no-shows"),
        ("End", f"{on(noon, days_ago=3)}: 7.1"),
    ):
        await slider.press(key)
        await expect(reading).to_have_text(expected)
        await expect(slider).to_have_attribute("aria-valuetext", expected)
    box = await slider.bounding_box()
    assert box
    assert box["height"] >= 24


async def test_values_are_read_with_a_finger(visitor: Visitor, noon: datetime) -> None:
    dana = await visitor("dana", has_touch=True, viewport={"width": 360, "height": 740})
    await dana.visit("/tutors/ann")
    await dana.connected()
    chart = dana.page.locator(".of-score svg")
    await chart.scroll_into_view_if_needed()
    box = await chart.bounding_box()
    assert box
    await dana.page.touchscreen.tap(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2)
    await expect(dana.page.locator(".of-score .reading")).to_have_text(f"{on(noon, days_ago=9)}: 5.5")


async def test_what_is_read_stays_when_the_chart_is_brought_up_to_date(
    visitor: Visitor, platform: Platform, noon: datetime
) -> None:
    dana = await visitor("dana")
    await dana.visit("/tutors/ann")
    await dana.connected()
    await dana.page.get_by_role("slider", name="Session score, day by day").press("ArrowLeft")
    await platform.session("ann", at=noon - timedelta(days=5), score="9.0")
    await insert_alert(platform, "ann", alert_type="high_talk_ratio", severity="warning", title="Tutor talks too much")
    await expect(dana.page.locator(".of-score .reading")).to_have_text(f"{on(noon, days_ago=5)}: 8.0")
    await expect(dana.page.locator(".of-score .is-read")).to_have_count(1)


async def test_chart_needs_no_script(visitor: Visitor, noon: datetime) -> None:
    """The threshold and alerts are drawn; the table has all values, and the days of alerts."""
    dana = await visitor("dana", java_script_enabled=False)
    await dana.visit("/tutors/ann")
    chart = dana.page.locator(".of-score svg")
    await expect(chart.get_by_text("low under 6.5", exact=True)).to_be_visible()
    await expect(chart.locator(".opened.critical")).to_have_count(1)
    await expect(dana.page.get_by_role("slider")).to_have_count(0)
    await dana.page.get_by_text("As a table").click()
    rows = dana.page.locator("#trend-table tbody tr")
    await expect(rows).to_contain_text([f"{on(noon, days_ago=days_ago)}" for days_ago in (3, 5, 7, 9)])
    await expect(rows.nth(2)).to_contain_text("Tutor no-shows")


async def test_average_is_the_same_in_the_header_and_the_chart(visitor: Visitor) -> None:
    """That of the sessions, 6.9, not that of the days, 6.7."""
    dana = await visitor("dana")
    await dana.visit("/tutors/ann")
    await expect(dana.page.locator("#statistics")).to_contain_text("Average score 6.9")
    await expect(dana.page.locator(".of-score figcaption")).to_contain_text("average 6.9")


async def test_paper_has_no_controls_and_nothing_private(visitor: Visitor, platform: Platform) -> None:
    await platform.insert("coaching_notes", tutor_id="ann", note_type="manual", content="Thinks of leaving")
    await insert_alert(
        platform,
        "ann",
        alert_type="high_talk_ratio",
        resolved=True,
        resolved_at=datetime(2026, 1, 3, tzinfo=UTC).replace(tzinfo=None),
        action_taken="Told her off",
    )
    dana = await visitor("dana")
    await dana.visit("/tutors/ann")
    await dana.connected()
    await expect(dana.page.get_by_text("Thinks of leaving")).to_be_visible()
    await dana.page.emulate_media(media="print")
    for private in ("Thinks of leaving", "Told her off"):
        await expect(dana.page.get_by_text(private)).to_be_hidden()
    await expect(dana.page.locator("#zone")).to_contain_text("; as of ")
    for selector in ("nav", "button", "form", "input", "textarea", "summary"):
        await expect(dana.page.locator(f"{selector} >> visible=true")).to_have_count(0)
    await expect(dana.page.locator("#trend-table tbody tr").first).to_be_visible()
