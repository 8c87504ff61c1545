"""Live updates: one connection hears that alerts changed, and every open page is told."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response
from sqlalchemy.ext.asyncio import AsyncEngine

from database.channels import ALERTS
from database.connections import open_engine
from database.errors import translating_errors
from database.schema_version import check_schema
from database.subscription import Connection, NotificationHandler, listen
from web.auth.access import identify_again
from web.auth.identity import IDENTITY
from web.database import is_database_gone
from web.keys import DATABASE_URL, SETTINGS
from web.queries.system import is_announcing

logger = logging.getLogger(__name__)

LISTEN_BEAT_SECONDS = 10.0
PING_SECONDS = 15.0
SEND_SECONDS = 10.0
"""How long a browser may take to accept an event."""
MOST_PENDING = 100
"""Events that wait for one browser; one that is further behind is let go, and connects again by itself."""
RECHECK_SECONDS = 15.0
"""How soon a stream ends after its sign-in did."""
REFRESH_SECONDS = 60.0
"""How often pages are told to look again, for what no notification announces: sessions, time that passes."""
UNANNOUNCED_REFRESH_SECONDS = 5.0
"""The same on a server where the triggers can't notify (see migrations/sql/functions/wake_dashboards.sql)."""
GATHER_SECONDS = 0.5
"""Notifications that follow one another sooner are told together: anybody may send them, any number of them."""
MOST_NAMED = 10
"""Tutors that are named at a time; of more, pages hear that there are several."""
LONGEST_ID = 128
"""Characters of a user's id; a longer payload is nobody's."""
GLANCE_SECONDS = 5.0
"""How soon it is noticed that a browser has gone."""
RECONNECT_MILLISECONDS = 2000
POLL_SECONDS = 15.0
"""How often a page refreshes that gets no stream, because there are as many as may be."""
POLLS_BETWEEN_TRIES = 4
"""After so many refreshes it asks for a stream again."""


class EventName(StrEnum):
    """What pages are told."""

    ALERTS = "alerts"
    """Alerts changed: of one tutor, or of several."""
    RESYNC = "resync"
    """Something may have changed: look again."""
    DEAF = "deaf"
    """From now on changes may be missed; RESYNC ends it."""
    POLL = "poll"
    """The only event of a page that gets no stream: it is to look again every so many seconds by itself."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that pages are told; `tutor_id` is None where it may concern anybody."""

    name: EventName
    tutor_id: str | None = None

    @property
    def data(self) -> str:
        """The event's data, as JSON."""
        match self.name:
            case EventName.ALERTS:
                return json.dumps({"tutor_id": self.tutor_id})
            case EventName.POLL:
                return json.dumps({"seconds": POLL_SECONDS})
        return "{}"


def _always() -> bool:
    return True


@dataclass(eq=False)
class Client:
    """An open page of a person; `tutor_id` is the only tutor it may hear of, None for all."""

    tutor_id: str | None
    user_id: str = ""
    is_connected: Callable[[], bool] = _always
    """Whether its browser is there: one that has gone is forgotten some seconds later."""
    pending: asyncio.Queue[Event] = field(default_factory=lambda: asyncio.Queue(MOST_PENDING))
    is_dropped: bool = False

    def offer(self, event: Event) -> None:
        """Queues the event if it is for this page; marks the page as dropped once it is too far behind."""
        if self.tutor_id is not None and event.tutor_id not in (None, self.tutor_id):
            return
        try:
            self.pending.put_nowait(event)
        except asyncio.QueueFull:
            self.is_dropped = True

    async def next(self, seconds: float) -> Event | None:
        """The next event; None if there is none for so long."""
        try:
            async with asyncio.timeout(seconds):
                return await self.pending.get()
        except TimeoutError:
            return None


class Hub(NotificationHandler):
    """Passes what is heard on to all open pages. `changes` counts what may have altered alerts.

    `fresh` is an engine that keeps no connection: after an outage one may be dead, and not know it for long.
    """

    def __init__(self, fresh: AsyncEngine, *, most: int, most_per_person: int) -> None:
        self._fresh = fresh
        self._most, self._most_per_person = most, most_per_person
        self.clients: set[Client] = set()
        self.hears = False
        self.is_announced = True
        self.changes = 0
        self.times_deaf = 0
        self.times_refused = 0
        self._gathered: set[str | None] = set()
        self._gathering: asyncio.TimerHandle | None = None

    def has_room_for(self, user_id: str) -> bool:
        """Whether one more page of this person may subscribe; a page that may not is counted as refused."""
        connected = [client.user_id for client in self.clients if client.is_connected()]
        has_room = len(connected) < self._most and connected.count(user_id) < self._most_per_person
        self.times_refused += not has_room
        return has_room

    @contextmanager
    def subscription(self, client: Client) -> Iterator[Client]:
        """Tells the page of changes; at once, whether the list it has may be stale.

        It may have missed what happened between being rendered and now: so it looks again.
        """
        client.offer(Event(EventName.RESYNC if self.hears else EventName.DEAF))
        self.clients.add(client)
        try:
            yield client
        finally:
            self.clients.discard(client)

    def publish(self, event: Event) -> None:
        """Tells every page that it concerns; never waits."""
        self.changes += 1
        for client in tuple(self.clients):
            client.offer(event)

    def note_change(self) -> None:
        """This process itself has just changed something: what it keeps is old before the notification is back."""
        self.changes += 1

    def close(self) -> None:
        """Ends all streams."""
        for client in self.clients:
            client.is_dropped = True
            client.offer(Event(EventName.DEAF))

    async def prepare(self, conn: Connection) -> None:
        """Raises SchemaMismatchError; notes whether this server's triggers can notify at all."""
        with translating_errors():
            async with self._fresh.connect() as checking:
                await check_schema(checking)
        self.is_announced = await is_announcing(conn)
        if not self.is_announced:
            logger.warning(
                "This server has max_prepared_transactions set: alerts can't be announced, pages refresh every %d s",
                UNANNOUNCED_REFRESH_SECONDS,
                extra={"action": "not_announced"},
            )

    def connected(self) -> None:
        """The connection listens (again)."""
        self.hears = True
        self.publish(Event(EventName.RESYNC))

    def notified(self, payload: str) -> None:
        """Alerts changed: of this tutor, or of several. Told at once, then no sooner than GATHER_SECONDS again."""
        self.changes += 1
        self._gathered.add(payload if 0 < len(payload) <= LONGEST_ID else None)
        if len(self._gathered) > MOST_NAMED:
            self._gathered = {None}
        if self._gathering is None:
            self._tell_gathered()

    def _tell_gathered(self) -> None:
        tutor_ids, self._gathered, self._gathering = self._gathered, set(), None
        if tutor_ids:
            for tutor_id in (None,) if None in tutor_ids else tuple(tutor_ids):
                self.publish(Event(EventName.ALERTS, tutor_id))
            self._gathering = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell_gathered)

    def lost(self) -> None:
        """The connection is lost."""
        self.hears = False
        self.times_deaf += 1
        self.publish(Event(EventName.DEAF))

    @property
    def hears_all(self) -> bool:
        """Whether every change of alerts is announced to this process."""
        return self.hears and self.is_announced

    @property
    def refresh_seconds(self) -> float:
        """How often pages look again without being told of a change."""
        return REFRESH_SECONDS if self.is_announced else UNANNOUNCED_REFRESH_SECONDS


HUB = web.AppKey("hub", Hub)
LISTENING = web.AppKey("listening", asyncio.Task[None])
"""Ends only by an error that no waiting mends: a schema that isn't this program's."""


async def hub_context(app: web.Application) -> AsyncIterator[None]:
    """Listens from the application's start to its end."""
    app[HUB] = Hub(
        open_engine(app[DATABASE_URL], application_name="tutorwatch-web"),
        most=app[SETTINGS].web_streams,
        most_per_person=app[SETTINGS].web_streams_per_person,
    )
    listening = listen(
        app[SETTINGS].listen_url or app[DATABASE_URL],
        ALERTS,
        app[HUB],
        application_name="tutorwatch-web-listen",
        heartbeat_seconds=LISTEN_BEAT_SECONDS,
    )
    app[LISTENING] = asyncio.create_task(listening, name="listening")
    yield
    app[LISTENING].cancel()
    await asyncio.gather(app[LISTENING], return_exceptions=True)


async def close_streams(app: web.Application) -> None:
    """Before the server waits for open requests to end."""
    app[HUB].close()


async def events(request: web.Request) -> web.StreamResponse:
    """`/events`: server-sent events for an open page, until it closes or its sign-in ends.

    Beyond the bounds of the settings, a single one: the page is to refresh by itself instead.
    """
    identity, hub = request[IDENTITY], request.app[HUB]
    if not hub.has_room_for(identity.user_id):
        return _have_it_poll()
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
    """A stream that ends at once. It is no error status: of one, browsers tell scripts neither number nor words."""
    event, wait_ms = Event(EventName.POLL), int(POLL_SECONDS * POLLS_BETWEEN_TRIES * 1000)
    text = f"event: {event.name}\ndata: {event.data}\nretry: {wait_ms}\n\n"
    return web.Response(text=text, content_type="text/event-stream")


async def _tell(request: web.Request, stream: EventSourceResponse, client: Client) -> None:
    hub = request.app[HUB]
    recheck_at = time.monotonic() + RECHECK_SECONDS
    refresh_at = time.monotonic() + hub.refresh_seconds
    while not client.is_dropped and _is_connected(request):
        event = await client.next(GLANCE_SECONDS)
        if event is None and hub.hears and time.monotonic() >= refresh_at:
            event = Event(EventName.RESYNC)
        if event:
            await stream.send(event.data, event=event.name, retry=RECONNECT_MILLISECONDS)
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
