"""A provider of OpenID Connect for the tests, which checks what it is asked, and answers wrongly when it is told to."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, urlencode

import psycopg
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestServer
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from pydantic import SecretStr

from migrations import rights
from tests.support.browsers import Browser
from tests.support.roles import LISTENER, WEB
from web.auth.openid.provider import CALLBACK
from web.settings import WebSettings

CLIENT_ID = "tutorwatch at school"
CLIENT_SECRET = "known-secret: of the client/+%"
KEY = RSAKey.generate_key(2048, {"kid": "first"})
"""Made once: it takes a moment."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
AnyKey = RSAKey | ECKey | OKPKey


@dataclass
class OwnProvider:
    """Signs in at once whoever `person` says, unless it is told otherwise."""

    issuer: str = ""
    person: dict[str, Any] = field(
        default_factory=lambda: {"sub": "dana-there", "email": "dana@example.test", "email_verified": True}
    )
    announced: dict[str, Any] = field(default_factory=dict)
    """What its discovery document has besides, or otherwise; None: not."""
    claims: dict[str, Any] = field(default_factory=dict)
    """The same of its tokens."""
    userinfo: dict[str, Any] = field(default_factory=dict)
    returned: dict[str, str] = field(default_factory=dict)
    """What it sends back besides, or otherwise."""
    key: AnyKey = field(default_factory=lambda: KEY)
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": "first"})
    keys: list[dict[str, Any]] = field(default_factory=lambda: [dict(KEY.as_dict(private=False))])
    sign: Callable[[dict[str, Any], dict[str, Any]], str] | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    """What it does at a path instead."""
    asked: list[str] = field(default_factory=list)
    """The paths at which it was asked."""
    authorizations: list[dict[str, str]] = field(default_factory=list)
    token_requests: list[dict[str, str]] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._middleware])
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/keys", self._keys)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/userinfo", self._userinfo)
        return app

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Answer) -> web.StreamResponse:
        self.asked.append(request.path)
        return await self.answers.get(request.path, handler)(request)

    async def _discovery(self, _request: web.Request) -> web.StreamResponse:
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }
        return web.json_response(_without_none(document | self.announced))

    async def _keys(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"keys": self.keys})

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        asked = dict(request.query)
        self.authorizations.append(asked)
        assert (asked["client_id"], asked["response_type"]) == (CLIENT_ID, "code")
        assert (asked["code_challenge_method"], set(asked["scope"].split())) == ("S256", {"openid", "email"})
        code = secrets.token_urlsafe()
        self._codes[code] = asked
        back = _without_none({"code": code, "state": asked["state"]} | self.returned)
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode(back)}")

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.token_requests.append(form)
        if _client(request, form) != (CLIENT_ID, CLIENT_SECRET):
            return web.json_response({"error": "invalid_client"}, status=401)
        asked = self._codes.pop(form["code"], None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        if challenge.decode().rstrip("=") != asked["code_challenge"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        tokens = {"access_token": "access", "token_type": "Bearer", "id_token": self.token(asked["nonce"])}
        return web.json_response(tokens)

    def token(self, nonce: str) -> str:
        now = int(time.time())
        times = {"iat": now, "exp": now + 300}
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "nonce": nonce} | times | self.person | self.claims
        if self.sign:
            return self.sign(self.header, _without_none(claims))
        return jwt.encode(self.header, _without_none(claims), self.key, algorithms=[self.header["alg"]])

    async def _userinfo(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer access"
        return web.json_response(self.userinfo)


def _client(request: web.Request, form: dict[str, str]) -> tuple[str, str]:
    kind, _, pair = request.headers.get("Authorization", "").partition(" ")
    if kind != "Basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    client_id, _, secret = base64.b64decode(pair).decode().partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@asynccontextmanager
async def serving_provider() -> AsyncIterator[OwnProvider]:
    """A provider that answers."""
    provider = OwnProvider()
    async with TestServer(provider.app(), host="127.0.0.1") as server:
        provider.issuer = str(server.make_url("/")).removesuffix("/")
        yield provider


def openid_settings(issuer: str, port: int, **more: Any) -> WebSettings:
    """Those of a dashboard where people sign in with this provider."""
    values: dict[str, Any] = {
        "web_port": port,
        "web_url": f"http://127.0.0.1:{port}",
        "web_openid_issuer": issuer,
        "web_openid_client_id": CLIENT_ID,
        "web_openid_client_secret": SecretStr(CLIENT_SECRET),
        "web_openid_name": "Example School",
    }
    return WebSettings(**values | more)


def let_sign_in(database_url: str) -> None:
    """`tutorwatch rights --openid`."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rights.give(connection, listener=LISTENER.name, web=WEB.name, openid=True)


async def begin(browser: Browser, following: str = "") -> str:
    """Presses the button; returns where that leads."""
    async with browser.get("/sign-in/openid", params={"next": following}, allow_redirects=False) as response:
        return response.headers["Location"]


async def go_there(browser: Browser, address: str) -> str:
    """Signs in at the provider; returns where it sends back to."""
    async with browser.session.get(address, allow_redirects=False) as response:
        assert response.status == 302, await response.text()
        return response.headers["Location"]


async def come_back(browser: Browser, address: str) -> ClientResponse:
    """What the dashboard says to the provider's answer."""
    path = CALLBACK + address.partition(CALLBACK)[2]
    return await browser.get(path, allow_redirects=False)


async def sign_in(browser: Browser, following: str = "") -> str:
    """The whole way; returns where it ends, or what the sign-in page says then."""
    return await said(browser, await come_back(browser, await go_there(browser, await begin(browser, following))))


async def said(browser: Browser, response: ClientResponse) -> str:
    """Where an answer leads or, where that is the sign-in page, what it says there."""
    assert response.status == 303, await response.text()
    location = response.headers["Location"]
    if not location.startswith("/sign-in"):
        return location
    async with browser.get(location) as page:
        text = await page.text()
    return text.partition('class="flash error">')[2].partition("</p>")[0]


async def never(_request: web.Request) -> web.StreamResponse:
    """An answer that doesn't come."""
    await asyncio.Event().wait()
    raise AssertionError
