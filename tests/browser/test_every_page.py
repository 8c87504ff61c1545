"""What holds for every page: accessible, within its width, without complaints, whatever clients wrote."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import expect

from tests.browser.conftest import Visitor, newest_session
from tests.browser.people import Person
from tests.support.alerts import insert_alert
from tests.support.platform import Platform

LONG_NAMES = {
    "latin": ("Maximiliane-Wilhelmine-von-Hohenfels" * 8)[:255],
    "arabic": ("عبدالرحمنبنعبدالعزيز" * 13)[:255],
    "chinese": ("欧阳修司马光诸葛亮" * 29)[:255],
    "devanagari": ("विश्वनाथप्रतापसिंह" * 15)[:255],
    "markup": ("<script>alert('x')</script><img src=x onerror=alert(1)>{{ 7*7 }}" * 4)[:255],
    "emoji": ("👩‍🏫🧑🏽‍💻" * 30)[:255],
}
NARROWEST = 360
WIDTHS = (NARROWEST, 768, 1440)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


async def a_full_platform(platform: Platform) -> Sequence[str]:
    """Every kind of content, with names and texts of 255 characters; returns the pages that show it."""
    for user_id, name in LONG_NAMES.items():
        await platform.user(user_id, name=name)
        await insert_alert(platform, user_id, title=name, description=name * 3)
        at = datetime.now(UTC) - timedelta(days=2)
        audio = {"tutor_talk_ratio": "0.700", "student_engagement_score": "5.0"}
        await platform.session(user_id, at=at, score="5.0", number=1, audio=audio, video={})
    await platform.insert("coaching_notes", tutor_id="latin", note_type="manual", content=LONG_NAMES["latin"] * 4)
    await platform.insert(
        "tutor_insights", tutor_id="latin", insight_type="strength", category="high_engagement", display_text="Good"
    )
    await platform.rows(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " SELECT 'latin', 5, repeat('DivisionByZero', 40), now(), now(), now() RETURNING 1"
    )
    await platform.rows(
        "INSERT INTO tutorwatch.listeners"
        " SELECT gen_random_uuid(), repeat('host', 40), 1, '9', now(), now() RETURNING 1"
    )
    await platform.rows(
        "INSERT INTO tutorwatch.audit_trail"
        " (action, outcome, reason, actor, actor_role, actor_by, address, user_id, object, details)"
        " SELECT 'sign_in', 'refused', 'wrong password', actor, 'admin', repeat('token', 40),"
        " '2001:db8:85a3:8d3:1319:8a2e:370:7348', 'latin', repeat('object', 40), repeat('details', 40)"
        " FROM (VALUES ('latin'), (NULL), ('gone')) AS actors (actor) RETURNING 1"
    )
    await platform.rows(
        "INSERT INTO tutorwatch.sign_ins (token_hash, user_id, address, browser)"
        " VALUES ('x', 'dana', '2001:db8:85a3:8d3:1319:8a2e:370:7348', repeat('browser', 36)) RETURNING 1"
    )
    await resolve_one(platform)
    session = await newest_session(platform)
    return [
        "/",
        "/?sessions=flagged",
        "/alerts",
        "/alerts?status=all",
        "/alerts?status=resolved&tutor=nobody",
        "/tutors",
        "/tutors?name=nobody",
        "/tutors?filter=attention&sort=-alerts",
        "/tutors?filter=best",
        "/tutors/latin",
        "/tutors/bob",
        "/tutors/markup",
        f"/sessions/{session}",
        "/system",
        "/audit",
        "/audit?person=nobody&from=2026-01-01",
        "/account",
    ]


async def resolve_one(platform: Platform) -> None:
    await insert_alert(
        platform,
        "latin",
        alert_type="high_talk_ratio",
        severity="warning",
        acknowledged=True,
        acknowledged_by="dana",
        acknowledged_at=datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None),
        resolved=True,
        resolved_at=datetime(2026, 1, 3, tzinfo=UTC).replace(tzinfo=None),
        action_taken=LONG_NAMES["latin"],
    )


async def test_every_page_is_accessible_and_within_its_width(visitor: Visitor, platform: Platform) -> None:
    """In both colour schemes; on a phone, a tablet and a desk, with a form open where there is one."""
    pages = await a_full_platform(platform)
    dana, stranger = await visitor("dana", reduced_motion="reduce"), await visitor(reduced_motion="reduce")
    for path in pages:
        await dana.visit(path)
        await dana.connected()
        assert await violations(dana) == [], path
        if await dana.page.locator("li.alert summary").count():
            await dana.page.locator("li.alert summary").first.click()
        assert await widths_exceeded(dana) == [], path
        assert await small_targets(dana) == [], path
    await stranger.visit("/sign-in")
    assert await violations(stranger) == []
    assert await widths_exceeded(stranger) == []
    assert await small_targets(stranger) == []


async def test_changed_states_have_no_accessibility_violation(visitor: Visitor, platform: Platform) -> None:
    """An open form, a missing page, a table instead of the chart, and a page that has lost its connection."""
    await a_full_platform(platform)
    dana = await visitor("dana", reduced_motion="reduce")
    await dana.visit("/tutors/latin")
    await dana.connected()
    await dana.page.locator("li.alert summary").first.click()
    await dana.page.get_by_text("As a table").click()
    assert await violations(dana) == []
    await dana.page.context.set_offline(True)
    await expect(dana.page.locator("#live")).to_contain_text("Reconnecting")
    assert await violations(dana) == []
    await dana.page.context.set_offline(False)
    await dana.visit("/tutors/nobody-of-that-name")
    await expect(dana.page.get_by_role("heading", level=1)).to_have_text("Not Found")
    assert await violations(dana) == []
    dana.complaints.clear()


async def test_what_clients_wrote_is_text(visitor: Visitor, platform: Platform) -> None:
    await a_full_platform(platform)
    dana = await visitor("dana")
    dana.page.on("dialog", lambda dialog: dana.complaints.append(dialog.message))
    await dana.visit("/tutors/markup")
    await dana.connected()
    await expect(dana.page.get_by_role("heading", level=1)).to_have_text(LONG_NAMES["markup"])
    await expect(dana.page.locator("main img")).to_have_count(0)


async def test_empty_platform(visitor: Visitor) -> None:
    dana = await visitor("dana")
    await dana.visit("/")
    for text in ("No critical alerts", "Nobody needs attention", "No sessions yet"):
        await expect(dana.page.get_by_text(text)).to_be_visible()
    await dana.visit("/alerts")
    await expect(dana.page.get_by_text("No open alerts")).to_be_visible()
    await dana.visit("/system")
    await expect(dana.page.get_by_text("1 listener alive")).to_be_visible()


async def test_ten_thousand_alerts(visitor: Visitor, platform: Platform) -> None:
    await platform.rows(
        "INSERT INTO alerts (tutor_id, alert_type, severity, title, description)"
        " SELECT 'ann', 'student_churn_risk', 'critical', 'Churn ' || n, 'Likely' FROM generate_series(1, 10000) AS n"
        " RETURNING 1"
    )
    dana = await visitor("dana", viewport={"width": NARROWEST, "height": 800})
    await dana.visit("/")
    await expect(dana.page).to_have_title("(10000) Tutorwatch")
    await expect(dana.page.locator("#critical .count")).to_contain_text("10,000")
    await expect(dana.page.locator("#critical li.alert")).to_have_count(1)
    await dana.visit("/alerts")
    await expect(dana.page.locator("li.alert")).to_have_count(50)
    await expect(dana.page.locator("#alerts-title .count")).to_contain_text("10,000")
    await expect(dana.page.get_by_role("navigation", name="Pages")).to_contain_text("1-50 of 10,000")
    await dana.page.get_by_role("link", name="More alerts").click()
    await expect(dana.page.get_by_role("navigation", name="Pages")).to_contain_text("51-100 of 10,000")
    await dana.visit("/tutors/ann")
    await expect(dana.page.locator("#open-alerts .count")).to_contain_text("100+")
    assert await dana.page.evaluate("document.documentElement.scrollWidth") <= NARROWEST


async def test_keyboard_alone_reaches_the_first_alert(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann")
    dana = await visitor("dana")
    await dana.visit("/")
    await expect(dana.page.locator("#statistics a")).to_have_count(4)
    await dana.page.keyboard.press("Tab")
    await expect(dana.page.get_by_text("Skip to content")).to_be_focused()
    await dana.page.keyboard.press("Enter")
    name = dana.page.locator("#critical").get_by_role("link", name="Ann Lee", exact=True)
    numbers = await dana.page.locator("#statistics a, #critical h2 a").count()
    for _ in range(numbers + 1):
        await dana.page.keyboard.press("Tab")
    await expect(name).to_be_focused()


async def violations(person: Person) -> list[str]:
    """What axe finds wrong with the page as it is now, in either colour scheme."""
    problems = []
    for scheme in SCHEMES:
        await person.page.emulate_media(color_scheme=scheme)
        found = await Axe().run(person.page)
        problems += [
            f"{scheme}: {violation['id']}: {node['html'][:200]}"
            for violation in found.response["violations"]
            for node in violation["nodes"]
        ]
    return problems


async def widths_exceeded(person: Person) -> list[int]:
    """The widths of a window at which the page, as it is now, would have to be scrolled sideways."""
    exceeded = []
    for width in WIDTHS:
        await person.page.set_viewport_size({"width": width, "height": 800})
        if await person.page.evaluate("document.documentElement.scrollWidth") > width:
            exceeded.append(width)
    return exceeded


async def small_targets(person: Person) -> list[str]:
    """What is too small to be hit (WCAG 2.2, 24 pixels), and fields into which a phone would zoom, at every width."""
    problems = []
    for width in WIDTHS:
        await person.page.set_viewport_size({"width": width, "height": 800})
        found = await Axe().run(person.page, options={"runOnly": ["target-size"]})
        problems += [
            f"{width}: {node['html'][:200]}"
            for violation in found.response["violations"]
            for node in violation["nodes"]
        ]
    small = (
        "each => each.filter(field => parseFloat(getComputedStyle(field).fontSize) < 16).map(field => field.outerHTML)"
    )
    fields = person.page.locator("textarea, select, input:not([type=hidden], [type=radio], [type=checkbox])")
    too_small: list[str] = await fields.evaluate_all(small)
    return problems + too_small
