"""The one way to wait for what no event tells, with a time limit; and what tests of concurrency wait for."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""How long a test waits for an event before it fails."""


async def eventually(check: Callable[[], Awaitable[T]], what: str = "", *, within: float = PATIENCE_SECONDS) -> T:
    """The first true answer; asks again and again, and fails, saying `what` was not seen, when none comes in time."""
    deadline = time.monotonic() + within
    while not (found := await check()):
        assert time.monotonic() < deadline, f"{what or check}: still {found!r} after {within:g} seconds"
        await asyncio.sleep(0.01)
    return found


@asynccontextmanager
async def running(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """The work as a task; cancelled if the block ends before it does, or if it takes too long."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        task = asyncio.create_task(work)
        try:
            yield task
        finally:
            if not task.done():
                task.cancel()
            await asyncio.wait([task])


async def until_blocked(
    observer: psycopg.AsyncConnection[Any], application_name: str | None = None, *, waiting: int = 1
) -> None:
    """Returns once so many connections to the observer's database, all or those of that name, wait for a lock."""

    async def is_blocked() -> bool:
        cursor = await observer.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = coalesce(%s, application_name) AND cardinality(pg_blocking_pids(pid)) > 0",
            [application_name],
        )
        [(count,)] = await cursor.fetchall()
        return bool(count >= waiting)

    await eventually(is_blocked, f"{waiting} of {application_name or 'the connections'} waits for a lock")


async def terminate(observer: psycopg.AsyncConnection[Any], application_name: str) -> int:
    """Ends the connections of that name to the observer's database, and says how many there were."""
    cursor = await observer.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()",
        [application_name],
    )
    return len(await cursor.fetchall())
