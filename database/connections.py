"""Connections to the platform's database. No other module opens any, so that all of them have our settings."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from types import MappingProxyType
from typing import Any, LiteralString, TypeVar
from weakref import WeakSet

import psycopg
from psycopg import AsyncRawCursor, sql
from psycopg.abc import RV, Params, PQGen
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Connection, Engine, ExceptionContext, NullPool, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from database.errors import PooledError, is_of_kept_plan, is_stale_plan
from database.session_settings import DIRECT, PINNED, USUAL, as_statements, connection_options, pinned
from database.urls import DatabaseUrl

logger = logging.getLogger(__name__)


class DatabaseSettings(BaseSettings):
    """The platform's database. Read from the environment, prefix TUTORWATCH_."""

    model_config = SettingsConfigDict(env_prefix="TUTORWATCH_", frozen=True)

    database_url: DatabaseUrl | None = Field(
        None, description="libpq URL of the platform's database; unset: the embedded one of `make run`"
    )


class ServiceSettings(BaseSettings):
    """The settings that all services share."""

    model_config = SettingsConfigDict(env_prefix="TUTORWATCH_", frozen=True)

    listen_url: DatabaseUrl | None = Field(
        None,
        description="Direct URL for LISTEN and migrations, where the database URL goes through a transaction pooler",
    )


LONGEST_ANSWER_SECONDS = 24.0
"""When we give a connection up that owes an answer: the server would have sent its refusal by then."""
YOUNG_SECONDS = 1.0
"""A connection that was first used so recently holds no plan older than the platform's latest change."""


def _is_refused_by_pooler(error: psycopg.OperationalError) -> bool:
    """Return whether connecting failed because a pooler takes no settings for a session."""
    return "unsupported startup parameter" in str(error)


@contextmanager
def _refusal_as_pooled_error() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        if _is_refused_by_pooler(error):
            raise PooledError from None
        raise


def connect(
    database_url: str, *, application_name: str, settings: Mapping[str, str] = MappingProxyType({})
) -> psycopg.Connection:
    """A connection in autocommit mode, for commands that need a session of their own; `settings` win over all others.

    Raises PooledError where a pooler is between: locks and settings must last from one transaction to the next.
    """
    options = connection_options(application_name, database_url, settings)
    with _refusal_as_pooled_error():
        connection = psycopg.connect(database_url, autocommit=True, **options)
    try:
        if connection.execute("SELECT pg_catalog.current_setting(%s, true)", [DIRECT]).fetchone() != ("on",):
            raise PooledError
        connection.execute(as_statements(pinned(connection.info.server_version)).encode())
    except BaseException:
        connection.close()
        raise
    return connection


def connect_as_others(database_url: str) -> psycopg.Connection:
    """A connection with the settings that any client of this role gets, for checking those."""
    return psycopg.connect(database_url, connect_timeout=5, client_encoding="UTF8")


async def connect_as_client(database_url: str) -> psycopg.AsyncConnection[Any]:
    """An ordinary client's connection in autocommit mode: for the demo, which writes as the platform would.

    But for the search path: an operator's role must not call what others have put into `public`.
    """
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True, client_encoding="UTF8")
    try:
        await connection.execute(as_statements({"search_path": PINNED["search_path"]}).encode())
    except BaseException:
        await connection.close()
        raise
    return connection


class ListeningConnection(psycopg.AsyncConnection[Any]):
    """A connection that makes our settings with every statement, where a pooler keeps them from being the session's."""

    local_settings = b""
    """Empty: the session has them."""

    async def execute(  # type: ignore[override]
        self, query: sql.SQL | sql.Composed | LiteralString | bytes, params: Params | None = None, **options: Any
    ) -> psycopg.AsyncCursor[Any]:
        """Execute as the driver does, in autocommit mode."""
        if not self.local_settings:
            return await super().execute(query, params, **options)
        async with self.transaction():
            await super().execute(self.local_settings)
            return await super().execute(query, params, **options)


AnyConnection = TypeVar("AnyConnection", bound=ListeningConnection)


async def connect_to_listen(
    database_url: str, connection_class: type[AnyConnection], *, application_name: str
) -> AnyConnection:
    """A connection in autocommit mode for LISTEN and what belongs to it. It keeps no plans.

    Raises PooledError where a pooler refuses our settings. A pooler that drops them may still give a session: only
    the arrival of notifications shows it. Then each statement sets them for itself, so that none stays behind.
    """
    options = connection_options(application_name, database_url)
    with _refusal_as_pooled_error():
        connection = await connection_class.connect(database_url, autocommit=True, prepare_threshold=None, **options)
    try:
        cursor = await connection.execute("SELECT pg_catalog.current_setting(%s, true)", [DIRECT])
        if await cursor.fetchone() == ("on",):
            await connection.execute(as_statements(pinned(connection.info.server_version)).encode())
        else:
            settings = USUAL | pinned(connection.info.server_version)
            connection.local_settings = as_statements(settings, command="SET LOCAL").encode()
    except BaseException:
        await connection.close()
        raise
    return connection


class AnsweredConnection(psycopg.AsyncConnection[Any]):
    """A connection that is given up once the server owes an answer for longer than LONGEST_ANSWER_SECONDS.

    A network that falls silent behind a proxy is noticed by nothing else: the connection to the proxy is alive.
    """

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109
        """Wait as the driver does, but not for ever."""
        giving_up = asyncio.get_running_loop().call_later(LONGEST_ANSWER_SECONDS, self._give_up_silent)
        try:
            return await super().wait(gen, interval, timeout)
        finally:
            giving_up.cancel()

    def _give_up_silent(self) -> None:
        logger.warning("No answer from the database for %.0f s; giving the connection up", LONGEST_ANSWER_SECONDS)
        self.give_up()

    def give_up(self) -> None:
        """Shuts the socket: the driver then finds the connection lost, and asks no silent server to cancel."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.pgconn.socket)) as ours:
            ours.shutdown(socket.SHUT_RDWR)


class ConnectionFactory:
    """Opens connections: directly or, as the first one shows, through a pooler.

    A pooler that lends connections to the server for a transaction at a time refuses `options`, or drops them silently.
    Nothing may stay behind on such a connection, neither settings nor prepared statements. So every transaction sets
    them for itself.
    """

    def __init__(
        self, database_url: str, application_name: str, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._url = database_url
        self._options = connection_options(application_name, database_url, settings)
        self._options["cursor_factory"] = AsyncRawCursor
        self._settings = dict(settings)
        self.is_pooled: bool | None = None
        """None: not known yet."""
        self._connections: WeakSet[AnsweredConnection] = WeakSet()

    async def connect(self) -> AnsweredConnection:
        """A new connection; raises psycopg.Error."""
        connection = await self._connect()
        self._connections.add(connection)
        return connection

    def give_up(self) -> None:
        """Gives up all connections: if one has fallen silent, others may have, too; new ones can be opened."""
        for connection in tuple(self._connections):
            connection.give_up()

    async def _connect(self) -> AnsweredConnection:
        if not self.is_pooled:
            connection = await self._connect_directly()
            if connection:
                return connection
            logger.info("A pooler is between us and the database: settings are made in every transaction")
        return await AnsweredConnection.connect(self._url, **self._options | {"options": "", "prepare_threshold": None})

    async def _connect_directly(self) -> AnsweredConnection | None:
        try:
            connection = await AnsweredConnection.connect(self._url, autocommit=True, **self._options)
        except psycopg.OperationalError as error:
            if not _is_refused_by_pooler(error):
                raise
            self.is_pooled = True
            return None
        try:
            if self.is_pooled is None:
                cursor = await connection.execute("SELECT pg_catalog.current_setting($1, true)", [DIRECT])
                self.is_pooled = await cursor.fetchone() != ("on",)
            if not self.is_pooled:
                await connection.execute(as_statements(pinned(connection.info.server_version)).encode())
                await connection.set_autocommit(False)
                return connection
        except BaseException:
            await connection.close()
            raise
        await connection.close()
        return None

    def _local(self, connection: psycopg.AsyncConnection[Any]) -> str:
        settings = USUAL | pinned(connection.info.server_version) | self._settings
        return as_statements(settings, command="SET LOCAL")

    def _set_locally(self, connection: Connection) -> None:
        driver_connection: Any = connection.connection.driver_connection
        connection.exec_driver_sql(self._local(driver_connection), execution_options={"no_parameters": True})

    def begin(self, connection: Connection) -> None:
        """Make our settings for an engine's transaction that begins, behind a pooler.

        There is no autocommit there: whoever works in that mode has to commit all the same.
        """
        if not self.is_pooled:
            return
        adapted: Any = connection.connection.dbapi_connection
        if adapted.autocommit:
            adapted.autocommit = False
        self._set_locally(connection)

    def pin_first_questions(self, engine: Engine) -> None:
        """Have the engine ask its own first questions of the server with our settings, too."""
        ask = engine.dialect.initialize

        def ask_with_settings(connection: Connection) -> None:
            if self.is_pooled:  # in the transaction that the engine rolls back when it has asked
                self._set_locally(connection)
            ask(connection)

        engine.dialect.initialize = ask_with_settings  # type: ignore[method-assign]

    @asynccontextmanager
    async def statement(self, connection: AnsweredConnection) -> AsyncIterator[None]:
        """Around a statement on a connection in autocommit mode: behind a pooler a transaction with our settings."""
        if not self.is_pooled:
            yield
            return
        async with connection.transaction():
            await connection.execute(self._local(connection).encode())
            yield


def open_engine(
    database_url: str,
    *,
    application_name: str,
    keep_connections: int = 0,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> AsyncEngine:
    """An engine for any libpq URL or connection string, a pooler's included; dispose of it when done.

    Keeps up to `keep_connections` open between transactions (0: none). `settings` of its sessions win over all others.
    """
    return engine_from(ConnectionFactory(database_url, application_name, settings), keep_connections=keep_connections)


def engine_from(connections: ConnectionFactory, *, keep_connections: int = 0) -> AsyncEngine:
    """An engine that takes its connections from this factory.

    A transaction that only reads should be committed, too: with a rollback the driver forgets which statements the
    server has prepared, and the server parses and plans them anew, which takes longer than most of them.
    """
    pool: dict[str, Any] = {"pool_size": keep_connections} if keep_connections else {"poolclass": NullPool}
    engine = create_async_engine(
        "postgresql+psycopg://",
        async_creator=connections.connect,
        isolation_level="READ COMMITTED",
        use_native_hstore=False,  # it would be looked up
        paramstyle="numeric_dollar",  # the server's own: the driver would parse a long statement anew each time
        **pool,
    )
    connections.pin_first_questions(engine.sync_engine)
    event.listen(engine.sync_engine, "begin", connections.begin)
    event.listen(engine.sync_engine, "checkin", _note_kept)
    event.listen(engine.sync_engine, "handle_error", _drop_stale_plans)
    return engine


def sync_engine(open_connection: Callable[[], psycopg.Connection]) -> Engine:
    """An engine that opens its connections with this function, for Alembic; it keeps none."""
    return create_engine("postgresql+psycopg://", creator=open_connection, poolclass=NullPool)


_KEPT_SINCE = "tutorwatch_kept_since"


def _note_kept(_connection: Any, record: Any) -> None:
    record.info.setdefault(_KEPT_SINCE, time.monotonic())


def _drop_stale_plans(context: ExceptionContext) -> None:
    """Treats a connection as lost, and all kept ones with it, if the platform's DDL may have made its plans stale: the
    work is tried again on a new connection, where an error that has nothing to do with plans comes again.
    """
    error = context.original_exception
    if context.connection is None or context.is_disconnect or not is_of_kept_plan(error):
        return
    kept_since = context.connection.info.get(_KEPT_SINCE)
    is_old = kept_since is not None and time.monotonic() - kept_since >= YOUNG_SECONDS
    if is_old or is_stale_plan(error):
        logger.info("The platform's tables have changed: plans kept for them are made anew")
        context.is_disconnect = True
