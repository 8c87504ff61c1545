"""The sessions behind an alert or an insight, read only for those that hold."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    String,
    bindparam,
    func,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import audio, sessions
from rules.consumed import consumed, is_consumed
from rules.registry import ALERT_RULES, INSIGHT_RULES
from rules.rule import AlertRule, Average, Count, InsightRule, Kind, Share, Statistic
from rules.sources import (
    Batch,
    Columns,
    completed_by_each,
    completed_of_the_batch,
    converted,
    counts,
    latest_first,
    missed_by_the_batch,
    of_metrics,
    parameters,
    recent_of_each,
    start_of,
    with_metrics,
)
from rules.thresholds import WINDOW_DAYS, Thresholds

SAMPLE_SIZE = 3
"""How many sessions an insight shows (specification, "Insights")."""

SessionsByRule = Mapping[tuple[str, str], list[UUID]]
"""The sessions behind what holds, latest first, by tutor id and the rule's name."""


async def load_alert_sessions(
    conn: AsyncConnection, holding: Iterable[tuple[str, str]], now: datetime, thresholds: Thresholds
) -> SessionsByRule:
    """All sessions that are evidence, for each tutor id and alert type."""
    return await _load(conn, alert_sessions_query, list(holding), ALERT_RULES, now, thresholds)


async def load_insight_samples(
    conn: AsyncConnection, holding: Iterable[tuple[str, str]], now: datetime, thresholds: Thresholds
) -> SessionsByRule:
    """The latest three sessions that show it, for each tutor id and insight category."""
    return await _load(conn, insight_samples_query, list(holding), INSIGHT_RULES, now, thresholds)


async def _load(
    conn: AsyncConnection,
    query: Any,
    holding: list[tuple[str, str]],
    rules: Mapping[str, Any],
    now: datetime,
    thresholds: Thresholds,
) -> SessionsByRule:
    if not holding:
        return {}
    tutors: dict[str, list[str]] = {name: [] for name in rules}
    for tutor_id, name in holding:
        tutors[name].append(tutor_id)
    batch = sorted({tutor_id for tutor_id, _ in holding})
    values = parameters(batch, now, thresholds) | {f"tutors_{name}": ids for name, ids in tutors.items()}
    rows = await conn.execute(query(thresholds.differing(batch)), values)
    return {(row.tutor_id, row.rule): row.session_ids for row in rows}


@cache
def alert_sessions_query(differing: frozenset[str] = frozenset()) -> CompoundSelect[Any]:
    """For each alert type, the sessions behind it of each tutor in the parameter `tutors_<type>`."""
    completed = completed_of_the_batch(Kind.COMPLETED, Kind.RECENT, Kind.FIRST, Kind.SCORED, name="held")
    missed = select(sessions.c.id, sessions.c.tutor_id).where(*missed_by_the_batch()).subquery("missed_sessions")
    used, batch = consumed(select(*completed.c).cte("held"), missed), Batch(differing)
    return union_all(*(_evidence(rule, batch, used) for rule in ALERT_RULES.values()))


def _evidence(rule: AlertRule, batch: Batch, used: CTE) -> Select[Any]:
    tutors = _tutors(rule.name)
    rows, session, conditions = _source(rule.evidence, tutors, f"of_{rule.name}")
    conditions += counts(rule.evidence, session, batch)
    match rule.evidence:
        case Average(of=metric) | Share(among=metric) if metric:
            conditions.append(getattr(session, metric).is_not(None))
    if not isinstance(rule.evidence, Count):
        conditions.append(~is_consumed(rule.name, session, among=used))
    return (
        _sessions_of(rule.name, tutors, session)
        .select_from(batch.joined(tutors.join(rows, true()), tutors.c.tutor_id))
        .where(*conditions)
        .group_by(tutors.c.tutor_id)
    )


def _source(
    statistic: Statistic[Any], tutors: FromClause, name: str
) -> tuple[FromClause, Columns, list[ColumnElement[bool]]]:
    """The source's rows, of each of the tutors; its columns; and the conditions that make it this source."""
    start, kind = start_of(statistic.window), statistic.source.kind
    if kind is Kind.MISSED:
        of_tutor = sessions.c.tutor_id == tutors.c.tutor_id
        return sessions, Columns(sessions, at=sessions.c.scheduled_start), [of_tutor]
    if kind is Kind.RECENT:
        metric = audio.c[statistic.source.metric]
        ten = recent_of_each(metric, of=tutors, name=f"recent_{name}")
        return ten, Columns(ten, tutor_id=tutors.c.tutor_id, **{metric.name: ten.c.metric}), []
    held = completed_by_each(start, tutors, name=f"completed_{name}")
    if kind is Kind.COMPLETED:
        return with_metrics(held), of_metrics(held), []
    first = [held.c.session_number == 1] if kind is Kind.FIRST else []
    return held, Columns(held, converted=converted(held)), first


@cache
def insight_samples_query(differing: frozenset[str] = frozenset()) -> CompoundSelect[Any]:
    """For each category, the latest sessions that show it of each tutor in the parameter `tutors_<category>`."""
    batch = Batch(differing)
    return union_all(*(_latest_sessions(rule, batch) for rule in INSIGHT_RULES.values()))


def _latest_sessions(rule: InsightRule, batch: Batch) -> Select[Any]:
    tutors = _tutors(rule.name)
    held = completed_by_each(start_of(WINDOW_DAYS), tutors, name="session")
    session = of_metrics(held)
    latest = (
        select(held.c.id, held.c.at)
        .select_from(batch.joined(with_metrics(held), tutors.c.tutor_id))
        .where(rule.shows(session, batch))
        .order_by(*latest_first(held))
        .limit(SAMPLE_SIZE)
        .correlate(tutors)
        .lateral(f"showing_{rule.name}")
    )
    return (
        _sessions_of(rule.name, tutors, Columns(latest))
        .select_from(tutors.join(latest, true()))
        .group_by(tutors.c.tutor_id)
    )


def _tutors(name: str) -> FromClause:
    ids = func.unnest(bindparam(f"tutors_{name}", type_=ARRAY(String)))
    return ids.table_valued("tutor_id", name=f"tutors_of_{name}").render_derived()


def _sessions_of(name: str, tutors: FromClause, session: Columns) -> Select[Any]:
    ids = func.array_agg(aggregate_order_by(session.id, session.at.desc(), session.id.desc()))
    return select(literal_column(f"'{name}'", String).label("rule"), tutors.c.tutor_id, ids.label("session_ids"))
