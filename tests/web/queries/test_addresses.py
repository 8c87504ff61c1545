"""Addresses that are mistyped, made up or meant badly are answered, never with a failure."""

import re
from collections.abc import AsyncIterator
from html import unescape

import pytest
from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy.ext.asyncio import AsyncEngine

from rules.thresholds import Thresholds
from tests.support.platform import Platform
from web.app import create_app
from web.auth import store
from web.auth.cookies import SIGN_IN, digest, new_token
from web.settings import WebSettings

Browser = TestClient[web.Request, web.Application]


@pytest.fixture
async def browser(
    database_url: str, platform: Platform, engine: AsyncEngine, thresholds: Thresholds
) -> AsyncIterator[Browser]:
    """An admin's browser."""
    await platform.user("dana", role="admin")
    await platform.user("auth0|5/a b?", name="Ann")
    settings, token = WebSettings(), new_token()
    async with engine.begin() as conn:
        await store.insert_sign_in(conn, digest(token), "dana")
    server = TestServer(create_app(database_url, settings, thresholds, version="9.9"))
    async with TestClient(server, cookie_jar=CookieJar(unsafe=True)) as browser:
        browser.session.cookie_jar.update_cookies({SIGN_IN: token}, browser.make_url("/"))
        yield browser


GONE = "That part of the list can't be found any more"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        pytest.param("/sessions/not-a-uuid", 404, "Not Found", id="malformed session"),
        pytest.param("/sessions/00000000-0000-4000-8000-000000000000", 404, "Not Found", id="unknown session"),
        pytest.param("/tutors/nobody", 404, "Not Found", id="unknown tutor"),
        pytest.param("/tutors/dana", 404, "Not Found", id="no tutor"),
        pytest.param("/tutors/a%00b", 404, "Not Found", id="tutor with a NUL"),
        pytest.param("/tutors/" + "x" * 129, 404, "Not Found", id="longer than any id"),
        pytest.param(
            "/?sessions=best", 200, "Sessions: “best” isn't known and was left out.", id="unknown kind of sessions"
        ),
        pytest.param("/?utm_source=mail", 200, "Recent Sessions", id="unknown parameter"),
        pytest.param(
            "/alerts?severity=loud", 200, "Severity: “loud” isn't known and was left out.", id="unknown severity"
        ),
        pytest.param("/tutors?cursor=bm9wZQ", 200, GONE, id="no cursor"),
        pytest.param("/tutors?cursor=WzEsMl0", 200, GONE, id="cursor of numbers"),
        pytest.param("/tutors?cursor=WyJhIiwiYiIsImMiLCJkIl0", 200, GONE, id="cursor of another list"),
        pytest.param("/tutors?cursor=WyJhIiwiTmFOIiwiYyIsImQiXQ", 200, GONE, id="cursor of no number"),
        pytest.param("/tutors?cursor=" + "x" * 5000, 200, GONE, id="longer than any cursor"),
        pytest.param(
            "/tutors?filter=best&sort=-luck", 200, "Filter: “best” isn't known and was left out.", id="filter"
        ),
        pytest.param("/tutors?filter=best&sort=-luck", 200, "Sort: “-luck” isn't known and was left out.", id="order"),
        pytest.param("/tutors?fbclid=1&name=ann&name=bob", 200, "No tutor matches", id="unknown, and one twice"),
        pytest.param("/alerts?gclid=1&limit=0", 200, "Limit: “0” isn't known and was left out.", id="page of no rows"),
        pytest.param("/tutors?name=a%00", 200, "Name: “a�” isn't known and was left out.", id="name with a NUL"),
        pytest.param("/tutors/auth0%7C5%2Fa%20b%3F?cursor=WyJhIiwiYiIsImMiXQ", 200, GONE, id="no date"),
        pytest.param("/tutors/auth0%7C5%2Fa%20b%3F", 200, "Ann", id="an id with every character"),
    ],
)
async def test_answer(browser: Browser, path: str, status: int, words: str) -> None:
    async with browser.get(path) as response:
        assert response.status == status
        assert words in unescape(await response.text())


async def test_tutors_link_leads_to_them_whatever_their_id(browser: Browser) -> None:
    async with browser.get("/tutors") as response:
        assert 'href="/tutors/auth0%7C5%2Fa%20b%3F"' in await response.text()


async def follow(browser: Browser, path: str, link: str) -> list[str]:
    """The page and those that its link leads to, one after the other."""
    pages: list[str] = []
    while path:
        async with browser.get(path) as response:
            assert response.status == 200
            pages.append(await response.text())
        path = target(pages[-1], link)
    return pages


def target(page: str, link: str) -> str:
    """Where the link of this name leads; empty if there is none."""
    found = re.search(rf'href="([^"]*)"[^>]*>{link}</a>', page)
    return unescape(found[1]) if found else ""


@pytest.mark.parametrize(
    ("path", "there", "back", "listed", "sizes"),
    [
        pytest.param("/tutors?name=tutor", "More tutors", "Previous tutors", r"Tutor \d+", [50, 50, 3], id="tutors"),
        pytest.param(
            "/tutors/ann", "Older sessions", "Newer sessions", r'id="session-([^"]*)"', [20, 20, 5], id="sessions"
        ),
    ],
)
async def test_links_lead_there_and_back(
    browser: Browser, platform: Platform, path: str, there: str, back: str, listed: str, sizes: list[int]
) -> None:
    await platform.connection.execute(
        "INSERT INTO users (id, email, name, role)"
        " SELECT 'tutor-' || n, n || '@example.test', 'Tutor ' || n, 'tutor' FROM generate_series(1, 103) AS n"
    )
    for days_ago in range(45):
        await platform.session("ann", days_ago=days_ago)

    pages = await follow(browser, path, there)
    earlier = await follow(browser, target(pages[-1], back), back)

    shown = [re.findall(listed, page) for page in pages]
    assert [len(rows) for rows in shown] == sizes
    assert [re.findall(listed, page) for page in reversed(earlier)] == shown[:-1]
    assert target(pages[0], back) == target(pages[0], "First page") == ""
