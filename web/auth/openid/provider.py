"""The provider of OpenID Connect: what it announces, its keys, and what it answers about somebody who signs in there.

Every answer has a bound in time and size, and no redirect is followed: the client's secret goes where the provider
itself says, and nowhere else.
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

import aiohttp
from aiohttp import web
from joserfc.jwk import KeySet
from pydantic import SecretStr

from database.errors import TutorwatchError
from web.auth.openid.tokens import (
    Expected,
    Person,
    UnknownKeyError,
    UntrustedTokenError,
    person_of,
    read_keys,
    read_token,
)
from web.keys import SETTINGS
from web.settings import WebSettings, is_loopback

CALLBACK = "/sign-in/openid/callback"
"""Where the provider sends people back to."""
PATIENCE_SECONDS = 6.0
"""How long a request waits for the provider, whatever it asks there: less than any page may take."""
KEPT_SECONDS = 3600.0
"""How long what the provider announces, and its keys, are used without asking again."""
LARGEST_ANSWER = 256 * 1024
"""Bytes: the documents of large providers have some 10,000."""
MOST_CONNECTIONS = 10

_ERROR_CODE = re.compile(r"[a-z_]{1,60}")
"""What error codes look like: other text of the provider's is shown and logged nowhere."""

T = TypeVar("T")


class ProviderError(TutorwatchError):
    """The provider can't be asked, or what it answers can't be used; the message says why, for the log and the record.
    Somebody may try again.
    """


class RefusedByProviderError(TutorwatchError):
    """The provider signs this person in no more than we do: the message is its code, such as `access_denied`."""


@dataclass(frozen=True, slots=True)
class Client:
    """What we are to the provider."""

    issuer: str
    client_id: str
    secret: SecretStr
    redirect_uri: str

    @classmethod
    def of(cls, settings: WebSettings) -> "Client | None":
        """As the settings have it; None without a provider."""
        issuer, client_id, secret = (
            settings.web_openid_issuer,
            settings.web_openid_client_id,
            settings.web_openid_client_secret,
        )
        if not (issuer and client_id and secret and settings.web_url):
            return None
        return cls(issuer, client_id, secret, settings.web_url + CALLBACK)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one sign-in was begun with: the provider has to answer to it."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Announced:
    """What of the provider's discovery document is used."""

    authorization_url: str
    token_url: str
    keys_url: str
    userinfo_url: str | None
    takes_basic: bool
    """Whether the client's secret goes into the Authorization header; otherwise into the form."""
    always_names_itself: bool
    """Whether each answer must carry the issuer (RFC 9207), so that none of another provider is taken for its own."""

    @classmethod
    def parse(cls, document: Mapping[str, Any], issuer: str) -> "Announced":
        """Raises ProviderError for a document of another issuer, or one that lacks something."""
        if document.get("issuer") != issuer:
            raise ProviderError("its discovery document names another issuer than TUTORWATCH_WEB_OPENID_ISSUER")
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        takes_basic = isinstance(methods, list) and "client_secret_basic" in methods
        if not takes_basic and not (isinstance(methods, list) and "client_secret_post" in methods):
            raise ProviderError("it takes no client secret: neither client_secret_basic nor client_secret_post")
        return cls(
            _address(document, "authorization_endpoint", issuer),
            _address(document, "token_endpoint", issuer),
            _address(document, "jwks_uri", issuer),
            _address(document, "userinfo_endpoint", issuer) if "userinfo_endpoint" in document else None,
            takes_basic,
            document.get("authorization_response_iss_parameter_supported") is True,
        )


def _address(document: Mapping[str, Any], name: str, issuer: str) -> str:
    url = document.get(name)
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        is_own = is_loopback(parts.hostname) and is_loopback(urlsplit(issuer).hostname)
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_own)):
            raise ValueError
    except ValueError:
        raise ProviderError(f"its discovery document has no {name} that begins with https://") from None
    return str(url)


@dataclass
class _Kept(Generic[T]):
    """Something of the provider's, fetched when somebody needs it, and by one request for all that wait."""

    fetch: Callable[[], Awaitable[T]]
    _value: T | None = None
    _fetched_at: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self, *, but: T | None = None) -> T:
        """The value, fetched again where it is old, or still the one that didn't do."""
        async with self._lock:
            is_old = time.monotonic() - self._fetched_at > KEPT_SECONDS
            if self._value is None or self._value is but or is_old:
                self._value = await self.fetch()
                self._fetched_at = time.monotonic()
            return self._value


class Provider:
    """Asks the provider."""

    def __init__(self, client: Client, session: aiohttp.ClientSession) -> None:
        self.client = client
        self._session = session
        self._announced = _Kept(self._fetch_announced)
        self._keys = _Kept(self._fetch_keys)

    async def authorization_url(self, asked: Asked, challenge: str) -> str:
        """Where somebody is sent to sign in. Raises ProviderError."""
        async with _in_time():
            announced = await self._announced.get()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.client.client_id,
                "redirect_uri": self.client.redirect_uri,
                "scope": "openid email",
                "state": asked.state,
                "nonce": asked.nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        return f"{announced.authorization_url}{'&' if '?' in announced.authorization_url else '?'}{query}"

    async def answers_as(self, issuer: str | None) -> bool:
        """Whether an answer that names this issuer (None: none) may be the provider's. Raises ProviderError."""
        if issuer is not None:
            return issuer == self.client.issuer
        async with _in_time():
            announced = await self._announced.get()
        return not announced.always_names_itself

    async def redeem(self, code: str, asked: Asked) -> Person:
        """Whom the provider vouches for by this code, which it takes once.

        Raises ProviderError, RefusedByProviderError, UntrustedTokenError.
        """
        async with _in_time():
            announced = await self._announced.get()
            tokens = await self._ask_for_tokens(announced, code, asked)
            token = tokens.get("id_token")
            if not isinstance(token, str):
                raise UntrustedTokenError("there is none")
            claims = await self._read(token, asked)
            if "email" not in claims and announced.userinfo_url:
                claims |= await self._ask_for_email(announced.userinfo_url, tokens, claims)
            return person_of(claims)

    async def _read(self, token: str, asked: Asked) -> dict[str, Any]:
        expected = Expected(self.client.issuer, self.client.client_id, asked.nonce)
        keys = await self._keys.get()
        try:
            return read_token(token, keys, expected)
        except UnknownKeyError:
            return read_token(token, await self._keys.get(but=keys), expected)

    async def _ask_for_tokens(self, announced: Announced, code: str, asked: Asked) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uri,
            "code_verifier": asked.verifier,
        }
        headers = {}
        secret = self.client.secret.get_secret_value()
        if announced.takes_basic:
            pair = f"{quote_plus(self.client.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self.client.client_id, "client_secret": secret}
        status, answer = await self._ask("POST", announced.token_url, data=form, headers=headers)
        if status != 200:
            raise _refusal(status, answer)
        return answer

    async def _ask_for_email(self, url: str, tokens: Mapping[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
        """The address, from where providers tell it that don't put it into the token."""
        access = tokens.get("access_token")
        if not isinstance(access, str) or not access.isascii() or not access.isprintable():
            return {}
        status, told = await self._ask("GET", url, headers={"Authorization": f"Bearer {access}"})
        if status != 200:
            raise ProviderError(f"asked for the e-mail address, it answers {status}")
        if told.get("sub") != claims.get("sub"):
            raise UntrustedTokenError("what the provider tells beside it is about somebody else")
        return {name: told[name] for name in ("email", "email_verified") if name in told}

    async def _fetch_announced(self) -> Announced:
        url = self.client.issuer.removesuffix("/") + "/.well-known/openid-configuration"
        return Announced.parse(await self._fetch(url), self.client.issuer)

    async def _fetch_keys(self) -> KeySet:
        return read_keys(await self._fetch((await self._announced.get()).keys_url))

    async def _fetch(self, url: str) -> dict[str, Any]:
        status, document = await self._ask("GET", url)
        if status != 200:
            raise ProviderError(f"it answers {status} at {urlsplit(url).path}")
        return document

    async def _ask(self, method: str, url: str, **sent: Any) -> tuple[int, dict[str, Any]]:
        """The status, and the object that was answered; an empty one beside an error that has none."""
        try:
            async with self._session.request(method, url, allow_redirects=False, **sent) as response:
                body = await _read_body(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ProviderError(f"it can't be reached ({type(error).__name__})") from error
        if 300 <= response.status < 400:
            raise ProviderError("it answers with a redirect, which is not followed")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict):
            return response.status, answer
        if response.status == 200:
            raise ProviderError(f"what it answers at {urlsplit(url).path} is no JSON object")
        return response.status, {}


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > LARGEST_ANSWER:
            raise ProviderError("its answer is too large")
    return bytes(body)


def _refusal(status: int, answer: Mapping[str, Any]) -> TutorwatchError:
    code = error_code(answer.get("error"))
    if code == "invalid_grant":  # used already, expired, or never one of its own
        return RefusedByProviderError(code)
    return ProviderError(f"asked for the token, it answers {status} ({code})")


def error_code(told: object) -> str:
    """The provider's error code, if it looks like one."""
    return told if isinstance(told, str) and _ERROR_CODE.fullmatch(told) else "no known code"


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    except TimeoutError:
        raise ProviderError("it doesn't answer in time") from None


PROVIDER: web.AppKey[Provider | None] = web.AppKey("provider")
"""None where people don't sign in with one."""


async def provider_context(app: web.Application) -> AsyncIterator[None]:
    """Opens the way to the provider; nothing is asked before somebody signs in."""
    client = Client.of(app[SETTINGS])
    if client is None:
        app[PROVIDER] = None
        yield
        return
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
        auto_decompress=False,  # a little could unfold into very much
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "Tutorwatch"},
    ) as session:
        app[PROVIDER] = Provider(client, session)
        yield
