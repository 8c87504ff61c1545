"""A page that gets no event stream, because there are as many as may be: it refreshes by itself, and says so."""

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import expect
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.browser.conftest import Visitor, signed_in
from tests.support.alerts import insert_alert
from tests.support.platform import Platform
from web.auth.cookies import SIGN_IN
from web.live import streams
from web.live.hub import HUB
from web.settings import WebSettings


@pytest.fixture
def settings() -> WebSettings:
    """One stream for each person."""
    return WebSettings(web_port=0, web_streams_per_person=1)


@pytest.mark.parametrize("hindrance", ["", "delete window.SharedWorker"], ids=["shared worker", "no shared worker"])
async def test_page_beyond_the_bound_refreshes_itself_and_says_so_until_it_gets_a_stream(
    hindrance: str,
    visitor: Visitor,
    server: TestServer,
    engine: AsyncEngine,
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 2.0)
    dana = await visitor("dana")
    if hindrance:
        await dana.page.add_init_script(hindrance)
    cookies = {SIGN_IN: await signed_in(engine, "dana")}
    async with (
        aiohttp.ClientSession(cookies=cookies) as elsewhere,
        elsewhere.get(server.make_url("/events")) as held,
    ):
        await held.content.readline()
        await dana.visit("/")
        await expect(dana.page.locator("#live")).to_have_text("Refreshes every 2 s")
        await expect(dana.page.locator("#live")).not_to_have_class("live is-live")
        await expect(dana.page.locator("html")).not_to_have_class("stale")

        for tutor, name in (("ann", "Ann Lee"), ("bob", "Bob Stone")):
            await insert_alert(platform, tutor)
            await expect(dana.row(name)).to_be_visible(timeout=10_000)
        assert len(server.app[HUB].clients) == 1
        held.close()

    await dana.live()
    await platform.rows("UPDATE alerts SET resolved = true WHERE tutor_id = 'bob' RETURNING 1")
    await expect(dana.row("Bob Stone")).to_have_count(0, timeout=2_000)


async def test_page_that_refreshes_itself_says_when_it_can_not(
    visitor: Visitor, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 1.0)
    monkeypatch.setattr(server.app[HUB], "_most", 0)
    dana = await visitor("dana")
    await dana.visit("/alerts")
    await expect(dana.page.locator("#live")).to_have_text("Refreshes every 1 s")

    await dana.page.route("**/alerts", lambda route: route.fulfill(status=500, body="Failed"))
    await expect(dana.page.locator("#live")).to_contain_text("list as of")
    await dana.page.unroute("**/alerts")
    await expect(dana.page.locator("#live")).to_have_text("Refreshes every 1 s")
    dana.complaints.clear()
