"""Signing in with OpenID Connect: who gets in as whom, and what people are told."""

import asyncio
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from html import unescape
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp.test_utils import TestServer, unused_port
from joserfc.jwk import ECKey, OKPKey, RSAKey
from sqlalchemy.ext.asyncio import AsyncEngine

from rules.thresholds import Thresholds
from scripts import accounts
from tests.support.browsers import Browser, Opener, post, read_page
from tests.support.command import SECRET, tutorwatch
from tests.support.openid import (
    CLIENT_ID,
    AnyKey,
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
from web.app import create_app
from web.auth.cookies import SIGN_IN
from web.auth.openid import provider as openid_provider
from web.auth.openid.provider import CALLBACK
from web.settings import WebSettings

PASSWORD = "correct horse battery"
DANA = {"sub": "dana-there", "email": "dana@example.test", "email_verified": True}


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


async def whose(browser: Browser, platform: Platform) -> str | None:
    """Who is signed in, by the page and by the database."""
    if not any(cookie.key == SIGN_IN for cookie in browser.session.cookie_jar):
        return None
    [user_id] = await platform.rows("SELECT user_id FROM tutorwatch.sign_ins WHERE method = 'openid'")
    assert "Sign out" in await read_page(browser, "/account")
    return str(user_id)


class TestWithAProviderThatIsNotOurs:
    """oidc-provider-mock, by its own page."""

    @pytest.fixture
    def settings(self) -> Iterator[WebSettings]:
        with warnings.catch_warnings(record=True):  # of a library that it will need another of
            from oidc_provider_mock import User, run_server_in_thread
        users = [User(sub="dana-there", claims={"email": "Dana@Example.test", "email_verified": True})]
        with (
            patch.dict(os.environ, {"AUTHLIB_INSECURE_TRANSPORT": "1"}),
            run_server_in_thread(user_claims=users, require_nonce=True) as server,
        ):
            issuer = f"http://localhost:{server.server_port}"
            yield openid_settings(issuer, unused_port(), web_openid_client_id="tutorwatch")

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    async def test_whole_way(self, nobody: Browser, platform: Platform) -> None:
        page = await read_page(nobody, "/sign-in?next=/alerts?severity=critical")
        assert 'href="/sign-in/openid?next=/alerts%3Fseverity%3Dcritical"' in page
        assert "Sign in with Example School" in page

        for _ in range(2):
            address = await begin(nobody, "/alerts?severity=critical")
            async with nobody.session.post(address, data={"sub": "dana-there"}, allow_redirects=False) as response:
                assert response.status == 302, await response.text()
                back = response.headers["Location"]
            assert await said(nobody, await come_back(nobody, back)) == "/alerts?severity=critical"
            assert await whose(nobody, platform) == "dana"

        assert await platform.rows("SELECT subject, user_id FROM tutorwatch.identities") == [("dana-there", "dana")]
        record = "SELECT action, outcome, actor, actor_role, actor_by, details FROM tutorwatch.audit_trail"
        details = f"subject dana-there at {address.partition('/oauth2')[0]}"
        assert await platform.rows(record) == [("sign_in", "done", "dana", "admin", "openid", details)] * 2

        address = await begin(nobody)
        async with nobody.session.post(address, data={"action": "deny"}, allow_redirects=False) as response:
            back = response.headers["Location"]
        # It leaves out the state, which an answer must have.
        assert "wasn't begun in this browser" in unescape(await said(nobody, await come_back(nobody, back)))


async def test_browser_alone_finds_the_whole_way(nobody: Browser, provider: OwnProvider, settings: WebSettings) -> None:
    async with nobody.get("/sign-in/openid?next=/tutors") as response:
        assert (response.status, response.url.path) == (200, "/tutors")

    [asked] = provider.authorizations
    assert asked["redirect_uri"] == f"{settings.web_url}/sign-in/openid/callback"
    [form] = provider.token_requests  # the provider has compared it with the challenge
    assert len(form["code_verifier"]) == 43


async def test_sign_in_ends_at_another_dashboard_than_it_began(
    nobody: Browser, database_url: str, settings: WebSettings, thresholds: Thresholds, platform: Platform
) -> None:
    back = await go_there(nobody, await begin(nobody, "/tutors"))

    async with TestServer(create_app(WEB.url(database_url), settings, thresholds, version="9.9")) as other:
        response = await nobody.session.get(
            other.make_url(CALLBACK + back.partition(CALLBACK)[2]), allow_redirects=False
        )

    assert response.headers["Location"] == "/tutors"
    assert await whose(nobody, platform) == "dana"


async def test_two_tabs_may_be_at_it_at_once(nobody: Browser) -> None:
    first, second = await begin(nobody, "/alerts"), await begin(nobody, "/tutors")

    ends = [await said(nobody, await come_back(nobody, await go_there(nobody, each))) for each in (first, second)]

    assert ends == ["/alerts", "/tutors"]


async def test_abandoned_sign_ins_leave_a_handful_of_cookies(nobody: Browser) -> None:
    addresses = [await begin(nobody) for _ in range(8)]

    begun = [cookie for cookie in nobody.session.cookie_jar if cookie.key.startswith("tutorwatch_openid_")]
    assert len(begun) == 5
    last = await come_back(nobody, await go_there(nobody, addresses[-1]))
    assert await said(nobody, last) == "/"


class TestWhoIsWho:
    async def test_first_sign_in_links_by_verified_address_and_later_ones_go_by_subject(
        self, nobody: Browser, provider: OwnProvider, platform: Platform
    ) -> None:
        provider.person["email"] = "DANA@Example.test"
        assert await sign_in(nobody) == "/"

        for changed in ({"email": "dana@new.test"}, {"email_verified": False}, {"email": "omar@example.test"}):
            provider.person = DANA | changed
            assert await sign_in(nobody) == "/"
            assert await whose(nobody, platform) == "dana"

    async def test_address_of_somebody_who_is_linked_already_lets_nobody_else_in(
        self, nobody: Browser, open_browser: Opener, provider: OwnProvider, platform: Platform
    ) -> None:
        await sign_in(nobody)
        provider.person = DANA | {"sub": "somebody-else"}
        stranger = await open_browser()

        assert "somebody else there is linked to it" in await sign_in(stranger)

        assert await whose(stranger, platform) is None
        refused = "SELECT reason, actor, user_id, details FROM tutorwatch.audit_trail WHERE outcome = 'refused'"
        reason = "OpenID Connect: the address is of several users, or linked to somebody else there"
        assert await platform.rows(refused) == [(reason, None, "dana", f"subject somebody-else at {provider.issuer}")]

    async def test_unlinked_user_is_signed_out_and_linked_anew(
        self, nobody: Browser, open_browser: Opener, provider: OwnProvider, platform: Platform, engine: AsyncEngine
    ) -> None:
        await sign_in(nobody)
        await accounts.unlink(engine, "dana@example.test")
        assert await platform.rows("SELECT FROM tutorwatch.sign_ins") == []
        on_record = "SELECT user_id FROM tutorwatch.audit_trail WHERE action = 'provider_unlinked'"
        assert await platform.rows(on_record) == ["dana"]

        provider.person = DANA | {"sub": "dana-in-her-new-account"}
        assert await sign_in(await open_browser()) == "/"
        assert await platform.rows("SELECT subject FROM tutorwatch.identities") == ["dana-in-her-new-account"]

    @pytest.mark.parametrize(
        ("person", "words"),
        [
            pytest.param({"email_verified": False}, "verified", id="unverified"),
            pytest.param({"email_verified": None}, "verified", id="not said whether verified"),
            pytest.param({"email_verified": "true"}, "verified", id="verified in words"),
            pytest.param({"email_verified": 1}, "verified", id="verified by number"),
            pytest.param({"email": None}, "verified", id="no address"),
            pytest.param({"email": ""}, "verified", id="empty address"),
            pytest.param({"email": ["dana@example.test"]}, "verified", id="list of addresses"),
            pytest.param({"email": "nobody@example.test"}, "Nobody here", id="unknown"),
            pytest.param({"email": "\N{KELVIN SIGN}im@example.test"}, "Nobody here", id="look-alike"),
            pytest.param({"email": "dana@example.test "}, "verified", id="with a blank"),
            pytest.param({"email": "dana@example.test\x00"}, "verified", id="with a NUL"),
            pytest.param({"email": "%@example.test"}, "Nobody here", id="pattern"),
        ],
    )
    async def test_other_addresses_link_nobody(
        self, person: dict[str, Any], words: str, nobody: Browser, provider: OwnProvider, platform: Platform
    ) -> None:
        await platform.user("kim", role="admin")
        provider.person |= person

        assert words in unescape(await sign_in(nobody))

        assert await whose(nobody, platform) is None
        assert await platform.rows("SELECT count(*) FROM tutorwatch.identities") == [0]

    async def test_look_alike_address_of_a_user_is_not_theirs(
        self, nobody: Browser, provider: OwnProvider, platform: Platform
    ) -> None:
        email = "\N{KELVIN SIGN}im@example.test"
        await platform.insert("users", id="kim", email=email, name="Kim", role="admin")
        provider.person["email"] = "kim@example.test"
        assert "Nobody here" in await sign_in(nobody)

    async def test_address_that_two_users_have_links_neither(
        self, nobody: Browser, provider: OwnProvider, platform: Platform
    ) -> None:
        await platform.insert("users", id="dana2", email="DANA@example.test", name="Another", role="tutor")

        assert "several users here have it" in await sign_in(nobody)
        assert await platform.rows("SELECT count(*) FROM tutorwatch.identities") == [0]
        assert provider.token_requests

    @pytest.mark.parametrize(
        ("told", "who"),
        [
            pytest.param(
                {"sub": "dana-there", "email": "dana@example.test", "email_verified": True}, "dana", id="hers"
            ),
            pytest.param({"sub": "x", "email": "dana@example.test", "email_verified": True}, None, id="another's"),
            pytest.param({"email": "dana@example.test", "email_verified": True}, None, id="nobody's"),
        ],
    )
    async def test_address_is_asked_for_where_the_token_has_none(
        self, told: dict[str, Any], who: str | None, nobody: Browser, provider: OwnProvider, platform: Platform
    ) -> None:
        provider.announced = {"userinfo_endpoint": f"{provider.issuer}/userinfo"}
        provider.person, provider.userinfo = {"sub": "dana-there"}, told

        await sign_in(nobody)

        assert await whose(nobody, platform) == who

    async def test_student_gets_in_and_sees_no_page(self, nobody: Browser, provider: OwnProvider) -> None:
        provider.person = {"sub": "sam-there", "email": "sam@example.test", "email_verified": True}
        assert await sign_in(nobody) == "/"
        async with nobody.get("/") as response:
            assert response.status == 403

    async def test_deleted_user_is_nobody_and_who_comes_after_them_is_linked_anew(
        self, nobody: Browser, open_browser: Opener, provider: OwnProvider, platform: Platform
    ) -> None:
        await sign_in(nobody)
        await platform.connection.execute("DELETE FROM users WHERE id = 'dana'")
        assert "Nobody here" in await sign_in(await open_browser())

        await platform.insert("users", id="dana-again", email="dana@example.test", name="Dana", role="tutor")
        assert await sign_in(await open_browser()) == "/"
        assert provider.token_requests
        assert await platform.rows("SELECT user_id FROM tutorwatch.identities") == ["dana-again"]


async def test_sign_in_takes_the_place_of_the_one_before_and_the_browser_is_known(
    nobody: Browser, platform: Platform
) -> None:
    await sign_in(nobody)
    await sign_in(nobody)

    rows = "SELECT user_id, method, address, browser LIKE 'Python%%' FROM tutorwatch.sign_ins"
    assert await platform.rows(rows) == [("dana", "openid", "127.0.0.1", True)]
    assert await platform.rows("SELECT user_id FROM tutorwatch.known_browsers") == ["dana"]
    assert "your organisation's sign-in" in await read_page(nobody, "/account")


async def test_signing_out_ends_the_sign_in(nobody: Browser, platform: Platform) -> None:
    await sign_in(nobody)

    async with await post(nobody, "/sign-out") as response:
        assert response.headers["Location"] == "/sign-in"

    assert await platform.rows("SELECT count(*) FROM tutorwatch.sign_ins") == [0]


@pytest.mark.parametrize(
    ("elsewhere", "end"),
    [
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/alerts?type=no_show_pattern&page=2", "/alerts?type=no_show_pattern&page=2"),
        pytest.param("/tutors?name=" + "é" * 1330, "/", id="too long for a cookie"),
    ],
)
async def test_way_ends_at_a_page_of_ours(elsewhere: str, end: str, nobody: Browser) -> None:
    assert await sign_in(nobody, elsewhere) == end


KEYS: dict[str, AnyKey] = {
    "ES256": ECKey.generate_key("P-256", {"kid": "e"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "o"}),
    "PS256": RSAKey.generate_key(2048, {"kid": "p"}),
}


@pytest.mark.filterwarnings("ignore:EdDSA")  # of the library that signs for the test
@pytest.mark.parametrize("algorithm", KEYS)
async def test_other_signatures_are_read_among_keys_that_are_not(
    algorithm: str, nobody: Browser, provider: OwnProvider
) -> None:
    provider.key, provider.header = KEYS[algorithm], {"alg": algorithm, "kid": KEYS[algorithm].kid, "x5c": ["A" * 900]}
    others: list[dict[str, Any]] = [{"kty": "AKP", "kid": "new"}, {"kty": "RSA", "kid": "odd"}, {"kid": 1}]
    provider.keys += [*others, *(dict(key.as_dict(private=False)) for key in KEYS.values())]

    assert await sign_in(nobody) == "/"


async def test_new_key_of_the_provider_is_fetched_once(nobody: Browser, provider: OwnProvider) -> None:
    assert await sign_in(nobody) == "/"
    provider.key = RSAKey.generate_key(2048, {"kid": "second"})
    provider.header = {"alg": "RS256", "kid": "second"}
    provider.keys = [dict(provider.key.as_dict(private=False))]

    assert [await sign_in(nobody), await sign_in(nobody)] == ["/", "/"]

    assert provider.asked.count("/keys") == 2
    assert provider.asked.count("/.well-known/openid-configuration") == 1


async def test_what_the_provider_announces_is_asked_for_again_after_an_hour(
    nobody: Browser, provider: OwnProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid_provider, "KEPT_SECONDS", -1.0)
    assert [await sign_in(nobody), await sign_in(nobody)] == ["/", "/"]
    assert provider.asked.count("/keys") == 2


async def test_secret_goes_into_the_form_where_nothing_else_is_taken(nobody: Browser, provider: OwnProvider) -> None:
    provider.announced = {"token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"]}
    assert await sign_in(nobody) == "/"
    assert provider.token_requests[0]["client_id"] == CLIENT_ID


async def test_provider_that_is_down_is_said_on_the_sign_in_page_and_on_record(
    nobody: Browser, provider: OwnProvider, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid_provider, "PATIENCE_SECONDS", 0.5)
    provider.answers["/.well-known/openid-configuration"] = never

    async with nobody.get("/sign-in/openid?next=/alerts", allow_redirects=False) as response:
        assert response.headers["Location"] == "/sign-in?next=%2Falerts"
        assert "Signing in with Example School doesn't work at the moment" in unescape(await said(nobody, response))
    async with nobody.get("/sign-in/openid", headers={"Accept": "application/json"}) as response:
        assert response.status == 503
    assert await platform.rows("SELECT reason FROM tutorwatch.audit_trail") == [
        "OpenID Connect: it doesn't answer in time"
    ]
    provider.answers.clear()

    assert await sign_in(nobody, "/alerts") == "/alerts"


async def test_two_first_sign_ins_at_once_both_get_in(nobody: Browser, open_browser: Opener) -> None:
    browsers = [nobody, await open_browser(), await open_browser()]
    assert await asyncio.gather(*map(sign_in, browsers)) == ["/"] * 3


async def test_columns_of_the_platform_do_not_get_mixed_up_with_what_is_asked(
    nobody: Browser, platform: Platform
) -> None:
    for name in ("verified_email", "token_subject", "sign_in", "account", "user_id", "subject"):
        await platform.connection.execute(f"ALTER TABLE users ADD {name} text DEFAULT 'x'".encode())
    assert await sign_in(nobody) == "/"


async def test_dashboard_that_may_not_is_told_to_whoever_operates_it(
    nobody: Browser, database_url: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    await platform.connection.execute(
        f"REVOKE EXECUTE ON FUNCTION tutorwatch.sign_in_from_provider FROM {WEB.name}".encode()
    )
    assert database_url

    assert "isn't set up completely" in unescape(await sign_in(nobody))

    assert "run `tutorwatch rights` with --openid" in caplog.text


class TestWithoutPasswords:
    @pytest.fixture
    def settings(self, provider: OwnProvider) -> WebSettings:
        return openid_settings(provider.issuer, unused_port(), web_password_sign_in=False)

    async def test_form_is_gone_and_refused(self, nobody: Browser, platform: Platform, engine: AsyncEngine) -> None:
        await accounts.set_password(engine, "dana@example.test", PASSWORD)
        page = await read_page(nobody, "/sign-in")
        assert "Sign in with Example School" in page
        assert "password" not in page.lower()

        assert await sign_in(nobody) == "/"
        for path, fields in (
            ("/sign-in", {"email": "dana@example.test", "password": PASSWORD}),
            ("/password", {"token": "x", "new_password": PASSWORD, "again": PASSWORD}),
            ("/account/password", {"password": PASSWORD, "new_password": PASSWORD + "2", "again": PASSWORD + "2"}),
        ):
            async with await post(nobody, path, page="/account", **fields) as response:
                assert response.status == 403
                assert "Sign-in with a password is switched off" in await response.text()
        assert "Current password" not in await read_page(nobody, "/account")

        refused = "SELECT DISTINCT action, reason FROM tutorwatch.audit_trail WHERE outcome = 'refused' ORDER BY 1"
        reason = "passwords are switched off"
        assert await platform.rows(refused) == [("password_changed", reason), ("sign_in", reason)]


GIVEN = {
    "url": "postgresql://127.0.0.1:1/none",
    "web_url": "https://tutorwatch.test",
    "web_openid_issuer": "https://id.test/realm",
    "web_openid_client_id": "x",
    "web_openid_client_secret": SECRET,
}
NEEDS = "TUTORWATCH_WEB_OPENID_ISSUER needs TUTORWATCH_WEB_"
BACK = "URL: the provider sends people back there"
FORM = "must be https://host[/path], as the provider itself writes it"
PLAIN = "must begin with https:// (http:// only for this machine itself)"


@pytest.mark.parametrize(
    ("changed", "mistakes"),
    [
        pytest.param({"web_url": None}, [NEEDS + BACK], id="no address of ours"),
        pytest.param({"web_openid_client_id": None}, [NEEDS + "OPENID_CLIENT_ID"], id="no client id"),
        pytest.param(
            {"web_openid_client_secret": None, "web_url": None},
            [NEEDS + "OPENID_CLIENT_SECRET", NEEDS + BACK],
            id="neither secret nor address",
        ),
        pytest.param(
            {"web_openid_issuer": None},
            [
                "TUTORWATCH_WEB_OPENID_CLIENT_ID needs TUTORWATCH_WEB_OPENID_ISSUER",
                "TUTORWATCH_WEB_OPENID_CLIENT_SECRET needs TUTORWATCH_WEB_OPENID_ISSUER",
            ],
            id="no issuer",
        ),
        *(
            pytest.param(
                {"web_openid_issuer": url}, [f"TUTORWATCH_WEB_OPENID_ISSUER: {problem} (it is {url!r})"], id=url
            )
            for url, problem in (
                ("http://id.test", PLAIN),
                ("ftp://id.test", PLAIN),
                ("id.test", FORM),
                ("https://", FORM),
                ("https://[::1", FORM),
                ("https://id.test?x=1", FORM),
                ("https://id.test#x", FORM),
                ("https://tim@id.test", FORM),
                ("https://id.test:x", FORM),
            )
        ),
        pytest.param(
            dict.fromkeys(name for name in GIVEN if "openid" in name) | {"web_password_sign_in": "false"},
            [
                "TUTORWATCH_WEB_PASSWORD_SIGN_IN is false, and nothing else signs people in: set"
                " TUTORWATCH_WEB_OPENID_ISSUER or TUTORWATCH_WEB_IDENTITY_HEADER"
            ],
            id="no way in",
        ),
    ],
)
def test_settings_that_do_not_fit_are_a_line_each(changed: dict[str, Any], mistakes: list[str]) -> None:
    given: dict[str, Any] = {name: value for name, value in (GIVEN | changed).items() if value is not None}

    done = tutorwatch("status", **given)

    assert (done.code, done.err.splitlines()) == (2, mistakes)


@pytest.mark.parametrize("issuer", ["https://id.test/", "http://localhost:9400", "http://127.0.0.1", "http://[::1]:1"])
def test_issuers_that_do(issuer: str) -> None:
    assert openid_settings(issuer, 1).web_openid_issuer == issuer


def test_proxy_is_enough_to_do_without_passwords() -> None:
    header = {"web_trusted_proxies": "127.0.0.1", "web_identity_header": "X-Email"}
    assert WebSettings(web_password_sign_in=False, **header).web_identity_header == "X-Email"  # type: ignore[arg-type]
