"""Signing in and out: what lets in, what keeps out, and for how long."""

import asyncio
from datetime import timedelta
from hashlib import sha256

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from scripts import accounts
from tests.support.browsers import Browser, Opener, SignIn, post, read_page
from tests.support.platform import Platform
from web.auth import passwords, slowdown, store
from web.auth.cookies import SIGN_IN, digest, new_token
from web.auth.passwords import COST, Cost, NewPassword, Parameters, compute_key
from web.auth.sign_in import LINK_ENDED, WRONG

PASSWORD = "correct horse battery"


@pytest.fixture
async def account(people: None, engine: AsyncEngine) -> None:  # noqa: ARG001 - the account's user
    """Dana Whitfield has a password."""
    await accounts.set_password(engine, "dana@example.test", PASSWORD)


@pytest.fixture
def long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that no machine is slow enough to sit out between two attempts."""
    monkeypatch.setattr(slowdown, "FIRST_WAIT_SECONDS", slowdown.LONGEST_WAIT_SECONDS)


async def try_to_sign_in(browser: Browser, email: str, password: str, **fields: str) -> tuple[int, str]:
    """The status and where it leads."""
    async with await post(browser, "/sign-in", page="/sign-in", email=email, password=password, **fields) as response:
        return response.status, response.headers.get("Location", "")


def cookie_of(browser: Browser) -> str | None:
    """The browser's sign-in."""
    return next((cookie.value for cookie in browser.session.cookie_jar if cookie.key == SIGN_IN), None)


@pytest.mark.usefixtures("account")
async def test_right_password_signs_in_and_leads_to_the_page_that_was_asked_for(nobody: Browser) -> None:
    async with nobody.get("/alerts?severity=critical", allow_redirects=False) as response:
        assert response.headers["Location"] == "/sign-in?next=%2Falerts%3Fseverity%3Dcritical"

    response = await post(
        nobody,
        "/sign-in",
        page="/sign-in",
        email="Dana@Example.test ",
        password=PASSWORD,
        next="/alerts?severity=critical",
    )

    assert (response.status, response.headers["Location"]) == (303, "/alerts?severity=critical")
    cookie = response.cookies[SIGN_IN]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Lax", "/", "")
    assert "Dana Whitfield" in await read_page(nobody, "/alerts")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("email", "password"),
    [
        pytest.param("dana@example.test", "wrong password", id="wrong password"),
        pytest.param("nobody@example.test", PASSWORD, id="unknown account"),
        pytest.param("omar@example.test", PASSWORD, id="account without a password"),
    ],
)
async def test_answer_and_effort_are_the_same_whatever_was_wrong(
    email: str, password: str, nobody: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []

    def note_and_compute(password: str, parameters: Parameters) -> bytes:
        computed.append((password, parameters.cost))
        return compute_key(password, parameters)

    monkeypatch.setattr(passwords, "compute_key", note_and_compute)

    async with await post(nobody, "/sign-in", page="/sign-in", email=email, password=password) as response:
        page = await response.text()

    assert (response.status, WRONG in page, f'value="{email}"' in page) == (401, True, True)
    assert password not in page
    assert cookie_of(nobody) is None
    assert computed == [(password, COST)]


@pytest.mark.parametrize(("failures", "seconds"), [(4, 0), (5, 1), (6, 2), (7, 4), (10, 32), (11, 60), (1000, 60)])
def test_wait_doubles_up_to_a_minute(failures: int, seconds: float) -> None:
    wait = slowdown._wait  # noqa: SLF001 - a test that waited so long would be slow
    assert wait(store.Failures(failures, 0.0), free=5) == seconds
    assert wait(store.Failures(failures, seconds - 0.5), free=5) == (0.5 if seconds else 0)
    assert wait(store.Failures(failures, seconds), free=5) == 0


@pytest.mark.usefixtures("account", "long_wait")
@pytest.mark.parametrize("email", ["dana@example.test", "nobody@example.test"])
async def test_sixth_attempt_at_an_account_must_wait_even_with_the_right_password(
    email: str, nobody: Browser, platform: Platform
) -> None:
    for _ in range(5):
        assert (await try_to_sign_in(nobody, email, "wrong password"))[0] == 401

    response = await post(nobody, "/sign-in", page="/sign-in", email=email.upper(), password=PASSWORD)
    assert response.status == 429
    assert 30 < int(response.headers["Retry-After"]) <= 60

    await platform.connection.execute("UPDATE tutorwatch.sign_in_failures SET failed_at = failed_at - interval '1 min'")
    right = await try_to_sign_in(nobody, email, PASSWORD)
    assert right == ((303, "/") if email.startswith("dana") else (401, ""))


@pytest.mark.usefixtures("account")
async def test_success_forgets_the_failures_of_the_account(nobody: Browser, platform: Platform) -> None:
    for _ in range(4):
        await try_to_sign_in(nobody, "dana@example.test", "wrong password")

    assert await try_to_sign_in(nobody, "dana@example.test", PASSWORD) == (303, "/")

    # What is left are the address's own four.
    assert await platform.rows("SELECT count(*) FROM tutorwatch.sign_in_failures") == [4]


@pytest.mark.usefixtures("account", "long_wait")
async def test_attempts_made_at_once_are_counted_one_by_one(nobody: Browser) -> None:
    await read_page(nobody, "/sign-in")

    answers = await asyncio.gather(*(try_to_sign_in(nobody, "dana@example.test", f"guess {n}") for n in range(12)))

    assert sorted(status for status, _ in answers) == [401] * 5 + [429] * 7


@pytest.mark.usefixtures("account", "long_wait")
async def test_address_that_tries_many_accounts_must_wait(nobody: Browser) -> None:
    await read_page(nobody, "/sign-in")
    for number in range(20):
        await try_to_sign_in(nobody, f"user{number}@example.test", PASSWORD)

    assert (await try_to_sign_in(nobody, "dana@example.test", PASSWORD))[0] == 429


@pytest.mark.usefixtures("account", "long_wait")
async def test_failures_are_forgotten_after_a_quarter_of_an_hour(nobody: Browser, platform: Platform) -> None:
    for _ in range(5):
        await try_to_sign_in(nobody, "dana@example.test", "wrong password")
    await platform.connection.execute(
        "UPDATE tutorwatch.sign_in_failures SET failed_at = failed_at - interval '16 min'"
    )

    assert await try_to_sign_in(nobody, "dana@example.test", "wrong password") == (401, "")

    assert await platform.rows("SELECT count(*) FROM tutorwatch.sign_in_failures") == [2]


@pytest.mark.usefixtures("account")
async def test_signing_in_again_ends_the_sign_in_the_browser_had(nobody: Browser, open_browser: Opener) -> None:
    await try_to_sign_in(nobody, "dana@example.test", PASSWORD)
    first = cookie_of(nobody)
    await post(nobody, "/sign-in", page="/alerts", email="dana@example.test", password=PASSWORD)
    assert cookie_of(nobody) not in (None, first)

    thief = await open_browser()
    thief.session.cookie_jar.update_cookies({SIGN_IN: first or ""}, thief.make_url("/"))

    async with thief.get("/alerts", allow_redirects=False) as response:
        assert response.status == 303


async def test_database_holds_no_token(admin: Browser, platform: Platform) -> None:
    token = cookie_of(admin) or ""

    [(kept, row)] = await platform.rows("SELECT token_hash, sign_ins::text FROM tutorwatch.sign_ins")

    assert bytes(kept) == digest(token)
    assert token not in row


@pytest.mark.parametrize(
    ("changed", "hours"),
    [pytest.param("seen_at", 12, id="idle"), pytest.param("signed_in_at", 24 * 7, id="absolute")],
)
async def test_sign_in_ends_at_its_limit(changed: str, hours: int, admin: Browser, platform: Platform) -> None:
    statement = f"UPDATE tutorwatch.sign_ins SET {changed} = clock_timestamp() - make_interval(mins => %s)"
    await platform.connection.execute(statement.encode(), [hours * 60 - 1])
    async with admin.get("/alerts", allow_redirects=False) as response:
        assert response.status == 200

    await platform.connection.execute(statement.encode(), [hours * 60 + 1])
    async with admin.get("/alerts", allow_redirects=False) as response:
        assert response.status == 303


@pytest.mark.parametrize(
    ("destination", "is_noted"), [("document", True), pytest.param("empty", False, id="refreshed by a script")]
)
async def test_only_what_a_person_does_keeps_a_sign_in_alive(
    destination: str, is_noted: bool, admin: Browser, platform: Platform
) -> None:
    await platform.connection.execute("UPDATE tutorwatch.sign_ins SET seen_at = clock_timestamp() - interval '1 hour'")

    async with admin.get("/alerts", headers={"Sec-Fetch-Dest": destination}) as response:
        assert response.status == 200

    fresh = "SELECT seen_at > clock_timestamp() - interval '1 minute' FROM tutorwatch.sign_ins"
    assert await platform.rows(fresh) == [is_noted]


async def test_signing_out_ends_the_sign_in_itself(admin: Browser) -> None:
    token = cookie_of(admin) or ""

    async with await post(admin, "/sign-out") as response:
        assert (response.status, response.headers["Location"]) == (303, "/sign-in")

    admin.session.cookie_jar.update_cookies({SIGN_IN: token}, admin.make_url("/"))
    async with admin.get("/alerts", allow_redirects=False) as response:
        assert response.status == 303


async def test_new_password_ends_all_sign_ins(sign_in: SignIn, engine: AsyncEngine) -> None:
    browsers = [await sign_in("dana"), await sign_in("dana"), await sign_in("omar")]

    await accounts.set_password(engine, "dana@example.test", PASSWORD)

    statuses = [(await browser.get("/alerts", allow_redirects=False)).status for browser in browsers]
    assert statuses == [303, 303, 200]


async def test_role_counts_as_it_is_now(admin: Browser, platform: Platform) -> None:
    await platform.connection.execute("UPDATE users SET role = 'student' WHERE id = 'dana'")

    async with admin.get("/alerts") as response:
        assert response.status == 403


@pytest.mark.usefixtures("people")
async def test_link_signs_in_once_and_only_when_confirmed(
    nobody: Browser, open_browser: Opener, engine: AsyncEngine
) -> None:
    link = (await accounts.one_time_link(engine, "http://host", "dana@example.test")).removeprefix("http://host")
    await read_page(nobody, link)  # as a mail scanner does
    token = link.partition("token=")[2]

    async with await post(nobody, "/sign-in/link", page=link, token=token) as response:
        assert (response.status, response.headers["Location"]) == (303, "/")
    assert "Dana Whitfield" in await read_page(nobody, "/alerts")

    second = await open_browser()
    async with await post(second, "/sign-in/link", page=link, token=token) as response:
        assert response.headers["Location"] == "/sign-in"
    assert LINK_ENDED in await read_page(second, "/sign-in")


@pytest.mark.usefixtures("people")
async def test_link_expires(nobody: Browser, engine: AsyncEngine) -> None:
    token = new_token()
    async with engine.begin() as conn:
        await store.insert_link(conn, digest(token), "dana", timedelta(seconds=-1))

    async with await post(nobody, "/sign-in/link", page="/sign-in", token=token) as response:
        assert response.headers["Location"] == "/sign-in"


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "evil",
        " /alerts",
    ],
)
async def test_sign_in_never_leads_to_another_site(elsewhere: str, nobody: Browser) -> None:
    assert await try_to_sign_in(nobody, "dana@example.test", PASSWORD, next=elsewhere) == (303, "/")


@pytest.mark.usefixtures("people")
async def test_hash_with_older_parameters_is_renewed(nobody: Browser, engine: AsyncEngine, platform: Platform) -> None:
    weak = Parameters(b"16 bytes of salt", Cost(time=1, memory=64, lanes=1))
    key = compute_key(PASSWORD, weak)
    async with engine.begin() as conn:
        await store.store_password(conn, "dana", NewPassword(str(weak), sha256(key).digest(), key))

    assert await try_to_sign_in(nobody, "dana@example.test", PASSWORD) == (303, "/")

    assert await platform.rows(
        "SELECT parameters LIKE '$argon2id$v=19$m=65536,t=3,p=4$%' FROM tutorwatch.credentials"
    ) == [True]
    assert await try_to_sign_in(nobody, "dana@example.test", PASSWORD) == (303, "/")
