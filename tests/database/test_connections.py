"""Every connection is opened in one place, and has what matters, whatever the environment says."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

import database
from database import connections
from database.connections import ListeningConnection, connect, connect_to_listen, open_engine
from database.errors import met_stale_plan
from database.session_settings import PINNED
from tests.support.platform import Platform

PROGRAM = Path(database.__file__).parents[1]
PACKAGES = ("database", "rules", "listener", "web", "migrations", "scripts", "telling")
OPENING = re.compile(r"psycopg\.connect\(|Connection\.connect\(|create_(async_)?engine\(|connection_class\.connect\(")

TWISTED = {
    "client_encoding": "LATIN1",
    "datestyle": "German",
    "intervalstyle": "iso_8601",
    "timezone": "Asia/Tokyo",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "quote_all_identifiers": "on",
    "client_min_messages": "error",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "plan_cache_mode": "force_generic_plan",
    "search_path": "nowhere",
    "row_security": "on",
    "idle_session_timeout": "1h",
    "lock_timeout": "1ms",
    "statement_timeout": "1h",
    "idle_in_transaction_session_timeout": "1h",
}
ENVIRONMENT = {"PGTZ": "Asia/Tokyo", "PGDATESTYLE": "German", "PGCLIENTENCODING": "LATIN1", "PGOPTIONS": "-c geqo=off"}
IN_URL = "-c timezone=Asia/Tokyo -c search_path=nowhere -c row_security=on"

Ask = Callable[[str, str], Awaitable[str]]
"""The value of a setting on a new connection."""


def shown(name: str) -> str:
    return f"SELECT current_setting('{name}')"


async def by_engine(url: str, name: str) -> str:
    engine = open_engine(url, application_name="test")
    async with engine.connect() as conn:
        found = str(await conn.scalar(text(shown(name))))
    await engine.dispose()
    return found


async def by_command(url: str, name: str) -> str:
    with connect(url, application_name="test") as connection:
        row = connection.execute(shown(name).encode()).fetchone()
    assert row
    return str(row[0])


async def by_listening(url: str, name: str) -> str:
    connection = await connect_to_listen(url, ListeningConnection, application_name="test")
    async with connection:
        row = await (await connection.execute(shown(name).encode())).fetchone()
    assert row
    return str(row[0])


def test_no_other_module_opens_a_connection() -> None:
    files = [path for package in PACKAGES for path in (PROGRAM / package).rglob("*.py")]
    opening = {path.relative_to(PROGRAM) for path in files if OPENING.search(path.read_text(encoding="utf-8"))}
    assert opening == {Path("database/connections.py")}


@pytest.fixture
def twisted_url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database, an environment and a URL that want everything otherwise."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with psycopg.connect(database_url, autocommit=True, client_encoding="UTF8") as connection:
        settings = dict(TWISTED)
        if connection.info.server_version >= 170_000:
            settings["transaction_timeout"] = "1h"
        for name, value in settings.items():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(connection.info.dbname), sql.Identifier(name), value
                )
            )
    return make_conninfo(database_url, options=IN_URL)


@pytest.mark.parametrize("ask", [by_engine, by_command, by_listening])
async def test_what_matters_is_pinned_whatever_the_environment_says(ask: Ask, twisted_url: str) -> None:
    with psycopg.connect(twisted_url, client_encoding="UTF8") as connection:
        has_transaction_timeout = connection.info.server_version >= 170_000
    pinned = PINNED | {"client_encoding": "UTF8", "lock_timeout": "15s", "statement_timeout": "20s"}
    pinned |= {"idle_in_transaction_session_timeout": "10s", "datestyle": "ISO, DMY"}
    if has_transaction_timeout:
        pinned["transaction_timeout"] = "0"

    assert {name: await ask(twisted_url, name) for name in pinned} == pinned


@pytest.mark.parametrize("ask", [by_engine, by_command, by_listening])
async def test_a_database_that_is_read_only_by_default_stays_so(ask: Ask, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET default_transaction_read_only = on".encode())
    on_purpose = make_conninfo(database_url, options="-c default_transaction_read_only=off")

    assert await ask(database_url, "transaction_read_only") == "on"
    assert await ask(on_purpose, "transaction_read_only") == "off"


@pytest.fixture
def ascii_url(server_url: str, worker_id: str) -> Iterator[str]:
    name = f"tutorwatch_ascii_{worker_id}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0".encode()
        )
        yield make_conninfo(server_url, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.parametrize("ask", [by_engine, by_command, by_listening])
async def test_a_database_without_an_encoding_speaks_utf8(ask: Ask, ascii_url: str) -> None:
    assert await ask(ascii_url, "client_encoding") == "UTF8"


# Plans that were kept


STATUS = text("SELECT count(*) FROM public.sessions WHERE status = :status")
NAMES = text("SELECT name FROM public.users")


async def names(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await conn.execute(NAMES)
        await conn.execute(STATUS, {"status": "completed"})


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("ALTER TABLE users ALTER name TYPE varchar(300)", id="another result type"),
        pytest.param(
            "ALTER TABLE sessions ALTER status DROP DEFAULT, ALTER status TYPE text", id="another parameter type"
        ),
    ],
)
async def test_a_plan_that_the_platforms_ddl_overtook_is_dropped_with_its_connection(
    change: str, platform_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "YOUNG_SECONDS", 0.0)
    engine = open_engine(platform_url, application_name="test", keep_connections=1)
    for _ in range(8):
        await names(engine)
    async with await psycopg.AsyncConnection.connect(platform_url, autocommit=True) as platform:
        await platform.execute(change.encode())

    with pytest.raises(DBAPIError) as failed:
        await names(engine)
    assert met_stale_plan(failed.value)
    await names(engine)
    await engine.dispose()


async def test_an_error_that_new_plans_have_too_comes_as_it_is(
    platform_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "YOUNG_SECONDS", 0.0)
    engine = open_engine(platform_url, application_name="test", keep_connections=1)
    for _ in range(8):
        await names(engine)
    async with await psycopg.AsyncConnection.connect(platform_url, autocommit=True) as platform:
        await platform.execute("ALTER TABLE users RENAME name TO called")

    outcomes = []
    for _ in range(2):
        with pytest.raises(DBAPIError) as failed:
            await names(engine)
        outcomes.append(met_stale_plan(failed.value))
    assert outcomes == [True, False]
    await engine.dispose()


async def test_an_idle_connection_isnt_ended(database_url: str, platform: Platform) -> None:
    await platform.connection.execute(
        f"ALTER DATABASE {platform.connection.info.dbname} SET idle_session_timeout = '200ms'".encode()
    )
    engine = open_engine(database_url, application_name="test-idle", keep_connections=1)
    pids = []
    for _ in range(2):
        async with engine.begin() as conn:
            pids.append(await conn.scalar(text("SELECT pg_backend_pid()")))
        await asyncio.sleep(0.5)
    await engine.dispose()
    assert pids[0] == pids[1]
