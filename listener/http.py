"""The listener's own port, where one is set: whether it is up, whether it can evaluate, and its metrics."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.condition import Check, load_condition
from database.condition_keeper import ConditionKeeper, KnownCondition
from database.errors import TransientError, TutorwatchError, translating_errors
from database.metrics import DatabaseMetrics, exposition, families_of_database, info, load_database_metrics
from database.serving import Runner, ServerLog
from listener.batch import Metrics
from listener.signals import Signals
from telling.sender import Counts

T = TypeVar("T")

SERVER_LOG = ServerLog(logging.getLogger("listener.server"))

ANSWER_SECONDS = 5.0
"""How long the database may take; longer, and it counts as gone."""
STILL_READY = frozenset({Check.WAITING, Check.DEAD_LETTERED})
"""Problems beside which a listener can evaluate: it is behind, or single tutors fail."""


class AddressError(TutorwatchError):
    """The port can't be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A listener's own counts and state."""

    version: str
    metrics: Metrics
    signals: Signals
    deliveries: Counts = field(default_factory=Counter)
    """How many attempts to tell people, by kind of channel and result."""


@asynccontextmanager
async def serving(host: str, port: int | None, engine: AsyncEngine, listening: Listening) -> AsyncIterator[str | None]:
    """Serves `/healthz`, `/readyz` and `/metrics`; gives the address, None without a port. Raises AddressError."""
    if port is None:
        yield None
        return
    keeper = ConditionKeeper(lambda: _read(engine, load_condition))
    runner = Runner(_app(engine, keeper, listening), access_log=None, shutdown_timeout=1.0, logger=SERVER_LOG)
    await runner.setup()
    try:
        yield await _start(runner, host, port)
    finally:
        await runner.cleanup()
        await keeper.close()


async def _start(runner: web.AppRunner, host: str, port: int) -> str:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise AddressError(
            f"Nothing can be served on {host}:{port} ({why}): set TUTORWATCH_LISTENER_HOST or"
            " TUTORWATCH_LISTENER_PORT to something else, or end what is there"
        ) from error
    chosen_host, chosen_port = runner.addresses[0][:2]
    return f"http://[{chosen_host}]:{chosen_port}" if ":" in chosen_host else f"http://{chosen_host}:{chosen_port}"


def _app(engine: AsyncEngine, keeper: ConditionKeeper, listening: Listening) -> web.Application:
    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        known = await keeper.get(ANSWER_SECONDS)
        is_ready = can_evaluate(known)
        subscription = "connected" if listening.signals.is_connected else "lost"
        body = {"is_ready": is_ready, "subscription": subscription, "condition": known.as_json()}
        return web.json_response(body, status=200 if is_ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        try:
            database = await _read(engine, load_database_metrics)
        except (TransientError, TimeoutError):
            database = None
        return web.Response(body=expose(listening, database), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app


def can_evaluate(known: KnownCondition) -> bool:
    """Return whether nothing is known that keeps listeners from evaluating; False where nothing is known."""
    return known.checks is not None and known.checks <= STILL_READY


def expose(listening: Listening, database: DatabaseMetrics | None) -> bytes:
    """Everything for Prometheus: the process's, the listener's own, and the database's."""
    return exposition(
        ProcessCollector(registry=None).collect,
        lambda: _of_listener(listening),
        lambda: families_of_database(database),
    )


def _of_listener(listening: Listening) -> Iterator[Metric]:
    metrics = listening.metrics
    yield info(listening.version)
    yield SummaryMetricFamily(
        "tutorwatch_batch_duration_seconds",
        "Time that this listener took for batches: claiming changes, generating and storing",
        count_value=metrics.batches,
        sum_value=metrics.batch_seconds,
    )
    yield CounterMetricFamily(
        "tutorwatch_tutors_generated", "Tutors that this listener generated, once for each time", metrics.generations
    )
    yield CounterMetricFamily(
        "tutorwatch_transactions_retried",
        "Transactions that this listener tried again after a transient error",
        metrics.retries,
    )
    opened = CounterMetricFamily("tutorwatch_alerts_opened", "Alerts that this listener opened", labels=["type"])
    for alert_type, count in sorted(metrics.alerts_opened.items()):
        opened.add_metric([alert_type], count)
    yield opened
    told = CounterMetricFamily(
        "tutorwatch_deliveries",
        "Attempts of this listener to tell people, by kind of channel and result",
        labels=["kind", "result"],
    )
    for labels, count in sorted(listening.deliveries.items()):
        told.add_metric(labels, count)
    yield told
    yield GaugeMetricFamily(
        "tutorwatch_listener_subscription_connected",
        "Whether this listener's LISTEN connection is up: 1 or 0",
        int(listening.signals.is_connected),
    )
    yield CounterMetricFamily(
        "tutorwatch_listener_subscription_lost",
        "Times this listener lost its LISTEN connection",
        listening.signals.times_lost,
    )


async def _read(engine: AsyncEngine, load: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Return what is loaded, in a transaction of its own. Raises TransientError, or TimeoutError."""
    with translating_errors():
        async with asyncio.timeout(ANSWER_SECONDS), engine.begin() as conn:
            return await load(conn)
