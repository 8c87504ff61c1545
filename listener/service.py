"""The listener as a whole: started, run and stopped."""

import asyncio
import logging
from collections.abc import Callable
from uuid import uuid4

from sqlalchemy.exc import DBAPIError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

from listener.settings import ListenerSettings
from listener.subscription import CHANGES, Subscription
from listener.watchdog import watchdog
from listener.worker import Batch, Worker
from rules.database import open_engine
from rules.errors import TransientError, translating_errors
from rules.notifications import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, listen
from rules.schema_version import check_schema
from rules.settings import Thresholds

logger = logging.getLogger(__name__)


async def run_listener(
    database_url: str,
    settings: ListenerSettings,
    limits: Thresholds,
    *,
    version: str,
    stop: asyncio.Event,
    on_batch: Callable[[Batch], None] = lambda _batch: None,
) -> None:
    """Listens and generates until `stop` is set; then the batch in flight is finished, within the grace time.

    Waits for a database that can't be reached, at start and later. Raises SchemaMismatchError, at start and
    after a reconnect, if the schema isn't the one this program needs.
    """
    engine = open_engine(database_url, application_name="tutorwatch-worker", keep_connections=1)
    schema_is_right = asyncio.Event()

    async def check() -> None:
        with translating_errors():
            async with engine.connect() as conn:
                await check_schema(conn)
        schema_is_right.set()

    subscription = Subscription(
        listener_id=uuid4(),
        version=version,
        wake=lambda: worker.wake(),
        check=check,
        figures=lambda: worker.figures.as_json() | {"heartbeat_seconds": settings.heartbeat_seconds},
    )
    worker = Worker(engine, settings, limits, hears=lambda: subscription.hears, on_batch=on_batch)

    async def first_check() -> None:
        """Waits for the database; the subscription, which waits for it too, says so."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential_jitter(multiplier=FIRST_DELAY_SECONDS, max=LONGEST_DELAY_SECONDS),
        ):
            with attempt:
                await check()

    async def hear() -> None:
        await listen(
            settings.listen_url or database_url,
            CHANGES,
            subscription,
            application_name="tutorwatch-listen",
            heartbeat_seconds=settings.heartbeat_seconds,
        )

    async def work() -> None:
        await first_check()
        try:
            await worker.run()
        except DBAPIError:
            await check()  # a schema that is gone or changed explains it better
            raise

    async def stop_in_order() -> None:
        await stop.wait()
        worker.stop()
        if schema_is_right.is_set():
            await asyncio.wait([working], timeout=settings.grace_seconds)
        working.cancel()
        hearing.cancel()

    try:
        with watchdog(settings.hang_seconds):
            async with asyncio.TaskGroup() as tasks:
                hearing = tasks.create_task(hear(), name="subscription")
                working = tasks.create_task(work(), name="worker")
                tasks.create_task(stop_in_order(), name="stop")
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        await engine.dispose()
    logger.info("Stopped", extra={"action": "stopped"})
