"""What people do: every form's post. Each answers with a redirect and a message; to scripts, with JSON."""

from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from aiohttp import web
from aiohttp.typedefs import Handler

from database import retries
from database.platform_needs import Feature
from rules import life
from web import queries
from web.auth.audit import Action, Entry, audited
from web.auth.cookies import set_flash
from web.auth.identity import IDENTITY
from web.http.forms import RETURN_FIELD, read_fields, read_form
from web.http.inputs import FIELD_LABELS, InvalidInputError, Note, Resolution, Retry, parse_input
from web.http.paths import id_in_path, path_part
from web.http.problems import answer_error, wants_json
from web.http.redirects import local_path, redirect
from web.http.rendering import TYPED, Typed
from web.keys import CONDITION
from web.live.hub import HUB
from web.views import alert_actions, pages
from web.views.presentation import without


async def acknowledge(request: web.Request) -> web.StreamResponse:
    """`POST /alerts/{id}/acknowledge`."""
    return await _act(request, alert_actions.acknowledge, "Acknowledged.", undo="unacknowledge")


async def unacknowledge(request: web.Request) -> web.StreamResponse:
    """`POST /alerts/{id}/unacknowledge`: takes the acknowledgement back."""
    return await _act(request, alert_actions.unacknowledge, "The acknowledgement is taken back.")


async def resolve(request: web.Request) -> web.StreamResponse:
    """`POST /alerts/{id}/resolve`: fields `action_taken`, `outcome` and `message_to_tutor`."""
    try:
        resolution = parse_input(Resolution, await read_fields(request))
    except InvalidInputError as error:
        return await _refused(request, error, "/alerts", again=pages.alert)
    act = partial(alert_actions.resolve, resolution=resolution)
    return await _act(request, act, "Resolved.", undo="reopen")


async def reopen(request: web.Request) -> web.StreamResponse:
    """`POST /alerts/{id}/reopen`: takes the resolution back."""
    return await _act(request, alert_actions.reopen, "Reopened.")


async def _act(request: web.Request, act: alert_actions.Act, done: str, undo: str | None = None) -> web.StreamResponse:
    """Does it, and offers to take it back right after."""
    await read_form(request)  # what can't be read is refused before anything is done
    alert_id = UUID(request.match_info["id"])
    try:
        await act(request, alert_id, now=datetime.now(UTC))
    except alert_actions.ConflictError as error:
        return await _not_done(request, 409, str(error), "/alerts")
    return await _done(request, done, "/alerts", undo=undo and f"/alerts/{alert_id}/{undo}")


async def add_note(request: web.Request) -> web.StreamResponse:
    """`POST /tutors/{id}/notes`: a coaching note, field `content`."""
    tutor_id = id_in_path(request)
    here = f"/tutors/{path_part(tutor_id)}"
    try:
        note = parse_input(Note, await read_fields(request))
    except InvalidInputError as error:
        return await _refused(request, error, here, again=pages.tutor)
    if missing := without(request.app[CONDITION].missing, Feature.COACHING_NOTES):
        return await _not_done(request, 409, missing, here)
    async with audited(request, Entry(Action.NOTE_ADDED, user_id=tutor_id)) as conn:
        if await queries.tutor_name(conn, tutor_id) is None:
            raise web.HTTPNotFound
        await life.add_note(conn, tutor_id, note.content, by=request[IDENTITY].user_id, now=datetime.now(UTC))
    return await _done(request, "The note is added.", here)


async def retry(request: web.Request) -> web.StreamResponse:
    """`POST /system/retry`: field `tutor_id`, or `all`."""
    try:
        asked = parse_input(Retry, await read_fields(request))
    except InvalidInputError as error:
        return await _refused(request, error, "/system")
    async with audited(request, Entry(Action.TUTORS_RETRIED, user_id=asked.tutor_id)) as conn:
        retried = await retries.retry_failing(conn, None if asked.tutor_id is None else [asked.tutor_id])
    tutors = {0: "No failed tutors.", 1: "The tutor is retried now."}
    return await _done(request, tutors.get(retried, f"{retried} tutors are retried now."), "/system")


async def _done(request: web.Request, text: str, default: str, *, undo: str | None = None) -> web.StreamResponse:
    request.app[HUB].note_change()
    if not wants_json(request):
        return await _back(request, "done", text, default, undo=undo)
    return web.json_response({"text": text} | ({"undo": undo} if undo else {}))


async def _not_done(request: web.Request, status: int, text: str, default: str) -> web.StreamResponse:
    if wants_json(request):
        return answer_error(request, status, text)
    return await _back(request, "error", text, default)


async def _refused(
    request: web.Request, error: InvalidInputError, default: str, *, again: Handler | None = None
) -> web.StreamResponse:
    """To a person, the page `again` on which the form is, with what was typed and what is wrong with it."""
    if wants_json(request):
        raise error
    fields = await read_form(request)
    if again is None or any(each.field not in FIELD_LABELS for each in error.errors):
        return await _back(request, "error", error.words, default)
    problems = {each.field: f"{each.words}." for each in error.errors}
    request[TYPED] = Typed(fields, problems, local_path(fields.get(RETURN_FIELD, ""), default))
    return await again(request)


async def _back(
    request: web.Request, kind: str, text: str, default: str, *, undo: str | None = None
) -> web.StreamResponse:
    response = redirect(local_path((await read_form(request)).get(RETURN_FIELD, ""), default))
    set_flash(request, response, kind, text, undo=undo)
    return response
