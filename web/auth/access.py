"""Finds out who is asking, and refuses what they may not: the default of every route is "admins only"."""

from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler

from web.auth import store
from web.auth.audit import A_MINUTE, AN_HOUR, Action, Actor, Entry, note_seldom
from web.auth.cookies import SIGN_IN, digest, form_token, is_form_token, read_cookie
from web.auth.identity import IDENTITY, Access, Identity, Role, Scope, SignedInBy, Token
from web.auth.origin import refuse_other_sites
from web.auth.proxies import client_address, forwarded_identity
from web.auth.sign_in_lookup import SIGN_INS
from web.database import first_answer, is_database_gone
from web.http.forms import FORM_FIELD, FORM_TYPE, read_form
from web.http.paths import id_in_path, path_part
from web.http.problems import answer_error, wants_json
from web.http.redirects import redirect
from web.http.rendering import form_secret
from web.keys import STATEMENTS
from web.queries.expressions import marked
from web.queries.reading import answer_in_time
from web.settings import WebSettings

FORM_HEADER = "X-CSRF-Token"
_CHECKED = web.RequestKey("tutor_access_checked", bool)
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True, slots=True)
class Rule:
    """What is to be known about a route before its handler runs."""

    access: Access
    scope: Scope
    """What a program's token must reach to use it."""
    names_tutor: bool = False
    """Its `{id}` is the tutor whom it is about."""
    is_stream: bool = False
    """Its answer has no end, or a late one, so no deadline either; its handler asks for access by itself."""
    is_prompt: bool = False
    """Mostly answers without waiting, and bounds what it does wait for: a deadline would cost more than the answer."""
    asks_nobody: bool = False
    """Answers without looking at who asks, so that it works without the database."""


RULES = web.AppKey("rules", dict[web.AbstractRoute, Rule])
"""The rule of every route; whatever isn't here (an unknown path, a static file) has no handler of ours."""


def lifetime(settings: WebSettings) -> store.Lifetime:
    """How long sign-ins last."""
    return store.Lifetime(timedelta(hours=settings.web_idle_hours), timedelta(hours=settings.web_session_hours))


def require_tutor_access(request: web.Request, tutor_id: str) -> None:
    """Raises HTTPNotFound for a tutor who asks about somebody else, as if there were nothing.

    A handler of a route for ADMINS_AND_THE_TUTOR must call it before it shows anything, unless the route's path
    names the tutor.
    """
    request[_CHECKED] = True
    identity = request[IDENTITY]
    if not identity.is_admin and identity.user_id != tutor_id:
        raise web.HTTPNotFound


async def identify_again(request: web.Request) -> Identity | None:
    """Who is asking, by what the database says now, or soon an error: DatabaseGoneError and other database errors."""
    if request.path.startswith("/api/") and (token := _bearer(request)):
        return await first_answer(lambda: _identify_program(request, token))
    if email := forwarded_identity(request):
        return await first_answer(lambda: _identify_forwarded(request, email))
    if sign_in := read_cookie(request, SIGN_IN):
        return await _identify_browser(request, sign_in)
    return None


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Sets `request[IDENTITY]` where somebody is known."""
    rule = _rule_of(request)
    if rule and rule.asks_nobody:
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
    if refusal := _refuse(request, rule):
        return refusal
    if request.method not in _SAFE_METHODS:
        await _require_own_form(request, rule.access)
    if rule.names_tutor and rule.access is Access.ADMINS_AND_THE_TUTOR:
        require_tutor_access(request, id_in_path(request))
    if rule.is_stream or rule.is_prompt:
        return await handler(request)
    response = await answer_in_time(request, lambda: handler(request))
    if rule.access is Access.ADMINS_AND_THE_TUTOR and not request[IDENTITY].is_admin and _CHECKED not in request:
        raise RuntimeError(f"{request.path} was shown to a tutor without asking whether they may see it")
    return response


def may_be_stored(text: str) -> bool:
    """Whether PostgreSQL could hold it at all: what it couldn't, it doesn't hold."""
    return text.isprintable() or ("\x00" not in text and not any("\ud800" <= each <= "\udfff" for each in text))


def _rule_of(request: web.Request) -> Rule | None:
    return request.app[RULES].get(request.match_info.route)


def _refuse(request: web.Request, rule: Rule) -> web.Response | None:
    """The answer for somebody who may not; None if they may."""
    access = rule.access
    if access is Access.ANYONE:
        return None
    identity = request.get(IDENTITY)
    if identity is None:
        return _ask_to_sign_in(request)
    if identity.token and not identity.token.scope.covers(rule.scope):
        return answer_error(request, 403, f"This token's scope is {identity.token.scope}; this needs {rule.scope}.")
    is_tutor = identity.role is Role.TUTOR
    if identity.is_admin or access is Access.SIGNED_IN or (access is Access.ADMINS_AND_THE_TUTOR and is_tutor):
        if request.method in _SAFE_METHODS or identity.may_act:
            return None
        return answer_error(request, 403, "This token only reads: it was not made out for a person.")
    if request.path == "/" and is_tutor:
        return redirect(f"/tutors/{path_part(identity.user_id)}")
    return answer_error(request, 403)


def _ask_to_sign_in(request: web.Request) -> web.Response:
    if wants_json(request) or "text/event-stream" in request.headers.get("Accept", ""):
        return answer_error(request, 401, headers={"WWW-Authenticate": "Bearer"})
    asked = request.path_qs if request.method in _SAFE_METHODS else "/"
    return redirect("/sign-in" if asked == "/" else f"/sign-in?next={quote(asked, safe='')}")


async def _require_own_form(request: web.Request, access: Access) -> None:
    """Raises HTTPForbidden unless it was sent from a page of ours, by its form token; programs' tokens do without."""
    identity = request.get(IDENTITY)
    if identity and identity.by is SignedInBy.PROGRAM:
        return
    refuse_other_sites(request)
    given = request.headers.get(FORM_HEADER)
    if given is None and request.content_type == FORM_TYPE:
        given = (await read_form(request)).get(FORM_FIELD)
    if given is None or not any(is_form_token(given, *of) for of in _form_secrets(request, access)):
        raise web.HTTPForbidden(text="This form is out of date. Go back, load the page again and send it once more.")


def _form_secrets(request: web.Request, access: Access) -> list[tuple[str, str]]:
    """Of a browser that is signed in, its sign-in; a sign-in form may still be open in another tab.

    Whom a proxy signs in has none: the browser's own secret then counts for this person only, not for the next one.
    """
    identity = request.get(IDENTITY)
    sign_in = read_cookie(request, SIGN_IN) if identity and identity.by is SignedInBy.COOKIE else None
    theirs = (sign_in, "") if sign_in else (form_secret(request), identity.user_id if identity else "")
    return [theirs, (form_secret(request), "")] if access is Access.ANYONE else [theirs]


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
    known = await request.app[SIGN_INS].find(digest(token))
    if known and known.is_stale and _is_a_persons_act(request):
        await first_answer(lambda: _note_use(request, token))
    return _identity(known.account, SignedInBy.COOKIE, form_token(token)) if known else None


async def _note_use(request: web.Request, token: str) -> None:
    async with request.app[STATEMENTS].begin() as conn:
        await store.touch_sign_in(conn, digest(token))


def _is_a_persons_act(request: web.Request) -> bool:
    """Whether somebody did something: an open page that refreshes itself must not keep them signed in for ever."""
    return request.method not in _SAFE_METHODS or request.headers.get("Sec-Fetch-Dest", "document") == "document"


def _identity(account: store.Account, by: SignedInBy, csrf_token: str = "") -> Identity | None:  # nosec B107
    try:
        role = Role(account.role)
    except ValueError:
        return None  # a role that the platform has added: nothing here is for them
    return Identity(account.user_id, marked(account.name), role, csrf_token, by)
