"""Errors as answers: a page in the site's look for people, problem details (RFC 9457) for programs."""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import jinja2
from aiohttp import web
from aiohttp.typedefs import Handler

from database.outages import Outage
from web.auth.passwords import TooBusyError
from web.database import is_database_gone
from web.http.inputs import FieldError, InvalidInputError
from web.http.rendering import render

logger = logging.getLogger(__name__)

DATABASE_GONE = "The database can't be reached at the moment. Nothing is lost; this page works again when it is back."
RETRY_SECONDS = 5

_MESSAGES = {
    400: "The request can't be understood.",
    401: "Sign in first.",
    403: "You don't have permission to see or do this.",
    404: "There is nothing here. It may have been removed, or the address is mistyped.",
    405: "This method isn't allowed here.",
    413: "The text is too long.",
    415: "Content of this type isn't accepted here.",
    429: "Too many attempts. Wait a moment before the next one.",
    500: "Something went wrong on our side. It has been noted.",
    503: DATABASE_GONE,
}
_TITLES = {400: "This can't be used"}
"""Of pages, where the usual phrase is a programmer's."""
OUTAGE = web.AppKey("outage", Outage)
"""Pages that couldn't be served: one line a minute, however many are asked for."""
_PASSED_ON = ("Allow", "Retry-After", "WWW-Authenticate")


def wants_json(request: web.BaseRequest) -> bool:
    """Whether the answer goes to a program: everything under /api, and what asks for JSON rather than a page."""
    accepted = request.headers.get("Accept", "")
    return request.path.startswith("/api/") or ("application/json" in accepted and "text/html" not in accepted)


def answer_error(
    request: web.Request,
    status: int,
    message: str = "",
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The error as whoever asked can read it; without a message, the usual one for the status."""
    message = message or _MESSAGES.get(status, HTTPStatus(status).phrase)
    response = _problem(status, message, errors) if wants_json(request) else _page(request, status, message)
    response.headers.update(headers or {})
    return response


def problem_details(status: int, message: str, errors: Sequence[FieldError] = ()) -> dict[str, object]:
    """The members of a problem document."""
    problem: dict[str, object] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    problem["detail"] = message
    if errors:
        problem["errors"] = [{"field": error.field, "message": error.message} for error in errors]
    return problem


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns whatever a handler raises into an answer; what nobody expected is logged."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {name: value for name, value in error.headers.items() if name in _PASSED_ON}
        return answer_error(request, error.status, _own_words(error), headers=headers)
    except InvalidInputError as error:
        is_for_programs = request.path.startswith("/api/")
        return answer_error(request, 400, str(error) if is_for_programs else error.words, errors=error.errors)
    except TooBusyError as error:
        return answer_error(request, 503, str(error), headers={"Retry-After": str(RETRY_SECONDS)})
    except Exception as error:  # noqa: BLE001 - the top of the request
        return _answer_failure(request, error)


def _answer_failure(request: web.Request, error: Exception) -> web.Response:
    if is_database_gone(error):
        level = request.app[OUTAGE].level(error)
        logger.log(level, "The database doesn't answer (%s)", type(error).__name__, extra={"action": "database_gone"})
        return answer_error(request, 503, headers={"Retry-After": str(RETRY_SECONDS)})
    logger.error(
        "%s %s failed", request.method, request.rel_url.raw_path, exc_info=error, extra={"action": "request_failed"}
    )
    return answer_error(request, 500)


def _own_words(error: web.HTTPException) -> str:
    """What was said at the raise, if anything: aiohttp's own text is the number and its phrase."""
    return "" if error.text == f"{error.status}: {error.reason}" else error.text or ""


def _problem(status: int, message: str, errors: Sequence[FieldError]) -> web.Response:
    body = json.dumps(problem_details(status, message, errors))
    return web.Response(status=status, text=body, content_type="application/problem+json")


def _page(request: web.Request, status: int, message: str) -> web.Response:
    title = _TITLES.get(status, HTTPStatus(status).phrase)
    context = {"status": status, "title": title, "message": message}
    try:
        text = render("error.html", request, context)
    except jinja2.TemplateNotFound:
        return web.Response(status=status, text=f"{context['title']}\n\n{message}\n")
    return web.Response(status=status, text=text, content_type="text/html")
