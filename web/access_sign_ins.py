"""Who is signed in with which cookie: asked with every request, so asked for many of them with one query."""

import asyncio
from collections.abc import Mapping

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from web import store
from web.database import FIRST_ANSWER_SECONDS, in_time

PATIENCE_SECONDS = 0.05
"""How long a query waits for the one before it: a connection that hangs must not hold up everybody."""

_Found = Mapping[bytes, store.KnownUse]


class SignInLookup:
    """Finds sign-ins. Whoever asks while a query runs is served by the next one, together.

    Nobody is served by a query that began before they asked: a sign-in that has ended counts as ended at once.
    """

    def __init__(self, statements: AsyncEngine, lifetime: store.Lifetime) -> None:
        self._statements, self._lifetime = statements, lifetime
        self._asked: set[bytes] = set()
        self._next: asyncio.Task[_Found] | None = None
        self._running: asyncio.Task[_Found] | None = None

    async def find(self, token_hash: bytes) -> store.KnownUse | None:
        """Who is signed in with this token; None once it has ended. Raises DatabaseGoneError and other errors."""
        self._asked.add(token_hash)
        if self._next is None:
            self._next = asyncio.create_task(self._ask_next())
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())  # all may have left
        return (await asyncio.shield(self._next)).get(token_hash)

    async def _ask_next(self) -> _Found:
        if self._running and not self._running.done():
            await asyncio.wait({self._running}, timeout=PATIENCE_SECONDS)
        asked, self._asked = self._asked, set()
        self._running, self._next = self._next, None
        return await in_time(self._ask(asked), FIRST_ANSWER_SECONDS)

    async def _ask(self, asked: set[bytes]) -> _Found:
        async with self._statements.connect() as conn:
            return await store.find_sign_ins(conn, asked, self._lifetime)


SIGN_INS = web.AppKey("sign_ins", SignInLookup)
