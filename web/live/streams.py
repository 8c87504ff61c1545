"""Streams of server-sent events: one for each open page, as long as there is room."""

import json
import logging
import time

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from web.auth.access import identify_again
from web.auth.identity import IDENTITY
from web.database import is_database_gone
from web.live.hub import HUB, Client, Event, EventName

logger = logging.getLogger(__name__)

PING_SECONDS = 15.0
SEND_SECONDS = 10.0
"""How long a browser may take to accept an event."""
RECHECK_SECONDS = 15.0
"""How soon a stream ends after its sign-in did."""
GLANCE_SECONDS = 5.0
"""How soon it is noticed that a browser has gone."""
RECONNECT_MILLISECONDS = 2000
POLL_SECONDS = 15.0
"""How often a page refreshes that gets no stream, because there are as many as may be."""
POLLS_BETWEEN_TRIES = 4
"""After so many refreshes it asks for a stream again."""
_DEPRECATED_NAMES = {EventName.LOST: ("deaf",)}
"""Told as well: a page that was opened before an upgrade knows no other."""


async def events(request: web.Request) -> web.StreamResponse:
    """`/events`: server-sent events for an open page, until it closes or its sign-in ends.

    Beyond the bounds of the settings, a single one: the page is to refresh by itself instead.
    """
    identity, hub = request[IDENTITY], request.app[HUB]
    if not hub.has_room_for(identity.user_id):
        return _have_it_poll()
    if not _is_connected(request):
        return web.Response(status=204)  # nobody reads it
    only = None if identity.is_admin else identity.user_id
    with hub.subscription(Client(only, identity.user_id, lambda: _is_connected(request))) as client:
        async with sse_response(request, ping_interval=PING_SECONDS, send_timeout=SEND_SECONDS) as stream:
            try:
                await _tell(request, stream, client)
            except (ConnectionError, TimeoutError):
                logger.debug("A browser has gone", extra={"action": "browser_gone"})
    if client.pending.full() and request.transport:
        request.transport.abort()  # it doesn't read, so it wouldn't read a farewell either
    return stream


def _have_it_poll() -> web.Response:
    """A stream of one event: the page is to look again every so many seconds by itself.

    It is no error status: of one, browsers tell scripts neither number nor words.
    """
    data, wait_ms = json.dumps({"seconds": POLL_SECONDS}), int(POLL_SECONDS * POLLS_BETWEEN_TRIES * 1000)
    text = f"event: poll\ndata: {data}\nretry: {wait_ms}\n\n"
    return web.Response(text=text, content_type="text/event-stream")


async def _tell(request: web.Request, stream: EventSourceResponse, client: Client) -> None:
    hub = request.app[HUB]
    recheck_at = time.monotonic() + RECHECK_SECONDS
    refresh_at = time.monotonic() + hub.refresh_seconds
    while not client.is_dropped and _is_connected(request):
        event = await client.next(GLANCE_SECONDS)
        if event is None and hub.is_subscribed and time.monotonic() >= refresh_at:
            event = Event(EventName.RESYNC)
        if event:
            for name in (event.name, *_DEPRECATED_NAMES.get(event.name, ())):
                await stream.send(event.data, event=name, retry=RECONNECT_MILLISECONDS)
            refresh_at = time.monotonic() + hub.refresh_seconds
        if time.monotonic() >= recheck_at:
            if not await _is_still_signed_in(request):
                return
            recheck_at = time.monotonic() + RECHECK_SECONDS


def _is_connected(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


async def _is_still_signed_in(request: web.Request) -> bool:
    try:
        identity = await identify_again(request)
    except Exception as error:
        if is_database_gone(error):
            return True  # nobody can sign out either; asked again when it is back
        raise
    before = request[IDENTITY]
    return identity is not None and (identity.user_id, identity.role) == (before.user_id, before.role)
