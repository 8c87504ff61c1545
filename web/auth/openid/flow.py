"""Signing in with OpenID Connect: by the authorization code flow with PKCE, state and nonce.

What a sign-in was begun with is kept in a cookie of that browser, not in this process: it may end at another dashboard.
"""

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web
from sqlalchemy.exc import DBAPIError

from database.errors import sqlstate_of
from web.auth import store
from web.auth.audit import Action, Actor, Entry, log, note, note_once_a_minute, write
from web.auth.cookies import digest, drop_cookie, full_name, new_token, read_cookie, set_cookie, set_flash
from web.auth.openid.provider import PROVIDER, Asked, Provider, ProviderError, RefusedByProviderError, error_code
from web.auth.openid.tokens import Person, UntrustedTokenError
from web.auth.proxies import client_address
from web.auth.sign_in import complete_sign_in, place_of, welcome
from web.auth.slowdown import Attempt, TooManyAttemptsError, begin_unnamed_attempt, end_attempt
from web.database import past_stale_plans, require_database
from web.http.problems import answer_error, wants_json
from web.http.redirects import local_path, redirect
from web.keys import ENGINE, SETTINGS

logger = logging.getLogger(__name__)

COOKIE = "tutorwatch_openid"
BEGUN_SECONDS = 600
"""How long somebody may take at the provider."""
LONGEST_COOKIE = 3500
"""Bytes: browsers keep no cookie of more than 4096, its name included."""
MOST_BEGUN = 5
"""Sign-ins that may be under way in a browser: in how many tabs somebody may try."""
LONGEST_CODE = 4096
METHOD = "openid"
_INSUFFICIENT_PRIVILEGE = "42501"


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that is under way in this browser, and the page it leads to."""

    asked: Asked
    following: str

    @classmethod
    def now(cls, following: str) -> "Begun":
        """A new one."""
        return cls(Asked(new_token(), new_token(), new_token()), following)

    @classmethod
    def read(cls, request: web.Request, state: str) -> "Begun | None":
        """The one that was begun with this state in this browser; None if there is none."""
        try:
            kept = json.loads(base64.urlsafe_b64decode(read_cookie(request, _cookie(state)) or ""))
            asked = Asked(*(str(kept[name]) for name in ("state", "nonce", "verifier")))
            following = local_path(str(kept["next"]))
            is_same = hmac.compare_digest(asked.state.encode(), state.encode())
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return cls(asked, following) if is_same else None

    def keep(self, request: web.Request, response: web.StreamResponse) -> None:
        """Has the browser keep it."""
        asked = {"state": self.asked.state, "nonce": self.asked.nonce, "verifier": self.asked.verifier}
        value = _encoded({**asked, "next": self.following})
        if len(value) > LONGEST_COOKIE:
            value = _encoded({**asked, "next": "/"})
        set_cookie(request, response, _cookie(self.asked.state), value, BEGUN_SECONDS)
        for abandoned in _names(request)[: 1 - MOST_BEGUN]:
            drop_cookie(request, response, abandoned)

    def forget(self, request: web.Request, response: web.StreamResponse) -> None:
        """It has ended, whichever way: the same answer of the provider is worth nothing a second time."""
        drop_cookie(request, response, _cookie(self.asked.state))


def _cookie(state: str) -> str:
    """One for each sign-in that is under way: two tabs may be at it at once."""
    return f"{COOKIE}_{digest(state).hex()[:8]}"


def _names(request: web.Request) -> list[str]:
    """The cookies of all sign-ins that are under way in this browser, as it sends them: the oldest first."""
    prefix = full_name(request, "")
    return [name.removeprefix(prefix) for name in request.cookies if name.startswith(f"{prefix}{COOKIE}_")]


def _encoded(values: Mapping[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False).encode(errors="replace")).decode()


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new sign-in: its token, and that of the browser."""

    token: str
    browser: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nobody is signed in: for the record, and in words for whoever waits."""

    reason: str
    message: str
    status: int = 403
    user_id: str | None = None
    details: str | None = None


async def start(request: web.Request) -> web.StreamResponse:
    """`GET /sign-in/openid`: sends to the provider; `next` is the page to come back to."""
    provider = _provider(request)
    begun = Begun.now(local_path(request.query.get("next", "")))
    challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.asked.verifier.encode()).digest()).decode().rstrip("=")
    try:
        url = await provider.authorization_url(begun.asked, challenge)
    except ProviderError as error:
        return await _refused(request, _unanswered(request, error), begun)
    response = redirect(url)
    begun.keep(request, response)
    return response


async def callback(request: web.Request) -> web.StreamResponse:
    """`GET /sign-in/openid/callback`: where the provider sends people back to, with a code or an error."""
    provider = _provider(request)
    await require_database(request.app[ENGINE])
    begun = Begun.read(request, _given(request, "state") or "")
    if begun is None:
        return await _refused(request, NOT_BEGUN_HERE, None)
    try:
        attempt = await _begin_attempt(request)
    except TooManyAttemptsError as error:
        return await _too_many(request, error)
    outcome = await _outcome(request, provider, begun, attempt)
    if isinstance(outcome, Refusal):
        response = await _refused(request, outcome, begun)
    else:
        response = welcome(request, begun.following, outcome.token, outcome.browser)
    begun.forget(request, response)
    return response


NOT_BEGUN_HERE = Refusal(
    "OpenID Connect: not begun in this browser",
    "This sign-in wasn't begun in this browser, has ended already, or took too long. Try again.",
)
OTHER_PROVIDER = Refusal(
    "OpenID Connect: the answer is another provider's", "That answer came from elsewhere; nobody was signed in."
)


async def _outcome(request: web.Request, provider: Provider, begun: Begun, attempt: Attempt) -> SignedIn | Refusal:
    try:
        issuer = _given(request, "iss") or "" if "iss" in request.query else None
        if not await provider.answers_as(issuer):
            return OTHER_PROVIDER
        if "error" in request.query:
            raise RefusedByProviderError(error_code(_given(request, "error")))
        code = _given(request, "code")
        if not code or len(code) > LONGEST_CODE:
            raise RefusedByProviderError("no code")
        person = await provider.redeem(code, begun.asked)
        return await _sign_in(request, provider, person, attempt)
    except ProviderError as error:
        return _unanswered(request, error)
    except RefusedByProviderError as error:
        message = f"Signing in with {_name(request)} was refused there ({error}). Nobody was signed in."
        return Refusal(f"OpenID Connect: refused by the provider ({error})", message)
    except UntrustedTokenError as error:
        logger.warning("The provider's id token is not to be trusted: %s", error, extra={"action": "openid_token"})
        message = f"What {_name(request)} answered can't be trusted. Nobody was signed in, and it is on record."
        return Refusal(f"OpenID Connect: untrusted token ({error})", message)


async def _sign_in(request: web.Request, provider: Provider, person: Person, attempt: Attempt) -> SignedIn | Refusal:
    """Whom the provider vouches for, signed in, if they are somebody here."""
    issuer, token = provider.client.issuer, new_token()
    details = f"subject {person.subject} at {issuer}"
    address = client_address(request)

    async def sign_in() -> tuple[SignedIn, Entry, Actor] | None:
        async with request.app[ENGINE].begin() as conn:
            user_id = await store.sign_in_from_provider(
                conn, issuer, person.subject, person.verified_email, digest(token), place_of(request)
            )
            if user_id is None:
                return None
            await end_attempt(conn, attempt)
            browser = await complete_sign_in(request, conn, user_id)
            entry = Entry(Action.SIGN_IN, user_id=user_id, details=details)
            actor = Actor(user_id, by=METHOD, address=address)
            await write(conn, entry, actor)
            return SignedIn(token, browser), entry, actor

    try:
        # Not left to whoever tries requests again: the provider takes a code once.
        done = await past_stale_plans(sign_in)
    except DBAPIError as error:
        if sqlstate_of(error) != _INSUFFICIENT_PRIVILEGE:
            raise
        return _not_allowed(request)
    if done is None:
        return await _nobody(request, person, details)
    signed_in, entry, actor = done
    log(entry, actor)
    return signed_in


async def _nobody(request: web.Request, person: Person, details: str) -> Refusal:
    """Why the provider's word is not enough."""
    name = _name(request)
    if person.verified_email is None:
        return Refusal(
            "OpenID Connect: no verified e-mail address",
            f"{name[0].upper()}{name[1:]} doesn't say that your e-mail address is verified, so it can't be known who "
            "you are here. Have it verified there, then try again.",
            details=details,
        )
    async with request.app[ENGINE].begin() as conn:
        account = await store.find_account(conn, person.verified_email)
    if account is None:
        message = f"Nobody here has the e-mail address that {name} knows you by. Ask an admin."
        return Refusal("OpenID Connect: no such account", message, details=details)
    return Refusal(
        "OpenID Connect: the address is of several users, or linked to somebody else there",
        f"The e-mail address that {name} knows you by can't be taken: somebody else there is linked to it already, or "
        "several users here have it. Ask an admin.",
        user_id=account.user_id,
        details=details,
    )


def _not_allowed(request: web.Request) -> Refusal:
    logger.error(
        "The dashboard's role may not sign people in with OpenID Connect: run `tutorwatch rights` with --openid",
        extra={"action": "openid_not_allowed"},
    )
    message = f"Signing in with {_name(request)} isn't set up completely. Tell whoever operates Tutorwatch."
    return Refusal("OpenID Connect: the dashboard's role may not sign people in with it", message, status=503)


def _unanswered(request: web.Request, error: ProviderError) -> Refusal:
    logger.warning("Signing in with OpenID Connect doesn't work: %s", error, extra={"action": "openid_failed"})
    message = f"Signing in with {_name(request)} doesn't work at the moment. Try again in a few minutes."
    return Refusal(f"OpenID Connect: {error}", message, status=503)


async def _refused(request: web.Request, refusal: Refusal, begun: Begun | None) -> web.StreamResponse:
    """Back at the sign-in page, which says why; on record, once a minute where anybody can have it happen."""
    entry = Entry(Action.SIGN_IN, refusal.reason, user_id=refusal.user_id, details=refusal.details)
    if refusal.details:
        await note(request, entry, Actor(by=METHOD, address=client_address(request)))
    else:
        await note_once_a_minute(request, entry)
    if wants_json(request):
        return answer_error(request, refusal.status, refusal.message)
    following = begun.following if begun else "/"
    response = redirect("/sign-in" if following == "/" else f"/sign-in?next={quote(following, safe='')}")
    set_flash(request, response, "error", refusal.message)
    return response


async def _begin_attempt(request: web.Request) -> Attempt:
    async with request.app[ENGINE].begin() as conn:
        return await begin_unnamed_attempt(conn, address=client_address(request))


async def _too_many(request: web.Request, error: TooManyAttemptsError) -> web.StreamResponse:
    await note_once_a_minute(request, Entry(Action.SIGN_IN, "too many attempts"))
    message = f"Too many failed attempts. Try again in {error.seconds} seconds."
    return answer_error(request, 429, message, headers={"Retry-After": str(error.seconds)})


def _provider(request: web.Request) -> Provider:
    if provider := request.app[PROVIDER]:
        return provider
    raise web.HTTPNotFound


def _given(request: web.Request, name: str) -> str | None:
    """The parameter, if it has characters that it may have, and was sent once: of two nobody knows which is meant."""
    values = request.query.getall(name, [])
    return values[0] if len(values) == 1 and values[0].isascii() and values[0].isprintable() else None


def _name(request: web.Request) -> str:
    return request.app[SETTINGS].web_openid_name
