"""What is kept of the database's answers serves everybody, and is never older than the alerts."""

import asyncio
import re
from datetime import UTC, datetime
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp.test_utils import TestServer
from jinja2 import UndefinedError

from rules.life import Outcome
from tests.support.browsers import ALERT, Browser, SignIn, post
from tests.support.platform import Platform
from web import queries
from web.http.rendering import render_for_all
from web.live.hub import HUB
from web.live.kept import Kept
from web.views.pages import DASHBOARD_SECONDS, DASHBOARDS

pytestmark = pytest.mark.usefixtures("subscribed")


@pytest.fixture
def kept_for_long(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What dashboards show is kept until something is announced."""
    monkeypatch.setattr(server.app[DASHBOARDS], "_seconds", 600.0)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was read for dashboards so far: which sessions they show."""
    read: list[str] = []
    dashboard_data = queries.dashboard_data

    async def note(conn: Any, now: Any, shown: Any, *arguments: Any, **options: Any) -> Any:
        read.append(shown)
        return await dashboard_data(conn, now, shown, *arguments, **options)

    monkeypatch.setattr(queries, "dashboard_data", note)
    return read


async def read(browser: Browser, path: str = "/") -> str:
    async with browser.get(path) as response:
        assert response.status == 200
        return await response.text()


def without_time(page: str) -> str:
    """A page but for when it was made."""
    return re.sub(r'data-as-of="[^"]*">[^<]*<|<time [^>]*>[^<]*<', "", page)


@pytest.mark.usefixtures("kept_for_long")
async def test_second_reader_gets_what_was_kept_with_their_own_name_and_token(
    sign_in: SignIn, platform: Platform, reads: list[str]
) -> None:
    await platform.connection.execute("UPDATE users SET name = 'O''Hara & <b>Sons' WHERE id = 'omar'")
    dana, omar = await sign_in("dana"), await sign_in("omar")
    await read(dana)  # waits for the platform's statistics
    first = await read(dana)
    reads.clear()
    kept = await read(omar)
    assert reads == []
    assert "O'Hara & <b>Sons" in unescape(kept)
    assert "Dana Whitfield" not in kept.split("<main")[0]
    tokens = [set(re.findall(r'name="csrf_token" value="([^"]*)"', page)) for page in (first, kept)]
    assert [len(each) for each in tokens] == [1, 1]
    assert tokens[0] != tokens[1]


@pytest.mark.usefixtures("kept_for_long")
async def test_one_reads_for_all_who_ask_at_the_same_time(
    sign_in: SignIn, server: TestServer, reads: list[str]
) -> None:
    dana = await sign_in("dana")
    await read(dana)
    reads.clear()
    server.app[HUB].note_change()
    await asyncio.gather(*(read(dana) for _ in range(6)))
    assert reads == ["all"]
    await read(dana, "/?sessions=flagged")
    assert reads == ["all", "flagged"]


async def test_who_leaves_while_reading_takes_the_answer_from_nobody(server: TestServer) -> None:
    kept = Kept[str](server.app[HUB], 600.0)
    begun = asyncio.Event()

    async def hang() -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    async def answer() -> str:
        return "read"

    leaving = asyncio.create_task(kept.get("question", hang))
    await begun.wait()
    staying = asyncio.create_task(kept.get("question", answer))
    leaving.cancel()
    assert await staying == "read"


async def test_what_no_notification_announces_is_there_after_a_moment(admin: Browser, platform: Platform) -> None:
    await read(admin)
    await platform.session("bob", score="9.9")
    await asyncio.sleep(DASHBOARD_SECONDS)
    assert "9.9" in await read(admin)


@pytest.mark.usefixtures("kept_for_long")
async def test_changed_alerts_end_it_at_once(admin: Browser, platform: Platform, server: TestServer) -> None:
    assert "2 no-shows in 30 days" in await read(admin)
    changes = server.app[HUB].changes
    await platform.connection.execute("UPDATE alerts SET resolved = true")
    async with asyncio.timeout(2):
        while server.app[HUB].changes == changes:  # noqa: ASYNC110 - nobody tells but the hub
            await asyncio.sleep(0.01)
    assert "2 no-shows in 30 days" not in await read(admin)


@pytest.mark.usefixtures("kept_for_long")
async def test_nothing_is_kept_over_ones_own_action(admin: Browser, platform: Platform) -> None:
    await platform.connection.execute("ALTER TABLE alerts DISABLE TRIGGER USER")
    assert f"/alerts/{ALERT}/resolve" in await read(admin)
    resolution = {"action_taken": "Called", "outcome": Outcome.COACHED.value}
    async with await post(admin, f"/alerts/{ALERT}/resolve", page="/alerts", **resolution) as response:
        assert response.status == 303
    assert "Resolved." in await read(admin)
    page = await read(admin)
    assert "Resolved." not in page, "a message is shown once"
    assert f"/alerts/{ALERT}/resolve" not in page


@pytest.mark.usefixtures("kept_for_long")
async def test_nothing_is_kept_while_changes_may_be_missed(
    admin: Browser, platform: Platform, server: TestServer
) -> None:
    await platform.connection.execute("ALTER TABLE alerts DISABLE TRIGGER USER")
    assert f"/alerts/{ALERT}/resolve" in await read(admin)
    await platform.connection.execute("UPDATE alerts SET resolved = true")
    assert f"/alerts/{ALERT}/resolve" in await read(admin), "or this test couldn't fail"
    server.app[HUB].is_subscribed = False
    assert f"/alerts/{ALERT}/resolve" not in await read(admin)


@pytest.mark.usefixtures("kept_for_long")
async def test_what_is_kept_is_for_who_may_see_it_now(sign_in: SignIn, platform: Platform) -> None:
    """Whoever changed it, in whichever process: nothing announces that somebody has signed out, or has a new role."""
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
    await read(admin)
    monkeypatch.setattr("web.reading.ANSWER_SECONDS", 0.5)
    async with platform.connection.transaction():
        await platform.connection.execute("LOCK TABLE alerts IN ACCESS EXCLUSIVE MODE")
        server.app[HUB].note_change()
        async with asyncio.timeout(5), admin.get("/") as response:
            assert response.status == 503
    monkeypatch.undo()
    await read(admin)


def test_part_that_is_kept_for_all_may_not_look_at_who_reads_it(server: TestServer) -> None:
    with pytest.raises(UndefinedError, match=r"'(csrf_token|identity)' is undefined"):
        render_for_all("account.html", server.app, ZoneInfo("UTC"), {"now": datetime.now(UTC)})
