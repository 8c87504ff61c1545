"""Any role may NOTIFY, and none may be relied on: lost, late, doubled and forged notifications, floods of them, and a
queue that a stranger has filled."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.faults.own_server import OwnServer
from tests.faults.record import FaultRecorder
from tests.support.alerts import insert_alert
from tests.support.command import Running
from tests.support.dashboard_process import browser, dashboard
from tests.support.listening import has_settled, is_up, no_shows
from tests.support.platform import Platform
from tests.support.roles import LISTENER
from tests.support.scale import either
from tests.support.usage import usage
from tests.support.waiting import eventually
from web.live.hub import GATHER_SECONDS, LISTEN_BEAT_SECONDS, MOST_NAMED

FLOOD_SECONDS = LISTEN_BEAT_SECONDS + either(test=2.0, soak=20.0)
"""Longer than the dashboard's heartbeats are apart."""
BEAT_SECONDS = either(test=3.0, soak=10.0)
"""The same of the listener, which takes a setting."""
RESPONSE_SECONDS = either(test=20.0, soak=5.0)
"""From a client's commit to its alert, in the middle of a flood that takes a processor, on a shared machine."""
MEGABYTES = 60.0
"""What a flood may cost in memory."""
SHORT, LONG = 40, 7900
"""Characters of a payload; the server takes fewer than 8,000."""


@pytest.fixture
async def stranger(database_url: str, worker_id: str) -> AsyncIterator[str]:
    """A role without any right: it may connect, and NOTIFY."""
    name = f"tutorwatch_stranger_{worker_id}"
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as operator:
        await operator.execute(f"DROP ROLE IF EXISTS {name}".encode())
        await operator.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'stranger'".encode())
        yield make_conninfo(database_url, user=name, password="stranger")
        await operator.execute(f"DROP ROLE {name}".encode())


@asynccontextmanager
async def flood(url: str, channel: str) -> AsyncIterator[list[int]]:
    """As many forged notifications as one connection can send, each of them different; yields how many there were."""
    sent = [0]

    async def send() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for characters, rows in itertools.cycle(((SHORT, 500), (SHORT, 500), (LONG, 20))):
                await connection.execute(
                    "SELECT count(pg_notify(%s, rpad(%s || n, %s, '<script>\"\\\n')))"
                    " FROM generate_series(1::bigint, %s) AS n",
                    [channel, f"{sent[0]}-", characters, rows],
                )
                sent[0] += rows
                await asyncio.sleep(0)

    sending = asyncio.create_task(send())
    try:
        yield sent
    finally:
        sending.cancel()
        await asyncio.wait([sending])
    assert sending.cancelled(), sending


async def test_flood_of_changes_that_are_none_leaves_the_listener_its_work(
    stranger: str, database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    slowest, changes = 0.0, 0
    with Running("listen", url=LISTENER.url(database_url), heartbeat_seconds=BEAT_SECONDS) as listener:
        await is_up(platform)
        await no_shows(platform, 1)
        await has_settled(platform)
        before, started = usage(listener.pid), time.monotonic()
        async with flood(stranger, "tutorwatch_changes") as sent:
            while time.monotonic() < started + 2 * BEAT_SECONDS:
                changes += 1
                written = time.monotonic()
                await no_shows(platform, 1, first=1 + changes)
                await has_settled(platform)
                slowest = max(slowest, time.monotonic() - written)
                await asyncio.sleep(0.2)
        after, seconds = usage(listener.pid), time.monotonic() - started
        assert listener.is_running
        batches = len(listener.logs(action="generated"))

    alerts = await platform.rows("SELECT count(DISTINCT tutor_id) FROM alerts WHERE NOT resolved")
    fault_record("forged notifications to the listeners", injected=sent[0], lost=1 + changes - alerts[0])
    assert sent[0] > 1000
    assert slowest < RESPONSE_SECONDS
    assert after.megabytes - before.megabytes < MEGABYTES
    assert batches <= 2 * (1 + changes)
    assert after.cpu_seconds - before.cpu_seconds < 0.95 * seconds


async def test_flood_of_alerts_that_are_none_leaves_pages_served_and_told(
    stranger: str, database_url: str, platform: Platform, fault_record: FaultRecorder
) -> None:
    async with dashboard(database_url, platform) as served, browser(served.token) as admin:
        open_pages = [Page() for _ in range(20)]
        reading = [asyncio.create_task(page.read(admin, served.address)) for page in open_pages]
        await eventually(lambda: _all(page.events for page in open_pages))
        before, started = usage(served.process.pid), time.monotonic()
        async with flood(stranger, "tutorwatch_alerts") as sent:
            while time.monotonic() < started + FLOOD_SECONDS:
                await served.page(admin)
                await asyncio.sleep(0.2)
        after, seconds = usage(served.process.pid), time.monotonic() - started
        events = sum(page.events for page in open_pages)
        await _is_over(open_pages, platform)
        await platform.user("tutor")
        written = time.monotonic()
        await insert_alert(platform)
        await eventually(lambda: _all("tutor" in page.named for page in open_pages))
        told = time.monotonic() - written
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)

    fault_record("forged notifications to the dashboards", injected=sent[0], recovery_seconds=told)
    assert sent[0] > 1000
    assert after.megabytes - before.megabytes < MEGABYTES
    assert max(told, served.slowest_page) < RESPONSE_SECONDS
    assert sum(page.cuts for page in open_pages) == 0
    assert events <= len(open_pages) * (seconds / GATHER_SECONDS + 1) * MOST_NAMED


class Page:
    """An open page's stream of events; it connects again by itself, as a browser does."""

    def __init__(self) -> None:
        self.events = 0
        self.named: set[str | None] = set()
        """The tutors of whom it was told that their alerts changed; None: several."""
        self.cuts = 0

    async def read(self, admin: aiohttp.ClientSession, address: str) -> None:
        while True:
            with suppress(aiohttp.ClientError):
                async with admin.get(f"{address}/events", timeout=aiohttp.ClientTimeout(None)) as response:
                    async for line in response.content:
                        if line.startswith(b"data: "):
                            self.events += 1
                            self.named.add(json.loads(line.removeprefix(b"data: ")).get("tutor_id"))
                            assert len(line) < 1000
            self.cuts += 1
            await asyncio.sleep(0.5)


async def _is_over(pages: list[Page], platform: Platform) -> None:
    """Waits until nothing is left of a flood: each page is told by name of what was announced after it."""
    names: set[str | None] = set()

    async def all_are_told() -> bool:
        names.add(f"after-the-flood-{len(names)}")
        await platform.rows("SELECT pg_notify('tutorwatch_alerts', %s)", f"after-the-flood-{len(names) - 1}")
        await asyncio.sleep(2 * GATHER_SECONDS)
        return all(page.named & names for page in pages)

    await eventually(all_are_told)


async def _all(values: Iterator[object]) -> bool:
    return all(values)


# A queue that somebody else has filled


@pytest.fixture
def small_queue(own_server: OwnServer) -> str:
    """A database of a server whose notification queue is as small as can be: half a megabyte."""
    own_server.configure(max_notify_queue_pages=64)
    own_server.restart()
    return own_server.url


@asynccontextmanager
async def filled_queue(url: str) -> AsyncIterator[None]:
    """A stranger listens in a transaction that never ends, so that the queue keeps what another one sends."""
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as stuck,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as sender,
    ):
        await stuck.execute("LISTEN of_a_stranger")
        await stuck.execute("BEGIN")
        await stuck.execute("SELECT 1")
        with suppress(psycopg.errors.ProgramLimitExceeded):
            for number in range(1000):
                await sender.execute("SELECT pg_notify('of_a_stranger', rpad(%s, 7900, 'x'))", [str(number)])
        cursor = await sender.execute("SELECT pg_notification_queue_usage()")
        assert (await cursor.fetchone() or (0,))[0] > 0.9
        yield


async def test_clients_commit_and_are_heard_by_polling_with_the_queue_full(
    small_queue: str, fault_record: FaultRecorder
) -> None:
    async with await psycopg.AsyncConnection.connect(small_queue, autocommit=True) as connection:
        platform = Platform(connection)
        async with filled_queue(small_queue):
            with Running("listen", url=LISTENER.url(small_queue), fallback_poll_seconds=0.5, poll_seconds=1):
                await no_shows(platform, 5)
                async with connection.transaction():
                    await no_shows(platform, 5, first=6)
                started = time.monotonic()
                await eventually(lambda: _holds(platform, alerts=10))
                seconds = time.monotonic() - started
                await connection.execute("UPDATE alerts SET resolved = true")
    fault_record("notification queue full", injected=1, recovery_seconds=seconds)


async def _holds(platform: Platform, *, alerts: int) -> bool:
    return await platform.rows("SELECT count(*) FROM alerts") == [alerts]


@pytest.mark.parametrize("table", ["sessions", "alerts"])
async def test_transaction_commits_though_the_queue_was_filled_after_its_writes(table: str, small_queue: str) -> None:
    async with await psycopg.AsyncConnection.connect(small_queue) as connection:
        platform = Platform(connection)
        await platform.user("tutor")
        await platform.user("student", role="student")
        await platform.subject()
        await connection.commit()
        if table == "sessions":
            await platform.session()
        else:
            await insert_alert(platform)
        async with filled_queue(small_queue):
            await connection.commit()
