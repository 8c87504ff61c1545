"""A page that stays open: true, or honest about not being so, and never in the way of who is working on it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from tests.browser.conftest import PATIENCE_MS, Visitor
from tests.browser.people import Person
from tests.support.alerts import insert_alert
from tests.support.platform import Platform
from tests.support.waiting import eventually
from web.live import streams
from web.live.hub import HUB


async def test_lost_connection_is_said_and_made_up_for(visitor: Visitor, platform: Platform) -> None:
    dana = await visitor("dana")
    await dana.visit("/")
    await dana.live()

    await dana.page.context.set_offline(True)
    await expect(dana.page.locator("#live")).to_contain_text("Reconnecting… list as of")
    await expect(dana.page.locator("html")).to_have_class("stale")
    await insert_alert(platform, "ann")
    await expect(dana.row("Ann Lee")).to_have_count(0)

    await dana.page.context.set_offline(False)
    await expect(dana.row("Ann Lee")).to_be_visible()
    await dana.live()
    await expect(dana.page.locator("html")).not_to_have_class("stale")
    assert all("ERR_INTERNET_DISCONNECTED" in complaint for complaint in dana.complaints)
    dana.complaints.clear()


async def test_lost_subscription_is_said_and_made_up_for(visitor: Visitor, server: TestServer) -> None:
    dana = await visitor("dana")
    await dana.visit("/alerts")
    await dana.live()
    server.app[HUB].lost()
    await expect(dana.page.locator("#live")).to_contain_text("Reconnecting… list as of")
    server.app[HUB].connected()
    await dana.live()


async def test_ended_sign_in_is_said(
    visitor: Visitor, server: TestServer, client: psycopg.AsyncConnection[Any]
) -> None:
    dana = await visitor("dana")
    await dana.visit("/alerts")
    await dana.live()
    await client.execute("DELETE FROM tutorwatch.sign_ins")
    server.app[HUB].connected()
    await expect(dana.page.locator("#live")).to_contain_text("Signed out, list as of")


async def test_sign_in_that_ended_elsewhere_is_said_and_offered_again(
    visitor: Visitor, client: psycopg.AsyncConnection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "RECHECK_SECONDS", 0.1)
    monkeypatch.setattr(streams, "GLANCE_SECONDS", 0.05)
    dana = await visitor("dana")
    await dana.visit("/alerts?status=all")
    await dana.live()

    await client.execute("DELETE FROM tutorwatch.sign_ins")

    await expect(dana.page.locator("#live")).to_contain_text("Signed out, list as of", timeout=PATIENCE_MS)
    await dana.page.locator("#live").get_by_role("link", name="Sign in").click()
    await dana.sign_in("dana@example.test")
    await dana.live()
    assert dana.page.url.endswith("/alerts?status=all")


async def test_proxy_that_leads_to_a_sign_in_elsewhere_is_understood(visitor: Visitor, server: TestServer) -> None:
    dana = await visitor("dana")
    await dana.visit("/alerts")
    await dana.live()
    elsewhere = {"Location": "https://sign-in.example/"}
    await dana.page.route("**/alerts", lambda route: route.fulfill(status=302, headers=elsewhere))
    server.app[HUB].connected()
    await expect(dana.page.locator("#live")).to_contain_text("Signed out, list as of")


async def test_error_page_does_not_fetch_itself(visitor: Visitor) -> None:
    dana = await visitor("dana")
    asked = asked_for(dana, "/nothing")
    await dana.page.clock.install()
    await dana.visit("/nothing")

    await pass_time(dana, seconds=60)

    assert len(asked) == 1
    dana.complaints.clear()


async def test_page_that_fails_is_fetched_less_and_less_often(visitor: Visitor, server: TestServer) -> None:
    dana = await visitor("dana")
    await dana.page.clock.install()
    await dana.visit("/alerts")
    await pass_time(dana, seconds=5)
    await dana.live()
    await dana.page.route("**/alerts", lambda route: route.fulfill(status=500, body="Failed"))
    asked = asked_for(dana, "/alerts")

    server.app[HUB].connected()
    await pass_time(dana, seconds=60)

    assert 2 <= len(asked) <= 8
    dana.complaints.clear()


def asked_for(person: Person, path: str) -> list[str]:
    """Fills with the requests for the page."""
    asked: list[str] = []
    person.page.on("request", lambda request: asked.append(path) if request.url.endswith(path) else None)
    return asked


async def pass_time(person: Person, *, seconds: int) -> None:
    """On the page's clock; what is asked meanwhile is answered."""
    for _ in range(seconds):
        await person.page.clock.run_for(1_000)
        await person.page.evaluate("() => fetch('/healthz').then(response => response.text())")


async def test_second_admin_learns_who_was_first(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann")
    dana, omar = await visitor("dana"), await visitor("omar")
    for person in (dana, omar):
        await person.visit("/")
        await person.live()
    await omar.row("Ann Lee").locator("summary").click()
    await omar.row("Ann Lee").get_by_label("Action taken").fill("Half a senten")

    await dana.resolve(dana.row("Ann Lee"), "Called her")
    await expect(dana.row("Ann Lee")).to_have_count(0)
    await expect(omar.row("Ann Lee")).to_contain_text("somebody was faster")
    await expect(omar.row("Ann Lee").get_by_label("Action taken")).to_have_value("Half a senten")
    await expect(omar.page).to_have_title("Tutorwatch")

    await omar.row("Ann Lee").get_by_label("Other").check()
    await omar.row("Ann Lee").get_by_role("button", name="Resolve alert").click()
    await expect(omar.row("Ann Lee").get_by_role("alert")).to_contain_text("Dana Whitfield")
    assert len(omar.complaints) == 1
    assert "409" in omar.complaints.pop()
    await omar.page.keyboard.press("Escape")
    await insert_alert(platform, "bob")
    await omar.news().click()
    await expect(omar.row("Bob Stone")).to_be_visible()
    await expect(omar.row("Ann Lee")).to_have_count(0)


async def test_changes_elsewhere_leave_focus_and_typed_text_alone(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann")
    dana = await visitor("dana")
    await dana.visit("/")
    await dana.live()
    await dana.row("Ann Lee").locator("summary").click()
    field = dana.row("Ann Lee").get_by_label("Action taken")
    await expect(field).to_be_focused()
    await field.press_sequentially("Talked ")

    await insert_alert(platform, "bob")
    await expect(dana.page).to_have_title("(2) Tutorwatch")
    await expect(dana.news()).to_have_text("1 new alert")
    await expect(field).to_be_focused()
    await field.press_sequentially("to her")
    await expect(field).to_have_value("Talked to her")
    await dana.page.keyboard.press("Escape")
    await expect(dana.row("Ann Lee").locator("summary")).to_be_focused()
    await dana.news().click()
    await expect(dana.row("Bob Stone")).to_have_class("alert critical is-open arrives")


async def test_focus_stays_in_the_panel_when_its_row_goes(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann")
    dana = await visitor("dana")
    await dana.visit("/")
    await dana.live()
    await dana.row("Ann Lee").get_by_role("link", name="View details").focus()
    await platform.rows("UPDATE alerts SET resolved = true RETURNING 1")
    await dana.news().click()
    await expect(dana.page.locator("#critical-title")).to_be_focused()


@pytest.mark.parametrize("has_workers", [pytest.param(True, id="worker"), pytest.param(False, id="no worker")])
@pytest.mark.parametrize("host", ["127.0.0.1", "tutors.intranet.test"])
async def test_pages_of_one_browser_share_a_stream(
    host: str, has_workers: bool, visitor: Visitor, server: TestServer, platform: Platform
) -> None:
    """Ten of them, more than a browser opens connections; also by a name that is no secure context."""
    dana = await visitor("dana", host=host)
    if not has_workers:
        await dana.page.context.add_init_script("delete window.SharedWorker")
    await dana.visit("/")
    await dana.live()
    others = [await dana.page.context.new_page() for _ in range(9)]
    for page in others:
        await page.goto("/alerts")
        await page.locator("#live.is-live").wait_for()
    assert await others[0].evaluate("isSecureContext") is (host == "127.0.0.1")
    assert len(server.app[HUB].clients) == 1

    await insert_alert(platform, "ann")
    for page in [dana.page, *others]:
        await expect(page.locator("li.alert")).to_have_count(1)

    await dana.page.close()
    await insert_alert(platform, "bob")
    for page in others:
        await expect(page.locator("li.alert")).to_have_count(2, timeout=10_000)

    async def is_one() -> bool:
        return len(server.app[HUB].clients) == 1

    await eventually(is_one, "one stream for all pages")  # some seconds after another page has taken over
    assert all("Cross-Origin-Opener-Policy" in complaint for complaint in dana.complaints)  # means nothing there
    dana.complaints.clear()


async def test_stream_is_let_go_with_the_last_page(
    visitor: Visitor, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "GLANCE_SECONDS", 0.05)
    dana = await visitor("dana")
    await dana.visit("/")
    await dana.live()
    assert len(server.app[HUB].clients) == 1

    await dana.page.goto("about:blank")

    async def is_let_go() -> bool:
        return not server.app[HUB].clients

    await eventually(is_let_go)


@pytest.mark.parametrize(
    "hindrance",
    [
        pytest.param("delete window.SharedWorker", id="no shared workers"),
        pytest.param(
            "const Shared = SharedWorker; SharedWorker = class extends Shared {"
            " constructor(_, options) { super('/nothing', options) } }",
            id="its script can't be had",
        ),
    ],
)
async def test_page_without_a_shared_worker_listens_by_itself(
    hindrance: str, visitor: Visitor, platform: Platform, server: TestServer
) -> None:
    dana = await visitor("dana")
    await dana.page.add_init_script(hindrance)
    await dana.visit("/")
    await dana.live()

    await insert_alert(platform, "ann")

    await expect(dana.row("Ann Lee")).to_be_visible()
    assert len(server.app[HUB].clients) == 1
    dana.complaints.clear()


async def test_relative_times_count_on(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann", triggered_date=datetime.now(UTC) - timedelta(seconds=54))
    dana = await visitor("dana")
    await dana.visit("/")
    await dana.live()
    await dana.page.route("**/*", lambda route: route.abort())  # nothing but the page's own clock
    await expect(dana.row("Ann Lee").locator("time[data-ago]").last).to_have_text("1 minute ago")
