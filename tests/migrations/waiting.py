"""Waiting for what happens in the server, with a time limit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

PATIENCE_SECONDS = 20


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Returns as soon as the condition holds; fails the test, saying what didn't happen, if it never does."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await condition():  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"in {PATIENCE_SECONDS} s not seen: {what}") from None


async def until_blocked(observer: psycopg.AsyncConnection[Any], application_name: str) -> None:
    """Waits until a connection of that name, to the observer's database, waits for a lock."""

    async def is_blocked() -> bool:
        cursor = await observer.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = %s"
            " AND datname = current_database() AND wait_event_type = 'Lock')",
            [application_name],
        )
        return await cursor.fetchone() == (True,)

    await until(is_blocked, f"{application_name} waits for a lock")


async def terminate(observer: psycopg.AsyncConnection[Any], application_name: str) -> int:
    """Ends the connections of that name to the observer's database, and says how many there were."""
    cursor = await observer.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()",
        [application_name],
    )
    return len(await cursor.fetchall())
