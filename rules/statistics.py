"""The statistics query: everything that the rules measure, for a batch of tutors, in one statement.

Numbers only, no lists of sessions: which sessions are behind an alert or an insight is read afterwards, and only for
those that hold (`rules.evidence`).
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    FromClause,
    Integer,
    Row,
    Select,
    Subquery,
    Table,
    Uuid,
    any_,
    bindparam,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import audio, sessions, video
from rules.consumed import alert_counts, consumed, is_consumed, newly_ended
from rules.measures import Counted, Ratio
from rules.registry import ALERT_RULES, STATISTICS
from rules.rule import (
    COMPLETED,
    FIRST_SESSIONS,
    MISSED,
    SCORED,
    Average,
    Count,
    Holding,
    Kind,
    Lowest,
    Quotient,
    Share,
    Source,
    Statistic,
    Statistics,
)
from rules.sources import (
    AUDIO,
    VIDEO,
    Batch,
    Columns,
    completed_of_the_batch,
    converted,
    counts,
    holds_in,
    latest_first,
    missed_by_the_batch,
    parameters,
    start_of,
)
from rules.thresholds import RECENT_SESSIONS, WINDOW_DAYS, Thresholds

_EVIDENCE = {rule.evidence.name: alert_type for alert_type, rule in ALERT_RULES.items()}
"""The alert types whose evidence a statistic is."""


async def load_statistics(
    conn: AsyncConnection, tutor_ids: Sequence[str], now: datetime, thresholds: Thresholds
) -> list[Statistics]:
    """Each tutor's statistics at `now`, in no particular order; zeros for a tutor without sessions."""
    query = statistics_query(thresholds.differing(tutor_ids))
    rows = await conn.execute(query, parameters(tutor_ids, now, thresholds))
    return [_to_statistics(row) for row in rows]


@cache
def statistics_query(differing: frozenset[str] = frozenset()) -> Select[Any]:
    """One row per tutor. Each part reads one source, through its index, in the windows of the rules about it.

    `differing` are the names of the thresholds that differ within the batch.
    """
    batch = Batch(differing)
    completed = completed_of_the_batch(Kind.COMPLETED, Kind.RECENT, Kind.FIRST, Kind.SCORED, name="held")
    held = select(*completed.c).cte("held")
    missed = select(sessions.c.id, sessions.c.tutor_id).where(*missed_by_the_batch()).subquery("missed_sessions")
    used, measured = consumed(held, missed), _measured(held)
    parts = [
        _part(batch, used, COMPLETED, measured, Columns(measured)),
        _part(
            batch,
            used,
            FIRST_SESSIONS,
            held,
            Columns(held, converted=converted(held)),
            held.c.session_number == 1,
        ),
        _scored(batch, used),
        _part(
            batch,
            used,
            MISSED,
            sessions,
            Columns(sessions, at=sessions.c.scheduled_start),
            *missed_by_the_batch(),
        ),
        *(_recent(batch, used, each, of=measured) for each in STATISTICS if each.source.kind is Kind.RECENT),
        alert_counts(),
        newly_ended(),
    ]
    joined: FromClause = batch.rows
    for part in parts:
        joined = joined.outerjoin(part, part.c.tutor_id == batch.rows.c.tutor_id)
    measures = [each for part in parts for each in part.c if each.name != "tutor_id"]
    return select(batch.rows.c.tutor_id, *measures).select_from(joined)


def _part(
    batch: Batch, used: CTE, source: Source, rows: FromClause, session: Columns, *conditions: ColumnElement[bool]
) -> CTE:
    """The statistics over one source, a row per tutor."""
    aggregates = [
        aggregate
        for statistic in STATISTICS
        if statistic.source == source
        for aggregate in _aggregates(statistic, session, batch, used)
    ]
    return (
        select(rows.c.tutor_id, *aggregates)
        .select_from(batch.joined(rows, rows.c.tutor_id))
        .where(*conditions)
        .group_by(rows.c.tutor_id)
    ).cte(f"{source.kind}_sessions")


def _aggregates(
    statistic: Statistic[Any], session: Columns, batch: Batch, used: CTE | None
) -> list[ColumnElement[Any]]:
    """The columns that are read for a statistic: one of its name, and others that begin with it.

    Without `used`, the consumed sessions have been left out already.
    """
    name, counted = statistic.name, counts(statistic, session, batch)
    unconsumed = counted
    if used is not None and name in _EVIDENCE:
        unconsumed = [*counted, ~is_consumed(_EVIDENCE[name], session, among=used)]
    total: Any
    number: Any
    match statistic:
        case Count():
            return [_count(counted).label(name), _count(unconsumed).label(f"{name}_unconsumed")]
        case Lowest(of=of):
            return [_over(func.min(getattr(session, of)), counted).label(name)]
        case Holding(metric=metric):
            return [_over(func.count(getattr(session, metric)), counted).label(name)]
        case Average(of=of):
            total, number = func.sum(getattr(session, of)), func.count(getattr(session, of))
        case Quotient(of=of, over=over):
            total, number = func.sum(getattr(session, of)), func.sum(getattr(session, over))
        case Share(where=where, among=among):
            part = _count([*unconsumed, holds_in(where, session, batch)])
            whole = func.count(getattr(session, among) if among else literal_column("*"))
            return [part.label(name), _over(whole, unconsumed).label(f"{name}_count")]
        case _:
            raise NotImplementedError(f"How to read a {type(statistic).__name__}?")
    return [_over(total, unconsumed).label(name), _over(number, unconsumed).label(f"{name}_count")]


def _over(aggregate: Any, conditions: list[ColumnElement[bool]]) -> ColumnElement[Any]:
    found: ColumnElement[Any] = aggregate.filter(*conditions) if conditions else aggregate
    return found


def _count(conditions: list[ColumnElement[bool]]) -> ColumnElement[int]:
    return _over(func.count(literal_column("*")), conditions)


def _scored(batch: Batch, used: CTE) -> CTE:
    session = completed_of_the_batch(Kind.SCORED, name="session", before=True)
    return _part(batch, used, SCORED, session, Columns(session))


def _measured(held: CTE) -> CTE:
    """The completed sessions of the window with the metrics that rules use, null where a session has none."""
    session = select(held.c.id, held.c.tutor_id, held.c.at).where(held.c.at >= start_of(WINDOW_DAYS)).cte("in_window")
    of_audio, of_video = _metrics_of(session, audio, AUDIO), _metrics_of(session, video, VIDEO)
    metrics = [column for each in (of_audio, of_video) for column in each.c if column.name != "session_id"]
    return (
        select(*session.c, *metrics)
        # FULL gives the same rows as LEFT here, but never by a nested loop, which the planner would choose because it
        # expects few rows of a list of keys.
        .select_from(
            session.outerjoin(of_audio, of_audio.c.session_id == session.c.id, full=True).outerjoin(
                of_video, of_video.c.session_id == session.c.id, full=True
            )
        )
    ).cte("measured")


def _metrics_of(session: CTE, table: Table, metrics: Columns) -> Subquery:
    """The sessions' metrics that rules use, found by a list of their keys.

    With a join, for some hundred tutors, the planner would read everybody's metrics of all times.
    """
    wanted = [getattr(metrics, name).label(name) for name in _metrics_used() if name in metrics]
    keys = func.array(select(session.c.id).scalar_subquery(), type_=ARRAY(Uuid))
    return select(table.c.session_id, *wanted).where(table.c.session_id == any_(keys)).subquery(table.name)


@cache
def _metrics_used() -> tuple[str, ...]:
    """The names of the metrics in the rules' conditions and statistics over completed sessions."""
    noting = _NotingColumns()
    for statistic in STATISTICS:
        if statistic.source.kind in (Kind.COMPLETED, Kind.RECENT):
            getattr(noting, statistic.source.metric or "at")
            _aggregates(statistic, noting, Batch(frozenset()), None)
    return tuple(sorted(noting.names - {"id", "tutor_id", "at"}))


class _NotingColumns(Columns):
    """Columns that note which of them a condition uses."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        return column(name)


def _recent(batch: Batch, used: CTE, statistic: Statistic[Any], *, of: CTE) -> CTE:
    """A statistic over each tutor's "recent ten": the same ten as `rules.sources.recent_of_each`."""
    metric = of.c[statistic.source.metric]
    position = func.row_number().over(partition_by=of.c.tutor_id, order_by=latest_first(of))
    numbered = (
        select(of.c.tutor_id, of.c.id, of.c.at, metric, position.label("position"))
        .where(metric.is_not(None))
        .subquery(f"{statistic.name}_sessions")
    )
    session = Columns(numbered)
    return (
        select(numbered.c.tutor_id, *_aggregates(statistic, session, batch, None))
        .select_from(batch.joined(numbered, numbered.c.tutor_id))
        .where(
            numbered.c.position <= bindparam(RECENT_SESSIONS.name, type_=Integer),
            ~is_consumed(_EVIDENCE[statistic.name], session, among=used),
        )
        .group_by(numbered.c.tutor_id)
    ).cte(f"{statistic.name}_of_recent")


def _to_statistics(row: Row[Any]) -> Statistics:
    values = {each.name: _value(each, row) for each in STATISTICS}
    return Statistics(row.tutor_id, values, row.resolved_alerts or 0, row.open_alerts or 0, row.ended_alerts or 0)


def _value(statistic: Statistic[Any], row: Row[Any]) -> Any:
    value = getattr(row, statistic.name)
    match statistic:
        case Count():
            return Counted(value or 0, getattr(row, f"{statistic.name}_unconsumed") or 0)
        case Average() | Share() | Quotient():
            return Ratio(Decimal(value or 0), getattr(row, f"{statistic.name}_count") or 0)
        case Holding():
            return value or 0
    return value
