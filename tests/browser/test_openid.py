"""Signing in with OpenID Connect, by a person in front of a browser."""

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestServer, unused_port
from playwright.async_api import expect

from rules.thresholds import Thresholds
from tests.browser.conftest import ServedAsUsual, Visitor
from tests.support.openid import OwnProvider, let_sign_in, openid_settings, serving_provider
from tests.support.roles import WEB
from web.app import create_app


@pytest.fixture
async def provider() -> AsyncIterator[OwnProvider]:
    async with serving_provider() as provider:
        yield provider


@pytest.fixture
async def server(
    database_url: str,
    thresholds: Thresholds,
    provider: OwnProvider,
    seen_listener: None,  # noqa: ARG001 - what it finds
) -> AsyncIterator[TestServer]:
    port = unused_port()
    settings = openid_settings(provider.issuer, port, web_password_sign_in=False)
    let_sign_in(database_url)
    server = ServedAsUsual(create_app(WEB.url(database_url), settings, thresholds, version="9.9"), port=port)
    await server.start_server()
    yield server
    await server.close()


async def test_button_leads_to_the_page_that_was_asked_for(visitor: Visitor, provider: OwnProvider) -> None:
    person = await visitor()

    await person.page.goto("/tutors")
    await expect(person.page.get_by_label("Password")).to_have_count(0)
    await person.page.get_by_role("link", name="Sign in with Example School").click()

    await person.page.wait_for_url("**/tutors")
    await expect(person.page.get_by_role("link", name="Dana Whitfield")).to_be_visible()

    await person.page.get_by_role("button", name="Sign out").click()
    provider.person = {"sub": "x", "email": "nobody@example.test", "email_verified": True}
    await person.page.get_by_role("link", name="Sign in with Example School").click()
    await expect(person.page.get_by_text("Nobody here has the e-mail address")).to_be_visible()
