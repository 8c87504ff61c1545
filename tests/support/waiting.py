"""For tests of what happens at the same time: a task that is surely ended, and waiting until it is blocked."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from tests.support.platform import Platform

T = TypeVar("T")

PATIENCE_SECONDS = 20.0


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


async def until_blocked(platform: Platform, *, waiting: int = 1) -> None:
    """Returns as soon as so many connections to this database wait for a lock of another."""
    blocked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await platform.rows(blocked) != [waiting]:
            await platform.rows("SELECT pg_sleep(0.01)")
