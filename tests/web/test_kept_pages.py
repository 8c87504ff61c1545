"""A page that is kept is everybody's, with nothing of anybody else's, and never older than the alerts."""

import asyncio
import re
from html import unescape

import pytest
from aiohttp.test_utils import TestServer

from rules.life import Outcome
from tests.platform import Platform
from tests.web.conftest import ALERT, Browser, SignIn, post
from web.live import kept_pages
from web.live.hub import HUB

pytestmark = pytest.mark.usefixtures("hearing")


async def read(browser: Browser, path: str = "/") -> str:
    async with browser.get(path) as response:
        assert response.status == 200
        return await response.text()


def without_time(page: str) -> str:
    """A page but for when it was made."""
    return re.sub(r'data-as-of="[^"]*">[^<]*<|<time [^>]*>[^<]*<', "", page)


async def test_second_reader_gets_the_page_kept_with_their_own_name_and_token(
    sign_in: SignIn, platform: Platform, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_pages, "KEPT_SECONDS", 600.0)
    await platform.connection.execute("UPDATE users SET name = 'O''Hara & <b>Sons' WHERE id = 'omar'")
    dana, omar = await sign_in("dana"), await sign_in("omar")
    await read(dana)  # waits for the figures
    first = await read(dana)
    changes = server.app[HUB].changes
    kept = await read(omar)
    assert server.app[HUB].changes == changes, "or it wasn't kept"
    assert "O'Hara & <b>Sons" in unescape(kept)
    assert "Dana Whitfield" not in kept.split("<main")[0]

    server.app[HUB].note_change()
    assert without_time(kept) == without_time(await read(omar)), "as if it had been made for them"
    tokens = [set(re.findall(r'name="csrf_token" value="([^"]*)"', page)) for page in (first, kept)]
    assert [len(each) for each in tokens] == [1, 1]
    assert tokens[0] != tokens[1]


async def test_page_is_made_once_however_many_ask(
    sign_in: SignIn, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_pages, "KEPT_SECONDS", 600.0)
    dana = await sign_in("dana")
    await read(dana)
    made = 0
    make = kept_pages.PageKeeper._make

    async def count(*arguments: object) -> object:
        nonlocal made
        made += 1
        return await make(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(kept_pages.PageKeeper, "_make", count)
    server.app[HUB].note_change()
    await asyncio.gather(*(read(dana) for _ in range(6)))
    assert made == 1
    await read(dana, "/?sessions=flagged")
    assert made == 2


async def test_what_no_notification_announces_is_there_after_a_moment(admin: Browser, platform: Platform) -> None:
    await read(admin)
    await platform.session("bob", score="9.9")
    await asyncio.sleep(kept_pages.KEPT_SECONDS)
    assert "9.9" in await read(admin)


async def test_changed_alerts_end_it_at_once(
    admin: Browser, platform: Platform, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_pages, "KEPT_SECONDS", 600.0)
    assert "2 no-shows in 30 days" in await read(admin)
    changes = server.app[HUB].changes
    await platform.connection.execute("UPDATE alerts SET resolved = true")
    async with asyncio.timeout(2):
        while server.app[HUB].changes == changes:  # noqa: ASYNC110 - nobody tells but the hub
            await asyncio.sleep(0.01)
    assert "2 no-shows in 30 days" not in await read(admin)


async def test_nothing_is_kept_over_ones_own_action(
    admin: Browser, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_pages, "KEPT_SECONDS", 600.0)
    await platform.connection.execute("ALTER TABLE alerts DISABLE TRIGGER USER")
    assert f"/alerts/{ALERT}/resolve" in await read(admin)
    resolution = {"action_taken": "Called", "outcome": Outcome.COACHED.value}
    async with await post(admin, f"/alerts/{ALERT}/resolve", page="/alerts", **resolution) as response:
        assert response.status == 303
    assert "Resolved." in await read(admin)
    page = await read(admin)
    assert "Resolved." not in page, "a message is shown once"
    assert f"/alerts/{ALERT}/resolve" not in page


async def test_nothing_is_kept_while_the_application_is_deaf(
    admin: Browser, platform: Platform, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_pages, "KEPT_SECONDS", 600.0)
    await platform.connection.execute("ALTER TABLE alerts DISABLE TRIGGER USER")
    assert f"/alerts/{ALERT}/resolve" in await read(admin)
    await platform.connection.execute("UPDATE alerts SET resolved = true")
    assert f"/alerts/{ALERT}/resolve" in await read(admin), "or this test couldn't fail"
    server.app[HUB].hears = False
    assert f"/alerts/{ALERT}/resolve" not in await read(admin)


async def test_kept_page_is_for_who_may_see_it_now(
    sign_in: SignIn, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever changed it, in whichever process: nothing announces that somebody has signed out, or has a new role."""
    monkeypatch.setattr(kept_pages, "KEPT_SECONDS", 600.0)
    dana, omar = await sign_in("dana"), await sign_in("omar")
    for browser in (dana, omar, dana):
        await read(browser)
    for change, leads_to in (
        ("UPDATE users SET role = 'tutor' WHERE id = 'dana'", "/tutors/dana"),
        ("DELETE FROM tutorwatch.sign_ins WHERE user_id = 'dana'", "/sign-in"),
    ):
        await platform.connection.execute(change.encode())
        async with dana.get("/", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, leads_to)
        await read(omar)


async def test_page_that_takes_too_long_to_make_is_given_up(
    admin: Browser, platform: Platform, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.queries.reading.ANSWER_SECONDS", 0.5)
    await read(admin)
    async with platform.connection.transaction():
        await platform.connection.execute("LOCK TABLE alerts IN ACCESS EXCLUSIVE MODE")
        server.app[HUB].note_change()
        async with asyncio.timeout(5), admin.get("/") as response:
            assert response.status == 503
    monkeypatch.undo()
    await read(admin)
