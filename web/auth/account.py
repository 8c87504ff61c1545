"""`/account`: what people do about their own account: another password, an end to sign-ins elsewhere, a time zone."""

from datetime import UTC, datetime

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from web.auth import store
from web.auth.access import lifetime
from web.auth.audit import Action, Entry, actor_of, audited, log, note, note_once_a_minute, write
from web.auth.cookies import BROWSER, SIGN_IN, digest, read_cookie, set_flash
from web.auth.identity import IDENTITY
from web.auth.passwords import SHORTEST, WeakPasswordError
from web.auth.sign_in import check_new_password, require_passwords
from web.auth.slowdown import TooManyAttemptsError, begin_attempt, end_attempt
from web.http.forms import read_fields
from web.http.inputs import ChangedPassword, ChosenZone, EndedSignIns, parse_input, without_empty
from web.http.problems import answer_error
from web.http.redirects import redirect
from web.http.rendering import browser_zone, render
from web.keys import ENGINE, PASSWORDS, SETTINGS
from web.time_zones import offered_zones

HERE = "/account"


async def show(request: web.Request) -> web.StreamResponse:
    """`GET /account`: where somebody is signed in, and the form for another password."""
    identity, current = request[IDENTITY], _current(request)
    async with request.app[ENGINE].begin() as conn:
        sign_ins = await store.load_sign_ins(conn, identity.user_id, current, lifetime(request.app[SETTINGS]))
        has_password = await store.load_parameters(conn, identity.user_id) is not None
    values = {
        "now": datetime.now(UTC),
        "here": HERE,
        "outcomes": (),
        "sign_ins": sign_ins,
        "has_password": has_password,
        "takes_passwords": request.app[SETTINGS].web_password_sign_in,
        "shortest": SHORTEST,
        "zones": _zones(identity.time_zone),
        "browser_zone": browser_zone(request),
    }
    return web.Response(text=render("account.html", request, values), content_type="text/html")


async def change_password(request: web.Request) -> web.StreamResponse:
    """`POST /account/password`: fields `password`, `new_password` and `again`. Ends all other sign-ins."""
    await require_passwords(request, Action.PASSWORD_CHANGED)
    given = parse_input(ChangedPassword, await read_fields(request))
    user_id = request[IDENTITY].user_id
    async with request.app[ENGINE].begin() as conn:
        account = await store.load_account(conn, user_id)
        parameters = await store.load_parameters(conn, user_id)
    if account is None or parameters is None:
        return _back(request, "error", "No password is set for your account.")
    try:
        check_new_password(given, account)
        ended = await _replace(request, account, parameters, given)
    except WeakPasswordError as error:
        return _back(request, "error", f"{error}.".replace("..", "."))
    except TooManyAttemptsError as error:
        await note_once_a_minute(request, Entry(Action.PASSWORD_CHANGED, "too many attempts", user_id=user_id))
        message = f"Too many failed attempts. Try again in {error.seconds} seconds."
        return answer_error(request, 429, message, headers={"Retry-After": str(error.seconds)})
    if ended is None:
        await note(request, Entry(Action.PASSWORD_CHANGED, "wrong password", user_id=user_id))
        return _back(request, "error", "Incorrect current password.")
    others = f" {ended} other sign-in{'s were' if ended > 1 else ' was'} ended." if ended else ""
    return _back(request, "done", f"Your password is changed.{others}")


async def end_sign_ins(request: web.Request) -> web.StreamResponse:
    """`POST /account/sign-ins/end`: field `sign_in`, its id; without, all but this one."""
    given = parse_input(EndedSignIns, await read_fields(request))
    user_id = request[IDENTITY].user_id
    async with audited(request, Entry(Action.SIGN_INS_ENDED, user_id=user_id)) as conn:
        if given.sign_in:
            ended = int(await store.delete_one_sign_in(conn, user_id, given.sign_in))
        else:
            ended = await _end_others(request, conn)
    told = {0: "No sign-in was ended.", 1: "1 sign-in was ended."}
    return _back(request, "done", told.get(ended, f"{ended} sign-ins were ended."))


async def choose_time_zone(request: web.Request) -> web.StreamResponse:
    """`POST /account/time-zone`: field `time_zone`, a name; without, the browser's is taken."""
    given = parse_input(ChosenZone, without_empty(await read_fields(request)))
    async with request.app[ENGINE].begin() as conn:
        await store.store_time_zone(conn, request[IDENTITY].user_id, given.time_zone)
    told = f"Times are shown in {given.time_zone}." if given.time_zone else "Times are shown as your browser says."
    return _back(request, "done", told)


def _zones(chosen: str | None) -> tuple[str, ...]:
    """Those to choose from, with the chosen one, which may be an old name."""
    zones = offered_zones()
    return zones if chosen is None or chosen in zones else (chosen, *zones)


async def _replace(request: web.Request, account: store.Account, parameters: str, given: ChangedPassword) -> int | None:
    """Returns how many other sign-ins were ended with the old password; None where that was a wrong one.

    Guessing is slowed down as at the sign-in: somebody may have found an unlocked computer.
    """
    engine, passwords, actor = request.app[ENGINE], request.app[PASSWORDS], actor_of(request)
    async with engine.begin() as conn:
        attempt = await begin_attempt(conn, email=account.email, address=None, browser=_browser(request))
    key = await passwords.key(given.password, parameters, is_known=True)
    password = await passwords.new(given.new_password)
    async with engine.begin() as conn:
        if not await store.replace_password(conn, account.user_id, key, password):
            return None
        await end_attempt(conn, attempt)
        ended = await _end_others(request, conn)
        entry = Entry(Action.PASSWORD_CHANGED, user_id=account.user_id)
        await write(conn, entry, actor)
    log(entry, actor)
    return ended


async def _end_others(request: web.Request, conn: AsyncConnection) -> int:
    """Returns how many other sign-ins there were; no other browser is known any more."""
    user_id = request[IDENTITY].user_id
    await store.forget_browsers_of(conn, user_id, but=_browser(request))
    return await store.delete_sign_ins_of(conn, user_id, but=_current(request))


def _current(request: web.Request) -> bytes:
    return digest(read_cookie(request, SIGN_IN) or "")


def _browser(request: web.Request) -> bytes:
    return digest(read_cookie(request, BROWSER) or "")


def _back(request: web.Request, kind: str, text: str) -> web.StreamResponse:
    response = redirect(HERE)
    set_flash(request, response, kind, text)
    return response
