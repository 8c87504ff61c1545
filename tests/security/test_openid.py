"""Attacks on signing in with OpenID Connect: by whom the provider doesn't vouch for, by others' answers, by a provider
that misbehaves.
"""

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from joserfc.jwk import RSAKey

from tests.support.browsers import Browser, Opener
from tests.support.command import Running
from tests.support.openid import (
    CLIENT_ID,
    CLIENT_SECRET,
    KEY,
    Answer,
    OwnProvider,
    begin,
    come_back,
    go_there,
    let_sign_in,
    never,
    openid_settings,
    said,
    serving_provider,
    sign_in,
)
from tests.support.platform import Platform
from tests.support.roles import WEB
from web.auth import slowdown
from web.auth.cookies import SIGN_IN, digest
from web.auth.openid import provider as openid_provider
from web.auth.openid.flow import COOKIE
from web.auth.openid.provider import CALLBACK
from web.settings import WebSettings

NOT_BEGUN = "wasn't begun in this browser"
UNTRUSTED = "can't be trusted"
REFUSED = "was refused there"
NOT_AT_THE_MOMENT = "doesn't work at the moment"


@pytest.fixture
async def provider() -> AsyncIterator[OwnProvider]:
    async with serving_provider() as provider:
        yield provider


@pytest.fixture
def settings(provider: OwnProvider) -> WebSettings:
    return openid_settings(provider.issuer, unused_port())


@pytest.fixture(autouse=True)
def _may(database_url: str, people: None) -> None:  # noqa: ARG001 - who is there
    let_sign_in(database_url)


async def is_nobody(browser: Browser, platform: Platform) -> bool:
    """Whether nothing came of it: no sign-in, no link."""
    assert not any(cookie.key == SIGN_IN for cookie in browser.session.cookie_jar)
    count = "SELECT (SELECT count(*) FROM tutorwatch.sign_ins) + (SELECT count(*) FROM tutorwatch.identities)"
    return await platform.rows(count) == [0]


async def reasons(platform: Platform) -> list[str]:
    """What is on record."""
    return [
        str(reason).removeprefix("OpenID Connect: ")
        for reason in await platform.rows("SELECT reason FROM tutorwatch.audit_trail WHERE outcome = 'refused'")
    ]


def part(values: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{part(header)}.{part(claims)}."


def signed_with_the_public_key(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """What a library takes that lets the token choose how it is looked at."""
    text = f"{part(header)}.{part(claims)}"
    signature = hmac.digest(KEY.as_pem(private=False), text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


NOW = int(time.time())
ANOTHER_KEY = RSAKey.generate_key(2048, {"kid": "first"})


class TestTokens:
    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            pytest.param({"nonce": "of another sign-in"}, "its nonce is of another sign-in", id="wrong nonce"),
            pytest.param({"nonce": None}, "its nonce is missing", id="no nonce"),
            pytest.param({"nonce": ["x"]}, "its nonce is of another", id="nonces"),
            pytest.param({"aud": "another client"}, "its aud is missing or wrong", id="wrong audience"),
            pytest.param({"aud": None}, "its aud is missing or wrong", id="no audience"),
            pytest.param({"aud": [CLIENT_ID, "another"]}, "another client (azp)", id="several audiences"),
            pytest.param({"aud": [CLIENT_ID, "another"], "azp": "another"}, "another client (azp)", id="another party"),
            pytest.param({"azp": "another"}, "another client (azp)", id="another party alone"),
            pytest.param({"iss": "https://evil.test"}, "its iss is missing or wrong", id="wrong issuer"),
            pytest.param({"iss": None}, "its iss is missing or wrong", id="no issuer"),
            pytest.param({"iss": ["https://id.test"]}, "its iss is missing or wrong", id="issuers"),
            pytest.param({"exp": NOW - 120}, "its exp is missing or wrong", id="expired"),
            pytest.param({"exp": None}, "its exp is missing or wrong", id="without an end"),
            pytest.param({"exp": "never"}, "its exp is missing or wrong", id="end in words"),
            pytest.param({"iat": NOW + 7200}, "its iat is missing or wrong", id="of the future"),
            pytest.param({"iat": None}, "its iat is missing or wrong", id="of no time"),
            pytest.param({"nbf": NOW + 7200}, "its nbf is missing or wrong", id="not yet valid"),
            pytest.param({"sub": None}, "its sub is missing or wrong", id="no subject"),
            pytest.param({"sub": 7}, "its sub is missing or wrong", id="subject that is a number"),
            pytest.param({"sub": ""}, "its sub", id="empty subject"),
            pytest.param({"sub": "x" * 256}, "its subject is missing, or none", id="endless subject"),
            pytest.param({"sub": "x\x00"}, "its subject is missing, or none", id="subject with a NUL"),
        ],
    )
    async def test_claims_are_compared(
        self, claims: dict[str, Any], reason: str, nobody: Browser, provider: OwnProvider, platform: Platform
    ) -> None:
        provider.claims = claims

        assert UNTRUSTED in unescape(await sign_in(nobody))

        assert await is_nobody(nobody, platform)
        [on_record] = await reasons(platform)
        assert on_record.startswith("untrusted token (")
        assert reason in on_record

    async def test_token_for_several_that_names_us_is_taken(self, nobody: Browser, provider: OwnProvider) -> None:
        provider.claims = {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID, "exp": time.time() - 30}
        assert await sign_in(nobody) == "/"

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param({"header": {"alg": "none"}, "sign": unsigned}, id="none"),
            pytest.param({"header": {"alg": "None", "kid": "first"}, "sign": unsigned}, id="None"),
            pytest.param({"header": {"alg": None, "kid": "first"}, "sign": unsigned}, id="null"),
            pytest.param({"header": {"alg": ["RS256"], "kid": "first"}, "sign": unsigned}, id="a list"),
            pytest.param({"header": {"kid": "first"}, "sign": unsigned}, id="no algorithm"),
            pytest.param({"header": {"alg": "RS256", "kid": "first"}, "sign": unsigned}, id="no signature"),
            pytest.param(
                {"header": {"alg": "HS256", "kid": "first"}, "sign": signed_with_the_public_key},
                id="key as HMAC",
            ),
            pytest.param({"key": ANOTHER_KEY}, id="another key of that name"),
            pytest.param({"key": ANOTHER_KEY, "header": {"alg": "RS256"}}, id="another key without a name"),
            pytest.param({"key": ANOTHER_KEY, "header": {"alg": "RS256", "kid": "second"}}, id="unknown key"),
            pytest.param(
                {
                    "key": ANOTHER_KEY,
                    "header": {"alg": "RS256", "kid": "second", "jwk": ANOTHER_KEY.as_dict(private=False)},
                },
                id="key that it brings along",
            ),
            pytest.param({"sign": lambda *_: "x" * 300_000}, id="endless"),
            pytest.param({"sign": lambda *_: "a.b"}, id="no token"),
            pytest.param({"sign": lambda *_: "é.ü.ß"}, id="no ASCII"),
            pytest.param({"keys": []}, id="no keys"),
            pytest.param({"keys": [{**KEY.as_dict(private=False), "use": "enc"}]}, id="key for something else"),
            pytest.param({"keys": [{**KEY.as_dict(private=False), "alg": "PS512"}]}, id="key for another algorithm"),
            pytest.param({"keys": [KEY.as_dict(private=False) | {"kid": ["first"]}]}, id="names of keys"),
        ],
    )
    async def test_signature_is_the_providers(
        self, changed: dict[str, Any], nobody: Browser, provider: OwnProvider, platform: Platform
    ) -> None:
        for name, value in changed.items():
            setattr(provider, name, value)

        message = unescape(await sign_in(nobody))

        assert UNTRUSTED in message or NOT_AT_THE_MOMENT in message
        assert await is_nobody(nobody, platform)
        assert len(await reasons(platform)) == 1
        assert provider.asked.count("/keys") <= 2

    @pytest.mark.filterwarnings("ignore:Key size")
    async def test_short_key_is_none(self, nobody: Browser, provider: OwnProvider, platform: Platform) -> None:
        provider.key = RSAKey.generate_key(1024, {"kid": "first"})
        provider.keys = [dict(provider.key.as_dict(private=False))]
        assert UNTRUSTED in unescape(await sign_in(nobody))
        assert await is_nobody(nobody, platform)


class TestAnswersOfOthers:
    async def test_state_must_be_that_of_this_browser(
        self, nobody: Browser, open_browser: Opener, provider: OwnProvider, platform: Platform
    ) -> None:
        """An attacker's own answer, sent to somebody else: they would work in the attacker's account."""
        attacker = await open_browser()
        back = await go_there(attacker, await begin(attacker))
        own = parse_qs(urlsplit(await begin(nobody)).query)["state"][0]
        code = parse_qs(urlsplit(back).query)["code"][0]

        for query in (urlsplit(back).query, f"code={code}", f"code={code}&state=", f"code={code}&state={own[:-1]}"):
            assert NOT_BEGUN in unescape(await said(nobody, await come_back(nobody, f"{CALLBACK}?{query}")))
        # With the browser's own state the code is that of another challenge.
        back = f"{CALLBACK}?code={code}&state={own}"
        assert REFUSED in unescape(await said(nobody, await come_back(nobody, back)))

        assert await is_nobody(nobody, platform)
        assert len(provider.token_requests) == 1

    async def test_answer_is_worth_nothing_a_second_time(
        self, nobody: Browser, open_browser: Opener, provider: OwnProvider
    ) -> None:
        address = await begin(nobody)
        begun = {c.key: c.value for c in nobody.session.cookie_jar if c.key.startswith(COOKIE)}
        back = await go_there(nobody, address)
        assert await said(nobody, await come_back(nobody, back)) == "/"

        assert NOT_BEGUN in unescape(await said(nobody, await come_back(nobody, back)))
        thief = await open_browser()
        assert NOT_BEGUN in unescape(await said(thief, await come_back(thief, back)))
        thief.session.cookie_jar.update_cookies(begun, thief.make_url("/"))
        assert REFUSED in unescape(await said(thief, await come_back(thief, back)))
        assert not any(cookie.key == SIGN_IN for cookie in thief.session.cookie_jar)
        assert len(provider.token_requests) == 2

    async def test_failed_answer_is_worth_nothing_either(self, nobody: Browser, provider: OwnProvider) -> None:
        provider.claims = {"nonce": "x"}
        back = await go_there(nobody, await begin(nobody))
        assert UNTRUSTED in unescape(await said(nobody, await come_back(nobody, back)))
        assert NOT_BEGUN in unescape(await said(nobody, await come_back(nobody, back)))

    @pytest.mark.parametrize(
        ("issuers", "is_taken"),
        [
            pytest.param(["https://evil.test"], False, id="another"),
            pytest.param([""], False, id="empty"),
            pytest.param(["own", "https://evil.test"], False, id="two"),
            pytest.param(["own"], True, id="its own"),
            pytest.param([], False, id="none, where there is always one"),
        ],
    )
    async def test_answer_of_another_provider_is_not_taken_for_its_own(
        self, issuers: list[str], is_taken: bool, nobody: Browser, provider: OwnProvider, platform: Platform
    ) -> None:
        provider.announced = {"authorization_response_iss_parameter_supported": True}
        back = await go_there(nobody, await begin(nobody))
        back += "".join(f"&iss={provider.issuer if issuer == 'own' else issuer}" for issuer in issuers)

        end = unescape(await said(nobody, await come_back(nobody, back)))

        assert (end == "/") is is_taken
        if not is_taken:
            assert "came from elsewhere" in end
            assert provider.token_requests == []
            assert await is_nobody(nobody, platform)

    @pytest.mark.parametrize(
        ("returned", "reason"),
        [
            ({"code": None, "error": "access_denied"}, "refused by the provider (access_denied)"),
            ({"error": "access_denied"}, "refused by the provider (access_denied)"),
            ({"error": "<b>Call 555-1234\r\naction=sign_in"}, "refused by the provider (no known code)"),
            ({"code": None}, "refused by the provider (no code)"),
            ({"code": "x" * 5000}, "refused by the provider (no code)"),
            ({"code": "never given out"}, "refused by the provider (invalid_grant)"),
        ],
    )
    async def test_what_the_provider_refuses_is_said_without_its_words(
        self, returned: dict[str, Any], reason: str, nobody: Browser, provider: OwnProvider, platform: Platform
    ) -> None:
        provider.returned = returned
        message = await sign_in(nobody)
        assert REFUSED in message
        assert "555" not in message
        assert await reasons(platform) == [reason]

    @pytest.mark.parametrize("value", ["", "x", "e30", "bnVsbA", "W10", "eyJzdGF0ZSI6IDF9", "%00", "é"])
    async def test_planted_cookies_are_read_without_harm(self, value: str, nobody: Browser) -> None:
        address = await begin(nobody)
        [name] = [cookie.key for cookie in nobody.session.cookie_jar if cookie.key.startswith(COOKIE)]
        nobody.session.cookie_jar.clear()
        back = await go_there(nobody, address)
        path = "/sign-in/openid/callback?" + urlsplit(back).query
        async with nobody.get(path, headers={"Cookie": f"{name}={value}"}, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/sign-in")

    async def test_planted_page_to_come_back_to_is_ours_all_the_same(
        self, nobody: Browser, provider: OwnProvider
    ) -> None:
        address = await begin(nobody)
        [cookie] = [each for each in nobody.session.cookie_jar if each.key.startswith(COOKIE)]
        kept = json.loads(base64.urlsafe_b64decode(cookie.value)) | {"next": "https://evil.example"}
        value = base64.urlsafe_b64encode(json.dumps(kept).encode()).decode()
        nobody.session.cookie_jar.update_cookies({cookie.key: value}, nobody.make_url("/"))

        back = await go_there(nobody, address)
        assert await said(nobody, await come_back(nobody, back)) == "/"
        assert provider.token_requests

    async def test_cookie_of_another_state_is_none(self, nobody: Browser, provider: OwnProvider) -> None:
        """Of the state the cookie's name has a few letters only: somebody may find another state with the same."""
        back = await go_there(nobody, await begin(nobody))
        [cookie] = [each for each in nobody.session.cookie_jar if each.key.startswith(COOKIE)]
        name = f"{COOKIE}_{digest('found').hex()[:8]}"
        nobody.session.cookie_jar.update_cookies({name: cookie.value}, nobody.make_url("/"))

        code = parse_qs(urlsplit(back).query)["code"][0]
        answer = await come_back(nobody, f"{CALLBACK}?code={code}&state=found")

        assert NOT_BEGUN in unescape(await said(nobody, answer))
        assert provider.token_requests == []

    async def test_guessing_codes_is_slowed_down(
        self, nobody: Browser, provider: OwnProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(slowdown, "FIRST_WAIT_SECONDS", slowdown.LONGEST_WAIT_SECONDS)
        monkeypatch.setattr(slowdown, "FREE_BY_ADDRESS", 3)
        assert await sign_in(nobody) == "/"
        provider.returned = {"code": "guessed"}
        statuses = []
        for _ in range(4):
            back = await go_there(nobody, await begin(nobody))
            statuses.append((await come_back(nobody, back)).status)
        assert statuses == [303, 303, 303, 429]
        assert len(provider.token_requests) == 4


class TestCookies:
    @pytest.fixture
    def settings(self, provider: OwnProvider) -> WebSettings:
        return openid_settings(provider.issuer, unused_port(), web_url="https://tutorwatch.test")

    async def test_only_this_host_sets_them_and_no_script_reads_them(self, nobody: Browser) -> None:
        async with nobody.get("/sign-in/openid", allow_redirects=False) as response:
            [cookie] = [each for name, each in response.cookies.items() if COOKIE in name]
            asked = parse_qs(urlsplit(response.headers["Location"]).query)
        assert cookie.key.startswith(f"__Host-{COOKIE}_")
        assert (cookie["httponly"], cookie["secure"], cookie["samesite"], cookie["path"]) == (True, True, "Lax", "/")
        assert (cookie["domain"], cookie["max-age"]) == ("", "600")
        assert asked["redirect_uri"] == ["https://tutorwatch.test/sign-in/openid/callback"]
        assert "known-secret" not in response.headers["Location"]
        kept = json.loads(base64.urlsafe_b64decode(cookie.value))
        assert kept["verifier"] not in response.headers["Location"]
        assert min(len(kept[name]) for name in ("state", "nonce", "verifier")) == 43


async def redirected(request: web.Request) -> web.StreamResponse:
    """To a place that would answer well, if it were asked."""
    raise web.HTTPTemporaryRedirect(f"{request.path}-elsewhere")


async def huge(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"x": "x" * (openid_provider.LARGEST_ANSWER + 1)})


BOMB = gzip.compress(b" " * 20_000_000)


async def compressed(_request: web.Request) -> web.StreamResponse:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    return web.Response(body=BOMB, headers=headers)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.05)


async def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.close()
    return web.Response()


def text(body: str, status: int = 200) -> Answer:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, status=status, content_type="application/json")

    return answer


class TestProvider:
    """However it misbehaves, people are told in time, and nobody is signed in."""

    @pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token", "/userinfo"])
    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(redirected, id="redirect"),
            pytest.param(never, id="none"),
            pytest.param(huge, id="huge"),
            pytest.param(compressed, id="bomb"),
            pytest.param(endless, id="endless"),
            pytest.param(cut, id="cut off"),
            pytest.param(text("<html>Welcome"), id="page"),
            pytest.param(text("[" * 100_000), id="nested"),
            pytest.param(text("[]"), id="list"),
            pytest.param(text("{}", 500), id="error"),
        ],
    )
    async def test_misbehaves(
        self,
        path: str,
        answer: Answer,
        nobody: Browser,
        provider: OwnProvider,
        platform: Platform,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        if answer in (never, endless):
            monkeypatch.setattr(openid_provider, "PATIENCE_SECONDS", 1.0)
        provider.announced = {"userinfo_endpoint": f"{provider.issuer}/userinfo"}
        provider.person = {"sub": "dana-there"}
        provider.answers[path] = answer
        if "well-known" in path:
            message = await said(nobody, await nobody.get("/sign-in/openid", allow_redirects=False))
        else:
            message = await sign_in(nobody)

        assert NOT_AT_THE_MOMENT in unescape(message)
        assert await is_nobody(nobody, platform)
        [reason] = await reasons(platform)
        assert answer is not compressed or reason.endswith("is no JSON object"), "it isn't unfolded"
        assert [each for each in provider.asked if each.endswith("elsewhere")] == []
        assert "Traceback" not in caplog.text

    @pytest.mark.parametrize(
        "announced",
        [
            pytest.param({"issuer": "https://evil.test"}, id="another issuer"),
            pytest.param({"issuer": None}, id="no issuer"),
            pytest.param({"token_endpoint": "http://evil.test/token"}, id="without TLS"),
            pytest.param({"token_endpoint": "file:///etc/passwd"}, id="a file"),
            pytest.param({"token_endpoint": ["https://id.test"]}, id="a list"),
            pytest.param({"token_endpoint": "https://[::1"}, id="no address"),
            pytest.param({"authorization_endpoint": "javascript:alert(1)"}, id="a script"),
            pytest.param({"jwks_uri": None}, id="no keys"),
            pytest.param({"token_endpoint_auth_methods_supported": ["none"]}, id="no secret"),
            pytest.param({"token_endpoint_auth_methods_supported": None, "jwks_uri": 1}, id="a number"),
        ],
    )
    async def test_document_that_does_not_fit_is_not_used(
        self, announced: dict[str, Any], nobody: Browser, provider: OwnProvider
    ) -> None:
        provider.announced = announced
        async with nobody.get("/sign-in/openid?next=//evil.example", allow_redirects=False) as response:
            assert response.headers["Location"] == "/sign-in"
            assert NOT_AT_THE_MOMENT in unescape(await said(nobody, response))


async def test_no_secret_of_the_way_is_in_a_log_a_page_or_the_record(
    database_url: str, provider: OwnProvider, platform: Platform
) -> None:
    """By a real process, through a sign-in that works and several that don't."""
    port = unused_port()
    given = openid_settings(provider.issuer, port)
    names = ("web_url", "web_openid_issuer", "web_openid_client_id")
    named: dict[str, Any] = {name: getattr(given, name) for name in names} | {"log_level": "debug", "web_port": port}
    answers: list[str] = []
    with Running("web", url=WEB.url(database_url), web_openid_client_secret=CLIENT_SECRET, **named) as dashboard:
        await dashboard.log(action="serving")
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(given.web_url, cookie_jar=jar) as browser:

            async def go() -> None:
                async with browser.get("/sign-in/openid?next=/alerts") as response:
                    answers.append(f"{response.status} {await response.text()}")

            await go()
            assert answers[0].startswith("200 ")
            for broken in ({"exp": NOW - 9000}, {"sub": "x"}, {"email_verified": False, "sub": "y"}):
                provider.claims = broken
                await go()
            for path in ("/token", "/keys"):
                provider.claims, provider.answers[path] = {}, text('{"error": "invalid_client"}', 401)
                await go()
        said_there = "".join([*dashboard.out, *dashboard.err])
    on_record = str(await platform.rows("SELECT entry::text FROM tutorwatch.audit_trail AS entry"))

    secrets = [CLIENT_SECRET, *(form[name] for form in provider.token_requests for name in ("code", "code_verifier"))]
    secrets += [asked[name] for asked in provider.authorizations for name in ("state", "nonce")]
    for place in (said_there, "\n".join(answers), on_record):
        assert place
        assert [secret for secret in secrets if secret in place] == []
    assert "invalid_client" in said_there
