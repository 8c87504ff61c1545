"""Connections to the platform's database."""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Annotated, Any
from weakref import WeakSet

import psycopg
from psycopg import AsyncRawCursor
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Connection, NullPool, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

logger = logging.getLogger(__name__)


def _is_conninfo(url: str | None) -> str | None:
    """libpq's own opinion; its message is left out, because it may quote the password."""
    try:
        conninfo_to_dict(url or "")
    except psycopg.Error:
        raise ValueError("is no URL or connection string of libpq's: check its form and its %-escapes") from None
    return url


DatabaseUrl = Annotated[str, Field(min_length=1), AfterValidator(_is_conninfo)]
"""Whatever libpq takes: a URL, or `key=value` pairs."""


class DatabaseSettings(BaseSettings):
    """Where the platform's database is. Read from the environment, prefix TUTORWATCH_."""

    model_config = SettingsConfigDict(env_prefix="TUTORWATCH_", frozen=True)

    database_url: DatabaseUrl | None = Field(
        None, description="libpq URL of the platform's database; unset: the embedded one of `make run`"
    )


LOCK_WAIT = "15s"
"""How long one generation waits for another of the same tutor (see `rules.generation` for shorter waits)."""
STATEMENT_SECONDS = 20
"""When the server ends a statement of ours."""
ANSWER_SECONDS = 24.0
"""When we give a connection up that owes an answer: the server would have sent its refusal by then."""

USUAL = {
    "lock_timeout": LOCK_WAIT,
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": "10s",  # ours compute for milliseconds between two statements
    "client_connection_check_interval": "2s",
    "random_page_cost": "1.1",  # disks have no heads any more: the default keeps plans away from indexes
}
"""Settings of our sessions, unless the URL's `options` say otherwise."""

OF_THE_SOCKET = {
    "tcp_keepalives_idle": "10",  # these let the server notice that a client of its own is gone
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
}
"""The same, where the socket is ours alone: not behind a pooler."""

NEEDED = {
    "timezone": "UTC",  # the platform's times are UTC without saying so
    "datestyle": "ISO",  # the driver reads no other
    "intervalstyle": "postgres",
    "default_transaction_isolation": "read committed",  # a generation must see what was committed before its locks
}
"""Settings without which our answers would be wrong, whatever the URL, the role or the database say."""


DIRECT = "tutorwatch.direct"
"""A setting that no server has by itself: where it isn't found, a pooler has swallowed what we asked for."""


def connection_options(application_name: str, database_url: str) -> dict[str, Any]:
    """What every connection of ours asks for, on top of its URL: what the URL itself says wins, with two exceptions.

    Those are the name, and the settings without which our answers would be wrong: see NEEDED.

    Timeouts bound what a stopped process or a silent network can hold: the server ends a transaction that
    lies idle, and with it its claim and its locks, and notices a client that is gone in the middle of a statement.
    """
    theirs = conninfo_to_dict(database_url)
    usual = {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }
    ours = USUAL | OF_THE_SOCKET | {DIRECT: "on"}
    options = " ".join([_as_options(ours), str(theirs.get("options") or ""), _as_options(NEEDED)])  # the last one wins
    return {name: value for name, value in usual.items() if name not in theirs} | {
        "application_name": application_name,
        "options": options,
    }


def _as_options(settings: Mapping[str, str]) -> str:
    escaped = {name: value.replace(" ", r"\ ") for name, value in settings.items()}
    return " ".join(f"-c {name}={value}" for name, value in escaped.items())


class AnsweredConnection(psycopg.AsyncConnection[Any]):
    """A connection that is given up once the server owes an answer for longer than ANSWER_SECONDS.

    A network that falls silent behind a proxy is noticed by nothing else: the way to the proxy is alive.
    """

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109
        """As the driver's, but not for ever."""
        giving_up = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._give_up_silent)
        try:
            return await super().wait(gen, interval, timeout)
        finally:
            giving_up.cancel()

    def _give_up_silent(self) -> None:
        logger.warning("No answer from the database for %.0f s; giving the connection up", ANSWER_SECONDS)
        self.give_up()

    def give_up(self) -> None:
        """Shuts the socket: the driver then finds the connection lost, and asks no silent server to cancel."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.pgconn.socket)) as ours:
            ours.shutdown(socket.SHUT_RDWR)


class ConnectionFactory:
    """How to reach a database: directly or, found out with the first connection, through a pooler.

    A pooler that gives out a connection to the server for a transaction at a time passes no `options` on: it refuses
    them, or drops them without a word. Nothing may stay behind on such a connection either, neither settings nor
    prepared statements. So settings are made anew in every transaction, for that transaction.
    """

    def __init__(
        self, database_url: str, application_name: str, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._url = database_url
        self._options = connection_options(application_name, database_url)
        self._options["cursor_factory"] = AsyncRawCursor
        self._options["options"] += " " + _as_options(settings)
        local = USUAL | NEEDED | dict(settings)
        self._local_settings = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in local.items())
        self.is_pooled: bool | None = None
        """None: not known yet."""
        self._connections: WeakSet[AnsweredConnection] = WeakSet()

    async def connect(self) -> AnsweredConnection:
        """A new connection; raises psycopg.Error."""
        connection = await self._connect()
        self._connections.add(connection)
        return connection

    def give_up(self) -> None:
        """Gives up every connection there is: where one has fallen silent, the others may have, and new ones be had."""
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
            connection = await AnsweredConnection.connect(self._url, **self._options)
        except psycopg.OperationalError as error:
            if not is_refused_by_pooler(error):
                raise
            self.is_pooled = True
            return None
        if self.is_pooled is None:
            try:
                cursor = await connection.execute("SELECT current_setting($1, true)", [DIRECT])
                self.is_pooled = await cursor.fetchone() != ("on",)
                await connection.rollback()
            except BaseException:
                await connection.close()
                raise
        if self.is_pooled:
            await connection.close()
            return None
        return connection

    def begin(self, connection: Connection) -> None:
        """At the begin of a transaction; a statement in autocommit mode goes without settings."""
        if not self.is_pooled:
            return
        driver_connection: Any = connection.connection.driver_connection
        if not driver_connection.autocommit:
            connection.exec_driver_sql(self._local_settings, execution_options={"no_parameters": True})


def is_refused_by_pooler(error: psycopg.OperationalError) -> bool:
    """Whether connecting failed because a pooler takes no settings for a session."""
    return "unsupported startup parameter" in str(error)


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
        paramstyle="numeric_dollar",  # the server's own: the driver would parse a long statement anew each time
        **pool,
    )
    event.listen(engine.sync_engine, "begin", connections.begin)
    return engine
