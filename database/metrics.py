"""Metrics for Prometheus that every service exposes alike: what the database knows, and the condition of the system.

They are the same wherever they are asked for: of several services take one, or `max`, never `sum`.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Row, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from database.canary import IS_CHANGE, Canary, Part
from database.condition import Check, Condition, load_condition
from database.errors import is_transient
from database.recording import BROKEN_TRIGGERS, OFF_SINCE

logger = logging.getLogger(__name__)

Rows = Sequence[Row[Any]]


@dataclass(frozen=True, slots=True)
class DatabaseMetrics:
    """What the database knows; what couldn't be read is empty, and then there is a problem in the condition."""

    condition: Condition
    recording: Rows = field(default_factory=tuple)
    state: Rows = field(default_factory=tuple)
    open_alerts: Rows = field(default_factory=tuple)
    opened: Rows = field(default_factory=tuple)


_STATE = text(f"""
    SELECT (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tutorwatch.outbox_id_seq) AS recorded,
           (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tutorwatch.unrecorded) AS unrecorded,
           (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8
            FROM tutorwatch.outbox WHERE {IS_CHANGE}) AS oldest_seconds,
           (SELECT extract(epoch FROM clock_timestamp() - max(swept_at))::float8
            FROM tutorwatch.sweep) AS sweep_seconds,
           coalesce(pg_stat_get_dead_tuples('tutorwatch.outbox'::regclass), 0) AS dead_rows
""")  # noqa: S608 - a constant of ours
# Each of our triggers on the platform's tables and their partitions; whatever is wrong with one has its own words.
_RECORDING = text(f"""
    SELECT ({OFF_SINCE}) IS NULL AS switch,
           count(*) FILTER (WHERE problem <> 'calls another function') = 0 AS triggers,
           count(*) FILTER (WHERE problem = 'calls another function') = 0 AS functions
    FROM ({BROKEN_TRIGGERS}) AS broken
""")  # noqa: S608 - constants of ours
_OPEN_ALERTS = text("""
    SELECT alert_type::text AS type, severity::text AS severity, count(*) AS alerts
    FROM public.alerts WHERE NOT resolved GROUP BY 1, 2 ORDER BY 1, 2
""")
_OPENED = text("""
    SELECT alert_type::text AS type, count(*) AS alerts
    FROM public.alerts
    WHERE triggered_date >= (clock_timestamp() AT TIME ZONE 'UTC') - interval '1 day' GROUP BY 1 ORDER BY 1
""")


async def load_database_metrics(conn: AsyncConnection) -> DatabaseMetrics:
    """Return what the database knows, read in the connection's transaction.

    Where the platform's tables or our rights aren't what the queries need, the rest is told all the same.
    """
    condition = await load_condition(conn)
    if any(problem.check is Check.SCHEMA for problem in condition.problems):
        return DatabaseMetrics(condition)
    queries = (_RECORDING, _STATE, _OPEN_ALERTS, _OPENED)
    return DatabaseMetrics(condition, *[await _if_possible(conn, query) for query in queries])


async def _if_possible(conn: AsyncConnection, query: TextClause) -> Rows:
    try:
        async with conn.begin_nested():
            return (await conn.execute(query)).all()
    except DBAPIError as error:
        if is_transient(error):
            raise
        logger.debug("Some metrics can't be read (%s)", type(error.orig).__name__, extra={"action": "metrics_unread"})
        return ()


def families_of_database(metrics: DatabaseMetrics | None) -> Iterator[Metric]:
    """Yield what every service exposes; None: the database doesn't answer."""
    yield GaugeMetricFamily(
        "tutorwatch_database_up", "Whether the database answers the process that is asked", int(metrics is not None)
    )
    if metrics is None:
        return
    yield from _of_condition(metrics.condition)
    for recording in metrics.recording:
        yield _of_recording(recording, metrics.condition)
    for state in metrics.state:
        yield from _of_changes(state)
    yield from _of_alerts(metrics)


def _of_condition(condition: Condition) -> Iterator[Metric]:
    troubled = {problem.check for problem in condition.problems}
    checks = GaugeMetricFamily(
        "tutorwatch_condition_ok",
        "Whether a check of the condition of Tutorwatch finds nothing wrong: 1 or 0",
        labels=["check"],
    )
    for check in Check:
        checks.add_metric([check.value], int(check not in troubled))
    yield checks
    if Check.SCHEMA in troubled:
        return  # the rest isn't known
    yield GaugeMetricFamily(
        "tutorwatch_changes_waiting", "Recorded changes that no listener has processed yet", condition.waiting
    )
    yield GaugeMetricFamily(
        "tutorwatch_tutors_failing", "Tutors whose generation failed and will be tried again", condition.failing
    )
    yield GaugeMetricFamily(
        "tutorwatch_tutors_dead_lettered",
        "Tutors whose generation failed too often and was given up on",
        condition.dead_lettered,
    )
    yield GaugeMetricFamily(
        "tutorwatch_tutors_parked", "Deprecated: use tutorwatch_tutors_dead_lettered", condition.dead_lettered
    )
    yield GaugeMetricFamily(
        "tutorwatch_listeners_alive", "Listeners whose latest heartbeat is recent", condition.listeners
    )
    yield from _of_canary(condition.canary)


def _of_canary(canary: Canary) -> Iterator[Metric]:
    """Without values where nothing was tried, or what was found says nothing any more."""
    is_ok = GaugeMetricFamily(
        "tutorwatch_canary_ok", "Whether the latest test change was recorded, and answered: 1 or 0", labels=["part"]
    )
    seconds = GaugeMetricFamily(
        "tutorwatch_canary_seconds", "How long the latest test change took, by what was tried", labels=["part"]
    )
    age = GaugeMetricFamily(
        "tutorwatch_canary_age_seconds", "Time since the latest test change, by what was tried", labels=["part"]
    )
    for part in Part:
        for family, value in (
            (is_ok, canary.is_ok(part)),
            (seconds, canary.seconds(part)),
            (age, canary.age_seconds(part)),
        ):
            if value is not None:
                family.add_metric([part.value], float(value))
    yield from (is_ok, seconds, age)


def _of_recording(recording: Row[Any], condition: Condition) -> Metric:
    troubled = {problem.check for problem in condition.problems}
    parts = {
        "switch": recording.switch,
        "triggers": recording.triggers,
        "functions": recording.functions,
        "platform_schema": Check.PLATFORM not in troubled,
        "rows": Check.ROWS not in troubled,
    }
    family = GaugeMetricFamily(
        "tutorwatch_recording_ok",
        "Whether changes of the platform's clients are recorded, by what recording takes: 1 or 0",
        labels=["check"],
    )
    for name, is_ok in parts.items():
        family.add_metric([name], int(is_ok))
    return family


def _of_changes(state: Row[Any]) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "tutorwatch_changes_recorded", "Changes that the triggers recorded in the outbox", state.recorded
    )
    yield CounterMetricFamily(
        "tutorwatch_changes_unrecorded",
        "Changes that the triggers could not record, each time made up for by re-evaluating all tutors",
        state.unrecorded,
    )
    yield GaugeMetricFamily(
        "tutorwatch_oldest_change_seconds", "Age of the oldest change that waits in the outbox", state.oldest_seconds
    )
    yield GaugeMetricFamily(
        "tutorwatch_sweep_age_seconds", "Time since the latest sweep re-evaluated all tutors", state.sweep_seconds
    )
    yield GaugeMetricFamily(
        "tutorwatch_outbox_dead_rows",
        "Dead rows of the outbox that vacuum has not removed, as the server's statistics estimate them",
        state.dead_rows,
    )


def _of_alerts(metrics: DatabaseMetrics) -> Iterator[Metric]:
    unresolved = GaugeMetricFamily(
        "tutorwatch_alerts_open", "Alerts that are not resolved", labels=["type", "severity"]
    )
    for row in metrics.open_alerts:
        unresolved.add_metric([row.type, row.severity], row.alerts)
    yield unresolved
    opened = GaugeMetricFamily(
        "tutorwatch_alerts_opened_last_day", "Alerts that were opened in the last 24 hours", labels=["type"]
    )
    for row in metrics.opened:
        opened.add_metric([row.type], row.alerts)
    yield opened


def info(version: str) -> Metric:
    """The program's version, as a label."""
    family = GaugeMetricFamily("tutorwatch_info", "Version of the program, as a label; always 1", labels=["version"])
    family.add_metric([version], 1)
    return family


def exposition(*sources: Callable[[], Iterable[Metric]]) -> bytes:
    """All families of these sources in Prometheus's text format."""
    registry = CollectorRegistry()
    for source in sources:
        registry.register(_Families(source))
    return generate_latest(registry)


class _Families(Collector):
    """Families made at the scrape, without the `_created` series, which nobody asks for."""

    def __init__(self, source: Callable[[], Iterable[Metric]]) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        for family in self._source():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
