"""Where pages read: on a replica, where one is set and has what was announced; else on the primary.

Whoever acts, signs in or asks how Tutorwatch itself is doing goes to the primary in any case.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from aiohttp import web
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.condition_keeper import ConditionKeeper
from database.errors import is_about_schema, met_stale_plan
from web.database import (
    ANSWER_SECONDS,
    FIRST_ANSWER_SECONDS,
    DatabaseGoneError,
    in_time,
    is_database_gone,
    past_stale_plans,
)
from web.http.rendering import AS_OF, flash_of
from web.keys import CONDITION
from web.queries.system import position_of_primary, position_of_replica

logger = logging.getLogger(__name__)

T = TypeVar("T")

MARK_SECONDS = 1.0
"""How often the primary is asked how far it is: as precisely pages know how old a replica's answer is."""
MOST_BEHIND_SECONDS = 30.0
"""A replica that is further behind isn't read from."""
CATCH_UP_SECONDS = 0.5
"""How long a page waits for the replica to have what was announced; then the primary is asked."""
LOOK_AGAIN_SECONDS = 0.01
LAGGING_SECONDS = 1.0
"""How long a replica that didn't catch up is left alone: not every page need wait for it."""
SHUNNED_SECONDS = 10.0
"""How long a replica that can't serve is left alone."""


class ReplicaLostError(Exception):
    """The replica failed in the middle of an answer; from now on the primary is asked: try again."""


class NotUsableError(Exception):
    """The replica answers, but not with what pages need; says why."""


@dataclass(frozen=True, slots=True)
class Mark:
    """All that was committed on the primary by `at`, which is after so many announced changes, lies before `position`
    in its log."""

    at: datetime
    position: int
    changes: int
    taken: float
    """On the process's clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Source:
    """A connection to read on; `as_of` is when the primary looked like that, None on the primary itself."""

    conn: AsyncConnection
    as_of: datetime | None = None


class Reads:
    """Gives out connections for reading. `changes` counts what pages were told of (see `web.live.hub`)."""

    def __init__(self, primary: AsyncEngine, replica: AsyncEngine | None, changes: Callable[[], int]) -> None:
        self._primary, self._replica, self._changes = primary, replica, changes
        self._statements = primary.execution_options(isolation_level="AUTOCOMMIT")
        self._marks: deque[Mark] = deque()
        self._needed: Mark | None = None
        self._marking = asyncio.Lock()
        self._shunned_until = 0.0
        self._asked_at = -SHUNNED_SECONDS
        self._has_answered = False
        self._is_told = False

    @asynccontextmanager
    async def connect(self, *, after_own_act: bool = False) -> AsyncIterator[Source]:
        """A connection to read on; on the primary after an act that may not have been announced to this process.

        Raises ReplicaLostError for a database error of the replica's that passes.
        """
        async with AsyncExitStack() as stack:
            source = None
            if self._replica is not None and not self._is_shunned() and not after_own_act:
                source = await self._on_replica(self._replica, stack)
            if source is None:
                yield Source(await stack.enter_async_context(self._primary.begin()))
                return
            try:
                yield source
                await source.conn.commit()
            except Exception as error:
                if met_stale_plan(error) or not is_database_gone(error):
                    raise
                self._shun(error)
                raise ReplicaLostError from error

    @property
    def is_replica_in_use(self) -> bool | None:
        """Whether the replica had an answer for whoever asked last; None where there is none."""
        return None if self._replica is None else self._has_answered

    async def watch_replica(self) -> None:
        """Asks the replica from time to time, where no page does: so it is known whether it can be used."""
        while self._replica is not None:
            if time.monotonic() - self._asked_at >= SHUNNED_SECONDS:
                await self._look(self._replica)
            await asyncio.sleep(SHUNNED_SECONDS / 2)

    async def _look(self, replica: AsyncEngine) -> None:
        try:
            async with AsyncExitStack() as stack:
                source = await self._on_replica(replica, stack)
                if source:
                    await source.conn.commit()
        except Exception as error:
            self._has_answered = False
            if not is_database_gone(error):
                logger.exception("The replica could not be looked at", extra={"action": "replica_unknown"})

    def _is_shunned(self) -> bool:
        return time.monotonic() < self._shunned_until

    async def _on_replica(self, replica: AsyncEngine, stack: AsyncExitStack) -> Source | None:
        """None if it hasn't yet what was announced, or can't serve."""
        self._asked_at = time.monotonic()
        needed = await self._mark()
        if needed is None:
            self._has_answered = False
            return None
        try:
            source = await in_time(self._open(replica, needed), FIRST_ANSWER_SECONDS)
        except Exception as error:
            if not isinstance(error, NotUsableError) and not is_database_gone(error):
                raise
            self._shun(error)
            return None
        self._has_answered = source is not None
        if source:
            self._tell_of_return()
            stack.push_async_callback(source.conn.close)
        else:
            self._shunned_until = time.monotonic() + LAGGING_SECONDS
        return source

    async def _mark(self) -> Mark | None:
        """What a page needs now: the first mark after the latest change. Asks the primary, now and then; None while it
        is no primary itself, after a failover.
        """
        async with self._marking:
            changes, now = self._changes(), time.monotonic()  # both before the question: they are at least so old
            while self._marks and now - self._marks[0].taken > MOST_BEHIND_SECONDS:
                self._marks.popleft()
            latest = self._marks[-1] if self._marks else None
            if latest is None or latest.changes != changes or now - latest.taken >= MARK_SECONDS:
                at = datetime.now(UTC)
                async with self._statements.begin() as conn:
                    position = await position_of_primary(conn)
                if position is None:
                    return None
                mark = Mark(at, position, changes, now)
                self._marks.append(mark)
                if self._needed is None or self._needed.changes != changes:
                    self._needed = mark
            return self._needed

    async def _open(self, replica: AsyncEngine, needed: Mark) -> Source | None:
        conn = await replica.connect()
        try:
            as_of = await self._caught_up(conn, needed)
            if as_of:
                return Source(conn, as_of)
        except BaseException:
            await conn.close()
            raise
        await conn.close()
        return None

    async def _caught_up(self, conn: AsyncConnection, needed: Mark) -> datetime | None:
        """How old the replica's answer will be; None if it doesn't soon have what is needed, or lags too far behind."""
        give_up_at = time.monotonic() + CATCH_UP_SECONDS
        while True:
            replayed = await position_of_replica(conn)
            if replayed is None:
                raise NotUsableError("the server of TUTORWATCH_READ_URL is no replica, or was promoted")
            reached = next((mark for mark in reversed(self._marks) if mark.position <= replayed), None)
            if reached and replayed >= needed.position:
                return reached.at
            if time.monotonic() >= give_up_at:
                return None
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    def _shun(self, error: Exception) -> None:
        self._has_answered = False
        self._shunned_until = time.monotonic() + SHUNNED_SECONDS
        logger.log(
            logging.DEBUG if self._is_told else logging.WARNING,
            "The replica can't be read from (%s); pages read from the primary meanwhile",
            str(error) if isinstance(error, NotUsableError | DatabaseGoneError) else type(error).__name__,
            extra={"action": "replica_shunned"},
        )
        self._is_told = True

    def _tell_of_return(self) -> None:
        if self._is_told:
            logger.info("Pages read from the replica again", extra={"action": "replica_back"})
        self._is_told = False


READS = web.AppKey("reads", Reads)


@asynccontextmanager
async def reading(request: web.Request) -> AsyncIterator[AsyncConnection]:
    """A connection for what a page shows; the page then says how old that is, where it comes from a replica."""
    async with request.app[READS].connect(after_own_act=bool(flash_of(request))) as source:
        request[AS_OF] = source.as_of
        yield source.conn


async def answer_in_time(request: web.Request, read: Callable[[], Awaitable[T]]) -> T:
    """The result of what a request asks for. Raises DatabaseGoneError once that takes too long.

    Where the platform's DDL has overtaken plans that were kept, or what is known of its optional tables, all of it is
    done once more; the transaction that failed has written nothing.
    """
    keeper = request.app[CONDITION]
    return await in_time(_past_features_gone(keeper, lambda: _past_the_rest(read)), ANSWER_SECONDS)


async def _past_the_rest(read: Callable[[], Awaitable[T]]) -> T:
    return await past_stale_plans(lambda: _once_more_without_replica(read))


async def _past_features_gone(keeper: ConditionKeeper, read: Callable[[], Awaitable[T]]) -> T:
    """The result of the reading; of a second one, if what it needs has gone (or come) since somebody last looked."""
    missing = keeper.missing
    try:
        return await read()
    except DBAPIError as error:
        if not is_about_schema(error):
            raise
        await keeper.get_anew(FIRST_ANSWER_SECONDS)
        if keeper.missing == missing:
            raise
        return await read()


async def _once_more_without_replica(read: Callable[[], Awaitable[T]]) -> T:
    """The result of the reading; of a second one, on the primary, if the replica is lost during the first."""
    try:
        return await read()
    except ReplicaLostError:
        return await read()
