"""The dashboard as a process: started, served and stopped."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import web

from database.serving import HSTS, Runner, ServerLog
from rules.thresholds import Thresholds
from web.app import create_app
from web.http.observation import AccessLog
from web.live.hub import LISTENING
from web.settings import WebSettings
from web.views.operations import expose

logger = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
"""How long a stop waits for requests in flight."""
SILENT_SECONDS = 75.0
"""How long a connection may be open without a whole request: longer than proxies keep theirs (mostly 60 s), so that
none of them sends one just as it is closed."""
UNREAD_SECONDS = 45.0
"""How long what was sent to a browser may stay unread without a byte of progress."""
LARGEST_FIELD = 64 * 1024
"""Bytes of a header: all cookies of a domain that others use too, or a ticket of a directory with many groups."""
SERVING: dict[str, Any] = {
    "auto_decompress": False,  # a compressed body stays as it is: a little could unfold into very much
    "keepalive_timeout": SILENT_SECONDS,
    "max_field_size": LARGEST_FIELD,
    "logger": ServerLog(logging.getLogger("web.server")),
}
"""How the server reads requests."""


class AddressError(Exception):
    """An address of the settings can't be had, as when its port is taken; the message says what to do."""


async def run_web(
    database_url: str,
    settings: WebSettings,
    thresholds: Thresholds,
    version: str,
    stop: asyncio.Event,
    *,
    on_serving: Callable[[str], None] = lambda _url: None,
) -> None:
    """Serves the dashboard until `stop` is set; then requests in flight are finished, within the grace time.

    Calls `on_serving` with the dashboard's address once it answers there.

    Serves without the database, too: pages then say so. Raises SchemaMismatchError once the schema is seen
    not to be the one this program needs, and AddressError for a port that is taken.
    """
    app = create_app(database_url, settings, thresholds, version=version)
    runner = runner_of(app, settings, access_log=logger, shutdown_timeout=GRACE_SECONDS)
    operators = Runner(_metrics_app(app), access_log=None, **SERVING)
    try:
        await runner.setup()
        await _serve(runner, settings.web_host, settings.web_port, "WEB")
        if settings.web_metrics_port is not None:
            await operators.setup()
            await _serve(operators, settings.web_metrics_host, settings.web_metrics_port, "WEB_METRICS")
        on_serving(settings.web_url or _address(runner))
        await _until(stop, app[LISTENING])
    finally:
        await operators.cleanup()
        await runner.cleanup()


def runner_of(app: web.Application, settings: WebSettings, **options: Any) -> Runner:
    """What serves the dashboard; also what never becomes a request is answered with the headers that all answers have.

    Whether the browser speaks https is then known by the setting only.
    """
    is_https = (settings.web_url or "").startswith("https://")
    return Runner(app, headers=HSTS if is_https else {}, access_log_class=AccessLog, **SERVING | options)


class Site(web.TCPSite):
    """Listens. The system ends connections whose browser doesn't read: an answer in their way has no end else."""

    async def start(self) -> None:
        """Raises OSError for a port that is taken."""
        await super().start()
        if isinstance(self._server, asyncio.Server) and hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux
            for listening in self._server.sockets:  # accepted connections inherit it
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_SECONDS * 1000))


async def _serve(runner: web.AppRunner, host: str, port: int, settings: str) -> None:
    try:
        await Site(runner, host, port).start()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise AddressError(
            f"Nothing can be served on {host}:{port} ({why}): set TUTORWATCH_{settings}_HOST or"
            f" TUTORWATCH_{settings}_PORT to something else, or end what is there"
        ) from error
    logger.info("Serving on %s", _address(runner), extra={"action": "serving"})


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _until(stop: asyncio.Event, listening: asyncio.Task[None]) -> None:
    """Waits for the stop; raises what ended the listening, which otherwise never ends."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({stopping, listening}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            listening.result()
    finally:
        stopping.cancel()


def _metrics_app(app: web.Application) -> web.Application:
    async def metrics(_request: web.Request) -> web.StreamResponse:
        return await expose(app)

    operators = web.Application()
    operators.router.add_get("/metrics", metrics)
    return operators
