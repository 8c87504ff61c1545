"""Somebody else's sign-in, account or request: not to be had, found out or forged.

What tests/web proves already (sign-out, new passwords, roles, slowing down) isn't repeated here.
"""

import ipaddress
import re
import time
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from scripts import accounts
from tests.support.browsers import ALERT, SESSION, Browser, Opener, SignIn, post, token_on
from tests.support.platform import Platform
from web.auth.cookies import SIGN_IN, form_token, new_token
from web.http.redirects import local_path
from web.routes import ROUTES
from web.settings import WebSettings

PASSWORD = "correct horse battery"


@pytest.fixture
async def _account(people: None, engine: AsyncEngine) -> None:  # noqa: ARG001 - the account's user
    await accounts.set_password(engine, "dana@example.test", PASSWORD)


def plant(browser: Browser, token: str) -> None:
    browser.session.cookie_jar.update_cookies({SIGN_IN: token}, browser.make_url("/"))


def cookie_of(browser: Browser) -> str:
    return next(cookie.value for cookie in browser.session.cookie_jar if cookie.key == SIGN_IN)


async def is_signed_in(browser: Browser) -> bool:
    async with browser.get("/alerts", allow_redirects=False) as response:
        return response.status == 200


@pytest.mark.usefixtures("_account")
async def test_planted_sign_in_is_not_the_one_that_signing_in_leads_to(
    nobody: Browser, sign_in: SignIn, open_browser: Opener
) -> None:
    attacker = await sign_in("omar")
    for planted in ("fixed-by-the-attacker", cookie_of(attacker)):
        plant(nobody, planted)
        async with await post(
            nobody, "/sign-in", page="/alerts", email="dana@example.test", password=PASSWORD
        ) as response:
            assert response.status == 303
        assert cookie_of(nobody) != planted
        thief = await open_browser()
        plant(thief, planted)
        assert not await is_signed_in(thief)


async def test_form_of_a_sign_in_that_has_ended_is_worth_nothing_in_the_next(admin: Browser, sign_in: SignIn) -> None:
    stale = await token_on(admin, "/alerts")
    again = await sign_in("dana")

    async with again.post(f"/alerts/{ALERT}/acknowledge", data={"csrf_token": stale}) as response:
        assert response.status == 403


async def test_cookie_that_was_not_given_out_signs_nobody_in(
    admin: Browser, open_browser: Opener, platform: Platform
) -> None:
    token = cookie_of(admin)
    [kept] = await platform.rows("SELECT token_hash FROM tutorwatch.sign_ins")
    forged = [
        *(new_token(), token[:-1], token + "A", token.swapcase(), f'"{token} "', "0" * 4000),
        *(bytes(kept).hex(), f"\\x{bytes(kept).hex()}", bytes(kept).decode("latin-1"), form_token(token)),
        *("dana", "dana@example.test", "null", "true", "%00", "[]"),
    ]

    thief = await open_browser()
    for cookie in forged:
        header = "".join(each for each in f"{SIGN_IN}={cookie}" if " " <= each < "\x7f" or "\x9f" < each <= "\xff")
        async with thief.get("/alerts", headers={"Cookie": header}, allow_redirects=False) as response:
            assert response.status == 303, cookie
    assert await is_signed_in(admin)


# From another site


POSTS = [route.path for route in ROUTES if route.method == "POST"]
FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Referer": "https://evil.example/"},
    {"Sec-Fetch-Site": "cross-site"},
    {},
]


async def test_no_act_can_be_sent_from_another_site(admin: Browser, platform: Platform) -> None:
    """With the victim's cookie and all fields, as a form or a script of another site could send them: no token."""
    fields = "action_taken=x&outcome=other&content=x&all=1&email=a&password=b&token=t"
    kinds = [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json",
        "",
    ]
    answers = {}
    for path in POSTS:
        target = re.sub(r"\{id.*\}(?=/)", str(ALERT) if "alerts" in path else "ann", path)
        for headers in FOREIGN:
            for kind in kinds:
                sent = headers | {"Content-Type": kind}
                async with admin.post(target, data=fields.encode(), headers=sent, allow_redirects=False) as response:
                    answers[target, *sent.values()] = response.status

    assert len(answers) == len(POSTS) * len(FOREIGN) * len(kinds)
    assert {key: status for key, status in answers.items() if status != 403} == {}
    changed = """
        SELECT (SELECT count(*) FROM alerts WHERE acknowledged), (SELECT count(*) FROM coaching_notes),
               (SELECT count(*) FROM tutorwatch.sign_ins), (SELECT count(*) FROM tutorwatch.sign_in_failures)
    """
    assert await platform.rows(changed) == [(0, 0, 1, 0)]


async def test_own_token_does_not_help_a_foreign_page(admin: Browser) -> None:
    for headers in FOREIGN[:2] + FOREIGN[3:4]:
        async with await post(admin, f"/alerts/{ALERT}/acknowledge", headers=headers) as response:
            assert response.status == 403


# Finding out


@pytest.mark.usefixtures("_account")
async def test_unknown_accounts_take_as_long_as_known_ones(nobody: Browser, platform: Platform) -> None:
    """By the processor's time that this process takes, in which the server runs: other processes add nothing to it."""
    token = await token_on(nobody)
    attempts: dict[str, list[float]] = {"dana@example.test": [], "omar@example.test": [], "nobody@example.test": []}
    answers = set()
    for round_number in range(5):
        for email, seconds in attempts.items():
            started = time.process_time()
            fields = {"csrf_token": token, "email": email, "password": "wrong password"}
            async with nobody.post("/sign-in", data=fields, allow_redirects=False) as response:
                answers.add((response.status, (await response.text()).replace(email, "")))
            if round_number:  # the first is slower for them all
                seconds.append(time.process_time() - started)
        await platform.connection.execute("DELETE FROM tutorwatch.sign_in_failures")

    assert len(answers) == 1
    known, without_password, unknown = (min(seconds) for seconds in attempts.values())
    assert 0.5 < unknown / known < 2
    assert 0.5 < without_password / known < 2


OWN_TO_EACH = ("x-request-id", "date", "content-length")


async def test_other_tutors_cannot_be_told_from_nobody(sign_in: SignIn, platform: Platform) -> None:
    """Neither by the answer's status nor by its words or headers."""
    ann = await sign_in("ann")
    await platform.session("bob", student="sam")
    [others] = await platform.rows("SELECT id FROM sessions WHERE tutor_id = 'bob'")
    nothing = "00000000-0000-4000-8000-000000000000"
    asked = {
        "/tutors/{}": ["bob", "dana", "sam", "nobody"],
        "/api/tutors/{}": ["bob", "dana", "sam", "nobody"],
        "/sessions/{}": [str(others), nothing, "17"],
    }
    await token_on(ann, "/tutors/ann")  # the first page brings a cookie
    for path, ids in asked.items():
        answers = set()
        for each in ids:
            async with ann.get(path.format(each)) as response:
                assert response.status == 404
                kept = {name: value for name, value in response.headers.items() if name.lower() not in OWN_TO_EACH}
                answers.add((str(sorted(kept.items())), (await response.text()).replace(path.format(each), path)))
        assert len(answers) == 1, path
    async with ann.get(f"/sessions/{SESSION}") as response:
        assert response.status == 200


# Leading astray


ELSEWHERE = [
    *("https://evil.example", "//evil.example", "///evil.example", "////evil.example", "/\\evil.example"),
    *("\\\\evil.example", "/\t/evil.example", "/\n/evil.example", "http:evil.example", "javascript:alert(1)"),
    *("/%09/evil.example\r\nSet-Cookie: a=b", " //evil.example", "\x00//evil.example", "evil.example", "@evil.example"),
    *("/\u2028/evil.example", "https:/evil.example", "//evil.example@localhost/", "//localhost@evil.example"),
    *("data:text/html,x", "/" + "x" * 3000, "?//evil.example", "#", "/\u202eevil"),
]
HERE = ["/alerts", "/alerts?tutor=//evil.example", "/tutors/a%2Fb", "/%5Cevil.example", "/.//evil.example"]


def leads_to(location: str) -> tuple[str, str]:
    """Where a browser would go: it takes backslashes for slashes, and leaves out tabs and line ends."""
    location = re.sub(r"[\t\r\n]", "", location).strip("\x00 ").replace("\\", "/")
    parts = urlsplit(urljoin("http://here.test/sign-in", location))
    return parts.scheme, parts.netloc


@pytest.mark.parametrize("asked", ELSEWHERE + HERE)
def test_paths_that_lead_elsewhere_are_replaced(asked: str) -> None:
    path = local_path(asked)

    assert leads_to(path) == ("http", "here.test")
    assert path == (asked if asked in HERE else "/")


@pytest.mark.usefixtures("_account")
async def test_no_redirect_leads_elsewhere(nobody: Browser, platform: Platform) -> None:
    for asked in ["//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)"]:
        token = await token_on(nobody, "/sign-in/link?token=x")
        sent = {"next": asked, "csrf_token": token, "email": "dana@example.test", "password": "x"}
        async with nobody.post("/sign-in", data=sent, allow_redirects=False) as response:
            assert (response.status, "Location" in response.headers) == (401, False)
        sent |= {"password": PASSWORD}
        async with nobody.post("/sign-in", data=sent, allow_redirects=False) as response:
            assert response.status == 303
            assert leads_to(response.headers["Location"]) == ("http", "here.test")
            assert asked not in response.headers["Location"]
        async with await post(nobody, f"/alerts/{ALERT}/acknowledge", return_to=asked) as response:
            assert response.headers["Location"] == "/alerts"
        await platform.connection.execute("DELETE FROM tutorwatch.sign_in_failures")


# Pretending to be the sign-in proxy


@pytest.mark.usefixtures("people")
class TestHeaderOfAProxyFromElsewhere:
    @pytest.fixture
    def settings(self) -> WebSettings:
        trusted = (ipaddress.ip_network("10.0.0.0/8"),)
        return WebSettings(web_port=0, web_trusted_proxies=trusted, web_identity_header="X-Forwarded-Email")

    async def test_is_not_believed_whatever_else_is_claimed(self, nobody: Browser) -> None:
        claims: list[Any] = [
            {"X-Forwarded-For": "10.0.0.1"},
            {"X-Forwarded-For": "10.0.0.1, 10.0.0.2"},
            {"X-Real-IP": "10.0.0.1", "Forwarded": "for=10.0.0.1;proto=https"},
            {"X-Client-IP": "10.0.0.1", "True-Client-IP": "10.0.0.1"},
            {"Host": "10.0.0.1"},
            {"X_Forwarded_Email": "dana@example.test"},
        ]
        for claim in claims:
            headers = {"X-Forwarded-Email": "dana@example.test"} | claim
            for path, refusal in (("/alerts", 303), ("/api/alerts", 401)):
                async with nobody.get(path, headers=headers, allow_redirects=False) as response:
                    assert response.status == refusal, claim
