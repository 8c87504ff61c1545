"""Behind PgBouncer, which gives out a connection to the server for a transaction at a time."""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from database.connections import ConnectionFactory, engine_from, open_engine
from tests.support.command import Running, tutorwatch
from tests.support.dashboard_process import browser, dashboard
from tests.support.listening import alerted, has_settled, is_up, no_shows
from tests.support.pgbouncer import needs_pgbouncer, pgbouncer
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import PATIENCE_SECONDS, eventually
from web.auth.cookies import form_token

pytestmark = needs_pgbouncer

ROUNDS = 12
"""More than psycopg sees of a statement before it prepares it."""
SETTINGS = ("lock_timeout", "statement_timeout", "random_page_cost", "timezone", "datestyle", "client_min_messages")


@pytest.fixture(params=[(), ("options",)], ids=["refusing options", "dropping options"])
def pooled_url(request: pytest.FixtureRequest, database_url: str) -> Iterator[str]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        # So that a transaction without our settings gives itself away.
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET timezone = 'Asia/Tokyo'".encode())
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET datestyle = 'German'".encode())
    with pgbouncer(database_url, ignoring=request.param) as url:
        yield url


def left_behind(url: str, role_url: str) -> set[tuple[str, str]]:
    """Settings that differ, for clients of the pool, from those of a new connection."""
    query = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
    found: set[tuple[str, str]] = set()
    with psycopg.connect(url, autocommit=True) as direct:
        own = set(direct.execute(query, [list(SETTINGS)]).fetchall())
    for _ in range(10):
        with psycopg.connect(role_url, autocommit=True, prepare_threshold=None) as client:
            found |= set(client.execute(query, [list(SETTINGS)]).fetchall())
            assert client.execute("SELECT count(*) FROM pg_prepared_statements").fetchall() == [(0,)]
    return {(name, value) for name, value in found - own if name not in ("timezone", "datestyle")}


async def test_every_transaction_has_our_settings_and_leaves_none_behind(database_url: str, pooled_url: str) -> None:
    engine = open_engine(LISTENER.url(pooled_url), application_name="tutorwatch-test", keep_connections=5)

    async def ask() -> tuple[str, ...]:
        async with engine.connect() as conn:
            return tuple(
                [
                    str(await conn.scalar(text(f"SHOW {name}")))
                    for name in ("timezone", "datestyle", "lock_timeout", "transaction_isolation")
                ]
            )

    found = {answer for _ in range(ROUNDS) for answer in await asyncio.gather(*[ask() for _ in range(8)])}
    await engine.dispose()

    assert found == {("UTC", "ISO, DMY", "15s", "read committed")}
    assert left_behind(database_url, LISTENER.url(pooled_url)) == set()


async def test_statements_in_autocommit_mode_have_them_too(database_url: str, pooled_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO tutorwatch.api_tokens (name, token_hash) VALUES ('reports', '')")
    query = "SELECT current_setting('timezone'), current_setting('search_path'), current_setting('row_security')"
    connections = ConnectionFactory(WEB.url(pooled_url), "tutorwatch-test")
    engine = engine_from(connections, keep_connections=2)
    statements = engine.execution_options(isolation_level="AUTOCOMMIT")
    lone = await connections.connect()
    await lone.set_autocommit(True)
    found = set()
    for _ in range(ROUNDS):
        async with statements.begin() as conn:
            found.add(tuple((await conn.execute(text(query))).one()))
            await conn.execute(text("UPDATE tutorwatch.api_tokens SET last_used_at = now()"))
        async with connections.statement(lone):
            row = await (await lone.execute(query.encode())).fetchone()
            found.add(row or ())
    await lone.close()
    await engine.dispose()

    assert found == {("UTC", "pg_catalog, pg_temp", "off")}
    with psycopg.connect(database_url) as connection:
        used = connection.execute("SELECT count(last_used_at) FROM tutorwatch.api_tokens").fetchone()
    assert used == (1,)
    assert left_behind(database_url, WEB.url(pooled_url)) == set()


async def test_listeners_share_the_work_through_it(database_url: str, pooled_url: str, platform: Platform) -> None:
    url = LISTENER.url(pooled_url)
    settings: dict[str, Any] = {"listen_url": LISTENER.url(database_url), "poll_seconds": 3600}
    with Running("listen", url=url, **settings) as one, Running("listen", url=url, **settings) as other:
        await is_up(platform, 2)
        tutors = [tutor for number in range(ROUNDS) for tutor in await no_shows(platform, 1, first=number * 10 + 1)]
        tutors += await no_shows(platform, 5, first=ROUNDS * 10 + 1)

        async def all_alerted() -> bool:
            return await alerted(platform) == tutors

        await eventually(all_alerted)
        await has_settled(platform)
        troubles = [
            each for process in (one, other) for each in process.logs() if each["level"] in ("WARNING", "ERROR")
        ]
    assert troubles == []
    assert left_behind(database_url, LISTENER.url(pooled_url)) == set()


async def test_a_backfill_through_it_finds_everything(database_url: str, pooled_url: str, platform: Platform) -> None:
    tutors = await no_shows(platform, 40)

    done = tutorwatch("backfill", "--batch-size", "1", url=LISTENER.url(pooled_url))

    assert (done.code, await alerted(platform)) == (0, tutors)
    assert left_behind(database_url, LISTENER.url(pooled_url)) == set()


async def test_the_dashboard_serves_hears_and_acts_through_it(
    database_url: str, pooled_url: str, platform: Platform
) -> None:
    async with dashboard(pooled_url, platform, listen_url=WEB.url(database_url)) as served:
        async with browser(served.token) as admin:
            for path in ("/", "/alerts", "/system"):
                await asyncio.gather(*[served.page(admin, path) for _ in range(ROUNDS)])
            async with admin.get(served.address + "/events") as events:
                await anext(aiter(events.content))
                await no_shows(platform, 1)
                assert tutorwatch("backfill", url=LISTENER.url(pooled_url)).code == 0
                while b"event: alerts" not in await asyncio.wait_for(anext(aiter(events.content)), PATIENCE_SECONDS):
                    pass
            [alert] = await platform.rows("SELECT id FROM alerts")
            fields, headers = {"csrf_token": form_token(served.token)}, {"Origin": served.address}
            async with admin.post(
                f"{served.address}/alerts/{alert}/acknowledge", data=fields, headers=headers, allow_redirects=False
            ) as response:
                assert response.status == 303
            assert await platform.rows("SELECT acknowledged_by FROM alerts") == ["dana"]
        assert [each for each in served.process.logs() if each["level"] in ("WARNING", "ERROR")] == []
    assert left_behind(database_url, WEB.url(pooled_url)) == set()


@pytest.mark.parametrize("arguments", [("migrate",), ("migrate", "--check"), ("migrate", "--sql")])
def test_a_migration_asks_for_a_way_past_it(pooled_url: str, arguments: tuple[str, ...]) -> None:
    done = tutorwatch(*arguments, url=pooled_url)

    assert (done.code, "TUTORWATCH_LISTEN_URL" in done.err) == (1, True)


def test_the_doctor_says_that_a_way_past_it_is_needed(database_url: str, pooled_url: str) -> None:
    done = tutorwatch("doctor", url=pooled_url)

    assert (done.code, "TUTORWATCH_LISTEN_URL" in done.out) == (1, True)
    assert left_behind(database_url, pooled_url) == set()


def test_what_needs_a_session_takes_the_way_past_it(database_url: str, pooled_url: str) -> None:
    commands = [
        (["migrate"], "The schema is up to date"),
        (["automation", "off"], "Automation is off"),
        (["automation", "on"], "Automation is on"),
        (["status"], "Listeners alive: 0"),
        (["doctor"], "ok  notifications"),
        (["doctor"], "ok  pooler"),
    ]
    for arguments, expected in commands:
        done = tutorwatch(*arguments, url=pooled_url, listen_url=database_url)
        assert expected in done.out, done
    assert left_behind(database_url, pooled_url) == set()


async def test_the_canary_works_through_it(database_url: str, pooled_url: str, platform: Platform) -> None:
    await platform.session("ann", audio={}, video={})
    role_url = LISTENER.url(pooled_url)
    with Running("listen", url=role_url, listen_url=LISTENER.url(database_url)) as listener:
        await listener.log(action="listening")
        done = await asyncio.to_thread(tutorwatch, "canary", url=role_url, listen_url=LISTENER.url(database_url))

    assert done.code == 0, done
    assert done.out.splitlines()[1].endswith(", woken by NOTIFY")
    assert await platform.rows("SELECT count(*) FROM sessions") == [1]
    assert left_behind(database_url, role_url) == set()
