"""What an admin needs to act: whom to write to, which session and student, what happened before, and true filters."""

from datetime import UTC, datetime, timedelta

from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.browser.test_every_page import violations, widths_exceeded
from tests.support.alerts import insert_alert
from tests.support.platform import Platform, naive


async def a_poor_first_session(platform: Platform) -> str:
    """The id of an alert about Maya's first session with Sarah, whom people call Sally; and eleven more sessions."""
    now = datetime.now(UTC)
    await platform.user("sarah", name="Sarah Chen")
    await platform.user("maya", role="student", name="Maya Goldberg")
    await platform.connection.execute(
        "UPDATE users SET preferred_name = 'Sally', email = 'sarah+chen@school.test' WHERE id = 'sarah'"
    )
    first = await platform.session("sarah", student="maya", number=1, score="5.7", at=now - timedelta(hours=1))
    others = [await platform.session("sarah", number=2, score="6.0", at=now - timedelta(days=2)) for _ in range(11)]
    alert = await insert_alert(
        platform,
        "sarah",
        alert_type="poor_first_session",
        title="Poor first session",
        session_id=first,
        evidence=[first],
    )
    await insert_alert(platform, "sarah", alert_type="high_talk_ratio", severity="warning", evidence=others)
    return str(alert)


async def test_alert_names_the_student_the_time_and_whom_to_write_to(visitor: Visitor, platform: Platform) -> None:
    alert = await a_poor_first_session(platform)
    [start] = await platform.rows("SELECT scheduled_start FROM sessions WHERE session_number = 1")
    dana = await visitor("dana", timezone_id="UTC", reduced_motion="reduce")
    for path in ("/alerts", "/", f"/alerts/{alert}", "/tutors/sarah"):
        await dana.visit(path)
        main = dana.page.locator("main")
        await expect(main.get_by_text("Poor first session with Maya Goldberg").first).to_be_visible()
        evidence = dana.page.locator(f"#alert-{alert} .evidence li")
        await expect(evidence).to_contain_text("Algebra with Maya Goldberg scored 5.7")
        await expect(evidence.locator("time")).to_have_text(start.strftime("%-d %b, %H:%M"))
        await expect(main.get_by_text("Sally (Sarah Chen)").first).to_be_visible()
        assert await violations(dana) == [], path
        assert await widths_exceeded(dana) == [], path
        if path not in ("/alerts", "/"):
            mail = dana.page.get_by_role("link", name="sarah+chen@school.test")
            await expect(mail).to_have_attribute("href", "mailto:sarah+chen@school.test")


async def test_and_more_leads_to_all_sessions_behind_the_alert(visitor: Visitor, platform: Platform) -> None:
    await a_poor_first_session(platform)
    dana = await visitor("dana")
    await dana.visit("/alerts?severity=warning")
    await dana.page.get_by_role("link", name="and 8 more").click()
    await expect(dana.page.locator("#alert .evidence li")).to_have_count(11)


async def test_tutor_sees_no_address_and_no_way_to_the_admins_page(visitor: Visitor, platform: Platform) -> None:
    await a_poor_first_session(platform)
    sarah = await visitor("sarah")
    await sarah.visit("/tutors/sarah")
    await expect(sarah.page.get_by_text("Poor first session with Maya Goldberg")).to_be_visible()
    await expect(sarah.page.locator("main a[href^=mailto], main a[href^='/alerts']")).to_have_count(0)
    await expect(sarah.page.get_by_text("and 1 more")).to_be_visible()


async def test_filter_says_what_the_list_shows_after_going_back(visitor: Visitor, platform: Platform) -> None:
    await a_poor_first_session(platform)
    dana = await visitor("dana")
    await dana.visit("/alerts")
    severity, rows = dana.page.get_by_label("Severity"), dana.page.locator("li.alert")
    await expect(rows).to_have_count(2)
    await severity.select_option("Warning")
    await dana.page.get_by_role("searchbox", name="Tutor").fill("chen sally")
    await dana.page.get_by_role("button", name="Filter").click()
    await expect(rows).to_have_count(1)
    await dana.page.go_back()
    await expect(rows).to_have_count(2)
    await expect(severity).to_have_value("")
    await expect(dana.page.get_by_role("searchbox", name="Tutor")).to_have_value("")
    await dana.page.go_forward()
    await expect(rows).to_have_count(1)
    await expect(severity).to_have_value("warning")
    await expect(dana.page.get_by_role("searchbox", name="Tutor")).to_have_value("chen sally")


async def test_older_alerts_and_older_entries_of_their_history(visitor: Visitor, platform: Platform) -> None:
    await platform.user("ann")
    for number in range(25):
        ended = naive(datetime.now(UTC) - timedelta(days=number))
        await insert_alert(platform, "ann", title=f"Alert {number}", resolved=True, resolved_at=ended)
    alert = await insert_alert(platform, "ann", title="Often seen")
    await platform.rows(
        "INSERT INTO tutorwatch.alert_history (alert_id, tutor_id, event, details)"
        " SELECT %s, 'ann', 'value_changed', 'to ' || n FROM generate_series(1, 60) AS n RETURNING 1",
        alert,
    )
    dana = await visitor("dana")
    await dana.visit("/tutors/ann")
    history = dana.page.locator("#history")
    await expect(history.get_by_text("Alert 19")).to_be_visible()
    await history.get_by_role("link", name="Older alerts").click()
    await expect(history.locator("ol.history > li")).to_have_count(5)
    await expect(history.get_by_text("Alert 24")).to_be_visible()

    await dana.visit(f"/alerts/{alert}")
    await expect(history.locator("ol.history > li")).to_have_count(50)
    await history.get_by_role("link", name="Older entries").click()
    await expect(history.get_by_text("to 1", exact=True)).to_be_visible()
