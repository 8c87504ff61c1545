"""What people do: every form's post. Each answers with a redirect and a message; to scripts, with JSON."""

from datetime import UTC, datetime
from urllib.parse import quote
from uuid import UUID

from aiohttp import web
from sqlalchemy import insert

from database import retries
from database.platform_needs import Feature
from database.tables import coaching_notes
from web import alert_life, queries, store
from web.access import lifetime
from web.access_cookies import SIGN_IN, digest, drop_cookie, new_token, read_cookie, set_cookie, set_flash
from web.access_proxies import client_address
from web.access_slowdown import Attempt, TooManyAttemptsError, begin_attempt, end_attempt
from web.context import render
from web.database import require_database
from web.forms import RETURN_FIELD, read_fields, read_form
from web.identity import IDENTITY
from web.keys import CONDITION, ENGINE, PASSWORDS, SETTINGS
from web.live import HUB
from web.models import InvalidInputError, Note, Resolution, Retry, SignIn, SignInLink, parse_input
from web.presentation import without
from web.problems import answer_error, wants_json
from web.redirects import local_path, redirect

WRONG = "That e-mail address and password don't belong together."
"""The same for an unknown account, one without a password, and a wrong password."""
LINK_ENDED = "This link has been used already, or it has expired."


async def acknowledge(request: web.Request) -> web.StreamResponse:
    """`POST /alerts/{id}/acknowledge`."""
    alert_id, by = UUID(request.match_info["id"]), request[IDENTITY].user_id
    await read_form(request)  # what can't be read is refused before anything is done
    try:
        await alert_life.acknowledge(request.app[ENGINE], alert_id, by=by, now=datetime.now(UTC))
    except alert_life.ConflictError as error:
        return await _not_done(request, 409, str(error), "/alerts")
    return await _done(request, "Acknowledged.", "/alerts")


async def resolve(request: web.Request) -> web.StreamResponse:
    """`POST /alerts/{id}/resolve`: fields `action_taken` and `outcome`."""
    alert_id, by = UUID(request.match_info["id"]), request[IDENTITY].user_id
    try:
        resolution = parse_input(Resolution, await read_fields(request))
        await alert_life.resolve(request.app, alert_id, resolution, by=by, now=datetime.now(UTC))
    except InvalidInputError as error:
        return await _refused(request, error, "/alerts")
    except alert_life.ConflictError as error:
        return await _not_done(request, 409, str(error), "/alerts")
    return await _done(request, "Resolved.", "/alerts")


async def add_note(request: web.Request) -> web.StreamResponse:
    """`POST /tutors/{id}/notes`: a coaching note, field `content`."""
    tutor_id, here = request.match_info["id"], request.path.removesuffix("/notes")
    try:
        note = parse_input(Note, await read_fields(request))
    except InvalidInputError as error:
        return await _refused(request, error, here)
    values = {
        "tutor_id": tutor_id,
        "note_type": "manual",
        "content": note.content,
        "created_by": request[IDENTITY].user_id,
        "created_at": datetime.now(UTC),
    }
    if missing := without(request.app[CONDITION].missing, Feature.COACHING_NOTES):
        return await _not_done(request, 409, missing, here)
    async with request.app[ENGINE].begin() as conn:
        if await queries.tutor_name(conn, tutor_id) is None:
            raise web.HTTPNotFound
        await conn.execute(insert(coaching_notes).values(values))
    return await _done(request, "The note is added.", here)


async def retry(request: web.Request) -> web.StreamResponse:
    """`POST /system/retry`: field `tutor_id`, or `all`."""
    try:
        asked = parse_input(Retry, await read_fields(request))
    except InvalidInputError as error:
        return await _refused(request, error, "/system")
    async with request.app[ENGINE].begin() as conn:
        retried = await retries.retry_failing(conn, None if asked.tutor_id is None else [asked.tutor_id])
    tutors = {0: "No tutor is failing any more.", 1: "The tutor is being tried again."}
    return await _done(request, tutors.get(retried, f"{retried} tutors are being tried again."), "/system")


async def sign_in(request: web.Request) -> web.StreamResponse:
    """`POST /sign-in`: fields `email`, `password` and `next`."""
    given = parse_input(SignIn, await read_fields(request))
    await require_database(request.app[ENGINE])
    try:
        attempt = await _begin_attempt(request, given.email)
    except TooManyAttemptsError as error:
        message = f"Too many failed attempts. Try again in {error.seconds} seconds."
        return answer_error(request, 429, message, headers={"Retry-After": str(error.seconds)})
    user_id = await _check_password(request, given)
    if user_id is None:
        return _wrong(request, given.next)
    return await _signed_in(request, user_id, local_path(given.next), attempt)


async def show_link(request: web.Request) -> web.StreamResponse:
    """`GET /sign-in/link`: only asks; whoever looks a link up in advance doesn't use it up."""
    asked = parse_input(SignInLink, request.query)
    return web.Response(text=render("sign_in_link.html", request, {"token": asked.token}), content_type="text/html")


async def use_link(request: web.Request) -> web.StreamResponse:
    """`POST /sign-in/link`: signs in, once."""
    asked = parse_input(SignInLink, await read_fields(request))
    await require_database(request.app[ENGINE])
    user_id = await _use_link(request, asked.token)
    if user_id is None:
        response = redirect("/sign-in")
        set_flash(request, response, "error", LINK_ENDED)
        return response
    return await _signed_in(request, user_id, "/")


async def sign_out(request: web.Request) -> web.StreamResponse:
    """`POST /sign-out`."""
    if token := read_cookie(request, SIGN_IN):
        async with request.app[ENGINE].begin() as conn:
            await store.delete_sign_in(conn, digest(token))
    response = redirect("/sign-in")
    drop_cookie(request, response, SIGN_IN)
    return response


async def _begin_attempt(request: web.Request, email: str) -> Attempt:
    async with request.app[ENGINE].begin() as conn:
        return await begin_attempt(conn, email=email, address=client_address(request))


async def _check_password(request: web.Request, given: SignIn) -> str | None:
    """The user whose password it is; takes as long for an account that doesn't exist."""
    engine, passwords = request.app[ENGINE], request.app[PASSWORDS]
    async with engine.begin() as conn:
        account = await store.find_account(conn, given.email)
        kept = await store.load_password_hash(conn, account.user_id if account else "")
    if not await passwords.verify(given.password, kept) or account is None or kept is None:
        return None
    if renewed := await passwords.renew(given.password, kept):
        async with engine.begin() as conn:
            await store.renew_password_hash(conn, account.user_id, kept, renewed)
    return account.user_id


def _wrong(request: web.Request, following: str) -> web.StreamResponse:
    if wants_json(request):
        return answer_error(request, 401, WRONG)
    response = redirect(f"/sign-in?next={quote(following, safe='')}" if following else "/sign-in")
    set_flash(request, response, "error", WRONG)
    return response


async def _use_link(request: web.Request, token: str) -> str | None:
    async with request.app[ENGINE].begin() as conn:
        return await store.use_link(conn, digest(token))


async def _signed_in(
    request: web.Request, user_id: str, path: str, attempt: Attempt | None = None
) -> web.StreamResponse:
    """A new sign-in under a new token, in the place of the one the browser had."""
    token, lasts = new_token(), lifetime(request.app[SETTINGS])
    before = read_cookie(request, SIGN_IN)
    async with request.app[ENGINE].begin() as conn:
        if before:
            await store.delete_sign_in(conn, digest(before))
        if attempt:
            await end_attempt(conn, attempt)
        await store.insert_sign_in(conn, digest(token), user_id, lasts)
    response = redirect(path)
    set_cookie(request, response, SIGN_IN, token, lasts.absolute.total_seconds())
    return response


async def _done(request: web.Request, text: str, default: str) -> web.StreamResponse:
    request.app[HUB].note_change()
    if wants_json(request):
        return web.Response(status=204)
    return await _back(request, "done", text, default)


async def _not_done(request: web.Request, status: int, text: str, default: str) -> web.StreamResponse:
    if wants_json(request):
        return answer_error(request, status, text)
    return await _back(request, "error", text, default)


async def _refused(request: web.Request, error: InvalidInputError, default: str) -> web.StreamResponse:
    if wants_json(request):
        raise error
    return await _back(request, "error", str(error), default)


async def _back(request: web.Request, kind: str, text: str, default: str) -> web.StreamResponse:
    response = redirect(local_path((await read_form(request)).get(RETURN_FIELD, ""), default))
    set_flash(request, response, kind, text)
    return response
