"""The dashboard, as `web` and `run` serve it."""

import asyncio
import os
from collections.abc import Callable

from rules.settings import Thresholds
from scripts.environment import variable
from scripts.errors import UsageError
from web.service import run_web
from web.settings import WebSettings


async def serve_dashboard(
    database_url: str,
    settings: WebSettings,
    limits: Thresholds,
    version: str,
    stop: asyncio.Event,
    *,
    on_serving: Callable[[str], None] = lambda _url: None,
) -> None:
    """As `run_web`; raises UsageError where an address in the settings can't be had, as when its port is taken."""
    is_serving = False

    def serving(address: str) -> None:
        nonlocal is_serving
        is_serving = True
        on_serving(address)

    try:
        await run_web(database_url, settings, limits, version, stop, on_serving=serving)
    except OSError as error:
        if is_serving:
            raise
        raise UsageError(_explain(settings, error)) from error


def _explain(settings: WebSettings, error: OSError) -> str:
    what, kind = "The dashboard", "web"
    host, port = settings.web_host, settings.web_port
    if settings.web_metrics_port and f", {settings.web_metrics_port})" in str(error):  # which asyncio's message quotes
        what, kind = "/metrics", "web_metrics"
        host, port = settings.web_metrics_host, settings.web_metrics_port
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    ours = f"{variable(f'{kind}_host')} or {variable(f'{kind}_port')}"
    return f"{what} can't be served on {host}:{port} ({why}): set {ours} to something else, or end what is there"
