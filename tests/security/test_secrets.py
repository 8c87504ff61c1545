"""No secret leaves a service by what it prints or answers: found out by real processes with secrets that are known."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from scripts import accounts
from tests.support.alerts import insert_alert
from tests.support.browsers import ALERT
from tests.support.command import Running, tutorwatch
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import eventually
from web.auth import store
from web.auth.cookies import digest, form_token

PASSWORD = "known-password-of-dana"
TYPED = "known-password-typed-wrong"
TYPED_AS_ADDRESS = "known-password-typed-as-address"
METRICS = "known-token-for-metrics"
COOKIE = "known-cookie-of-dana"
LINK = "known-token-of-a-link"


@contextmanager
def services(url: str) -> Iterator[tuple[Running, Running]]:
    with (
        Running("listen", url=LISTENER.url(url)) as listener,
        Running("web", url=WEB.url(url), web_port=0, web_metrics_token=METRICS) as web,
    ):
        yield listener, web


async def test_secrets_stay_secret(
    database_url: str,
    platform: Platform,
    engine: AsyncEngine,
    people: None,  # noqa: ARG001 - who they are
) -> None:
    await accounts.set_password(engine, "dana@example.test", PASSWORD)
    token = tutorwatch("token", "create", "known", url=database_url).out.strip()
    async with engine.begin() as conn:
        await conn.exec_driver_sql("INSERT INTO tutorwatch.sign_ins VALUES ($1, 'dana')", (digest(COOKIE),))
        await store.insert_link(conn, digest(LINK), "dana", accounts.LINK_VALID_FOR)
    [(parameters, key_digest)] = await platform.rows("SELECT parameters, key_digest FROM tutorwatch.credentials")
    digests = [digest(each) for each in (COOKIE, token, LINK)]

    with services(database_url) as (listener, web):
        serving = await web.log(action="serving")
        answers = await ask_for_everything(serving["message"].removeprefix("Serving on "), token, platform)
        await platform.session("ann", status="no_show_tutor")
        await eventually(lambda: platform.rows("SELECT FROM tutorwatch.listeners"))
        said = "".join([*listener.out, *listener.err, *web.out, *web.err])

    assert "Traceback" in said, "something was to go wrong"
    assert len(answers) > 25
    given_out = "\n".join([said, *answers])
    secrets = [WEB.password, LISTENER.password, PASSWORD, TYPED, TYPED_AS_ADDRESS, METRICS, token, COOKIE, LINK]
    secrets += [parameters, key_digest.hex(), *(each.hex() for each in digests)]
    assert [secret for secret in secrets if secret in given_out] == []
    # To somebody who asks, nothing is said of how it is made.
    made_of = ["Traceback", "site-packages", "psycopg", "sqlalchemy", "SELECT ", "session_feedback", "aiohttp"]
    assert [(word, answer[:80]) for word in made_of for answer in answers if word in answer] == []


async def ask_for_everything(url: str, token: str, platform: Platform) -> list[str]:
    """All answers, with their headers: to right and wrong secrets, with everything well and with much amiss."""
    answers = []
    [name] = await platform.rows("SELECT current_database()")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def ask(path: str, method: str = "GET", **sent: object) -> str:
            async with session.request(method, url + path, allow_redirects=False, **sent) as response:  # type: ignore[arg-type]
                text = await response.text()
                answers.append(f"{response.status} {path} {response.headers} {text}")
                return text

        signed_in = {"Cookie": f"tutorwatch_session={COOKIE}"}
        stranger = {"Cookie": "tutorwatch_form=known-form"}
        own = {"csrf_token": form_token("known-form")}
        for path in ("/", "/alerts", "/tutors", "/tutors/ann", "/system", "/api/critical-alerts", "/nothing"):
            await ask(path, headers=signed_in)
        await ask("/sign-in", "POST", headers=stranger, data=own | {"email": "dana@example.test", "password": TYPED})
        await ask("/sign-in", "POST", headers=stranger, data=own | {"email": TYPED_AS_ADDRESS, "password": TYPED})
        await ask("/sign-in", "POST", headers=stranger, data=own | {"email": "", "password": TYPED})
        await ask("/sign-in", "POST", headers=stranger, data=own | {"email": "a", "password": TYPED * 99})
        await ask(f"/sign-in?next={quote('/alerts')}")
        await ask("/api/alerts", headers={"Authorization": f"Bearer {token}"})
        await ask("/api/alerts", headers={"Authorization": f"Bearer {TYPED}"})
        await ask(f"/api/alerts/{ALERT}/acknowledge", "POST", headers={"Authorization": f"Bearer {token}"})
        await ask("/metrics", headers={"Authorization": f"Bearer {METRICS}"})
        await ask("/metrics", headers={"Authorization": f"Bearer {TYPED}"})
        await ask("/metrics", headers={"Authorization": f"Basic {METRICS}"})
        for path in ("/healthz", "/readyz", "/api/openapi.json"):
            await ask(path)
        await insert_alert(platform, "bob")
        await platform.connection.execute("ALTER TABLE sessions RENAME TO gone")
        for path in ("/", "/tutors/ann", "/api/tutors/ann"):
            assert "Something went wrong on our side" in await ask(path, headers=signed_in)
        await platform.connection.execute("ALTER TABLE gone RENAME TO sessions")
        await platform.connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0".encode())
        await platform.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'tutorwatch%%'"
        )
        for path in ("/alerts", "/readyz", "/metrics", "/api/alerts", "/sign-in"):
            await ask(path, headers=signed_in)
        await platform.connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1".encode())
    return answers
