"""The listener as a whole: started, run and stopped."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

from database.channels import CHANGES, DELIVERIES
from database.connections import ConnectionFactory, engine_from, open_engine
from database.errors import TransientError, translating_errors
from database.schema_version import check_schema
from database.subscription import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, listen
from listener.batch import Batch
from listener.canary import Canary, Markers
from listener.http import Listening, serving
from listener.processing import Context
from listener.schedule import Schedule
from listener.settings import ListenerSettings
from listener.signals import Signals
from listener.subscription import Subscription
from listener.watch import PlatformWatch
from listener.watchdog import watchdog
from listener.worker import Worker
from rules.thresholds import Thresholds
from telling.sender import Sender, Telling

logger = logging.getLogger(__name__)

BATCH_CONNECTIONS = 3
"""Kept open: for two batches in flight, and for the fast lane."""


async def run_listener(
    database_url: str,
    settings: ListenerSettings,
    thresholds: Thresholds,
    *,
    version: str,
    stop: asyncio.Event,
    on_batch: Callable[[Batch], None] = lambda _batch: None,
    telling: Telling | None = None,
) -> None:
    """Listens and generates until `stop` is set; then the batches in flight are finished, within the grace time.
    Without `telling` it leaves it to other listeners to tell people.

    Waits for a database that can't be reached, at start and later. Raises an ExceptionGroup of what ended it: of
    SchemaMismatchError, at start and after a reconnect, if the schema isn't the one this program needs.
    """
    await _Listener(database_url, settings, thresholds, version, on_batch, telling).run(stop)


class _Listener:
    """The parts of a listener, run beside each other."""

    def __init__(
        self,
        database_url: str,
        settings: ListenerSettings,
        thresholds: Thresholds,
        version: str,
        on_batch: Callable[[Batch], None],
        telling: Telling | None,
    ) -> None:
        self._listen_url = settings.listen_url or database_url
        self._settings = settings
        self._version = version
        self._schema_is_right = asyncio.Event()
        self._signals = Signals()
        connections = ConnectionFactory(database_url, "tutorwatch-worker")
        self._engine = engine_from(connections, keep_connections=BATCH_CONNECTIONS)
        self._fresh = open_engine(database_url, application_name="tutorwatch-worker")
        self._watch = PlatformWatch(self._fresh)
        self._telling = telling
        self._sender: Sender | None = None
        if telling:
            own = open_engine(database_url, application_name="tutorwatch-sender")
            self._sender = Sender(own, telling, self._signals.deliveries)
        self._context = Context(
            engine=self._engine,
            settings=settings,
            thresholds=thresholds,
            watch=self._watch,
            markers=Markers(),
            schedule=Schedule(settings),
            signals=self._signals,
            on_batch=on_batch,
        )
        self._subscription = Subscription(
            self._signals,
            self._context.markers,
            version=version,
            check=self._check,
            give_up=connections.give_up,
            state=self._state,
        )

    def _state(self) -> dict[str, Any]:
        heartbeat = {"heartbeat_seconds": self._settings.heartbeat_seconds}
        return self._context.metrics.as_json() | heartbeat | self._watch.as_json()

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set."""
        try:
            with watchdog(self._settings.hang_seconds):
                async with self._serving(), asyncio.TaskGroup() as tasks:
                    listening = tasks.create_task(self._listen(), name="subscription")
                    working = tasks.create_task(self._work(), name="worker")
                    canary = tasks.create_task(self._try(), name="canary")
                    sending = tasks.create_task(self._send(), name="sender")
                    tasks.create_task(self._stop_in_order(stop, working, sending, listening, canary), name="stop")
        finally:
            await self._engine.dispose()
        logger.info("Stopped", extra={"action": "stopped"})

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Answers on the listener's own port, where one is set."""
        counts = self._telling.counts if self._telling else Counter[tuple[str, str]]()
        own = Listening(self._version, self._context.metrics, self._signals, counts)
        async with serving(self._settings.listener_host, self._settings.listener_port, self._fresh, own) as address:
            if address:
                logger.info("Serving on %s", address, extra={"action": "serving"})
            yield

    async def _listen(self) -> None:
        await listen(
            self._listen_url,
            CHANGES,
            self._subscription,
            application_name="tutorwatch-listen",
            heartbeat_seconds=self._settings.heartbeat_seconds,
            others=[DELIVERIES],
        )

    async def _work(self) -> None:
        await self._first_check()
        try:
            await Worker(self._context).run()
        except* DBAPIError:
            await self._check()  # if the schema is gone or has changed, that is the better explanation
            raise

    async def _try(self) -> None:
        """Runs the canary, unless it is switched off."""
        every_seconds = self._settings.canary_seconds
        if every_seconds:
            await self._schema_is_right.wait()
            canary = Canary(
                self._fresh, every_seconds=every_seconds, is_blocked=lambda: self._watch.blocked is not None
            )
            await canary.run()

    async def _send(self) -> None:
        """Tells people, unless that is left to others."""
        if self._sender:
            await self._schema_is_right.wait()
            await self._sender.run()

    async def _first_check(self) -> None:
        """Waits for the database. The subscription, which waits for it too, logs that."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential_jitter(multiplier=FIRST_DELAY_SECONDS, max=LONGEST_DELAY_SECONDS),
        ):
            with attempt:
                await self._check()

    async def _check(self) -> None:
        """Checks the schema, on a new connection: after an outage a kept one may be dead without noticing."""
        with translating_errors():
            async with self._fresh.connect() as conn:
                await check_schema(conn)
        self._schema_is_right.set()

    async def _stop_in_order(
        self, stop: asyncio.Event, working: asyncio.Task[None], sending: asyncio.Task[None], *others: asyncio.Task[None]
    ) -> None:
        """Gives the worker and the sender time for what is in flight; meanwhile the subscription's heartbeats go on."""
        await stop.wait()
        self._signals.stop()
        if self._sender:
            self._sender.stop()
        if self._schema_is_right.is_set():
            await asyncio.wait([working, sending], timeout=self._settings.grace_seconds)
        for task in (working, sending, *others):
            task.cancel()
