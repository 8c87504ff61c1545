"""The whole of an admin's morning: an alert comes, is understood, acted upon, and leaves."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.support.alerts import insert_alert
from tests.support.platform import Platform


async def two_no_shows(platform: Platform, tutor: str) -> None:
    """What any client of the platform writes when a tutor doesn't come, twice."""
    for days in (3, 1):
        await platform.session(tutor, status="no_show_tutor", at=datetime.now(UTC) - timedelta(days=days))


@pytest.mark.usefixtures("listener")
async def test_critical_alert_comes_and_goes_on_every_open_page(visitor: Visitor, platform: Platform) -> None:
    dana, omar = await visitor(), await visitor("omar")
    await dana.visit("/")
    await dana.sign_in("dana@example.test")
    await expect(dana.page).to_have_title("Tutorwatch")
    await expect(dana.page.locator("#critical")).to_contain_text("No critical alerts")
    await omar.visit("/alerts")
    for person in (dana, omar):
        await person.live()
        await person.page.evaluate("window.isTheSamePage = true")

    await two_no_shows(platform, "ann")

    await expect(dana.row("Ann Lee")).to_contain_text("2 no-shows in 30 days (alert from 2)")
    await expect(dana.row("Ann Lee").get_by_role("listitem")).to_have_count(2)
    await expect(dana.page).to_have_title("(1) Tutorwatch")
    await expect(omar.row("Ann Lee")).to_be_visible()

    await dana.page.locator("#critical").get_by_role("link", name="Ann Lee", exact=True).click()
    await expect(dana.page.get_by_role("heading", level=1)).to_have_text("Ann Lee")
    await dana.row("Tutor no-shows").get_by_role("button", name="Acknowledge").click()
    await expect(dana.row("Tutor no-shows")).to_contain_text("Acknowledged by Dana Whitfield")
    await expect(omar.row("Ann Lee")).to_contain_text("Acknowledged by Dana Whitfield")

    await dana.resolve(dana.row("Tutor no-shows"), "Called her: a new calendar helps")
    await expect(dana.page.locator("#open-alerts")).to_contain_text("No open alerts")
    history = dana.page.locator("#history")
    await expect(history).to_contain_text("Called her: a new calendar helps")
    await expect(history).to_contain_text("Resolved by Dana Whitfield just now as coached")
    await expect(dana.page.locator("#note-list")).to_contain_text("Called her: a new calendar helps")
    await expect(omar.row("Ann Lee")).to_have_count(0)
    await expect(omar.page).to_have_title("Alerts · Tutorwatch")
    assert await omar.page.evaluate("window.isTheSamePage")

    await dana.page.get_by_role("button", name="Sign out").click()
    await expect(dana.page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_same_morning_without_scripts(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann")
    dana = await visitor(java_script_enabled=False)
    await dana.visit("/alerts?severity=critical")
    await dana.sign_in("dana@example.test")

    assert "/alerts?severity=critical" in dana.page.url
    await dana.row("Ann Lee").get_by_role("button", name="Acknowledge").click()
    await expect(dana.row("Ann Lee")).to_contain_text("Acknowledged by Dana Whitfield")
    await expect(dana.page.locator("#flash .flash")).to_have_text("Acknowledged.")

    await dana.row("Ann Lee").get_by_role("link", name="Ann Lee").click()
    await dana.resolve(dana.row("Tutor no-shows"), "Spoke with her", "Not actionable")
    await expect(dana.page.locator("#history")).to_contain_text("as not actionable")
    await dana.page.get_by_label("New note").fill("Meets again in May")
    await dana.page.get_by_role("button", name="Add note").click()
    await expect(dana.page.locator("#note-list")).to_contain_text("Meets again in May")
    await dana.page.get_by_role("button", name="Sign out").click()
    await expect(dana.page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_note_is_added_without_a_reload(visitor: Visitor) -> None:
    dana = await visitor("dana")
    await dana.visit("/tutors/ann")
    await dana.page.get_by_label("New note").fill("<b>Bold</b> & direct")
    await dana.page.get_by_role("button", name="Add note").click()
    await expect(dana.page.locator("#note-list .text")).to_have_text("<b>Bold</b> & direct")
    await expect(dana.page.get_by_label("New note")).to_have_value("")


@pytest.mark.parametrize("scripts", [pytest.param(True, id="scripts"), pytest.param(False, id="no scripts")])
async def test_alerts_are_filtered_and_paged(visitor: Visitor, platform: Platform, scripts: bool) -> None:
    for number in range(60):
        await insert_alert(platform, "ann", title=f"Churn {number}", alert_type="student_churn_risk", severity="info")
    await insert_alert(platform, "bob")
    dana = await visitor("dana", java_script_enabled=scripts)
    await dana.visit("/alerts")
    await expect(dana.page.locator("li.alert")).to_have_count(50)
    await expect(dana.page.locator("#alerts-title .count")).to_have_text("(61)")
    await dana.page.get_by_role("link", name="More alerts").click()
    await expect(dana.page.locator("li.alert")).to_have_count(11)
    await dana.page.get_by_role("link", name="Previous alerts").click()
    await expect(dana.page.locator("li.alert")).to_have_count(50)
    await expect(dana.page.get_by_role("link", name="Previous alerts")).to_have_count(0)
    await dana.page.get_by_role("link", name="More alerts").click()
    await dana.page.get_by_role("link", name="First page").click()
    await dana.page.get_by_label("Severity").select_option("critical")
    await dana.page.get_by_role("searchbox", name="Tutor").fill("bob")
    await dana.page.get_by_role("button", name="Filter").click()
    await expect(dana.page.locator("li.alert .whose")).to_have_text(["Bob Stone"])


async def test_tutor_sees_their_own_page_without_controls(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann")
    ann = await visitor("ann")
    await ann.visit("/")
    await expect(ann.page.get_by_role("heading", level=1)).to_have_text("Ann Lee")
    await expect(ann.row("Tutor no-shows")).to_be_visible()
    await expect(ann.page.locator("main form")).to_have_count(0)
    await expect(ann.page.get_by_text("Coaching Notes")).to_have_count(0)
    await ann.live()
    await insert_alert(platform, "ann", title="Another", alert_type="poor_first_session")
    await expect(ann.row("Another")).to_be_visible()
