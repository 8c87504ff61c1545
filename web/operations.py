"""For operators: whether the process is up, whether it is ready, and figures for Prometheus."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from database.errors import SchemaMismatchError
from database.liveness import IS_FRESH
from database.schema_version import check_schema
from web.database import first_answer, is_database_gone
from web.keys import ENGINE, SETTINGS, VERSION
from web.live import HUB
from web.observation import FIGURES
from web.reading import READS

OK = "ok"


async def healthz(_request: web.Request) -> web.StreamResponse:
    """`/healthz`: the process is up, whatever else isn't."""
    return web.json_response({"status": OK})


async def readyz(request: web.Request) -> web.StreamResponse:
    """`/readyz`: 200 if the database answers, its schema is right and a listener is alive; else 503 and why."""
    checks = {"database": OK, "schema": OK, "listener": OK}
    try:
        await first_answer(lambda: _check(request.app[ENGINE], checks))
    except Exception as error:
        if not is_database_gone(error):
            raise
        checks = {"database": "no answer", "schema": "unknown", "listener": "unknown"}
    return web.json_response(checks, status=200 if set(checks.values()) == {OK} else 503)


_FRESH_LISTENERS = text(f"SELECT count(*) FROM tutorwatch.listeners WHERE {IS_FRESH}")  # noqa: S608 - a constant of ours


async def _check(engine: AsyncEngine, checks: dict[str, str]) -> None:
    async with engine.begin() as conn:
        try:
            await check_schema(conn)
        except SchemaMismatchError as error:
            checks |= {"schema": str(error), "listener": "unknown"}
            return
        if not await conn.scalar(_FRESH_LISTENERS):
            checks["listener"] = "none is alive"


async def metrics(request: web.Request) -> web.StreamResponse:
    """`/metrics` on the dashboard's port: for who knows the token, where one is set."""
    token = request.app[SETTINGS].web_metrics_token
    if token is None:
        raise web.HTTPNotFound
    given = request.headers.get("Authorization", "")
    expected = f"Bearer {token.get_secret_value()}"
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode()):
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
    return await exposition(request.app)


async def exposition(app: web.Application) -> web.Response:
    """All figures, in Prometheus's text format. Without the database, those of the process itself."""
    try:
        read = await first_answer(lambda: _read(app[ENGINE]))
    except Exception as error:
        if not is_database_gone(error):
            raise
        read = None
    registry = CollectorRegistry()
    registry.register(_Figures(app, read))
    body = generate_latest(app[FIGURES].registry) + generate_latest(registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


@dataclass(frozen=True, slots=True)
class DatabaseFigures:
    """What the database knows of all listeners together."""

    state: Row[Any]
    open_alerts: list[Row[Any]] = field(default_factory=list)
    opened: list[Row[Any]] = field(default_factory=list)
    listeners: list[Row[Any]] = field(default_factory=list)


_STATE = text(f"""
    SELECT (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tutorwatch.outbox_id_seq) AS recorded,
           (SELECT count(*) FROM tutorwatch.outbox) AS waiting,
           (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8
            FROM tutorwatch.outbox) AS oldest_seconds,
           (SELECT count(*) FROM tutorwatch.failures WHERE attempts > 0 AND parked_at IS NULL) AS failing,
           (SELECT count(*) FROM tutorwatch.failures WHERE parked_at IS NOT NULL) AS parked,
           (SELECT count(*) FROM tutorwatch.listeners WHERE {IS_FRESH}) AS listeners
""")  # noqa: S608 - a constant of ours
_OPEN_ALERTS = text("""
    SELECT alert_type::text AS type, severity::text AS severity, count(*) AS alerts
    FROM public.alerts WHERE NOT resolved GROUP BY 1, 2 ORDER BY 1, 2
""")
_OPENED = text("""
    SELECT alert_type::text AS type, count(*) AS alerts
    FROM public.alerts
    WHERE triggered_date >= (clock_timestamp() AT TIME ZONE 'UTC') - interval '1 day' GROUP BY 1 ORDER BY 1
""")
_LISTENERS = text(f"""
    SELECT host || ':' || process_id AS listener, figures FROM tutorwatch.listeners
    WHERE {IS_FRESH} ORDER BY 1
""")  # noqa: S608 - a constant of ours


async def _read(engine: AsyncEngine) -> DatabaseFigures:
    async with engine.begin() as conn:
        state = (await conn.execute(_STATE)).one()
        open_alerts = list(await conn.execute(_OPEN_ALERTS))
        opened = list(await conn.execute(_OPENED))
        listeners = list(await conn.execute(_LISTENERS))
    return DatabaseFigures(state, open_alerts, opened, listeners)


_LISTENER_FIGURES = {
    "batches": "Batches of changes worked off",
    "generations": "Tutors generated",
    "batch_seconds": "Seconds spent on batches",
    "retries": "Batches tried again after a passing error",
    "reconnects": "Times the LISTEN connection was lost",
}


class _Figures(Collector):
    """The figures that are read at each scrape."""

    def __init__(self, app: web.Application, read: DatabaseFigures | None) -> None:
        self._app = app
        self._read = read

    def collect(self) -> Iterator[Metric]:
        hub = self._app[HUB]
        info = GaugeMetricFamily("tutorwatch_info", "The program's version", labels=["version"])
        info.add_metric([self._app[VERSION]], 1)
        yield info
        yield GaugeMetricFamily("tutorwatch_browsers_connected", "Open pages that hear of changes", len(hub.clients))
        yield GaugeMetricFamily("tutorwatch_web_hears", "Whether the LISTEN connection is up", int(hub.hears))
        yield CounterMetricFamily("tutorwatch_web_reconnects", "Times it was lost", hub.times_deaf)
        yield GaugeMetricFamily("tutorwatch_database_up", "Whether the database answers", int(self._read is not None))
        if (is_in_use := self._app[READS].is_replica_in_use) is not None:
            yield GaugeMetricFamily("tutorwatch_web_replica_in_use", "Whether pages ask it", int(is_in_use))
        if self._read:
            yield from _of_changes(self._read.state)
            yield from _of_alerts(self._read)
            yield from _of_listeners(self._read.listeners)


def _of_changes(state: Row[Any]) -> Iterator[Metric]:
    yield CounterMetricFamily("tutorwatch_changes_recorded", "Changes recorded by the triggers", state.recorded)
    yield GaugeMetricFamily("tutorwatch_changes_waiting", "Changes no listener has worked off", state.waiting)
    yield GaugeMetricFamily("tutorwatch_oldest_change_seconds", "Age of the oldest of them", state.oldest_seconds)
    yield GaugeMetricFamily("tutorwatch_tutors_failing", "Failing tutors that will be tried again", state.failing)
    yield GaugeMetricFamily("tutorwatch_tutors_parked", "Failing tutors given up on", state.parked)
    yield GaugeMetricFamily("tutorwatch_listeners_alive", "Listeners heard of lately", state.listeners)


def _of_alerts(read: DatabaseFigures) -> Iterator[Metric]:
    unresolved = GaugeMetricFamily("tutorwatch_alerts_open", "Alerts not resolved", labels=["type", "severity"])
    for row in read.open_alerts:
        unresolved.add_metric([row.type, row.severity], row.alerts)
    yield unresolved
    opened = GaugeMetricFamily("tutorwatch_alerts_opened_last_day", "Alerts opened in 24 hours", labels=["type"])
    for row in read.opened:
        opened.add_metric([row.type], row.alerts)
    yield opened


def _of_listeners(listeners: list[Row[Any]]) -> Iterator[Metric]:
    for name, meaning in _LISTENER_FIGURES.items():
        figure = CounterMetricFamily(f"tutorwatch_listener_{name}", meaning, labels=["listener"])
        for row in listeners:
            if name in row.figures:
                figure.add_metric([row.listener], row.figures[name])
        yield figure
    opened = CounterMetricFamily("tutorwatch_listener_alerts_opened", "Alerts opened", labels=["listener", "type"])
    for row in listeners:
        for alert_type, count in row.figures.get("alerts_opened", {}).items():
            opened.add_metric([row.listener, alert_type], count)
    yield opened
