"""Signing in and out: by a password, or by a link that was made for it. Every attempt is on record."""

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from web.auth import store
from web.auth.access import lifetime
from web.auth.audit import Action, Actor, Entry, audited, browser_of, log, note, note_once_a_minute, write
from web.auth.cookies import (
    BROWSER,
    SIGN_IN,
    digest,
    drop_cookie,
    form_token,
    new_token,
    read_cookie,
    set_cookie,
    set_flash,
    token_bytes,
)
from web.auth.identity import IDENTITY
from web.auth.passwords import SHORTEST, WeakPasswordError, check_password, is_outdated
from web.auth.proxies import client_address, is_https
from web.auth.sign_in_page import Unsent, sign_in_page, unsent_page
from web.auth.slowdown import Attempt, TooManyAttemptsError, begin_attempt, end_attempt
from web.database import require_database
from web.http.forms import read_fields
from web.http.inputs import ChangedPassword, ChosenPassword, SignIn, SignInLink, parse_input
from web.http.problems import answer_error, wants_json
from web.http.redirects import local_path, redirect
from web.http.rendering import render
from web.keys import ENGINE, PASSWORDS, SETTINGS

WRONG = "Incorrect e-mail address or password."
"""The same for an unknown account, one without a password, and a wrong password."""
PASSWORDS_OFF = "Sign-in with a password is switched off. Use another way on the sign-in page."
LINK_ENDED = "This link has been used already, or it has expired."


async def sign_in(request: web.Request) -> web.StreamResponse:
    """`POST /sign-in`: fields `email`, `password` and `next`, and `unsent`, a form that came without a sign-in."""
    await require_passwords(request)
    given = parse_input(SignIn, await read_fields(request))
    await require_database(request.app[ENGINE])
    try:
        attempt = await _begin_attempt(request, given.email)
    except TooManyAttemptsError as error:
        concerns = error.account.user_id if error.account else None
        await note_once_a_minute(request, Entry(Action.SIGN_IN, "too many attempts", user_id=concerns))
        response = _again(request, given, 429, f"Too many failed attempts. Try again in {error.seconds} seconds.")
        response.headers["Retry-After"] = str(error.seconds)
        return response
    came = await _by_password(request, given, attempt)
    return await _wrong(request, given, attempt, came) if isinstance(came, str) else came


async def show_link(request: web.Request) -> web.StreamResponse:
    """`GET /sign-in/link`: only asks; whoever looks a link up in advance doesn't use it up."""
    asked = parse_input(SignInLink, request.query)
    return web.Response(text=render("sign_in_link.html", request, {"token": asked.token}), content_type="text/html")


async def use_link(request: web.Request) -> web.StreamResponse:
    """`POST /sign-in/link`: signs in, once."""
    asked = parse_input(SignInLink, await read_fields(request))
    await require_database(request.app[ENGINE])
    token = new_token()
    async with request.app[ENGINE].begin() as conn:
        user_id = await store.sign_in_by_link(conn, token_bytes(asked.token), digest(token), place_of(request))
        if user_id is not None:
            browser = await complete_sign_in(request, conn, user_id)
            entry, actor = _signed_in(request, user_id, "link")
            await write(conn, entry, actor)
    if user_id is None:
        return await _link_ended(request)
    log(entry, actor)
    return welcome(request, "/", token, browser)


async def show_password_link(request: web.Request) -> web.StreamResponse:
    """`GET /password`: the form to choose a password with, for whom a link was made."""
    await require_passwords(request)
    asked = parse_input(SignInLink, request.query)
    async with request.app[ENGINE].begin() as conn:
        account = await store.user_of_link(conn, digest(asked.token))
    if account is None:
        return await _link_ended(request)
    return _ask_for_password(request, asked.token, account)


async def use_password_link(request: web.Request) -> web.StreamResponse:
    """`POST /password`: sets the password, once; fields `token`, `new_password` and `again`."""
    await require_passwords(request)
    given = parse_input(ChosenPassword, await read_fields(request))
    await require_database(request.app[ENGINE])
    link = digest(given.token)
    async with request.app[ENGINE].begin() as conn:
        account = await store.user_of_link(conn, link)
    if account is None:
        return await _link_ended(request)
    try:
        check_new_password(given, account)
    except WeakPasswordError as error:
        return _ask_for_password(request, given.token, account, problem=str(error), status=400)
    password = await request.app[PASSWORDS].new(given.new_password)
    token, actor = new_token(), _actor(request, account.user_id, "link")
    async with request.app[ENGINE].begin() as conn:
        user_id = await store.set_password_by_link(conn, token_bytes(given.token), password)
        if user_id is not None:
            await store.sign_in_by_password(conn, user_id, password.key, digest(token), place_of(request))
            await store.forget_browsers_of(conn, user_id)
            browser = await complete_sign_in(request, conn, user_id)
            entries = [Entry(action, user_id=user_id) for action in (Action.PASSWORD_CHANGED, Action.SIGN_IN)]
            for entry in entries:
                await write(conn, entry, actor)
    if user_id is None:
        return await _link_ended(request)
    for entry in entries:
        log(entry, actor)
    return welcome(request, "/", token, browser)


def _ask_for_password(
    request: web.Request, token: str, account: store.Account, *, problem: str = "", status: int = 200
) -> web.Response:
    values = {"token": token, "account": account, "problem": problem, "shortest": SHORTEST}
    page = render("choose_password.html", request, values)
    return web.Response(status=status, text=page, content_type="text/html")


async def require_passwords(request: web.Request, action: Action = Action.SIGN_IN) -> None:
    """Raises HTTPForbidden, and has it on record, where nobody signs in with a password."""
    if not request.app[SETTINGS].web_password_sign_in:
        await note_once_a_minute(request, Entry(action, "passwords are switched off"))
        raise web.HTTPForbidden(text=PASSWORDS_OFF)


def check_new_password(given: ChosenPassword | ChangedPassword, account: store.Account) -> None:
    """Raises WeakPasswordError for a password that differs from what was typed again, or that is easy to guess."""
    if not given.is_same:
        raise WeakPasswordError("The two new passwords differ")
    check_password(given.new_password, about=(account.email, account.name))


async def sign_out(request: web.Request) -> web.StreamResponse:
    """`POST /sign-out`."""
    if token := read_cookie(request, SIGN_IN):
        async with audited(request, Entry(Action.SIGN_OUT, user_id=request[IDENTITY].user_id)) as conn:
            await store.delete_sign_in(conn, digest(token))
    response = redirect("/sign-in")
    drop_cookie(request, response, SIGN_IN)
    if is_https(request):  # without, browsers ignore it, and complain
        response.headers["Clear-Site-Data"] = '"cache"'  # pages that were shown are also not kept for "back"
    return response


async def _begin_attempt(request: web.Request, email: str) -> Attempt:
    browser = read_cookie(request, BROWSER)
    async with request.app[ENGINE].begin() as conn:
        return await begin_attempt(
            conn, email=email, address=client_address(request), browser=digest(browser) if browser else None
        )


async def _by_password(request: web.Request, given: SignIn, attempt: Attempt) -> web.StreamResponse | str:
    """The way in, or why there is none; takes as long for an account that doesn't exist."""
    engine, passwords, account = request.app[ENGINE], request.app[PASSWORDS], attempt.account
    user_id = account.user_id if account else ""
    async with engine.begin() as conn:
        parameters = await store.load_parameters(conn, user_id)
    key = await passwords.key(given.password, parameters, is_known=attempt.is_known_browser)
    renewed = await passwords.new(given.password) if parameters and is_outdated(parameters) else None
    token, (entry, actor) = new_token(), _signed_in(request, user_id, "password")
    async with engine.begin() as conn:
        if not await store.sign_in_by_password(conn, user_id, key, digest(token), place_of(request)):
            return _why_not(account, parameters)
        if renewed:
            await store.replace_password(conn, user_id, key, renewed)
        await end_attempt(conn, attempt)
        browser = await complete_sign_in(request, conn, user_id)
        await write(conn, entry, actor)
    log(entry, actor)
    if unsent := Unsent.load(given.unsent):
        return _keep(request, unsent_page(request, unsent, csrf_token=form_token(token)), token, browser)
    return welcome(request, local_path(given.next), token, browser)


async def complete_sign_in(request: web.Request, conn: AsyncConnection, user_id: str) -> str:
    """What goes with a new sign-in: it takes the place of the one before in this browser, which is known from now on.

    Returns the browser's token.
    """
    if before := read_cookie(request, SIGN_IN):
        await store.delete_sign_in(conn, digest(before))
    await store.remove_ended_sign_ins(conn, lifetime(request.app[SETTINGS]))
    browser = read_cookie(request, BROWSER) or new_token()
    await store.note_browser(conn, digest(browser), user_id)
    return browser


def welcome(request: web.Request, path: str, token: str, browser: str) -> web.StreamResponse:
    """To the page, with the tokens of the new sign-in and of the browser."""
    return _keep(request, redirect(path), token, browser)


def _keep(request: web.Request, response: web.Response, token: str, browser: str) -> web.Response:
    set_cookie(request, response, SIGN_IN, token, lifetime(request.app[SETTINGS]).absolute.total_seconds())
    set_cookie(request, response, BROWSER, browser, store.BROWSER_KEPT_FOR.total_seconds())
    return response


def _signed_in(request: web.Request, user_id: str, by: str) -> tuple[Entry, Actor]:
    return Entry(Action.SIGN_IN, user_id=user_id), _actor(request, user_id, by)


def _actor(request: web.Request, user_id: str, by: str) -> Actor:
    return Actor(user_id, by=by, address=client_address(request))


def place_of(request: web.Request) -> store.Place:
    """From where the request comes."""
    return store.Place(client_address(request), browser_of(request))


def _why_not(account: store.Account | None, parameters: str | None) -> str:
    """For the record only: whoever tried is told the same of all three."""
    if account is None:
        return "no such account"
    return "wrong password" if parameters else "no password is set"


async def _wrong(request: web.Request, given: SignIn, attempt: Attempt, why: str) -> web.StreamResponse:
    account = attempt.account
    await note(request, Entry(Action.SIGN_IN, why, user_id=account.user_id if account else None))
    return _again(request, given, 401, WRONG)


def _again(request: web.Request, given: SignIn, status: int, problem: str) -> web.Response:
    """The page once more, with all but the password as it was."""
    if wants_json(request):
        return answer_error(request, status, problem)
    unsent = Unsent.load(given.unsent)
    email = given.email if "@" in given.email else ""  # a password that was typed into the wrong field goes nowhere
    return sign_in_page(request, following=given.next, email=email, problem=problem, unsent=unsent, status=status)


async def _link_ended(request: web.Request) -> web.StreamResponse:
    await note_once_a_minute(request, Entry(Action.SIGN_IN, "link used or expired"))
    response = redirect("/sign-in")
    set_flash(request, response, "error", LINK_ENDED)
    return response
