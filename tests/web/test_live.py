"""Open pages hear of every change within a second, know when they may not, and cost a bounded amount."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestServer

from tests.support.alerts import insert_alert
from tests.support.browsers import Browser, SignIn, post
from tests.support.platform import Platform
from web.live import hub as live
from web.live import streams
from web.live.hub import HUB, MOST_PENDING, Client, Event, EventName

pytestmark = pytest.mark.usefixtures("subscribed")


class Stream:
    """Reads the events of an open stream."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response

    async def next(self, seconds: float = 1.0) -> tuple[str, Any]:
        """The next event's name and data, within a second."""
        async with asyncio.timeout(seconds):
            while True:
                fields = await self._block()
                if "event" in fields:
                    return fields["event"], json.loads(fields["data"])

    async def _block(self) -> dict[str, str]:
        """The fields up to the next empty line; none of a comment."""
        fields = {}
        while line := (await self._response.content.readline()).decode().rstrip("\r\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        if self._response.content.at_eof():
            raise EOFError("the stream has ended")
        return fields

    async def ended(self, seconds: float = 2.0) -> None:
        """Returns once the server has ended the stream."""
        async with asyncio.timeout(seconds):
            while await self._response.content.readline():
                pass


@asynccontextmanager
async def stream(browser: Browser) -> AsyncIterator[Stream]:
    """An open page: has looked again after its first event."""
    async with browser.get("/events", headers={"Accept": "text/event-stream"}) as response:
        assert response.status == 200
        opened = Stream(response)
        assert await opened.next() == ("resync", {})
        yield opened
        response.close()


async def test_page_is_told_within_a_second_of_what_any_client_does(admin: Browser, platform: Platform) -> None:
    async with stream(admin) as events:
        await insert_alert(platform, "bob")
        assert await events.next() == ("alerts", {"tutor_id": "bob"})

        await platform.connection.execute("UPDATE alerts SET resolved = true WHERE tutor_id = 'bob'")
        assert await events.next() == ("alerts", {"tutor_id": "bob"})

        await platform.connection.execute("DELETE FROM alerts")
        assert await events.next() == ("alerts", {"tutor_id": None})


async def test_page_is_told_of_another_admins_act(sign_in: SignIn) -> None:
    async with stream(await sign_in("omar")) as events:
        await post(await sign_in("dana"), "/alerts/00000000-0000-4000-8000-00000000a1e7/acknowledge")

        assert await events.next() == ("alerts", {"tutor_id": "ann"})


async def test_tutor_is_told_of_nobody_else(sign_in: SignIn, platform: Platform) -> None:
    async with stream(await sign_in("ann")) as events:
        await insert_alert(platform, "bob")
        await insert_alert(platform, "ann", alert_type="poor_first_session")

        assert await events.next() == ("alerts", {"tutor_id": "ann"})


async def test_lost_connection_is_told_and_made_again(admin: Browser, platform: Platform, server: TestServer) -> None:
    async with stream(admin) as events:
        await cut_listening(platform)

        assert await events.next() == ("lost", {})
        assert await events.next() == ("deaf", {}), "its deprecated name, for pages opened before an upgrade"
        assert await events.next(5) == ("resync", {})
        await insert_alert(platform, "bob")
        assert await events.next() == ("alerts", {"tutor_id": "bob"})
    assert server.app[HUB].times_lost == 1


async def test_page_opened_while_the_subscription_is_lost_is_told_at_once(admin: Browser, server: TestServer) -> None:
    server.app[HUB].is_subscribed = False

    async with admin.get("/events") as response:
        assert await Stream(response).next() == ("lost", {})
        response.close()


async def cut_listening(platform: Platform) -> None:
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'tutorwatch-web-listen' AND datname = current_database()"
    )
    assert await platform.rows(cut) == [True]


async def test_one_connection_listens_for_all_browsers(sign_in: SignIn, platform: Platform) -> None:
    browsers = [await sign_in("dana") for _ in range(5)]
    streams = [await browser.get("/events") for browser in browsers]

    listening = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'tutorwatch-web-listen' AND datname = current_database()"
    )
    assert await platform.rows(listening) == [1]
    for response in streams:
        response.close()


async def test_stream_ends_when_its_sign_in_does(
    admin: Browser, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "RECHECK_SECONDS", 0.1)
    monkeypatch.setattr(streams, "GLANCE_SECONDS", 0.05)
    async with stream(admin) as events:
        await platform.connection.execute("DELETE FROM tutorwatch.sign_ins")

        await events.ended()


async def test_stream_ends_when_its_role_changes(
    admin: Browser, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "RECHECK_SECONDS", 0.1)
    monkeypatch.setattr(streams, "GLANCE_SECONDS", 0.05)
    async with stream(admin) as events:
        await platform.connection.execute("UPDATE users SET role = 'tutor' WHERE id = 'dana'")

        await events.ended()


async def test_closed_page_is_forgotten(admin: Browser, server: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "GLANCE_SECONDS", 0.05)
    async with stream(admin):
        assert len(server.app[HUB].clients) == 1

    for _ in range(100):
        if not server.app[HUB].clients:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the page is still remembered")


async def test_pages_look_again_now_and_then_for_what_is_not_announced(
    admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "REFRESH_SECONDS", 0.1)
    monkeypatch.setattr(streams, "GLANCE_SECONDS", 0.05)
    async with stream(admin) as events:
        assert await events.next() == ("resync", {})


def test_page_that_does_not_read_is_dropped_and_not_buffered_for(server: TestServer) -> None:
    hub = server.app[HUB]
    with hub.subscription(Client(None)) as slow, hub.subscription(Client("bob")) as other:
        for _ in range(MOST_PENDING + 50):
            hub.publish(Event(EventName.ALERTS, "ann"))

        assert (slow.is_dropped, slow.pending.qsize()) == (True, MOST_PENDING)
        assert (other.is_dropped, other.pending.qsize()) == (False, 1)


async def test_stop_does_not_wait_for_open_pages(admin: Browser, server: TestServer) -> None:
    async with admin.get("/events") as response:
        assert await Stream(response).next() == ("resync", {})

        async with asyncio.timeout(3):
            await server.close()


async def test_server_that_cannot_announce_makes_pages_look_again_more_often(server: TestServer) -> None:
    hub = server.app[HUB]
    assert hub.refresh_seconds == live.REFRESH_SECONDS

    hub.is_announced = False

    assert hub.refresh_seconds == live.UNANNOUNCED_REFRESH_SECONDS


async def test_payload_of_whatever_characters_arrives_whole(
    admin: Browser, client: psycopg.AsyncConnection[Any]
) -> None:
    async with stream(admin) as events:
        await client.execute("SELECT pg_notify('tutorwatch_alerts', %s)", ["id\r\nevent: resync\u2028ü"])

        assert await events.next() == ("alerts", {"tutor_id": "id\r\nevent: resync\u2028ü"})


def test_client_hears_what_concerns_everybody() -> None:
    tutor = Client("ann")
    for event in (Event(EventName.RESYNC), Event(EventName.ALERTS, None), Event(EventName.ALERTS, "bob")):
        tutor.offer(event)

    assert tutor.pending.qsize() == 2
