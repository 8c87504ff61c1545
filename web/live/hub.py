"""Live updates: one LISTEN connection is told that alerts changed, and tells every open page."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from database.channels import ALERTS
from database.connections import open_engine
from database.errors import translating_errors
from database.schema_version import check_schema
from database.subscription import Connection, NotificationHandler, listen
from web.keys import DATABASE_URL, SETTINGS
from web.queries.system import is_announcing

logger = logging.getLogger(__name__)

LISTEN_BEAT_SECONDS = 10.0
MOST_PENDING = 100
"""Events that wait for one browser; one that is further behind is let go, and connects again by itself."""
REFRESH_SECONDS = 60.0
"""How often pages are told to look again, for what nothing announces: time that passes, corrections of the past."""
UNANNOUNCED_REFRESH_SECONDS = 5.0
"""The same on a server where the triggers can't notify (see migrations/sql/functions/wake_dashboards.sql)."""
GATHER_SECONDS = 0.5
"""Notifications that follow one another sooner are told together: anybody may send them, any number of them."""
MOST_NAMED = 10
"""Tutors that are named at a time; of more, pages are told that there are several."""
LONGEST_ID = 128
"""Characters of a user's id; a longer payload is nobody's."""


class EventName(StrEnum):
    """What pages are told."""

    ALERTS = "alerts"
    """Alerts changed: of one tutor, or of several."""
    SESSIONS = "sessions"
    """Sessions ended, or changed since: of one tutor, or of several."""
    RESYNC = "resync"
    """Something may have changed: look again."""
    LOST = "lost"
    """From now on changes may be missed; RESYNC ends it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that pages are told; `tutor_id` is None where it may concern anybody."""

    name: EventName
    tutor_id: str | None = None

    @property
    def data(self) -> str:
        """The event's data, as JSON."""
        names_tutor = self.name in (EventName.ALERTS, EventName.SESSIONS)
        return json.dumps({"tutor_id": self.tutor_id}) if names_tutor else "{}"


def _always() -> bool:
    return True


@dataclass(eq=False)
class Client:
    """An open page of a person; `tutor_id` is the only tutor it is told about, None for all."""

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
    """Passes notifications on to all open pages. `changes` counts what may have altered alerts.

    `fresh` is an engine that keeps no connection: after an outage one may be dead, and not know it for long.
    """

    def __init__(self, fresh: AsyncEngine, *, most: int, most_per_person: int) -> None:
        self._fresh = fresh
        self._most, self._most_per_person = most, most_per_person
        self.clients: set[Client] = set()
        self.is_subscribed = False
        self.is_announced = True
        self.changes = 0
        self.times_lost = 0
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
        client.offer(Event(EventName.RESYNC if self.is_subscribed else EventName.LOST))
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
            client.offer(Event(EventName.LOST))

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
        """The subscription is there (again)."""
        self.is_subscribed = True
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
        """The subscription is lost."""
        self.is_subscribed = False
        self.times_lost += 1
        self.publish(Event(EventName.LOST))

    @property
    def is_told_of_all(self) -> bool:
        """Whether every change of alerts is announced to this process."""
        return self.is_subscribed and self.is_announced

    @property
    def refresh_seconds(self) -> float:
        """How often pages look again without being told of a change."""
        return REFRESH_SECONDS if self.is_announced else UNANNOUNCED_REFRESH_SECONDS


HUB = web.AppKey("hub", Hub)
LISTENING = web.AppKey("listening", asyncio.Task[None])
"""Ends only by an error that no waiting cures: a schema that isn't this program's."""


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
