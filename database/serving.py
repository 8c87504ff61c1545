"""The HTTP server of all services: the headers of every answer, and errors that quote nothing."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not no-referrer: with it browsers send "Origin: null" with our own forms, too.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000"}

TOO_LONG = "The address or a header of this request is too long.\n"
NO_REQUEST = "This is no HTTP request that can be understood.\n"


class Runner(web.AppRunner):
    """Serves an application so that every answer has the security headers, also to what is no request at all.

    The application's middlewares and signals never see what can't be parsed: aiohttp would answer it by itself, with
    its version and Python's, and quote what was sent. `headers` are added to those that all answers have.
    """

    def __init__(self, app: web.Application, *, headers: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(app, **options)
        self._headers = SECURITY_HEADERS | dict(headers or {})

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made, self._headers)


class _Server(web.Server):
    """The application's server, as aiohttp made it, with connections of our own kind."""

    def __init__(self, made: web.Server, headers: Mapping[str, str]) -> None:
        super().__init__(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,  # noqa: SLF001 - aiohttp has no other way to have a connection class of one's own
        )
        self._headers = headers

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, self._headers, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    """One connection. It sees each answer before it is sent, except those of streams, which have begun by then."""

    __slots__ = ("_headers",)

    def __init__(self, server: web.Server, headers: Mapping[str, str], **options: Any) -> None:
        super().__init__(server, **options)
        self._headers = headers

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what can't be parsed, or to an error that the application let pass, in words of our own."""
        said = message and (TOO_LONG if isinstance(exc, LineTooLong) else NO_REQUEST)
        return super().handle_error(request, status, exc, said or f"{HTTPStatus(status).phrase}\n")

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends the answer, with the headers that all answers have."""
        if isinstance(resp, web.HTTPException) and resp.status >= HTTPStatus.BAD_REQUEST:
            resp.text = f"{resp.status}: {HTTPStatus(resp.status).phrase}"  # aiohttp quotes an unknown Expect
        if not resp.prepared:
            protect(resp, self._headers)
            resp.headers.setdefault("Cache-Control", "no-store")
        return await super().finish_response(request, resp, start_time)


def protect(response: web.StreamResponse, headers: Mapping[str, str] = SECURITY_HEADERS) -> None:
    """Adds the headers that protect an answer, unless it has its own."""
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "Tutorwatch"  # not which library, of which version


class ServerLog(logging.LoggerAdapter[logging.Logger]):
    """The log of aiohttp's server, in which it is no error of ours that somebody sends what is no HTTP."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:
        """Writes an error with its traceback; of what is no HTTP, only for debugging, what it is instead."""
        if isinstance(exc_info, HttpProcessingError):
            self.debug("Not a request: %s", type(exc_info).__name__, extra={"action": "no_request"})
            return
        super().exception(msg, *args, exc_info=exc_info, **more)
