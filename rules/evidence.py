"""Which sessions are behind a finding: read for what was found only, so it costs nothing for the others."""

from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from functools import cache, partial
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
    and_,
    bindparam,
    func,
    literal_column,
    not_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import audio, sessions, video
from rules.decisions.alerts import AlertType
from rules.decisions.insights import InsightCategory
from rules.sessions import (
    by_tutor_no_show,
    by_tutor_rescheduled,
    completed_by_each,
    consumed,
    converted,
    engagement,
    held_by_the_batch,
    is_consumed,
    latest_first,
    limit,
    missed_by_the_batch,
    parameters,
    poor_first_session,
    questions_asked,
    recent,
    start_of,
)
from rules.settings import Thresholds

SAMPLE_SIZE = 3
"""How many sessions an insight shows (specification, "Insights")."""

SessionsByFinding = dict[tuple[str, str], list[UUID]]
"""The sessions behind each finding, latest first, by tutor id and alert type or insight category."""


async def load_alert_sessions(
    conn: AsyncConnection, found: Iterable[tuple[str, AlertType]], now: datetime, limits: Thresholds
) -> SessionsByFinding:
    """All sessions that count for each alert found."""
    return await _load(conn, alert_sessions_query(), list(found), AlertType, now, limits)


async def load_insight_samples(
    conn: AsyncConnection, found: Iterable[tuple[str, InsightCategory]], now: datetime, limits: Thresholds
) -> SessionsByFinding:
    """The latest three sessions that show each insight found."""
    return await _load(conn, insight_samples_query(), list(found), InsightCategory, now, limits)


async def _load(
    conn: AsyncConnection,
    query: CompoundSelect[Any],
    found: list[tuple[str, Any]],
    rules: type[StrEnum],
    now: datetime,
    limits: Thresholds,
) -> SessionsByFinding:
    if not found:
        return {}
    tutors: dict[str, list[str]] = {rule.value: [] for rule in rules}
    for tutor_id, rule in found:
        tutors[rule.value].append(tutor_id)
    values = parameters(sorted({tutor_id for tutor_id, _ in found}), now, limits)
    rows = await conn.execute(query, values | {f"tutors_{rule}": ids for rule, ids in tutors.items()})
    return {(row.tutor_id, row.rule): row.session_ids for row in rows}


@cache
def alert_sessions_query() -> CompoundSelect[Any]:
    """For each alert type, the sessions behind it of each tutor in the parameter `tutors_<type>`."""
    used = consumed(held_by_the_batch(), missed_by_the_batch().subquery("missed_sessions"))
    return union_all(
        _completed_sessions(AlertType.POOR_FIRST_SESSION, "poor_first_session", poor_first_session),
        _missed_sessions(AlertType.NO_SHOW_PATTERN, by_tutor_no_show()),
        _missed_sessions(AlertType.HIGH_RESCHEDULE_RATE, by_tutor_rescheduled()),
        _recent_sessions(AlertType.HIGH_TALK_RATIO, audio.c.tutor_talk_ratio, used),
        _recent_sessions(AlertType.LOW_UNDERSTANDING_CHECKS, audio.c.tutor_checks_understanding_count, used),
        _completed_sessions(AlertType.DECLINING_PERFORMANCE, "declining", partial(_scored_and_not_consumed, used)),
    )


def _scored_and_not_consumed(used: CTE, session: FromClause) -> ColumnElement[bool]:
    is_used = is_consumed(
        AlertType.DECLINING_PERFORMANCE,
        among=used,
        tutor_id=session.c.tutor_id,
        session_id=session.c.id,
        at=session.c.at,
    )
    return and_(session.c.overall_session_score.is_not(None), ~is_used)


def _shows(session: FromClause) -> dict[InsightCategory, ColumnElement[bool]]:
    """What a session that shows the insight looks like, of completed ones with their metrics."""
    talk = audio.c.tutor_talk_ratio
    checks = audio.c.tutor_checks_understanding_count
    return {
        InsightCategory.HIGH_ENGAGEMENT: engagement() > limit("insight_high_engagement_above"),
        InsightCategory.BALANCED_TALK_RATIO: talk.between(
            limit("insight_balanced_talk_from"), limit("insight_balanced_talk_to")
        ),
        InsightCategory.FREQUENT_UNDERSTANDING_CHECKS: checks > limit("insight_frequent_checks_above"),
        InsightCategory.STRONG_QUESTIONING: audio.c.open_ended_questions
        > limit("insight_open_questions_share") * questions_asked(),
        InsightCategory.HIGH_VISUAL_AIDS: video.c.tutor_uses_visual_aids,
        InsightCategory.POSITIVE_REINFORCEMENT: audio.c.tutor_positive_reinforcement_count
        > limit("insight_reinforcement_above"),
        InsightCategory.FIRST_SESSION_EXPERT: and_(session.c.session_number == 1, converted(session)),
        InsightCategory.LOW_ENGAGEMENT: engagement() < limit("insight_low_engagement_below"),
        InsightCategory.HIGH_TALK_RATIO: talk > limit("insight_high_talk_above"),
        InsightCategory.INFREQUENT_UNDERSTANDING_CHECKS: checks < limit("insight_infrequent_checks_below"),
        InsightCategory.LOW_VISUAL_AIDS: not_(video.c.tutor_uses_visual_aids),
    }


@cache
def insight_samples_query() -> CompoundSelect[Any]:
    """For each category, the latest sessions that show it of each tutor in the parameter `tutors_<category>`."""
    return union_all(*map(_latest_sessions, InsightCategory))


def _completed_sessions(
    alert_type: AlertType, window: str, condition: Callable[[FromClause], ColumnElement[bool]]
) -> Select[Any]:
    tutors = _tutors(alert_type)
    session = completed_by_each(start_of(window), tutors, name=f"completed_{alert_type.value}")
    return (
        select(*_finding(alert_type, tutors, session.c.id, session.c.at))
        .select_from(tutors.join(session, true()))
        .where(condition(session))
        .group_by(tutors.c.tutor_id)
    )


def _missed_sessions(alert_type: AlertType, condition: ColumnElement[bool]) -> Select[Any]:
    tutors = _tutors(alert_type)
    return (
        select(*_finding(alert_type, tutors, sessions.c.id, sessions.c.scheduled_start))
        .select_from(tutors.join(sessions, sessions.c.tutor_id == tutors.c.tutor_id))
        .where(condition)
        .group_by(tutors.c.tutor_id)
    )


def _recent_sessions(alert_type: AlertType, metric: ColumnElement[Any], used: CTE) -> Select[Any]:
    tutors = _tutors(alert_type)
    ten = recent(metric, of=tutors, name=f"recent_{alert_type}")
    is_used = is_consumed(alert_type, among=used, tutor_id=tutors.c.tutor_id, session_id=ten.c.id, at=ten.c.at)
    return (
        select(*_finding(alert_type, tutors, ten.c.id, ten.c.at))
        .select_from(tutors.join(ten, true()))
        .where(~is_used)
        .group_by(tutors.c.tutor_id)
    )


def _latest_sessions(category: InsightCategory) -> Select[Any]:
    tutors = _tutors(category)
    session = completed_by_each(start_of("window"), tutors, name="session")
    latest = (
        select(session.c.id, session.c.at)
        .select_from(
            session.outerjoin(audio, audio.c.session_id == session.c.id).outerjoin(
                video, video.c.session_id == session.c.id
            )
        )
        .where(_shows(session)[category])
        .order_by(*latest_first(session))
        .limit(SAMPLE_SIZE)
        .correlate(tutors)
        .lateral(f"showing_{category}")
    )
    return (
        select(*_finding(category, tutors, latest.c.id, latest.c.at))
        .select_from(tutors.join(latest, true()))
        .group_by(tutors.c.tutor_id)
    )


def _tutors(rule: StrEnum) -> FromClause:
    ids = func.unnest(bindparam(f"tutors_{rule.value}", type_=ARRAY(String)))
    return ids.table_valued("tutor_id", name=f"tutors_of_{rule.value}").render_derived()


def _finding(
    rule: StrEnum, tutors: FromClause, session_id: ColumnElement[UUID], at: ColumnElement[datetime]
) -> tuple[ColumnElement[Any], ...]:
    ids = func.array_agg(aggregate_order_by(session_id, at.desc(), session_id.desc()))
    return (
        literal_column(f"'{rule.value}'", String).label("rule"),
        tutors.c.tutor_id,
        ids.label("session_ids"),
    )
