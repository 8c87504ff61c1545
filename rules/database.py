"""Connections to the platform's database."""

from typing import Annotated, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


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


LOCK_WAIT = "30s"
"""How long one generation waits for another of the same tutor (see `rules.generation` for shorter waits)."""


def connection_options(application_name: str) -> dict[str, Any]:
    """What every connection of ours asks for, on top of its URL.

    Timeouts bound what a stopped process or a silent network can hold: the server ends a transaction that
    lies idle, and notices a client that is gone in the middle of a statement.
    """
    settings = {
        "timezone": "UTC",
        "default_transaction_isolation": r"read\ committed",
        "lock_timeout": LOCK_WAIT,
        "statement_timeout": "60s",
        "idle_in_transaction_session_timeout": "30s",
        "client_connection_check_interval": "5s",
        "random_page_cost": "1.1",  # disks have no heads any more: the default keeps plans away from indexes
    }
    return {
        "application_name": application_name,
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }


def open_engine(database_url: str, *, application_name: str, keep_connections: int = 0) -> AsyncEngine:
    """An engine for any libpq URL or connection string; dispose of it when done.

    Keeps up to `keep_connections` open between transactions (0: none).
    """
    options = connection_options(application_name)

    async def connect() -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(database_url, **options)

    pool: dict[str, Any] = {"pool_size": keep_connections} if keep_connections else {"poolclass": NullPool}
    return create_async_engine("postgresql+psycopg://", async_creator=connect, isolation_level="READ COMMITTED", **pool)
