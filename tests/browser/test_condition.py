"""What isn't evaluated is said on every page of an admin's, within seconds, and goes by itself."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import psycopg
import pytest
from playwright.async_api import expect

from migrations import automation
from tests.browser.conftest import Visitor
from tests.browser.test_every_page import violations, widths_exceeded
from tests.support.alerts import insert_alert
from tests.support.command import Running
from tests.support.platform import Platform
from tests.support.roles import LISTENER

Act = Callable[[Platform, str], Awaitable[None]]


async def end_the_listener(platform: Platform, _url: str) -> None:
    await platform.connection.execute("UPDATE tutorwatch.listeners SET seen_at = now() - interval '1 hour'")


async def begin_a_listener(platform: Platform, _url: str) -> None:
    await platform.connection.execute("UPDATE tutorwatch.listeners SET seen_at = now()")


async def switch_off(_platform: Platform, url: str) -> None:
    await asyncio.to_thread(_switch, url, on=False)


async def switch_on(_platform: Platform, url: str) -> None:
    await asyncio.to_thread(_switch, url, on=True)


def _switch(url: str, *, on: bool) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        automation.switch(connection, on=on)


async def rename_a_column(platform: Platform, _url: str) -> None:
    await platform.connection.execute("ALTER TABLE sessions RENAME overall_session_score TO score")


async def rename_it_back(platform: Platform, _url: str) -> None:
    await platform.connection.execute("ALTER TABLE sessions RENAME score TO overall_session_score")


@pytest.mark.parametrize(
    ("happens", "ends", "said"),
    [
        pytest.param(end_the_listener, begin_a_listener, "tutorwatch listen", id="no listener is alive"),
        pytest.param(switch_off, switch_on, "tutorwatch automation on", id="automation is off"),
        pytest.param(rename_a_column, rename_it_back, "overall_session_score", id="a column is renamed"),
    ],
)
async def test_bar_comes_and_goes_by_itself(
    visitor: Visitor, platform: Platform, database_url: str, happens: Act, ends: Act, said: str
) -> None:
    dana = await visitor("dana")
    await dana.visit("/")
    await dana.live()
    await expect(dana.page.locator("#condition")).to_be_hidden()
    await expect(dana.page.locator("#critical span.tick")).to_have_count(1)
    await dana.page.evaluate("window.isTheSamePage = true")

    await happens(platform, database_url)
    if happens is rename_a_column:  # what rests on that column can't be shown; every other page can
        await dana.visit("/system")
    await expect(dana.page.locator("#condition")).to_contain_text(said)
    await expect(dana.page.locator("#live")).to_have_text("Not all up to date")
    await expect(dana.page.locator(".is-live, span.tick")).to_have_count(0)
    await expect(dana.page.get_by_text("No critical alerts")).to_have_count(0)

    await ends(platform, database_url)
    await dana.live()
    await expect(dana.page.locator("#condition")).to_be_hidden()
    if happens is not rename_a_column:
        await expect(dana.page.get_by_text("No critical alerts")).to_be_visible()
        assert await dana.page.evaluate("window.isTheSamePage")
    dana.complaints.clear()


async def test_killed_listener_is_said_within_fifteen_seconds(
    visitor: Visitor, platform: Platform, database_url: str
) -> None:
    await platform.connection.execute("DELETE FROM tutorwatch.listeners")
    with Running("listen", url=LISTENER.url(database_url)) as listener:
        await listener.log(action="listening")
        dana = await visitor("dana")
        await dana.visit("/alerts")
        await dana.live()
        listener.send(signal.SIGKILL)
        await expect(dana.page.locator("#condition")).to_contain_text("No listener is alive", timeout=16_000)


async def test_bar_is_there_without_scripts(visitor: Visitor, platform: Platform, database_url: str) -> None:
    dana = await visitor("dana", java_script_enabled=False)
    await end_the_listener(platform, database_url)
    async with asyncio.timeout(30):
        while not await dana.page.locator("#condition li").count():
            await dana.visit("/")
    await expect(dana.page.locator("#condition")).to_contain_text("No listener is alive")
    await expect(dana.page.get_by_text("No critical alerts")).to_have_count(0)


async def test_tutor_learns_that_updates_are_delayed_and_nothing_else(
    visitor: Visitor, platform: Platform, database_url: str
) -> None:
    ann = await visitor("ann")
    await ann.visit("/tutors/ann")
    await ann.live()
    await end_the_listener(platform, database_url)
    await expect(ann.page.locator("#condition")).to_have_text(
        "Updates are delayed at the moment. What you see may be older than usual."
    )
    await expect(ann.page.locator(".is-live, span.tick")).to_have_count(0)


async def test_bar_fits_and_is_accessible(visitor: Visitor, platform: Platform, database_url: str) -> None:
    await insert_alert(platform, "ann")
    await end_the_listener(platform, database_url)
    await switch_off(platform, database_url)
    await platform.connection.execute(
        "INSERT INTO tutorwatch.failures VALUES ('ann', 5, 'error', now(), now(), NULL, now())"
    )
    dana = await visitor("dana")
    for path in ("/", "/system", "/tutors/ann", "/nothing"):
        await dana.visit(path)
        await expect(dana.page.locator("#condition li")).to_have_count(3)
        assert await violations(dana) == [], path
        assert await widths_exceeded(dana) == [], path
    dana.complaints.clear()
