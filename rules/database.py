"""Connections to the platform's database."""

from typing import Any

import psycopg
from sqlalchemy import NullPool, Pool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

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


def open_engine(database_url: str, *, application_name: str, poolclass: type[Pool] | None = NullPool) -> AsyncEngine:
    """An engine for any libpq URL or connection string; dispose of it when done."""
    options = connection_options(application_name)

    async def connect() -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(database_url, **options)

    return create_async_engine(
        "postgresql+psycopg://", async_creator=connect, poolclass=poolclass, isolation_level="READ COMMITTED"
    )
