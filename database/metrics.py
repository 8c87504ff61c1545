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
    """The metrics of the database; what couldn't be read is empty, and then the condition has a problem."""

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
    is_up = metrics is not None
    yield _gauge("tutorwatch_database_up", "Whether the database answers the process that is asked", int(is_up))
    if metrics is None:
        return
    yield from _of_condition(metrics.condition)
    for recording in metrics.recording:
        yield _of_recording(recording, metrics.condition)
    for state in metrics.state:
        yield from _of_changes(state)
    yield _labelled(
        "tutorwatch_alerts_open",
        "Alerts that are not resolved",
        ("type", "severity"),
        (((row.type, row.severity), row.alerts) for row in metrics.open_alerts),
    )
    yield _labelled(
        "tutorwatch_alerts_opened_last_day",
        "Alerts that were opened in the last 24 hours",
        ("type",),
        (((row.type,), row.alerts) for row in metrics.opened),
    )


def _gauge(name: str, meaning: str, value: float | None) -> Metric:
    return GaugeMetricFamily(name, meaning, value)


def _labelled(
    name: str, meaning: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], float | None]]
) -> Metric:
    """Return a gauge by labels; samples without a value are left out."""
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric(values, float(value))
    return family


def _of_condition(condition: Condition) -> Iterator[Metric]:
    failing_checks = {problem.check for problem in condition.problems}
    yield _labelled(
        "tutorwatch_condition_ok",
        "Whether a check of the condition of Tutorwatch finds nothing wrong: 1 or 0",
        ("check",),
        (((check.value,), check not in failing_checks) for check in Check),
    )
    if Check.SCHEMA in failing_checks:
        return  # the rest isn't known
    dead_lettered = condition.dead_lettered
    yield _gauge("tutorwatch_changes_waiting", "Recorded changes that no listener has processed yet", condition.waiting)
    yield _gauge(
        "tutorwatch_tutors_failing", "Tutors whose generation failed and will be tried again", condition.failing
    )
    yield _gauge(
        "tutorwatch_tutors_dead_lettered", "Tutors whose generation failed too often and was given up on", dead_lettered
    )
    yield _gauge("tutorwatch_tutors_parked", "Deprecated: use tutorwatch_tutors_dead_lettered", dead_lettered)
    yield _gauge("tutorwatch_listeners_alive", "Listeners whose latest heartbeat is recent", condition.listeners)
    yield from _of_canary(condition.canary)


def _of_canary(canary: Canary) -> Iterator[Metric]:
    """The canary's gauges, without values where nothing was tested or the result is out of date."""
    for name, meaning, value_of in (
        ("tutorwatch_canary_ok", "Whether the latest test change was recorded, and answered: 1 or 0", canary.is_ok),
        ("tutorwatch_canary_seconds", "How long the latest test change took, by what was tried", canary.seconds),
        ("tutorwatch_canary_age_seconds", "Time since the latest test change, by what was tried", canary.age_seconds),
    ):
        yield _labelled(name, meaning, ("part",), (((part.value,), value_of(part)) for part in Part))


def _of_recording(recording: Row[Any], condition: Condition) -> Metric:
    failing_checks = {problem.check for problem in condition.problems}
    parts = {
        "switch": recording.switch,
        "triggers": recording.triggers,
        "functions": recording.functions,
        "platform_schema": Check.PLATFORM not in failing_checks,
        "rows": Check.ROWS not in failing_checks,
    }
    return _labelled(
        "tutorwatch_recording_ok",
        "Whether changes of the platform's clients are recorded, by what recording takes: 1 or 0",
        ("check",),
        (((name,), is_ok) for name, is_ok in parts.items()),
    )


def _of_changes(state: Row[Any]) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "tutorwatch_changes_recorded", "Changes that the triggers recorded in the outbox", state.recorded
    )
    yield CounterMetricFamily(
        "tutorwatch_changes_unrecorded",
        "Changes that the triggers could not record, each time made up for by re-evaluating all tutors",
        state.unrecorded,
    )
    yield _gauge(
        "tutorwatch_oldest_change_seconds", "Age of the oldest change that waits in the outbox", state.oldest_seconds
    )
    yield _gauge(
        "tutorwatch_sweep_age_seconds", "Time since the latest sweep re-evaluated all tutors", state.sweep_seconds
    )
    yield _gauge(
        "tutorwatch_outbox_dead_rows",
        "Dead rows of the outbox that vacuum has not removed, as the server's statistics estimate them",
        state.dead_rows,
    )


def info(version: str) -> Metric:
    """The program's version, as a label."""
    return _labelled("tutorwatch_info", "Version of the program, as a label; always 1", ("version",), [((version,), 1)])


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
