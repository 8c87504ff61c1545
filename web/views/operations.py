"""For operators: whether the process is up, whether it is ready, and metrics for Prometheus."""

import hmac
from collections import Counter
from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy.ext.asyncio import AsyncEngine

from database.condition_keeper import KnownCondition
from database.errors import SchemaMismatchError
from database.metrics import DatabaseMetrics, exposition, families_of_database, info, load_database_metrics
from database.schema_version import check_schema
from web import queries
from web.database import first_answer, is_database_gone
from web.http.observation import HTTP_METRICS
from web.keys import CONDITION, ENGINE, SETTINGS, VERSION
from web.live.hub import HUB
from web.queries.system import ListenerTotals
from web.reading import READS

OK = "ok"


async def healthz(_request: web.Request) -> web.StreamResponse:
    """`/healthz`: the process is up, whatever else isn't."""
    return web.json_response({"status": OK})


async def readyz(request: web.Request) -> web.StreamResponse:
    """`/readyz`: 200 if pages can be served, which say what isn't evaluated, as does `condition`; else 503 and why."""
    known = request.app[CONDITION].known
    checks = {"database": OK, "schema": OK}
    try:
        await first_answer(lambda: _check(request.app[ENGINE], checks))
    except Exception as error:
        if not is_database_gone(error):
            raise
        checks = {"database": "no answer", "schema": "unknown"}
    can_serve = set(checks.values()) == {OK}
    body = {**checks, "listener": _listener(known if can_serve else None), "condition": known.as_json()}
    return web.json_response(body, status=200 if can_serve else 503)


async def _check(engine: AsyncEngine, checks: dict[str, str]) -> None:
    async with engine.begin() as conn:
        try:
            await check_schema(conn)
        except SchemaMismatchError as error:
            checks["schema"] = str(error)


def _listener(known: KnownCondition | None) -> str:
    if known is None or known.condition is None:
        return "unknown"
    return OK if known.condition.listeners else "none is alive"


async def metrics(request: web.Request) -> web.StreamResponse:
    """`/metrics` on the dashboard's port: for who knows the token, where one is set."""
    token = request.app[SETTINGS].web_metrics_token
    if token is None:
        raise web.HTTPNotFound
    given = request.headers.get("Authorization", "")
    expected = f"Bearer {token.get_secret_value()}"
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode()):
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
    return await expose(request.app)


async def expose(app: web.Application) -> web.Response:
    """All metrics, in Prometheus's text format. Without the database, those of the process itself."""
    try:
        database, listeners = await first_answer(lambda: _read(app[ENGINE]))
    except Exception as error:
        if not is_database_gone(error):
            raise
        database, listeners = None, []
    body = exposition(
        app[HTTP_METRICS].families,
        lambda: _of_process(app),
        lambda: families_of_database(database),
        lambda: _of_listeners(listeners),
    )
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _read(engine: AsyncEngine) -> tuple[DatabaseMetrics, list[ListenerTotals]]:
    async with engine.begin() as conn:
        database = await load_database_metrics(conn)
        listeners = await queries.listener_totals(conn) if database.state else []
    return database, listeners


def _of_process(app: web.Application) -> Iterator[Metric]:
    hub = app[HUB]
    yield info(app[VERSION])
    yield GaugeMetricFamily(
        "tutorwatch_browsers_connected", "Open pages that this dashboard tells of changes", len(hub.clients)
    )
    yield CounterMetricFamily(
        "tutorwatch_web_streams_refused",
        "Times a page got no event stream, because there were as many as may be: it refreshes instead",
        hub.times_refused,
    )
    yield GaugeMetricFamily(
        "tutorwatch_web_subscription_connected",
        "Whether this dashboard's LISTEN connection is up: 1 or 0",
        int(hub.is_subscribed),
    )
    yield CounterMetricFamily(
        "tutorwatch_web_subscription_lost", "Times this dashboard lost its LISTEN connection", hub.times_lost
    )
    yield GaugeMetricFamily(
        "tutorwatch_web_hears", "Deprecated: use tutorwatch_web_subscription_connected", int(hub.is_subscribed)
    )
    yield CounterMetricFamily(
        "tutorwatch_web_reconnects", "Deprecated: use tutorwatch_web_subscription_lost_total", hub.times_lost
    )
    if (is_in_use := app[READS].is_replica_in_use) is not None:
        yield GaugeMetricFamily(
            "tutorwatch_web_replica_in_use",
            "Whether pages of this dashboard read from the replica, which has answered lately: 1 or 0",
            int(is_in_use),
        )


_DEPRECATED_OF_LISTENERS = {
    "batches": "tutorwatch_batch_duration_seconds_count",
    "generations": "tutorwatch_tutors_generated_total",
    "batch_seconds": "tutorwatch_batch_duration_seconds_sum",
    "retries": "tutorwatch_transactions_retried_total",
    "reconnects": "tutorwatch_listener_subscription_lost_total",
}
"""What listeners note with their heartbeats, and what they expose themselves instead."""


def _of_listeners(listeners: list[ListenerTotals]) -> Iterator[Metric]:
    """What dashboards told of listeners before those had a port of their own: the sums by host."""
    for name, instead in _DEPRECATED_OF_LISTENERS.items():
        told = CounterMetricFamily(
            f"tutorwatch_listener_{name}", f"Deprecated: use {instead} of the listeners' own port", labels=["listener"]
        )
        for (host, _), total in _summed(listeners, name).items():
            told.add_metric([host], total)
        yield told
    opened = CounterMetricFamily(
        "tutorwatch_listener_alerts_opened",
        "Deprecated: use tutorwatch_alerts_opened_total of the listeners' own port",
        labels=["listener", "type"],
    )
    for labels, total in _summed(listeners, "alerts_opened").items():
        opened.add_metric(labels, total)
    yield opened


def _summed(listeners: list[ListenerTotals], name: str) -> dict[tuple[str, str], float]:
    """What a host's listeners note by that name, by host and, where it is told apart further, by what."""
    sums: Counter[tuple[str, str]] = Counter()
    for row in listeners:
        noted = row.totals.get(name, {})
        for part, value in noted.items() if isinstance(noted, dict) else [("", noted)]:
            sums[row.host, part] += value
    return dict(sums)
