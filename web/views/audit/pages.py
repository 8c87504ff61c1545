"""The audit trail for admins: a page, the same as CSV, and as JSON."""

import asyncio
import csv
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from database.one_line import one_line
from web import queries
from web.auth.audit import Action, Entry, note
from web.http.cursors import encode_cursor
from web.http.rendering import render, zone_of
from web.keys import ENGINE
from web.queries import AuditRow
from web.queries.audit import AuditCursor, AuditFilter, AuditOutcome
from web.reading import answer_in_time
from web.views.api.documents import AuditTrail
from web.views.api.openapi import Operation
from web.views.audit.request import AuditQuery, parse_audit_filter, parse_audit_page, parse_audit_request
from web.views.audit.words import ACTIONS, tell

logger = logging.getLogger(__name__)

HERE = "/audit"
ROWS_AT_A_TIME = 500
"""Entries of the CSV that are read, and held, at once."""
SEND_SECONDS = 30.0
"""How long a browser may take to accept some of them."""

AUDIT = Operation("listAuditTrail", "Who did what, newest first", AuditTrail, query=AuditQuery, problems=(400,))


async def show(request: web.Request) -> web.StreamResponse:
    """`GET /audit`: who did what, filtered and paged."""
    asked, left_out = parse_audit_page(request.query, zone_of(request))
    async with request.app[ENGINE].begin() as conn:
        page = await queries.audit_page(conn, asked.filter, asked.cursor, limit=asked.limit)
        critical_count = await queries.critical_count(conn)
    values: dict[str, Any] = {
        "now": datetime.now(UTC),
        "here": request.path_qs,
        "critical_count": critical_count,
        "wanted": asked.filter,
        "left_out": left_out,
        "told": [tell(row) for row in page.rows],
        "actions": sorted(ACTIONS.items(), key=lambda action: action[1]),
        "csv_url": _url("/audit.csv", asked.filter),
        "first_url": _url(HERE, asked.filter),
        "previous_url": page.previous and _url(HERE, asked.filter, page.previous),
        "next_url": page.next and _url(HERE, asked.filter, page.next),
        "outcomes": list(AuditOutcome),
    }
    return web.Response(text=render("audit.html", request, values), content_type="text/html")


async def as_json(request: web.Request) -> web.StreamResponse:
    """`GET /api/audit`."""
    asked = parse_audit_request(request.query)
    async with request.app[ENGINE].begin() as conn:
        page = await queries.audit_page(conn, asked.filter, asked.cursor, limit=asked.limit)
    document = AuditTrail.of(page, asked.filter.parts)
    return web.Response(text=document.model_dump_json(), content_type="application/json")


async def export(request: web.Request) -> web.StreamResponse:
    """`GET /audit.csv`: all entries that pass the filter, sent some at a time. That it was asked for is on record."""
    wanted = parse_audit_filter(request.query, zone_of(request))
    name = f"tutorwatch-audit-{datetime.now(UTC):%Y-%m-%d}.csv"
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
    response.content_type, response.charset = "text/csv", "utf-8"
    if request.method == "HEAD":
        return response
    await answer_in_time(
        request, lambda: note(request, Entry(Action.AUDIT_EXPORTED, details=urlencode(wanted.query())))
    )
    first = await _read(request, wanted, None)  # what fails here is still answered as an error
    await response.prepare(request)
    try:
        await _send(request, response, wanted, first)
    except (ConnectionError, TimeoutError):
        logger.debug("A browser has gone", extra={"action": "browser_gone"})
        _break_off(request)
    except Exception:
        logger.exception("The audit trail could not be sent to its end", extra={"action": "audit_export_failed"})
        _break_off(request)
    return response


async def _send(
    request: web.Request, response: web.StreamResponse, wanted: AuditFilter, page: queries.AuditPage
) -> None:
    await response.write(_lines([COLUMNS]))
    while True:
        async with asyncio.timeout(SEND_SECONDS):
            await response.write(_lines(map(_cells, page.rows)))
        if page.next is None:
            return
        page = await _read(request, wanted, page.next)


async def _read(request: web.Request, wanted: AuditFilter, cursor: AuditCursor | None) -> queries.AuditPage:
    """Some entries, in a transaction of their own: however slowly they are taken, none stays open."""

    async def read() -> queries.AuditPage:
        async with request.app[ENGINE].begin() as conn:
            return await queries.audit_page(conn, wanted, cursor, limit=ROWS_AT_A_TIME)

    return await answer_in_time(request, read)


def _break_off(request: web.Request) -> None:
    """What was sent can't be taken back: the connection that breaks says that it isn't all."""
    if request.transport:
        request.transport.abort()


COLUMNS = tuple(field.name for field in fields(AuditRow))
_BEGINS_A_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - spreadsheets take these for the same


def _cells(row: AuditRow) -> list[str]:
    return [_cell(value) for value in astuple(row)]


def _cell(value: datetime | int | str | None) -> str:
    """The value as a spreadsheet may open it: no formula, and one line whatever it holds."""
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    is_formula = text.startswith(_BEGINS_A_FORMULA) or text.lstrip().startswith(_BEGINS_A_FORMULA)
    return ("'" if is_formula else "") + one_line(text)


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue().encode()


def _url(path: str, wanted: AuditFilter, cursor: AuditCursor | None = None) -> str:
    query = wanted.query() | ({"cursor": given} if (given := encode_cursor(cursor, wanted.parts)) else {})
    return f"{path}?{urlencode(query)}" if query else path
