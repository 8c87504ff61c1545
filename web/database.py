"""How requests reach the database: never for longer than a person would wait."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from database.connections import ConnectionFactory, engine_from
from database.errors import TransientError, is_transient, met_stale_plan
from web.queries.system import ping

KEPT_CONNECTIONS = 10
"""As many as a busy moment needs: those beyond are opened for one request each, which costs more than the request."""
FIRST_ANSWER_SECONDS = 1.5
"""How long the first, tiny query of a request may take: longer, and the database counts as gone."""
ANSWER_SECONDS = 10.0
"""How long a request may take in all."""
STATEMENT_SECONDS = 8.0
CANCEL_SECONDS = 1.0
"""How long the database may take to end a query that nobody waits for any more."""

T = TypeVar("T")


class DatabaseGoneError(Exception):
    """The database doesn't answer in time. Answered with 503; the next request tries again."""


def connections_for_pages(database_url: str) -> ConnectionFactory:
    """How pages reach the database: a statement that takes longer than any page may is ended by the server."""
    return ConnectionFactory(database_url, "tutorwatch-web", {"statement_timeout": f"{int(STATEMENT_SECONDS)}s"})


def open_web_engine(database_url: str) -> AsyncEngine:
    """An engine for pages. Whoever only reads commits, too: see `database.connections.engine_from`."""
    return engine_from(connections_for_pages(database_url), keep_connections=KEPT_CONNECTIONS)


async def in_time(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The work's result, or DatabaseGoneError after so many seconds.

    Work that is late is cancelled and not waited for: cancelling a query asks the database, which may be silent.
    """
    task = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if not done:
        _abandon(task)
        raise DatabaseGoneError("no answer in time")
    return task.result()


async def first_answer(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The answer to a request's first, small question. Raises DatabaseGoneError and other database errors.

    Asks once more where a connection that was kept turns out to be lost, or its plans to be stale: the database may
    well be there.
    """
    return await in_time(_ask_twice(ask), FIRST_ANSWER_SECONDS)


async def past_stale_plans(work: Callable[[], Awaitable[T]]) -> T:
    """The result of work in a transaction of its own; of a second try, where a kept plan ended the first."""
    try:
        return await work()
    except DBAPIError as error:
        if not met_stale_plan(error):
            raise
        return await work()


async def require_database(engine: AsyncEngine) -> None:
    """Raises DatabaseGoneError, or another database error, unless the database answers soon.

    For what may then take longer, because others are at the same thing.
    """
    await first_answer(lambda: _ping(engine))


async def _ask_twice(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        return await ask()
    except DBAPIError as error:
        if not error.connection_invalidated:  # as it also is where a kept plan was stale
            raise
        return await ask()


async def _ping(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await ping(conn)


def is_database_gone(error: BaseException) -> bool:
    """Whether an error means that the database can't be reached or doesn't answer in time."""
    if isinstance(error, DatabaseGoneError | TransientError | PoolTimeoutError):
        return True
    return isinstance(error, DBAPIError | psycopg.Error) and is_transient(error)


def _abandon(task: asyncio.Task[Any]) -> None:
    """Cancelled once, psycopg asks the server to end the query; cancelled again, it closes the connection."""
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    task.cancel()
    asyncio.get_running_loop().call_later(CANCEL_SECONDS, task.cancel)
