"""Nobody holds more event streams than may be: further pages refresh by themselves, and nobody else is concerned."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from tests.support.browsers import Browser, SignIn
from web.live.hub import HUB
from web.live.streams import POLL_SECONDS
from web.settings import WebSettings

SCRAPER = {"Authorization": "Bearer a token to scrape with"}
pytestmark = pytest.mark.usefixtures("subscribed")


@pytest.fixture
def settings() -> WebSettings:
    """Bounds that a test reaches."""
    return WebSettings(
        web_port=0, web_streams_per_person=2, web_streams=3, web_metrics_token=SecretStr("a token to scrape with")
    )


@asynccontextmanager
async def opened(browser: Browser) -> AsyncIterator[ClientResponse]:
    """What `/events` answers; goes at the end without a word, as a closed page does."""
    async with browser.get("/events", headers={"Accept": "text/event-stream"}) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        yield response
        response.close()


async def first_event(response: ClientResponse) -> str:
    """The name of the first event."""
    async with asyncio.timeout(5):
        return (await response.content.readline()).decode().strip().removeprefix("event: ")


async def test_page_beyond_a_persons_bound_is_to_refresh_by_itself(sign_in: SignIn) -> None:
    """In whichever of their browsers; somebody else is told as usual."""
    ann, again, bob = await sign_in("ann"), await sign_in("ann"), await sign_in("bob")
    async with opened(ann) as first, opened(again) as second:
        assert [await first_event(first), await first_event(second)] == ["resync", "resync"]

        async with opened(ann) as third:
            lines = (await third.text()).splitlines()
        async with opened(bob) as other:
            assert await first_event(other) == "resync"

    assert lines[0] == "event: poll"
    assert json.loads(lines[1].removeprefix("data: ")) == {"seconds": POLL_SECONDS}
    async with ann.get("/metrics", headers=SCRAPER) as response:
        assert "tutorwatch_web_streams_refused_total 1.0" in await response.text()


async def test_page_beyond_the_bound_in_all_is_to_refresh_by_itself(sign_in: SignIn) -> None:
    ann, bob, dana = await sign_in("ann"), await sign_in("bob"), await sign_in("dana")
    async with opened(ann) as first, opened(ann) as second, opened(bob) as third, opened(dana) as fourth:
        events = [await first_event(response) for response in (first, second, third, fourth)]

    assert events == ["resync", "resync", "resync", "poll"]


async def test_page_that_has_gone_makes_room_at_once(sign_in: SignIn) -> None:
    """Though it takes some seconds until the stream's own task notices: who reloads a page is told as before."""
    ann = await sign_in("ann")
    for _ in range(20):
        async with opened(ann) as response:
            assert await first_event(response) == "resync"
        await asyncio.sleep(0.05)


async def test_streams_beyond_the_bound_cost_nothing_that_stays(admin: Browser, server: TestServer) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(200):
            await stack.enter_async_context(opened(admin))
        assert len(server.app[HUB].clients) == 2
    async with admin.get("/system") as page:
        assert page.status == 200
