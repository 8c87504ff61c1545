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
    Row,
    Select,
    Subquery,
    Table,
    Uuid,
    and_,
    any_,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import NaiveUtc, audio, sessions, video
from rules.decisions.alerts import AlertType
from rules.decisions.statistics import Counted, Ratio, TutorStatistics
from rules.sessions import (
    TUTOR_IDS,
    alert_counts,
    by_tutor_no_show,
    by_tutor_rescheduled,
    completed_since,
    converted,
    engagement,
    is_consumed,
    limit,
    parameters,
    poor_first_session,
    questions_asked,
    recent,
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
    parts = [_metrics(), _first_sessions(), _scores(), _missed(), _recent_talk(batch), _recent_checks(batch)]
    parts.append(alert_counts())
    joined: FromClause = batch
    for part in parts:
        joined = joined.outerjoin(part, part.c.tutor_id == batch.c.tutor_id)
    figures = [column for part in parts for column in part.c if column.name != "tutor_id"]
    return select(batch.c.tutor_id, *figures).select_from(joined)


def _metrics() -> CTE:
    completed = completed_since(start_of("window"), _of_the_batch())
    held = select(completed.c.id, completed.c.tutor_id).cte("held")
    heard = _metrics_of(
        held,
        audio,
        "tutor_talk_ratio",
        "student_engagement_score",
        "tutor_checks_understanding_count",
        "tutor_positive_reinforcement_count",
        "open_ended_questions",
        "closed_ended_questions",
    )
    seen = _metrics_of(held, video, "tutor_uses_visual_aids")
    talk, engaged = heard.c.tutor_talk_ratio, engagement(heard)
    return (
        select(
            held.c.tutor_id,
            func.sum(engaged).label("engagement"),
            func.count(engaged).label("engagement_count"),
            _count_where(talk.between(limit("insight_balanced_talk_from"), limit("insight_balanced_talk_to"))).label(
                "balanced_talk"
            ),
            _count_where(talk > limit("insight_high_talk_above")).label("high_talk"),
            func.count(talk).label("talk_count"),
            func.sum(heard.c.tutor_checks_understanding_count).label("checks"),
            func.sum(heard.c.tutor_positive_reinforcement_count).label("reinforcement"),
            func.sum(heard.c.open_ended_questions).label("open_questions"),
            func.sum(questions_asked(heard)).label("questions"),
            func.count(heard.c.session_id).label("audio_count"),
            _count_where(seen.c.tutor_uses_visual_aids).label("visual_aids"),
            func.count(seen.c.session_id).label("video_count"),
        )
        # In full, which is the same here, but never by comparing each with each: of a list the server expects ten rows.
        .select_from(
            held.outerjoin(heard, heard.c.session_id == held.c.id, full=True).outerjoin(
                seen, seen.c.session_id == held.c.id, full=True
            )
        )
        .group_by(held.c.tutor_id)
    ).cte("metrics")


def _metrics_of(held: CTE, metrics: Table, *columns: str) -> Subquery:
    """These columns of the sessions' metrics, found by a list of their keys.

    For some hundred tutors the planner would rather read everybody's metrics, of all times, and join them.
    """
    keys = func.array(select(held.c.id).scalar_subquery(), type_=ARRAY(Uuid))
    wanted = [metrics.c.session_id, *(metrics.c[column] for column in columns)]
    return select(*wanted).where(metrics.c.session_id == any_(keys)).subquery(metrics.name)


def _first_sessions() -> CTE:
    earliest = func.least(start_of("window"), start_of("poor_first_session"), type_=NaiveUtc)
    first = completed_since(earliest, _of_the_batch(), sessions.c.session_number == 1, name="first")
    poor, in_window = poor_first_session(first), first.c.at >= start_of("window")
    consumed = is_consumed(
        AlertType.POOR_FIRST_SESSION, tutor_id=first.c.tutor_id, session_id=first.c.id, at=first.c.at
    )
    return (
        select(
            first.c.tutor_id,
            _count_where(in_window).label("first_sessions"),
            _count_where(and_(in_window, converted(first))).label("conversions"),
            _count_where(poor).label("poor_first_sessions"),
            _count_where(and_(poor, ~consumed)).label("unconsumed_poor_first_sessions"),
            func.min(first.c.overall_session_score).filter(poor).label("lowest_first_session_score"),
        ).group_by(first.c.tutor_id)
    ).cte("first_sessions")


def _scores() -> CTE:
    session = completed_since(start_of("declining_earlier"), _of_the_batch())
    score, is_recent = session.c.overall_session_score, session.c.at >= start_of("declining")
    consumed = is_consumed(
        AlertType.DECLINING_PERFORMANCE, tutor_id=session.c.tutor_id, session_id=session.c.id, at=session.c.at
    )
    new = and_(is_recent, ~consumed)
    return (
        select(
            session.c.tutor_id,
            func.sum(score).filter(new).label("recent_score"),
            func.count(score).filter(new).label("recent_score_count"),
            func.sum(score).filter(~is_recent).label("earlier_score"),
            func.count(score).filter(~is_recent).label("earlier_score_count"),
        ).group_by(session.c.tutor_id)
    ).cte("scores")


def _missed() -> CTE:
    at = sessions.c.scheduled_start
    no_show, rescheduled = by_tutor_no_show(), by_tutor_rescheduled()
    return (
        select(
            sessions.c.tutor_id,
            _count_where(no_show).label("no_shows"),
            _count_where(and_(no_show, ~_is_consumed(AlertType.NO_SHOW_PATTERN))).label("unconsumed_no_shows"),
            _count_where(rescheduled).label("reschedules"),
            _count_where(and_(rescheduled, ~_is_consumed(AlertType.HIGH_RESCHEDULE_RATE))).label(
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


def _recent_talk(batch: CTE) -> CTE:
    ten = recent(audio.c.tutor_talk_ratio, of=batch, name="recent_talk_ratios")
    consumed = is_consumed(AlertType.HIGH_TALK_RATIO, tutor_id=batch.c.tutor_id, session_id=ten.c.id, at=ten.c.at)
    return (
        select(
            batch.c.tutor_id,
            _count_where(ten.c.metric > limit("high_talk_ratio_above")).label("recent_high_talk"),
            func.count().label("recent_talk_count"),
        )
        .select_from(batch.join(ten, true()))
        .where(~consumed)
        .group_by(batch.c.tutor_id)
    ).cte("recent_talk")


def _recent_checks(batch: CTE) -> CTE:
    ten = recent(
        audio.c.tutor_checks_understanding_count,
        of=batch,
        name="recent_understanding_checks",
    )
    consumed = is_consumed(
        AlertType.LOW_UNDERSTANDING_CHECKS, tutor_id=batch.c.tutor_id, session_id=ten.c.id, at=ten.c.at
    )
    return (
        select(
            batch.c.tutor_id,
            func.sum(ten.c.metric).label("recent_checks"),
            func.count().label("recent_checks_count"),
        )
        .select_from(batch.join(ten, true()))
        .where(~consumed)
        .group_by(batch.c.tutor_id)
    ).cte("recent_checks")


def _of_the_batch() -> ColumnElement[bool]:
    return sessions.c.tutor_id == any_(TUTOR_IDS)


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(literal_column("*")).filter(condition)


def _is_consumed(alert_type: AlertType) -> ColumnElement[bool]:
    """Of a missed session."""
    return is_consumed(
        alert_type, tutor_id=sessions.c.tutor_id, session_id=sessions.c.id, at=sessions.c.scheduled_start
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
