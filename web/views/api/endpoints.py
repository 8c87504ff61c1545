"""JSON for programs: the same queries and the same rules as the pages."""

import hashlib
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from aiohttp import ETag, web
from pydantic import BaseModel

from web import queries
from web.auth.cookies import SIGN_IN, full_name
from web.auth.identity import IDENTITY
from web.http.forms import read_json
from web.http.inputs import Resolution, parse_input
from web.http.paths import id_in_path
from web.http.problems import answer_error
from web.keys import CONDITION
from web.live.hub import HUB
from web.live.kept import Kept
from web.queries.evidence import NO_EVIDENCE
from web.reading import reading
from web.views import alert_actions
from web.views.alert_requests import AlertsQuery, parse_alerts_request
from web.views.api.documents import Alert, Alerts, AlertWithHistory, CriticalAlerts, HistoryEntry, Tutor
from web.views.api.openapi import Operation, with_cookie
from web.views.presentation import all_without
from web.views.tutors import with_found_tutors

SESSIONS_EACH = 3
"""How many of an alert's sessions a list shows."""
SESSIONS_OF_ONE = 50
"""How many an alert by itself shows."""
MOST_EVENTS = 200
"""How many entries of an alert's history are told: the latest."""
SUMMARY_SECONDS = 300.0
"""How long the summary is kept at most; it is dropped as soon as alerts change."""

CRITICAL_ALERTS = Operation(
    "getCriticalAlerts", "The critical alerts that need somebody, in short", CriticalAlerts, has_etag=True
)
ALERTS = Operation("listAlerts", "All alerts, filtered", Alerts, query=AlertsQuery, problems=(400,))
ALERT = Operation("getAlert", "An alert, its evidence and its history", AlertWithHistory, problems=(404,))
TUTOR = Operation("getTutor", "All about one tutor", Tutor, problems=(404,))
ACKNOWLEDGE = Operation("acknowledgeAlert", "Notes that somebody has seen the alert", None, problems=(404, 409))
RESOLVE = Operation("resolveAlert", "Resolves the alert", None, body=Resolution, problems=(400, 404, 409, 413, 415))
UNACKNOWLEDGE = Operation("unacknowledgeAlert", "Takes an acknowledgement back", None, problems=(404, 409))
REOPEN = Operation("reopenAlert", "Takes a resolution back", None, problems=(404, 409))
DOCUMENT = web.AppKey("openapi_document", dict[str, Any])


SUMMARY: web.AppKey[Kept[str]] = web.AppKey("summary")
"""The summary, as JSON."""


async def critical_alerts(request: web.Request) -> web.StreamResponse:
    """`GET /api/critical-alerts`."""

    async def read() -> str:
        async with reading(request) as conn:
            summary = await queries.critical_summary(conn, datetime.now(UTC), missing=request.app[CONDITION].missing)
        return CriticalAlerts.model_validate(summary).model_dump_json()

    return _with_etag(request, await request.app[SUMMARY].get(None, read))


async def alerts(request: web.Request) -> web.StreamResponse:
    """`GET /api/alerts`."""
    asked = parse_alerts_request(request.query)
    async with reading(request) as conn:
        wanted = await with_found_tutors(request, conn, asked.filter)
        page = await queries.alerts_page(
            conn, wanted, asked.cursor, asked.limit, missing=request.app[CONDITION].missing
        )
        evidence = await queries.evidence_of(
            conn,
            [row.id for row in page.rows],
            sessions_each=SESSIONS_EACH,
            missing=request.app[CONDITION].missing,
        )
    return _json(Alerts.of(page, evidence, asked.filter.parts))


async def alert(request: web.Request) -> web.StreamResponse:
    """`GET /api/alerts/{id}`."""
    alert_id, missing = UUID(request.match_info["id"]), request.app[CONDITION].missing
    async with reading(request) as conn:
        found = await queries.alert_by_id(conn, alert_id, missing=request.app[CONDITION].missing)
        if found is None:
            raise web.HTTPNotFound
        evidence = await queries.evidence_of(conn, [alert_id], sessions_each=SESSIONS_OF_ONE, missing=missing)
        history = await queries.history_of(conn, alert_id, limit=MOST_EVENTS)
    entries = [HistoryEntry.model_validate(entry) for entry in history.rows]
    return _json(AlertWithHistory(alert=Alert.of(found, evidence.get(alert_id, NO_EVIDENCE)), history=entries))


async def tutor(request: web.Request) -> web.StreamResponse:
    """`GET /api/tutors/{id}`."""
    tutor_id, missing = id_in_path(request), request.app[CONDITION].missing
    async with reading(request) as conn:
        overview = await queries.tutor_overview(
            conn,
            tutor_id,
            datetime.now(UTC),
            viewer=request[IDENTITY].viewer,
            missing=missing,
        )
    if overview is None:
        raise web.HTTPNotFound
    return _json(Tutor.of(overview, all_without(missing)))


async def acknowledge(request: web.Request) -> web.StreamResponse:
    """`POST /api/alerts/{id}/acknowledge`."""
    return await _act(request, alert_actions.acknowledge)


async def unacknowledge(request: web.Request) -> web.StreamResponse:
    """`POST /api/alerts/{id}/unacknowledge`."""
    return await _act(request, alert_actions.unacknowledge)


async def reopen(request: web.Request) -> web.StreamResponse:
    """`POST /api/alerts/{id}/reopen`."""
    return await _act(request, alert_actions.reopen)


async def resolve(request: web.Request) -> web.StreamResponse:
    """`POST /api/alerts/{id}/resolve`."""
    resolution = parse_input(Resolution, await read_json(request))
    return await _act(request, partial(alert_actions.resolve, resolution=resolution))


async def _act(request: web.Request, act: alert_actions.Act) -> web.StreamResponse:
    try:
        await act(request, UUID(request.match_info["id"]), now=datetime.now(UTC))
    except alert_actions.ConflictError as error:
        return answer_error(request, 409, str(error))
    request.app[HUB].note_change()
    return web.Response(status=204)


async def openapi(request: web.Request) -> web.StreamResponse:
    """`GET /api/openapi.json`."""
    return web.json_response(with_cookie(request.app[DOCUMENT], full_name(request, SIGN_IN)))


def _json(document: BaseModel) -> web.Response:
    return web.Response(text=document.model_dump_json(), content_type="application/json")


def _with_etag(request: web.Request, text: str) -> web.Response:
    etag = ETag(hashlib.sha256(text.encode()).hexdigest()[:32])
    asked = request.if_none_match or ()
    is_known = any(each.value in (etag.value, "*") for each in asked)
    response = web.Response(status=304) if is_known else web.Response(text=text, content_type="application/json")
    response.etag = etag  # for programs that remember the last answer: nobody is to store it
    return response
