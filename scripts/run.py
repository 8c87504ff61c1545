"""`tutorwatch run`: database, schema, demo data where the database is empty, listener and dashboard."""

import asyncio
import logging
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import connect_as_client, open_engine
from database.errors import first_line
from database.one_line import one_line
from listener.service import run_listener
from listener.settings import ListenerSettings
from migrations import upgrade
from rules.thresholds import Thresholds
from scripts import environment
from scripts.accounts import one_time_link
from scripts.console import Console
from scripts.demo import dataset, live
from scripts.embedded import embedded_server
from scripts.errors import CommandError
from scripts.signals import stop_on_signals
from telling.sender import Telling
from web.service import run_web
from web.settings import WebSettings

logger = logging.getLogger(__name__)

DEMO_ADMIN_EMAIL = "admin@demo.test"


@dataclass(frozen=True)
class RunOptions:
    """The options and settings of `tutorwatch run`."""

    listener: ListenerSettings
    web: WebSettings
    telling: Telling
    thresholds: Thresholds
    version: str
    demo: bool
    seconds_between_sessions: float


def run_services(options: RunOptions) -> None:
    """Runs until interrupted. Without a configured database it uses the embedded one."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the services take it over: clean up, too
    with _database() as url:
        migrated = upgrade.migrate(url)
        if migrated.before != migrated.after:
            logger.info("Migrated the database to revision %s", migrated.after)
        asyncio.run(_run(url, options))


@contextmanager
def _database() -> Iterator[str]:
    if url := environment.configured_database_url():
        yield url
        return
    with embedded_server() as url:
        print(f"Database:  psql '{url}'", flush=True)
        yield url


async def _run(url: str, options: RunOptions) -> None:
    stop = stop_on_signals()
    logging.getLogger("listener.batch").setLevel(logging.WARNING)  # the console tells it, with names
    engine = open_engine(url, application_name="tutorwatch-console")
    console = Console(engine)
    has_demo = options.demo and await _has_demo(url)
    dashboard_at: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(console.run(), name="console"),
                tasks.create_task(_invite(engine, dashboard_at, has_demo=has_demo), name="invitation"),
            ]
            if has_demo:
                writing = write_demo_sessions(url, console.session, options.seconds_between_sessions)
                helpers.append(tasks.create_task(writing, name="demo writer"))
            thresholds, version = options.thresholds, options.version
            listening = run_listener(
                url,
                options.listener,
                thresholds,
                version=version,
                stop=stop,
                on_batch=console.batch,
                telling=options.telling,
            )
            serving = run_web(url, options.web, thresholds, version, stop, on_serving=dashboard_at.set_result)
            services = [tasks.create_task(listening, name="listener"), tasks.create_task(serving, name="dashboard")]
            await asyncio.wait(services)
            for helper in helpers:
                helper.cancel()
    finally:
        await engine.dispose()


async def _has_demo(url: str) -> bool:
    """Return whether the database holds the demo, which is written to an empty one that can hold it."""
    try:
        return await fill_if_empty(url) or await _holds_demo(url)
    except CommandError as error:
        logger.warning("Without the demo: %s", error)
        return False


async def _invite(engine: AsyncEngine, dashboard_at: asyncio.Future[str], *, has_demo: bool) -> None:
    """Print where the dashboard is; on the demo, with a link that signs its admin in."""
    address = await dashboard_at
    if not has_demo:
        print(f"Dashboard: {address} (`tutorwatch create-admin EMAIL` makes an account)", flush=True)
        return
    link = await one_time_link(engine, address, DEMO_ADMIN_EMAIL)
    print(f"Dashboard: {link}", flush=True)
    print("           (signs the demo's admin in, once; a new session every few seconds; Ctrl-C ends all)", flush=True)


async def fill_if_empty(url: str) -> bool:
    """Fills an empty database with the demo data; returns whether it did."""
    async with await connect_as_client(url) as conn:
        try:
            if not await dataset.is_empty(conn):
                return False
        except psycopg.errors.UndefinedTable:
            raise CommandError("The platform's tables aren't there: run `tutorwatch migrate`") from None
        try:
            await dataset.fill(conn, dataset.build(datetime.now(UTC)))
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise CommandError(f"The demo needs all of the platform's tables: {first_line(error)}") from None
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
        writing = asyncio.create_task(write_demo_sessions(url, lambda line: print(one_line(line)), pause))
        await asyncio.wait({writing, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            writing.result()
        writing.cancel()


async def _holds_demo(url: str) -> bool:
    async with await connect_as_client(url) as conn:
        return await dataset.is_demo(conn)


async def write_demo_sessions(url: str, tell: Callable[[str], None], pause: float) -> None:
    """Writes a session every `pause` seconds through an ordinary client connection, until cancelled."""
    rng = random.Random()  # nosec B311  # noqa: S311 - a demo, not a secret
    while True:
        try:
            async with await connect_as_client(url) as conn:
                async for written in live.sessions(conn, rng, lambda: datetime.now(UTC)):
                    tell(written.describe())
                    await asyncio.sleep(pause)
        except psycopg.Error as error:  # the database is away, or a client has deleted what it was about to use
            logger.warning("The demo's writer starts anew: %s", first_line(error))
            await asyncio.sleep(pause)
