"""The statistics query: every figure the rules need, for a batch of tutors, in one statement.

Figures only, no lists of sessions: which sessions are behind a finding is read afterwards, and only for
what was found (`rules.evidence`).
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
    and_,
    any_,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import audio, sessions, video
from rules.decisions.alerts import AlertType
from rules.decisions.statistics import Counted, Ratio, TutorStatistics
from rules.sessions import (
    TUTOR_IDS,
    alert_counts,
    by_tutor_no_show,
    by_tutor_rescheduled,
    completed_since,
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
    start_of,
    status,
)
from rules.settings import Thresholds


async def load_statistics(
    conn: AsyncConnection, tutor_ids: Sequence[str], now: datetime, limits: Thresholds
) -> list[TutorStatistics]:
    """Each tutor's figures at `now`, in no particular order; zeros for a tutor without sessions."""
    rows = await conn.execute(statistics_query(), parameters(tutor_ids, now, limits))
    return [_to_statistics(row) for row in rows]


@cache
def statistics_query() -> Select[Any]:
    """One row per tutor. Each part reads one kind of session in its window, through its index."""
    batch = select(func.unnest(TUTOR_IDS).label("tutor_id")).cte("batch")
    held = held_by_the_batch()
    measured, used = _measured(held), consumed(held, missed_by_the_batch().subquery("missed_sessions"))
    parts = [_metrics(measured), _first_sessions(held, used), _scores(used), _missed(used)]
    parts += [_recent_talk(measured, used), _recent_checks(measured, used), alert_counts()]
    joined: FromClause = batch
    for part in parts:
        joined = joined.outerjoin(part, part.c.tutor_id == batch.c.tutor_id)
    figures = [column for part in parts for column in part.c if column.name != "tutor_id"]
    return select(batch.c.tutor_id, *figures).select_from(joined)


def _measured(held: CTE) -> CTE:
    """The completed sessions of the window with their metrics, null where a session has none."""
    session = select(held.c.id, held.c.tutor_id, held.c.at).where(held.c.at >= start_of("window")).cte("in_window")
    heard = _metrics_of(
        session,
        audio,
        "tutor_talk_ratio",
        "student_engagement_score",
        "tutor_checks_understanding_count",
        "tutor_positive_reinforcement_count",
        "open_ended_questions",
        "closed_ended_questions",
    )
    seen = _metrics_of(session, video, "tutor_uses_visual_aids")
    return (
        select(
            session.c.id,
            session.c.tutor_id,
            session.c.at,
            heard.c.tutor_talk_ratio,
            engagement(heard).label("engagement"),
            heard.c.tutor_checks_understanding_count,
            heard.c.tutor_positive_reinforcement_count,
            heard.c.open_ended_questions,
            questions_asked(heard).label("questions"),
            heard.c.session_id.label("audio_id"),
            seen.c.tutor_uses_visual_aids,
            seen.c.session_id.label("video_id"),
        )
        # In full, which is the same here, but never by comparing each with each: of a list the server expects ten rows.
        .select_from(
            session.outerjoin(heard, heard.c.session_id == session.c.id, full=True).outerjoin(
                seen, seen.c.session_id == session.c.id, full=True
            )
        )
    ).cte("measured")


def _metrics(measured: CTE) -> CTE:
    talk = measured.c.tutor_talk_ratio
    is_balanced = talk.between(limit("insight_balanced_talk_from"), limit("insight_balanced_talk_to"))
    return (
        select(
            measured.c.tutor_id,
            func.sum(measured.c.engagement).label("engagement"),
            func.count(measured.c.engagement).label("engagement_count"),
            _count_where(is_balanced).label("balanced_talk"),
            _count_where(talk > limit("insight_high_talk_above")).label("high_talk"),
            func.count(talk).label("talk_count"),
            func.sum(measured.c.tutor_checks_understanding_count).label("checks"),
            func.sum(measured.c.tutor_positive_reinforcement_count).label("reinforcement"),
            func.sum(measured.c.open_ended_questions).label("open_questions"),
            func.sum(measured.c.questions).label("questions"),
            func.count(measured.c.audio_id).label("audio_count"),
            _count_where(measured.c.tutor_uses_visual_aids).label("visual_aids"),
            func.count(measured.c.video_id).label("video_count"),
        ).group_by(measured.c.tutor_id)
    ).cte("metrics")


def _metrics_of(session: CTE, metrics: Table, *columns: str) -> Subquery:
    """These columns of the sessions' metrics, found by a list of their keys.

    For some hundred tutors the planner would rather read everybody's metrics, of all times, and join them.
    """
    keys = func.array(select(session.c.id).scalar_subquery(), type_=ARRAY(Uuid))
    wanted = [metrics.c.session_id, *(metrics.c[column] for column in columns)]
    return select(*wanted).where(metrics.c.session_id == any_(keys)).subquery(metrics.name)


def _first_sessions(held: CTE, used: CTE) -> CTE:
    poor, in_window = poor_first_session(held), held.c.at >= start_of("window")
    is_used = is_consumed(
        AlertType.POOR_FIRST_SESSION, among=used, tutor_id=held.c.tutor_id, session_id=held.c.id, at=held.c.at
    )
    return (
        select(
            held.c.tutor_id,
            _count_where(in_window).label("first_sessions"),
            _count_where(and_(in_window, converted(held))).label("conversions"),
            _count_where(poor).label("poor_first_sessions"),
            _count_where(and_(poor, ~is_used)).label("unconsumed_poor_first_sessions"),
            func.min(held.c.overall_session_score).filter(poor).label("lowest_first_session_score"),
        )
        .where(held.c.session_number == 1)
        .group_by(held.c.tutor_id)
    ).cte("first_sessions")


def _scores(used: CTE) -> CTE:
    session = completed_since(start_of("declining_earlier"), _of_the_batch())
    score, is_recent = session.c.overall_session_score, session.c.at >= start_of("declining")
    is_used = is_consumed(
        AlertType.DECLINING_PERFORMANCE,
        among=used,
        tutor_id=session.c.tutor_id,
        session_id=session.c.id,
        at=session.c.at,
    )
    new = and_(is_recent, ~is_used)
    return (
        select(
            session.c.tutor_id,
            func.sum(score).filter(new).label("recent_score"),
            func.count(score).filter(new).label("recent_score_count"),
            func.sum(score).filter(~is_recent).label("earlier_score"),
            func.count(score).filter(~is_recent).label("earlier_score_count"),
        ).group_by(session.c.tutor_id)
    ).cte("scores")


def _missed(used: CTE) -> CTE:
    at = sessions.c.scheduled_start
    no_show, rescheduled = by_tutor_no_show(), by_tutor_rescheduled()
    return (
        select(
            sessions.c.tutor_id,
            _count_where(no_show).label("no_shows"),
            _count_where(and_(no_show, ~_is_consumed(AlertType.NO_SHOW_PATTERN, used))).label("unconsumed_no_shows"),
            _count_where(rescheduled).label("reschedules"),
            _count_where(and_(rescheduled, ~_is_consumed(AlertType.HIGH_RESCHEDULE_RATE, used))).label(
                "unconsumed_reschedules"
            ),
        )
        .where(
            _of_the_batch(),
            sessions.c.status.in_([status("no_show_tutor"), status("rescheduled")]),
            at >= func.least(start_of("no_show"), start_of("reschedule")),
        )
        .group_by(sessions.c.tutor_id)
    ).cte("missed")


def _recent_talk(measured: CTE, used: CTE) -> CTE:
    ten = _recent(measured.c.tutor_talk_ratio, of=measured, name="recent_talk_ratios")
    is_used = is_consumed(
        AlertType.HIGH_TALK_RATIO, among=used, tutor_id=ten.c.tutor_id, session_id=ten.c.id, at=ten.c.at
    )
    return (
        select(
            ten.c.tutor_id,
            _count_where(ten.c.metric > limit("high_talk_ratio_above")).label("recent_high_talk"),
            func.count().label("recent_talk_count"),
        )
        .where(_is_recent(ten), ~is_used)
        .group_by(ten.c.tutor_id)
    ).cte("recent_talk")


def _recent_checks(measured: CTE, used: CTE) -> CTE:
    ten = _recent(measured.c.tutor_checks_understanding_count, of=measured, name="recent_understanding_checks")
    is_used = is_consumed(
        AlertType.LOW_UNDERSTANDING_CHECKS, among=used, tutor_id=ten.c.tutor_id, session_id=ten.c.id, at=ten.c.at
    )
    return (
        select(
            ten.c.tutor_id,
            func.sum(ten.c.metric).label("recent_checks"),
            func.count().label("recent_checks_count"),
        )
        .where(_is_recent(ten), ~is_used)
        .group_by(ten.c.tutor_id)
    ).cte("recent_checks")


def _recent(metric: ColumnElement[Any], *, of: CTE, name: str) -> Subquery:
    """Each tutor's sessions that have the metric, numbered from the latest: the same ten as `rules.sessions.recent`."""
    place = func.row_number().over(partition_by=of.c.tutor_id, order_by=latest_first(of))
    return (
        select(of.c.tutor_id, of.c.id, of.c.at, metric.label("metric"), place.label("place"))
        .where(metric.is_not(None))
        .subquery(name)
    )


def _is_recent(numbered: Subquery) -> ColumnElement[bool]:
    return numbered.c.place <= bindparam("recent_sessions", type_=Integer)


def _of_the_batch() -> ColumnElement[bool]:
    return sessions.c.tutor_id == any_(TUTOR_IDS)


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(literal_column("*")).filter(condition)


def _is_consumed(alert_type: AlertType, used: CTE) -> ColumnElement[bool]:
    """Of a missed session."""
    return is_consumed(
        alert_type, among=used, tutor_id=sessions.c.tutor_id, session_id=sessions.c.id, at=sessions.c.scheduled_start
    )


def _to_statistics(row: Row[Any]) -> TutorStatistics:
    return TutorStatistics(
        tutor_id=row.tutor_id,
        poor_first_sessions=Counted(row.poor_first_sessions or 0, row.unconsumed_poor_first_sessions or 0),
        lowest_first_session_score=row.lowest_first_session_score,
        no_shows=Counted(row.no_shows or 0, row.unconsumed_no_shows or 0),
        reschedules=Counted(row.reschedules or 0, row.unconsumed_reschedules or 0),
        recent_high_talk=_ratio(row.recent_high_talk, row.recent_talk_count),
        recent_checks=_ratio(row.recent_checks, row.recent_checks_count),
        recent_score=_ratio(row.recent_score, row.recent_score_count),
        earlier_score=_ratio(row.earlier_score, row.earlier_score_count),
        engagement=_ratio(row.engagement, row.engagement_count),
        balanced_talk=_ratio(row.balanced_talk, row.talk_count),
        high_talk=_ratio(row.high_talk, row.talk_count),
        checks=_ratio(row.checks, row.audio_count),
        open_questions=_ratio(row.open_questions, row.questions),
        questioned_sessions=row.audio_count or 0,
        visual_aids=_ratio(row.visual_aids, row.video_count),
        reinforcement=_ratio(row.reinforcement, row.audio_count),
        conversions=_ratio(row.conversions, row.first_sessions),
        resolved_alerts=row.resolved_alerts or 0,
        open_alerts=row.open_alerts or 0,
    )


def _ratio(total: Decimal | int | None, count: int | None) -> Ratio:
    return Ratio(Decimal(total or 0), count or 0)
