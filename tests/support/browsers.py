"""Fixtures: the real application under a test client, and people who are signed in."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientResponse, CookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import BaseRunner
from sqlalchemy.ext.asyncio import AsyncEngine
from yarl import URL

from rules.thresholds import Thresholds
from tests.support.alerts import insert_alert
from tests.support.platform import Platform
from tests.support.roles import WEB
from tests.support.waiting import eventually
from web.app import create_app
from web.auth import store
from web.auth.cookies import SIGN_IN, digest, form_token, new_token
from web.keys import SETTINGS
from web.live.hub import HUB
from web.routes import Route
from web.service import SERVING, runner_of
from web.settings import WebSettings

Browser = TestClient[web.Request, web.Application]
Opener = Callable[[], Awaitable[Browser]]

ALERT = UUID("00000000-0000-4000-8000-00000000a1e7")
SESSION = UUID("00000000-0000-4000-8000-000000005e55")


class Served(TestServer):
    """Answers as `tutorwatch web` does, also to what is no request."""

    async def _make_runner(self, **options: Any) -> BaseRunner:
        return runner_of(self.app, self.app[SETTINGS], **options)


@pytest.fixture
def settings() -> WebSettings:
    """The default settings; a test may override the fixture."""
    return WebSettings(web_port=0)


@pytest.fixture
async def server(database_url: str, settings: WebSettings, thresholds: Thresholds) -> AsyncIterator[TestServer]:
    """The application, serving."""
    app = create_app(WEB.url(database_url), settings, thresholds, version="9.9")
    server = Served(app, port=settings.web_port or None)
    await server.start_server(**SERVING)
    yield server
    await server.close()


@pytest.fixture
async def open_browser(server: TestServer) -> AsyncIterator[Opener]:
    """Opens browsers: each with cookies of its own."""
    browsers: list[Browser] = []

    async def open_one() -> Browser:
        browser: Browser = TestClient(server, cookie_jar=CookieJar(unsafe=True))
        browsers.append(browser)
        return browser

    yield open_one
    for browser in browsers:
        await browser.session.close()


@pytest.fixture
async def nobody(open_browser: Opener) -> Browser:
    """A stranger's browser."""
    return await open_browser()


@pytest.fixture
async def people(platform: Platform) -> None:
    """The users that tests of the dashboard are about: an alert and a session of the tutor Ann."""
    await platform.user("dana", role="admin", name="Dana Whitfield")
    await platform.user("omar", role="admin", name="Omar Haddad")
    await platform.user("ann", name="Ann Lee")
    await platform.user("bob", name="Bob Stone")
    await platform.user("sam", role="student", name="Sam Young")
    await platform.session("ann", student="sam", session_id=SESSION, score="5.1")
    await insert_alert(platform, "ann", alert_id=ALERT)


@pytest.fixture
def sign_in(
    people: None,  # noqa: ARG001 - who is to sign in
    engine: AsyncEngine,
    open_browser: Opener,
) -> Callable[[str], Awaitable[Browser]]:
    """Opens a browser in which the user is signed in."""

    async def sign_in_as(user_id: str) -> Browser:
        token, browser = new_token(), await open_browser()
        async with engine.begin() as conn:
            await store.insert_sign_in(conn, digest(token), user_id)
        browser.session.cookie_jar.update_cookies({SIGN_IN: token}, browser.make_url("/"))
        return browser

    return sign_in_as


SignIn = Callable[[str], Awaitable[Browser]]


@pytest.fixture
async def admin(sign_in: SignIn) -> Browser:
    """The browser of the admin Dana Whitfield."""
    return await sign_in("dana")


@pytest.fixture
async def subscribed(server: TestServer) -> None:
    """Waits until the application is subscribed."""
    hub = server.app[HUB]

    async def is_subscribed() -> bool:
        return hub.is_subscribed

    await eventually(is_subscribed, "the application's subscription")


async def token_on(browser: Browser, path: str | URL = "/sign-in") -> str:
    """The token in the first form of a page."""
    async with browser.get(path) as response:
        return token_in(await response.text())


def token_in(page: str) -> str:
    """The form token on a page."""
    found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', page)
    assert found, "the page has no form with a token"
    return found[1]


async def post(
    browser: Browser, path: str | URL, *, page: str | URL = "/alerts", headers: Any = None, **fields: Any
) -> ClientResponse:
    """Sends a form as a browser would, with the token of one of the pages."""
    fields |= {"csrf_token": await token_on(browser, page)}
    return await browser.post(path, data=fields, headers=headers, allow_redirects=False)


async def read_page(browser: Browser, path: str) -> str:
    """The text of a page; without what makes it safe for HTML."""
    async with browser.get(path) as response:
        return unescape(await response.text())


def address(route: Route) -> tuple[str, str]:
    """The route with the ids of Ann, her alert and her session in its path."""
    path = route.path
    if path.startswith(("/alerts/", "/api/alerts/")):
        return route.method, re.sub(r"\{id:[^/]*\}(?=/|$)", str(ALERT), path)
    if "/texts/" in path:
        return route.method, path.format(kind="alert", id=ALERT, field="description")
    return route.method, path.replace("{id}", str(SESSION) if path.startswith("/sessions/") else "ann")


async def token_of(browser: Browser) -> str:
    """The form token of whoever is signed in, or of a stranger."""
    for cookie in browser.session.cookie_jar:
        if cookie.key == SIGN_IN:
            return form_token(cookie.value)
    return await token_on(browser)
