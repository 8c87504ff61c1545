"""The application: what it holds, in which order it opens, and what every request passes through."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp_jinja2
import jinja2
from aiohttp import web

from database.outages import Outage
from rules.thresholds import Thresholds
from web.auth.access import authorize, identify
from web.auth.audit import LATELY_NOTED, LatelyNoted
from web.auth.openid.provider import provider_context
from web.auth.passwords import Passwords
from web.database import open_web_engine
from web.http.observation import HTTP_METRICS, HttpMetrics, observe
from web.http.problems import OUTAGE, answer_errors
from web.http.responses import complete, keep_cookies
from web.http.static_files import StaticFiles
from web.keys import DATABASE_URL, ENGINE, PASSWORDS, SETTINGS, STATEMENTS, THRESHOLDS, VERSION
from web.live.condition import condition_context
from web.live.directory import DIRECTORY, Directory
from web.live.hub import HUB, close_streams, hub_context
from web.live.kept import Kept
from web.live.platform_statistics import statistics_context
from web.live.recent_sessions import recent_sessions_context
from web.reading import READS, Reads
from web.routes import add_routes
from web.settings import WebSettings
from web.views import markup, presentation
from web.views.api.endpoints import SUMMARY, SUMMARY_SECONDS
from web.views.pages import DASHBOARD_SECONDS, DASHBOARDS

TEMPLATES = Path(__file__).parent / "templates"
LARGEST_BODY = 256 * 1024
"""Bytes of a request's body: the longest text in any script, encoded for a form."""


def create_app(database_url: str, settings: WebSettings, thresholds: Thresholds, *, version: str) -> web.Application:
    """The dashboard; it opens its connections when it is started, and closes them when it is stopped."""
    app = web.Application(
        middlewares=[observe, keep_cookies, answer_errors, identify, authorize],
        client_max_size=LARGEST_BODY,
    )
    app[DATABASE_URL], app[SETTINGS], app[THRESHOLDS], app[VERSION] = database_url, settings, thresholds, version
    app[HTTP_METRICS], app[PASSWORDS] = HttpMetrics(), Passwords()
    app[OUTAGE], app[DIRECTORY] = Outage(), Directory()
    app[LATELY_NOTED] = LatelyNoted()
    static = StaticFiles()
    add_routes(app)
    _set_up_templates(app, static)
    app.on_response_prepare.append(complete)
    static.add_to(app)
    contexts = [
        _engine_context,
        hub_context,
        _kept_context,
        _reads_context,
        condition_context,
        statistics_context,
        recent_sessions_context,
        provider_context,
    ]
    app.cleanup_ctx.extend(contexts)
    app.on_shutdown.append(close_streams)
    return app


def _set_up_templates(app: web.Application, static: StaticFiles) -> None:
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=False,
        default_helpers=False,
    )
    environment.globals["static_url"] = static.url
    presentation.register(environment)
    environment.filters.update(markup.FILTERS)


async def _engine_context(app: web.Application) -> AsyncIterator[None]:
    app[ENGINE] = open_web_engine(app[DATABASE_URL])
    app[STATEMENTS] = app[ENGINE].execution_options(isolation_level="AUTOCOMMIT")
    yield
    await app[ENGINE].dispose()


async def _kept_context(app: web.Application) -> AsyncIterator[None]:
    app[DASHBOARDS] = Kept(app[HUB], DASHBOARD_SECONDS)
    app[SUMMARY] = Kept(app[HUB], SUMMARY_SECONDS)
    yield


async def _reads_context(app: web.Application) -> AsyncIterator[None]:
    read_url = app[SETTINGS].read_url
    replica = open_web_engine(read_url) if read_url else None
    app[READS] = Reads(app[ENGINE], replica, lambda: app[HUB].changes)
    watching = asyncio.create_task(app[READS].watch_replica(), name="replica")
    yield
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    if replica:
        await replica.dispose()
