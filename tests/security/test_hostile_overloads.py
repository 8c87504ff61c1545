"""Whatever another role puts into schema `public`, nothing of ours calls it: no command, no page, no generation.

In a database that was made before PostgreSQL 15, anybody may create there, and a function whose arguments fit better
than those of PostgreSQL's own comes first (CVE-2018-1058). Here everything that PostgreSQL has is there once more, with
the same arguments and with better ones, and whatever is called says so.

Tables of ours are found with `public` out of the search path: so a name that isn't qualified is an error in any test.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import psycopg
import pytest
from psycopg import sql

from tests.security import hostile
from tests.security.test_rights import PASSWORD, documented
from tests.support.browsers import ALERT, SESSION, address, token_in
from tests.support.command import Running, tutorwatch
from tests.support.pgbouncer import needs_pgbouncer, pgbouncer
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import PATIENCE_SECONDS, eventually
from web.auth.cookies import SIGN_IN, digest, form_token, new_token
from web.routes import ROUTES

NOT_OURS: dict[str, Any] = {"options": "-c search_path=pg_catalog"}
"""For the test's own connections: what they call isn't counted."""


@pytest.fixture(scope="module")
def stranger(server_url: str, worker_id: str) -> Iterator[str]:
    """A role that may connect."""
    name = f"tutorwatch_hostile_{worker_id}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
        server.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        yield name
        server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def open_to_strangers(url: str, stranger: str, *, before_catalog: bool) -> None:
    """What an old database allows, and what the stranger makes of it."""
    with psycopg.connect(url, autocommit=True, **NOT_OURS) as owner:
        database = sql.Identifier(owner.info.dbname)
        owner.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        owner.execute(sql.SQL("ALTER DATABASE {} SET track_functions = 'all'").format(database))
        if before_catalog:  # then even a function with the very same arguments comes first
            owner.execute(sql.SQL("ALTER DATABASE {} SET search_path = public, pg_catalog").format(database))
    assert hostile.plant(url, stranger) > 10_000


@contextmanager
def nothing_is_called(url: str) -> Iterator[None]:
    """Afterwards nothing hostile has been called, by nobody: the trap itself is tried out first."""
    with psycopg.connect(url, autocommit=True) as client:
        client.execute("SELECT lower('A'::varchar)")
    assert [what for what, _ in hostile.calls(url)] == ["lower(character varying)"], "the trap works"
    with psycopg.connect(url, autocommit=True, **NOT_OURS) as owner:
        owner.execute("TRUNCATE public.calls_of_hostile")
        owner.execute("SELECT pg_stat_reset()")
    yield
    with psycopg.connect(url, autocommit=True, **NOT_OURS) as owner:
        others = (
            "SELECT application_name FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while found := owner.execute(others.encode()).fetchall():  # a backend counts at its end
            assert time.monotonic() < give_up_at, found
    assert hostile.calls(url) == []


async def people(platform: Platform) -> None:
    """An admin, a tutor with a session and an alert, one whose alert is open twice, and one that is failing."""
    await platform.user("dana", role="admin", name="Dana Whitfield")
    for tutor in ("ann", "bob", "cyd"):
        await platform.user(tutor)
    await platform.session("ann", session_id=SESSION, score="5.1", audio={}, video={})
    for tutor, alert_id in (("ann", ALERT), ("cyd", uuid4()), ("cyd", uuid4())):
        await platform.insert(
            "alerts", id=alert_id, tutor_id=tutor, alert_type="no_show_pattern", severity="critical", title="No-shows",
            description="2 no-shows in 30 days (alert from 2)",
        )  # fmt: skip
    await platform.connection.execute(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at,"
        " next_attempt_at) VALUES ('bob', 1, 'KeyError', now(), now(), now())"
    )
    await platform.connection.execute("UPDATE tutorwatch.sweep SET swept_at = 'epoch'")


async def miss_two_sessions(client: psycopg.AsyncConnection[Any]) -> None:
    """A client's write, which wakes a listener and is worth an alert."""
    for number in range(2):
        await client.execute(
            "INSERT INTO public.sessions (tutor_id, student_id, subject_id, scheduled_start, scheduled_duration,"
            " session_number, status)"
            " SELECT 'bob', student_id, subject_id, (now() AT TIME ZONE 'UTC') - '1 day'::interval, 60, %s,"
            " 'no_show_tutor' FROM public.sessions WHERE id = %s",
            [number + 2, SESSION],
        )


async def visit_everything(address_of: str, token: str) -> None:
    """Signs in with a password, asks for every address and sends every form, and signs out."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(address_of, cookie_jar=jar) as nobody:
        for password, expected in (("not the password", (401, None)), (PASSWORD, (303, "/"))):
            async with nobody.get("/sign-in") as page:
                form = {"csrf_token": token_in(await page.text()), "email": "dana@example.test", "password": password}
            async with nobody.post("/sign-in", data=form, allow_redirects=False) as answer:
                assert (answer.status, answer.headers.get("Location")) == expected
    fields = {
        "csrf_token": form_token(token), "action_taken": "Talked", "outcome": "coached", "content": "A note",
        "tutor_id": "bob", "email": "dana@example.test", "password": PASSWORD,
    }  # fmt: skip
    routes = sorted(ROUTES, key=lambda route: (route.method, "resolve" in route.path, "sign-out" in route.path))
    async with aiohttp.ClientSession(address_of, cookies={SIGN_IN: token}, cookie_jar=jar) as admin:
        for route in routes:
            method, path = address(route)
            sent: dict[str, Any] = {"data": fields} if method == "POST" else {}
            if path.startswith("/api/") and method == "POST":
                sent = {"json": {"action_taken": "Talked", "outcome": "coached"}}
                sent["headers"] = {"X-CSRF-Token": form_token(token)}
            if path == "/events":
                sent["headers"] = {"Accept": "text/event-stream"}
            for query in ("", "?q=ann&status=open&sort=name&page=2") if method == "GET" else ("",):
                async with admin.request(method, path + query, allow_redirects=False, **sent) as answer:
                    text = "" if path == "/events" else await answer.text()
                    assert answer.status < 500, (method, path, text)


@asynccontextmanager
async def ended(process: Running) -> AsyncIterator[Running]:
    """Told to end, and waited for, so that its connections have said what they called."""
    with process:
        yield process
        process.send(signal.SIGTERM)
        assert await process.end() == 0


async def use_everything(url: str, pooled_url: str | None) -> None:
    """Every command, a listener at work, every page; then takes it all away."""
    services = pooled_url or url
    past_pooler: dict[str, Any] = {"listen_url": url} if pooled_url else {}

    def run(command: str, *, code: int = 0) -> str:
        done = tutorwatch(*command.split(), url=services, answer=f"{PASSWORD}\n", **past_pooler)
        assert done.code == code, (command, done.out, done.err)
        return done.out

    run("migrate --check")
    run("migrate")
    run(f"rights --listener {LISTENER.name} --web {WEB.name}", code=1)  # since PUBLIC may create in `public`
    run("create-admin dana@example.test --password-stdin")
    token = new_token()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, **NOT_OURS) as client:
        await client.execute(
            "INSERT INTO tutorwatch.sign_ins (token_hash, user_id) VALUES (%s, 'dana')", [digest(token)]
        )
        async with AsyncExitStack() as stack:
            own: list[dict[str, Any]] = [
                {"url": role.url(services)} | ({"listen_url": role.url(url)} if pooled_url else {})
                for role in (LISTENER, WEB)
            ]
            await stack.enter_async_context(ended(Running("listen", heartbeat_seconds=1, **own[0])))
            web = await stack.enter_async_context(ended(Running("web", web_port=0, **own[1])))
            serving = (await web.log(action="serving"))["message"].removeprefix("Serving on ")
            await miss_two_sessions(client)

            async def is_alerted() -> bool:
                found = await client.execute("SELECT FROM public.alerts WHERE tutor_id = 'bob'")
                return await found.fetchone() is not None

            await eventually(is_alerted)
            await asyncio.to_thread(tutorwatch, "doctor", url=services, **past_pooler)
            await visit_everything(serving, token)
    run("channel add team mailto:dana@example.test")
    for command in documented():
        if not command.startswith(("rights", "uninstall", "set-password", "token revoke", "migrate", "create-admin")):
            run(command, code=0 if not command.startswith("status") else 1)
    for command in (
        "backfill --dry-run --tutor ann", "failures --json", "status --json", "doctor", "doctor --json",
        "set-password dana@example.test --password-stdin", "token list", "token revoke reports",
        "uninstall --keep-data --yes", "migrate --check", "migrate --sql", "migrate", "uninstall --yes",
    ):  # fmt: skip
        done = tutorwatch(*command.split(), url=services, answer=f"{PASSWORD}\n", **past_pooler)
        assert "Traceback" not in done.err, (command, done.err)
        assert "could not be checked" not in done.out, (command, done.out)


async def hostile_database(url: str, stranger: str, *, before_catalog: bool) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await people(Platform(connection))
    open_to_strangers(url, stranger, before_catalog=before_catalog)


@pytest.mark.parametrize("before_catalog", [False, True], ids=["public after pg_catalog", "public before pg_catalog"])
async def test_nothing_hostile_is_called(stranger: str, database_url: str, before_catalog: bool) -> None:
    await hostile_database(database_url, stranger, before_catalog=before_catalog)

    with nothing_is_called(database_url):
        await use_everything(database_url, None)


@needs_pgbouncer
@pytest.mark.parametrize("ignored", [(), ("options",)], ids=["refusing options", "dropping options"])
async def test_nothing_hostile_is_called_behind_a_pooler(
    stranger: str, database_url: str, ignored: tuple[str, ...]
) -> None:
    await hostile_database(database_url, stranger, before_catalog=True)

    with nothing_is_called(database_url), pgbouncer(database_url, ignoring=ignored) as pooled_url:
        await use_everything(database_url, pooled_url)


async def test_migrating_and_filling_a_new_database_calls_nothing_hostile(stranger: str, platform_url: str) -> None:
    open_to_strangers(platform_url, stranger, before_catalog=True)
    commands = (("migrate --check", 3), ("migrate --sql", 0), ("doctor", 1), ("migrate", 0), ("demo", 0), ("demo", 0))

    with nothing_is_called(platform_url):
        for command, code in commands:
            done = await asyncio.to_thread(tutorwatch, *command.split(), url=platform_url)
            assert done.code == code, (command, done.out, done.err)
        with Running("demo", "--write", "--every", "0.01", url=platform_url) as demo:
            await demo.line(r": completed, score ")
            demo.send(signal.SIGTERM)
            await demo.end()


def test_upgrading_calls_nothing_hostile(stranger: str, revision_0017_url: str) -> None:
    open_to_strangers(revision_0017_url, stranger, before_catalog=True)

    with nothing_is_called(revision_0017_url):
        assert tutorwatch("migrate", url=revision_0017_url).code == 0
        assert tutorwatch("migrate", "--check", url=revision_0017_url).code == 0
