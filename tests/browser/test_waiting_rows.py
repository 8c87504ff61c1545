"""Rows never move under a pointer, a finger or the keyboard's focus: what is new waits behind a button."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Locator, expect

from tests.browser.conftest import Visitor
from tests.browser.people import Person
from tests.browser.test_every_page import violations
from tests.support.alerts import insert_alert
from tests.support.platform import Platform
from web.live.hub import HUB

SOME_HOURS = timedelta(hours=3)


async def a_list(visitor: Visitor, platform: Platform, path: str = "/alerts") -> Person:
    """Dana in front of a list in which Ann's alert is."""
    await insert_alert(platform, "ann", triggered_date=datetime.now(UTC) - SOME_HOURS)
    dana = await visitor("dana", viewport={"width": 1000, "height": 500})
    await dana.visit(path)
    await dana.live()
    return dana


async def top_of(locator: Locator) -> float:
    box = await locator.bounding_box()
    assert box
    return box["y"]


@pytest.mark.parametrize("path", ["/", "/alerts"])
async def test_new_alert_waits_while_the_pointer_is_in_the_list(
    path: str, visitor: Visitor, platform: Platform
) -> None:
    dana = await a_list(visitor, platform, path)
    button = dana.row("Ann Lee").get_by_role("button", name="Acknowledge")
    await button.hover()
    before = await top_of(button)

    await insert_alert(platform, "bob")

    await expect(dana.news()).to_have_text("1 new alert")
    await expect(dana.page.locator(".news")).to_have_attribute("role", "status")
    await expect(dana.page.locator("#critical .count" if path == "/" else "#alerts-title .count")).to_have_text("(2)")
    await expect(dana.page).to_have_title("(2) Tutorwatch" if path == "/" else "(2) Alerts · Tutorwatch")
    await expect(dana.row("Bob Stone")).to_have_count(0)
    assert await top_of(button) == before
    box = await dana.news().bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 24
    assert await violations(dana) == []

    await dana.news().click()
    await expect(dana.row("Bob Stone")).to_be_visible()
    await expect(dana.news()).to_have_count(0)


async def test_leaving_the_list_shows_what_waits(visitor: Visitor, platform: Platform) -> None:
    dana = await a_list(visitor, platform)
    await dana.row("Ann Lee").hover()
    await insert_alert(platform, "bob")
    await expect(dana.news()).to_be_visible()

    await dana.page.mouse.move(5, 5)

    await expect(dana.row("Bob Stone")).to_be_visible()
    await expect(dana.news()).to_have_count(0)


async def test_states_are_shown_at_once_and_rows_that_go_wait(visitor: Visitor, platform: Platform) -> None:
    dana = await a_list(visitor, platform)
    await insert_alert(platform, "bob")
    await expect(dana.row("Bob Stone")).to_be_visible()
    await dana.row("Ann Lee").hover()
    before = await top_of(dana.row("Ann Lee"))

    await platform.rows("UPDATE alerts SET acknowledged = true WHERE tutor_id = 'bob' RETURNING 1")
    await expect(dana.row("Bob Stone")).to_contain_text("Acknowledged by")
    assert abs(await top_of(dana.row("Ann Lee")) - before) < 1
    await platform.rows("UPDATE alerts SET resolved = true WHERE tutor_id = 'bob' RETURNING 1")
    await expect(dana.news()).to_have_text("1 change")
    await expect(dana.row("Bob Stone")).to_be_visible()
    assert abs(await top_of(dana.row("Ann Lee")) - before) < 1


async def test_what_grows_above_the_list_moves_no_row_either(
    visitor: Visitor, platform: Platform, server: TestServer
) -> None:
    dana = await a_list(visitor, platform)
    await dana.row("Ann Lee").hover()
    before = await top_of(dana.row("Ann Lee"))

    await platform.rows("DELETE FROM tutorwatch.listeners RETURNING 1")
    await expect(dana.page.locator("#condition")).to_contain_text("Not everything is evaluated")

    assert abs(await top_of(dana.row("Ann Lee")) - before) < 1
    assert server.app[HUB].clients


async def test_keyboard_in_the_list_holds_it_and_reaches_the_button(visitor: Visitor, platform: Platform) -> None:
    dana = await a_list(visitor, platform)
    link = dana.row("Ann Lee").get_by_role("link", name="Ann Lee", exact=True)
    await dana.page.keyboard.press("Tab")
    await link.focus()
    await insert_alert(platform, "bob")
    await expect(dana.news()).to_have_text("1 new alert")
    await expect(link).to_be_focused()

    await dana.news().focus()
    await dana.page.keyboard.press("Enter")

    await expect(dana.row("Bob Stone")).to_be_visible()
    await expect(dana.page.locator("#alerts")).to_be_focused()


async def test_own_act_is_shown_at_once(visitor: Visitor, platform: Platform) -> None:
    dana = await a_list(visitor, platform)

    await dana.resolve(dana.row("Ann Lee"), "Called her")

    await expect(dana.row("Ann Lee")).to_have_count(0)


async def test_second_click_of_a_double_click_reaches_no_other_row(visitor: Visitor, platform: Platform) -> None:
    dana = await a_list(visitor, platform, "/alerts?status=unattended")
    await insert_alert(platform, "bob")
    await expect(dana.row("Bob Stone")).to_be_visible()
    button = dana.row("Bob Stone").get_by_role("button", name="Acknowledge")
    box = await button.bounding_box()
    assert box

    await button.click()
    await expect(dana.row("Bob Stone")).to_have_count(0)
    await dana.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await expect(dana.page.locator("#flash")).to_contain_text("Acknowledged.")

    assert await platform.rows("SELECT tutor_id FROM alerts WHERE acknowledged") == ["bob"]


async def test_list_stays_while_a_finger_is_on_it(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann", triggered_date=datetime.now(UTC) - SOME_HOURS)
    dana = await visitor("dana", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    await dana.visit("/alerts")
    await dana.live()
    box = await dana.row("Ann Lee").get_by_role("button", name="Acknowledge").bounding_box()
    assert box
    finger = await dana.page.context.new_cdp_session(dana.page)
    spot = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}

    await finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [spot]})
    await insert_alert(platform, "bob")
    await expect(dana.news()).to_have_text("1 new alert")
    await finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    await expect(dana.row("Ann Lee")).to_contain_text("Acknowledged by Dana Whitfield")
    await expect(dana.row("Bob Stone")).to_be_visible()
    assert await platform.rows("SELECT tutor_id FROM alerts WHERE acknowledged") == ["ann"]


async def test_tap_right_after_rows_moved_does_nothing(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann", triggered_date=datetime.now(UTC) - SOME_HOURS)
    dana = await visitor("dana", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    await dana.visit("/alerts")
    await dana.live()
    button = dana.row("Ann Lee").get_by_role("button", name="Acknowledge")
    box = await button.bounding_box()
    assert box
    await dana.page.touchscreen.tap(180, 700)
    # As soon as the page has changed, as a finger that was already on its way.
    moved = asyncio.create_task(
        dana.page.evaluate(
            """() => new Promise(resolve => new MutationObserver(
                 () => document.querySelector("li.alert.arrives") && resolve()
               ).observe(document.body, {childList: true, subtree: true}))"""
        )
    )
    await insert_alert(platform, "bob")
    await moved
    await dana.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    await dana.page.evaluate("new Promise(resolve => setTimeout(resolve, 600))")
    assert await platform.rows("SELECT count(*) FROM alerts WHERE acknowledged") == [0]
    await dana.row("Bob Stone").get_by_role("button", name="Acknowledge").tap()
    await expect(dana.row("Bob Stone")).to_contain_text("Acknowledged by Dana Whitfield")
