"""Who is signed in with which cookie: asked with every request, so asked for many of them with one query."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import psycopg
from aiohttp import web

from database.connections import AnsweredConnection, ConnectionFactory
from database.errors import is_of_kept_plan
from web.auth import store
from web.database import FIRST_ANSWER_SECONDS, in_time

PATIENCE_SECONDS = 0.05
"""How long a query waits for the one before it: a connection that hangs must not hold up everybody."""
MOST_CONNECTIONS = 4
"""One is enough, unless it hangs."""

_Found = Mapping[bytes, store.KnownUse]


class SignInLookup:
    """Finds sign-ins. Whoever asks while a query runs is served by the next one, together.

    Nobody is served by a query that began before they asked: a sign-in that has ended counts as ended at once.

    Its connections are its own, and used without SQLAlchemy: taking one from the engine costs more than the query.
    `when_lost` is called where one was lost while nobody used it: then the engine's may be, too.
    """

    def __init__(
        self, connections: ConnectionFactory, lifetime: store.Lifetime, when_lost: Callable[[], Awaitable[None]]
    ) -> None:
        self._connections, self._lifetime, self._when_lost = connections, lifetime, when_lost
        self._idle: list[AnsweredConnection] = []
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)
        self._asked: set[bytes] = set()
        self._next: asyncio.Task[_Found] | None = None
        self._running: asyncio.Task[_Found] | None = None

    async def find(self, token_hash: bytes) -> store.KnownUse | None:
        """Who is signed in with this token; None once it has ended.

        Within about FIRST_ANSWER_SECONDS. Raises DatabaseGoneError and psycopg.Error.
        """
        self._asked.add(token_hash)
        if self._next is None:
            self._next = asyncio.create_task(self._ask_next())
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())  # all may have left
        return (await asyncio.shield(self._next)).get(token_hash)

    async def close(self) -> None:
        """Closes the connections that nobody uses now: after the last question, all."""
        while self._idle:
            await self._idle.pop().close()

    async def _ask_next(self) -> _Found:
        if self._running and not self._running.done():
            await asyncio.wait({self._running}, timeout=PATIENCE_SECONDS)
        asked, self._asked = self._asked, set()
        self._running, self._next = self._next, None
        return await in_time(self._ask(asked), FIRST_ANSWER_SECONDS)

    async def _ask(self, asked: set[bytes]) -> _Found:
        """Asks once more where a connection that was kept turns out to be lost, the database may well be there; and
        where it may have kept a plan that the platform's DDL has overtaken, as all that are kept may have.
        """
        async with self._free:
            if self._idle:
                conn = self._idle.pop()
                try:
                    return await self._ask_by(conn, asked)
                except psycopg.Error as error:
                    if is_of_kept_plan(error):
                        await self.close()
                    elif isinstance(error, psycopg.OperationalError) and conn.broken:
                        await self._when_lost()
                    else:
                        raise
            conn = await self._connections.connect()
            await conn.set_autocommit(True)
            return await self._ask_by(conn, asked)

    async def _ask_by(self, conn: AnsweredConnection, asked: set[bytes]) -> _Found:
        """Keeps the connection for the next query, unless this one failed."""
        try:
            async with self._connections.statement(conn):
                found = await store.find_sign_ins(conn, asked, self._lifetime)
        except BaseException:
            await conn.close()
            raise
        self._idle.append(conn)
        return found


SIGN_INS = web.AppKey("sign_ins", SignInLookup)
