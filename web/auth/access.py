"""Finds out who is asking, and refuses what they may not: the default of every route is "admins only"."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler

from web import queries
from web.auth import store
from web.auth.audit import A_MINUTE, AN_HOUR, Action, Actor, Entry, note_seldom
from web.auth.cookies import SIGN_IN, digest, form_token, read_cookie
from web.auth.identity import IDENTITY, Access, Identity, Role, Scope, SignedInBy, Token
from web.auth.proxies import client_address, forwarded_identity
from web.auth.sign_in_page import ask_again, unsent_form, unsent_page
from web.database import first_answer, is_database_gone
from web.http.form_tokens import StaleFormError, require_own_form
from web.http.paths import id_in_path, may_be_stored, path_part
from web.http.problems import answer_error, wants_json
from web.http.redirects import redirect
from web.http.rendering import form_secret
from web.keys import CONDITION, SETTINGS, STATEMENTS
from web.queries.expressions import marked
from web.queries.texts import SOURCES, Source
from web.reading import answer_in_time, reading
from web.settings import WebSettings

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}

Subject = Callable[[web.Request], Awaitable[str | None]]
"""Finds the tutor whom a request is about; None for what isn't there, or is not for any tutor's eyes."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may use a route, and how it answers. All that is not for admins alone says so in `web.routes`.

    Raises ValueError where a tutor is let in without saying which one.
    """

    access: Access = Access.ADMINS
    subject: Subject | None = None
    """Whom it is about, where that tutor may see it."""
    scope: Scope | None = None
    """What a program's token must reach; None: READ for what only reads, else ACT."""
    is_stream: bool = False
    """Its answer has no end, or a late one, so no deadline either."""

    def __post_init__(self) -> None:
        if (self.subject is not None) != (self.access is Access.ADMINS_AND_THE_TUTOR):
            raise ValueError("A route for the tutor whom it is about, and no other, says how to find them")


RULES = web.AppKey("rules", dict[web.AbstractRoute, Rule])
"""The rule of every route; whatever isn't here (an unknown path, a static file) has no handler of ours."""


def lifetime(settings: WebSettings) -> store.Lifetime:
    """How long sign-ins last."""
    return store.Lifetime(timedelta(hours=settings.web_idle_hours), timedelta(hours=settings.web_session_hours))


async def tutor_in_path(request: web.Request) -> str | None:
    """The tutor whose id the path names."""
    return id_in_path(request)


async def tutor_of_session(request: web.Request) -> str | None:
    """The tutor who holds the session that the path names."""
    async with reading(request) as conn:
        return await queries.tutor_of_session(conn, request.match_info["id"])


async def tutor_of_text(request: web.Request) -> str | None:
    """The tutor whom the text that the path names is about, unless admins wrote it for each other."""
    source = source_in_path(request)
    if source is None or source.is_private:
        return None
    async with reading(request) as conn:
        return await queries.tutor_of_text(conn, source, id_in_path(request), missing=request.app[CONDITION].missing)


def source_in_path(request: web.Request) -> Source | None:
    """Where the text stands that the path names by its kind and field; None where there is no such text."""
    return SOURCES.get((request.match_info["kind"], request.match_info["field"]))


async def whoever_asks(request: web.Request) -> str | None:
    """The tutor who asks: what they get is about themself, whatever they ask for."""
    return request[IDENTITY].user_id


async def identify_again(request: web.Request) -> Identity | None:
    """Who is asking, by what the database says now, or soon an error: DatabaseGoneError and other database errors."""
    if request.path.startswith("/api/") and (token := _bearer(request)):
        return await first_answer(lambda: _identify_program(request, token))
    if email := forwarded_identity(request):
        return await first_answer(lambda: _identify_forwarded(request, email))
    if sign_in := read_cookie(request, SIGN_IN):
        return await first_answer(lambda: _identify_browser(request, sign_in))
    return None


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Sets `request[IDENTITY]` where somebody is known."""
    rule = _rule_of(request)
    if rule and rule.access is Access.ANYONE_UNASKED:
        return await handler(request)
    try:
        identity = await identify_again(request)
    except Exception as error:
        is_needed = rule is not None and rule.access is not Access.ANYONE
        if is_needed or not is_database_gone(error):
            raise
        identity = None
    if identity:
        request[IDENTITY] = identity
    return await handler(request)


@web.middleware
async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets through who may; bounds how long the handler takes."""
    rule = _rule_of(request)
    if rule is None:
        return await handler(request)
    if not all(may_be_stored(part) for part in request.match_info.values()):
        raise web.HTTPNotFound
    if refusal := await _refuse(request, rule):
        return refusal
    if request.method not in _SAFE_METHODS and (refusal := await _refuse_form(request, rule)):
        return refusal
    if rule.is_stream:
        await answer_in_time(request, lambda: _require_subject(request, rule))
        return await handler(request)

    async def answer() -> web.StreamResponse:
        await _require_subject(request, rule)
        return await handler(request)

    return await answer_in_time(request, answer)


async def _require_subject(request: web.Request, rule: Rule) -> None:
    """Raises HTTPNotFound for a tutor who asks about somebody else, as if there were nothing."""
    if rule.subject is None or request[IDENTITY].is_admin:
        return
    if await rule.subject(request) != request[IDENTITY].user_id:
        raise web.HTTPNotFound


def _rule_of(request: web.Request) -> Rule | None:
    return request.app[RULES].get(request.match_info.route)


async def _refuse(request: web.Request, rule: Rule) -> web.Response | None:
    """The answer for somebody who may not; None if they may."""
    access = rule.access
    if access in (Access.ANYONE, Access.ANYONE_UNASKED):
        return None
    identity = request.get(IDENTITY)
    if identity is None:
        return await _ask_to_sign_in(request)
    needed = rule.scope or (Scope.READ if request.method in _SAFE_METHODS else Scope.ACT)
    if identity.token and not identity.token.scope.covers(needed):
        return answer_error(request, 403, f"This token's scope is {identity.token.scope}; this needs {needed}.")
    is_tutor = identity.role is Role.TUTOR
    if identity.is_admin or access is Access.SIGNED_IN or (access is Access.ADMINS_AND_THE_TUTOR and is_tutor):
        if request.method in _SAFE_METHODS or identity.may_act:
            return None
        return answer_error(request, 403, "This token only reads: it was not made out for a person.")
    if request.path == "/" and is_tutor:
        return redirect(f"/tutors/{path_part(identity.user_id)}")
    return answer_error(request, 403)


async def _refuse_form(request: web.Request, rule: Rule) -> web.Response | None:
    """None for a form of ours; one that is left from an earlier sign-in comes back to whoever sent it.

    Raises HTTPForbidden for any other.
    """
    try:
        await require_own_form(request, rule.access)
    except StaleFormError:
        unsent = None if wants_json(request) or IDENTITY not in request else await unsent_form(request)
        if unsent is None:
            raise
        return unsent_page(request, unsent, status=403)
    return None


async def _ask_to_sign_in(request: web.Request) -> web.Response:
    if wants_json(request) or "text/event-stream" in request.headers.get("Accept", ""):
        return answer_error(request, 401, headers={"WWW-Authenticate": "Bearer"})
    if request.method not in _SAFE_METHODS:
        return await ask_again(request)
    asked = request.path_qs
    return redirect("/sign-in" if asked == "/" else f"/sign-in?next={quote(asked, safe='')}")


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def _identify_program(request: web.Request, token: str) -> Identity | None:
    async with request.app[STATEMENTS].begin() as conn:
        known = await store.find_token(conn, digest(token))
        if isinstance(known, store.KnownUse) and known.is_stale:
            await store.touch_token(conn, digest(token))
    if not isinstance(known, store.KnownUse):
        await _note_refused_token(request, known)
        return None
    used = Entry(Action.TOKEN_USED, object=f"token {known.token_name}")
    await note_seldom(request, used, every=AN_HOUR, actor=_actor_of(request, known))
    identity = _identity(known.account, SignedInBy.PROGRAM)
    return identity and replace(identity, token=Token(known.token_name, known.scope, known.expires_at))


async def _note_refused_token(request: web.Request, ended: store.EndedToken | None) -> None:
    """Of a token that never was nothing is kept: it may be somebody's password."""
    why, which = (ended.why, f"token {ended.name}") if ended else ("no such token", None)
    actor = Actor(by=SignedInBy.PROGRAM, address=client_address(request))
    await note_seldom(request, Entry(Action.TOKEN_USED, why, object=which), every=A_MINUTE, actor=actor)


def _actor_of(request: web.Request, known: store.KnownUse) -> Actor:
    by = f"{SignedInBy.PROGRAM}: {known.token_name}"
    return Actor(known.account.user_id or None, known.account.role, by, client_address(request))


async def _identify_forwarded(request: web.Request, email: str) -> Identity | None:
    async with request.app[STATEMENTS].begin() as conn:
        account = await store.find_account(conn, email)
    await _note_forwarded(request, account)
    return _identity(account, SignedInBy.HEADER, form_token(form_secret(request), account.user_id)) if account else None


async def _note_forwarded(request: web.Request, account: store.Account | None) -> None:
    """Whom a proxy signs in comes with every request: on record once an hour."""
    by, address = SignedInBy.HEADER, client_address(request)
    if account is None:
        refused = Entry(Action.SIGN_IN, "no such account")
        await note_seldom(request, refused, every=A_MINUTE, actor=Actor(by=by, address=address))
        return
    actor = Actor(account.user_id, account.role, by, address)
    await note_seldom(request, Entry(Action.SIGN_IN, user_id=account.user_id), every=AN_HOUR, actor=actor)


async def _identify_browser(request: web.Request, token: str) -> Identity | None:
    async with request.app[STATEMENTS].begin() as conn:
        known = await store.find_sign_in(conn, digest(token), lifetime(request.app[SETTINGS]))
        if known and known.is_stale and _is_a_persons_act(request):
            await store.touch_sign_in(conn, digest(token))
    return _identity(known.account, SignedInBy.COOKIE, form_token(token)) if known else None


def _is_a_persons_act(request: web.Request) -> bool:
    """Whether somebody did something: an open page that refreshes itself must not keep them signed in for ever."""
    return request.method not in _SAFE_METHODS or request.headers.get("Sec-Fetch-Dest", "document") == "document"


def _identity(account: store.Account, by: SignedInBy, csrf_token: str = "") -> Identity | None:  # nosec B107
    try:
        role = Role(account.role)
    except ValueError:
        return None  # a role that the platform has added: nothing here is for them
    return Identity(account.user_id, marked(account.name), role, csrf_token, by, time_zone=account.time_zone)
