"""Fixtures: the real application and a real listener, and people in front of headless Chromium."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import TestServer
from aiohttp.web import BaseRunner
from playwright.async_api import Browser, async_playwright, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from listener.service import run_listener
from listener.settings import ListenerSettings
from rules.thresholds import Thresholds
from tests.browser.people import PASSWORD, Person
from tests.support.browsers import Served
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from web.app import create_app
from web.auth import store
from web.auth.cookies import SIGN_IN, digest, new_token
from web.auth.passwords import new_password
from web.settings import WebSettings

PATIENCE_MS = 60_000
"""How long a browser waits for what it is told to do, to find or to expect."""
expect.set_options(timeout=PATIENCE_MS)

ANY_NAME = "--host-resolver-rules=MAP *.test 127.0.0.1"
"""Leads to this machine by names that are no secure context, as those of an intranet without TLS."""

Visitor = Callable[..., Awaitable[Person]]


class ServedAsUsual(Served):
    """As `tutorwatch web` serves: a browser that goes away while it is answered interrupts nothing."""

    async def _make_runner(self, **options: Any) -> BaseRunner:
        return await super()._make_runner(**options | {"handler_cancellation": False})


@pytest.fixture
async def seen_listener(platform: Platform) -> None:
    """As far as the database knows, a listener is alive, and says so seldom: pages may claim that all is well."""
    await platform.connection.execute(
        "INSERT INTO tutorwatch.listeners (listener_id, host, process_id, version, started_at, seen_at, figures)"
        """ VALUES (gen_random_uuid(), 'host', 7, '9.9', now(), now(), '{"heartbeat_seconds": 300}')"""
    )


@pytest.fixture
def settings() -> WebSettings:
    """The default settings; a test may override the fixture."""
    return WebSettings(web_port=0)


@pytest.fixture
async def server(
    database_url: str,
    settings: WebSettings,
    thresholds: Thresholds,
    seen_listener: None,  # noqa: ARG001 - what the application finds
) -> AsyncIterator[TestServer]:
    """The application, serving."""
    server = ServedAsUsual(create_app(WEB.url(database_url), settings, thresholds, version="9.9"))
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
async def listener(database_url: str, thresholds: Thresholds) -> AsyncIterator[None]:
    """A listener at work on the same database."""
    stop = asyncio.Event()
    url = LISTENER.url(database_url)
    running = asyncio.create_task(run_listener(url, ListenerSettings(), thresholds, version="9.9", stop=stop))
    yield
    stop.set()
    await running


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """The browser itself."""
    path = os.environ.get("TUTORWATCH_TEST_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("no Chromium: `make browser` installs it, or set TUTORWATCH_TEST_BROWSER to one")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", ANY_NAME])
        yield browser
        await browser.close()


@pytest.fixture
async def visitor(
    chromium: Browser,
    server: TestServer,
    engine: AsyncEngine,
    people: None,  # noqa: ARG001 - who may be signed in
) -> AsyncIterator[Visitor]:
    """Opens a browser for somebody, signed in where a user is given; nobody's browser may complain."""
    visitors: list[Person] = []
    async with AsyncExitStack() as stack:

        async def open_browser(user_id: str | None = None, *, host: str = server.host, **options: Any) -> Person:
            address = str(server.make_url("/").with_host(host))
            context = await chromium.new_context(base_url=address, **options)
            context.set_default_timeout(PATIENCE_MS)
            stack.push_async_callback(context.close)
            if user_id:
                await context.add_cookies(
                    [{"name": SIGN_IN, "value": await signed_in(engine, user_id), "url": address}]
                )
            person = Person(await context.new_page())
            visitors.append(person)
            return person

        yield open_browser
    assert [complaint for person in visitors for complaint in person.complaints] == []


async def signed_in(engine: AsyncEngine, user_id: str) -> str:
    token = new_token()
    async with engine.begin() as conn:
        await store.insert_sign_in(conn, digest(token), user_id)
    return token


@pytest.fixture
async def people(platform: Platform, engine: AsyncEngine) -> None:
    """Two admins (the first with a password) and a tutor."""
    await platform.user("dana", role="admin", name="Dana Whitfield")
    await platform.user("omar", role="admin", name="Omar Haddad")
    await platform.user("ann", name="Ann Lee")
    await platform.user("bob", name="Bob Stone")
    async with engine.begin() as conn:
        await store.store_password(conn, "dana", new_password(PASSWORD))


async def newest_session(platform: Platform) -> UUID:
    """The id of some session."""
    found: UUID = (await platform.rows("SELECT id FROM sessions ORDER BY scheduled_start DESC LIMIT 1"))[0]
    return found
