"""What "a session counts" means in SQL: dates, windows, and what resolved alerts have counted.

The parameters of the queries built on it come from `parameters`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    BindParameter,
    ColumnElement,
    Integer,
    Numeric,
    String,
    and_,
    any_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.sql.expression import FromClause
from sqlalchemy.sql.selectable import LateralFromClause

from database.tables import (
    ALERT_TYPE,
    SESSION_STATUS,
    NaiveUtc,
    alert_evidence,
    alerts,
    audio,
    sessions,
    video,
)
from rules.decisions.alerts import OUR_ALERT_TYPES, AlertType
from rules.life import is_its_evidence
from rules.settings import Thresholds

TUTOR_IDS: BindParameter[Sequence[str]] = bindparam("tutor_ids", type_=ARRAY(String))


def status(label: str) -> ColumnElement[str]:
    """A status as a literal: the planner matches partial indexes with literals only."""
    return literal_column(f"'{label}'", SESSION_STATUS)


def parameters(tutor_ids: Sequence[str], now: datetime, limits: Thresholds) -> dict[str, Any]:
    """The tutors, where each window starts, and every threshold under its setting's name."""
    starts = {
        "window_start": limits.window_days,
        "poor_first_session_start": limits.poor_first_session_days,
        "no_show_start": limits.no_show_pattern_days,
        "reschedule_start": limits.high_reschedule_days,
        "declining_start": limits.declining_days,
        "declining_earlier_start": 2 * limits.declining_days,
    }
    # In UTC a day has 24 hours. A connection's zone may be another one: PGTZ in the surroundings overrules ours.
    windows = {name: now.astimezone(UTC) - timedelta(days=days) for name, days in starts.items()}
    return {"tutor_ids": list(tutor_ids)} | windows | limits.model_dump()


def start_of(window: str) -> BindParameter[datetime]:
    """A window's start, which belongs to the window."""
    return bindparam(f"{window}_start", type_=NaiveUtc)


def limit(setting: str) -> BindParameter[Decimal]:
    """A threshold, by its setting's name."""
    return bindparam(setting, type_=Numeric)


def dated(session: FromClause) -> ColumnElement[datetime]:
    """When a completed session took place; clients may leave `completed_at` out."""
    return func.coalesce(session.c.completed_at, session.c.scheduled_start, type_=NaiveUtc)


def completed_in(window: str) -> ColumnElement[bool]:
    """Completed, and dated in the window. A date after now counts: clients date loosely."""
    return and_(sessions.c.status == status("completed"), dated(sessions) >= start_of(window))


def by_tutor_no_show() -> ColumnElement[bool]:
    """A session that the tutor didn't come to, in its window."""
    return and_(sessions.c.status == status("no_show_tutor"), sessions.c.scheduled_start >= start_of("no_show"))


def by_tutor_rescheduled() -> ColumnElement[bool]:
    """A session that the tutor rescheduled, in its window."""
    return and_(
        sessions.c.status == status("rescheduled"),
        sessions.c.rescheduled_by == "tutor",
        sessions.c.scheduled_start >= start_of("reschedule"),
    )


def poor_first_session() -> ColumnElement[bool]:
    """A first session with a student that went badly, in its window."""
    return and_(
        sessions.c.session_number == 1,
        sessions.c.overall_session_score < limit("poor_first_session_below"),
        completed_in("poor_first_session"),
    )


def engagement(heard: FromClause = audio) -> ColumnElement[Decimal]:
    """The engagement score; the platform's column has no check and may hold NaN, which is no score."""
    return func.nullif(heard.c.student_engagement_score, literal_column("'NaN'", Numeric), type_=Numeric)


def questions_asked(heard: FromClause = audio) -> ColumnElement[int]:
    """Open and closed questions together; as bigint, because two integers of a client's may not add up to one."""
    return cast(heard.c.open_ended_questions, BigInteger) + heard.c.closed_ended_questions


def converted() -> ColumnElement[bool]:
    """Whether the session's student has a later session with the same tutor that isn't cancelled."""
    later = sessions.alias("later")
    return exists().where(
        later.c.tutor_id == sessions.c.tutor_id,
        later.c.student_id == sessions.c.student_id,
        later.c.session_number > literal_column("1"),
        later.c.status != status("cancelled"),
    )


def recent(metric: ColumnElement[Any], *, of: FromClause, name: str) -> LateralFromClause:
    """The latest ten sessions of each tutor in `of` that have the audio metric: `id`, `at` (date) and `metric`."""
    # OFFSET 0 keeps the limit out: with it, the planner may walk through everybody's sessions by their date and hope to
    # meet ten of the tutor's soon; where there are none, that reads them all, for each tutor.
    latest = (
        select(sessions.c.id, dated(sessions).label("at"))
        .where(sessions.c.tutor_id == of.c.tutor_id, completed_in("window"))
        .order_by(*latest_first())
        .offset(literal_column("0"))
        .correlate(of)
        .subquery("latest")
    )
    return (
        select(latest.c.id, latest.c.at, metric.label("metric"))
        .select_from(latest.join(audio, audio.c.session_id == latest.c.id))
        .where(metric.is_not(None))
        .order_by(latest.c.at.desc(), latest.c.id.desc())
        .limit(bindparam("recent_sessions", type_=Integer))
        .lateral(name)
    )


def latest_first() -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """By date, latest first; the id settles ties, so that "the recent ten" are always the same ten."""
    return dated(sessions).desc(), sessions.c.id.desc()


def with_metrics() -> FromClause:
    """Sessions with their audio and video metrics, where they exist."""
    return sessions.outerjoin(audio, audio.c.session_id == sessions.c.id).outerjoin(
        video, video.c.session_id == sessions.c.id
    )


def is_counted(
    alert_type: AlertType,
    *,
    tutor_id: ColumnElement[str],
    session_id: ColumnElement[Any],
    at: ColumnElement[datetime],
) -> ColumnElement[bool]:
    """Whether a resolved alert of the tutor and type has counted the session, which is dated `at`."""
    label = literal_column(f"'{alert_type.value}'", ALERT_TYPE)
    counted, until = _counted_sessions(), _counted_until()
    return or_(
        exists().where(
            counted.c.tutor_id == tutor_id,
            counted.c.alert_type == label,
            counted.c.session_id == session_id,
        ),
        exists().where(until.c.tutor_id == tutor_id, until.c.alert_type == label, until.c.counted_until >= at),
    )


def alert_counts() -> CTE:
    """How many alerts of our types each tutor has, resolved ones and open ones."""
    return (
        select(
            alerts.c.tutor_id,
            func.count().filter(alerts.c.resolved).label("resolved_alerts"),
            func.count().filter(~alerts.c.resolved).label("open_alerts"),
        )
        .where(alerts.c.tutor_id == any_(TUTOR_IDS), alerts.c.alert_type.in_(OUR_ALERT_TYPES))
        .group_by(alerts.c.tutor_id)
    ).cte("alert_counts")


@cache
def _resolved() -> CTE:
    """Resolved alerts; one without stored evidence has counted all that was dated up to its resolution."""
    resolved_at = func.coalesce(alerts.c.resolved_at, alerts.c.triggered_date, type_=NaiveUtc)
    return (
        select(
            alerts.c.tutor_id,
            alerts.c.alert_type,
            alert_evidence.c.counted_session_ids,
            case((alert_evidence.c.alert_id.is_(None), resolved_at)).label("counted_until"),
        )
        .select_from(alerts.outerjoin(alert_evidence, is_its_evidence()))
        .where(alerts.c.tutor_id == any_(TUTOR_IDS), alerts.c.alert_type.in_(OUR_ALERT_TYPES), alerts.c.resolved)
    ).cte("resolved")


@cache
def _counted_sessions() -> CTE:
    resolved = _resolved()
    session_id = func.unnest(resolved.c.counted_session_ids).label("session_id")
    return select(resolved.c.tutor_id, resolved.c.alert_type, session_id).cte("counted_sessions")


@cache
def _counted_until() -> CTE:
    resolved = _resolved()
    return (
        select(
            resolved.c.tutor_id,
            resolved.c.alert_type,
            func.max(resolved.c.counted_until, type_=NaiveUtc).label("counted_until"),
        )
        .where(resolved.c.counted_until.is_not(None))
        .group_by(resolved.c.tutor_id, resolved.c.alert_type)
    ).cte("counted_until")
