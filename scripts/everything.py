"""`tutorwatch run`: database, schema, demo data where there is room for it, and the listener."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg

from listener.service import run_listener
from listener.settings import ListenerSettings
from migrations import upgrade
from rules.database import open_engine
from rules.settings import Thresholds
from scripts import environment
from scripts.demo import dataset, live
from scripts.embedded import embedded_server
from scripts.errors import CommandError
from scripts.narration import Narrator
from scripts.signals import stop_on_signals

logger = logging.getLogger(__name__)


def run_everything(*, demo: bool, seconds_between_sessions: float, version: str) -> None:
    """Runs until interrupted. Without a configured database it uses the embedded one."""
    settings, limits = environment.read(ListenerSettings), environment.read(Thresholds)
    with _database() as url:
        migrated = upgrade.migrate(url)
        if migrated.before != migrated.after:
            logger.info("Migrated the database to revision %s", migrated.after)
        asyncio.run(_run(url, settings, limits, demo=demo, pause=seconds_between_sessions, version=version))


@contextmanager
def _database() -> Iterator[str]:
    if url := environment.configured_database_url():
        yield url
        return
    with embedded_server() as url:
        print(f"Database: psql '{url}'", flush=True)
        yield url


async def _run(
    url: str, settings: ListenerSettings, limits: Thresholds, *, demo: bool, pause: float, version: str
) -> None:
    stop = stop_on_signals()
    logging.getLogger("listener.worker").setLevel(logging.WARNING)  # the narrator tells it, with names
    engine = open_engine(url, application_name="tutorwatch-narration")
    narrator = Narrator(engine)
    helpers = [asyncio.create_task(narrator.run(), name="narration")]
    try:
        if demo and (await fill_if_empty(url) or await _holds_demo(url)):
            print(f"Demo: a new session every {pause:g} seconds; Ctrl-C ends everything", flush=True)
            helpers.append(asyncio.create_task(write_demo_sessions(url, narrator.session, pause), name="demo writer"))
        await run_listener(url, settings, limits, version=version, stop=stop, on_batch=narrator.batch)
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        await engine.dispose()


async def fill_if_empty(url: str) -> bool:
    """Fills an empty database with the demo data; returns whether it did."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        if not await dataset.is_empty(conn):
            return False
        await dataset.fill(conn, dataset.build(datetime.now(UTC)))
        logger.info("Filled the empty database with the demo data")
        return True


async def play_demo(url: str, *, write: bool, pause: float) -> None:
    """Fills an empty database with the demo data; with `write`, goes on writing sessions until stopped.

    Raises CommandError for a database that holds anything else.
    """
    if await fill_if_empty(url):
        print("The demo data is in place.", flush=True)
    elif not await _holds_demo(url):
        raise CommandError("This database holds other data; the demo fills empty databases only")
    elif not write:
        print("The demo data is there already.", flush=True)
    if write:
        stop = stop_on_signals()
        writing = asyncio.create_task(write_demo_sessions(url, print, pause))
        await stop.wait()
        writing.cancel()


async def _holds_demo(url: str) -> bool:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        return await dataset.is_demo(conn)


async def write_demo_sessions(url: str, tell: Callable[[str], None], pause: float) -> None:
    """Writes a session every `pause` seconds through an ordinary client connection, until cancelled."""
    rng = random.Random()  # noqa: S311 - a demo, not a secret
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
                async for written in live.sessions(conn, rng, lambda: datetime.now(UTC)):
                    tell(written.describe())
                    await asyncio.sleep(pause)
        except psycopg.OperationalError:
            await asyncio.sleep(pause)
