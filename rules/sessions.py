"""What "a session counts" means in SQL: dates, windows, and consumed evidence.

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
    Select,
    String,
    Subquery,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql.expression import FromClause
from sqlalchemy.sql.selectable import LateralFromClause

from database.column_types import NaiveUtc
from database.tables import SESSION_STATUS, alert_evidence, alerts, audio, consumed_sessions, sessions, video
from rules.decisions.alerts import OUR_ALERT_TYPES, AlertType
from rules.settings import Thresholds

TUTOR_IDS: BindParameter[Sequence[str]] = bindparam("tutor_ids", type_=ARRAY(String))


def status(label: str) -> ColumnElement[str]:
    """A status as a literal, which PostgreSQL reads as whatever type the column has."""
    return literal_column(f"'{label}'", SESSION_STATUS)


def is_of_ours() -> ColumnElement[bool]:
    """Whether an alert is of a type that Tutorwatch opens; as text, since the platform's enum may lack one of them."""
    return cast(alerts.c.alert_type, Text).in_([_literal(alert_type) for alert_type in OUR_ALERT_TYPES])


def _literal(alert_type: AlertType) -> ColumnElement[str]:
    return literal_column(f"'{alert_type.value}'", Text)


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


def completed_since(
    start: ColumnElement[datetime], *conditions: ColumnElement[bool], name: str = "session"
) -> Subquery:
    """Completed sessions dated at or after `start`, as `id`, `tutor_id`, `student_id`, `session_number`,
    `overall_session_score` and `at`, their date. A date after now counts: clients date loosely.

    `conditions` are over `sessions`. Two ranges of a plain index, since none holds the date itself.
    """
    by_own_date, by_schedule = _completed(start)
    return union_all(by_own_date.where(*conditions), by_schedule.where(*conditions)).subquery(name)


def completed_by_each(start: ColumnElement[datetime], of: FromClause, *, name: str) -> LateralFromClause:
    """The same of each tutor in `of`, latest first."""
    of_the_tutor = sessions.c.tutor_id == of.c.tutor_id
    by_own_date, by_schedule = _completed(start)
    each = union_all(
        by_own_date.where(of_the_tutor).correlate(of), by_schedule.where(of_the_tutor).correlate(of)
    ).lateral("each")
    # OFFSET 0 keeps a limit of the query around it out: with it, the planner may walk through everybody's sessions by
    # their date and hope to meet the tutor's soon; where there are none, that reads them all, for each tutor.
    in_order = select(*each.c).order_by(*latest_first(each)).offset(literal_column("0"))
    return in_order.correlate(of).lateral(name)


def _completed(start: ColumnElement[datetime]) -> tuple[Select[Any], Select[Any]]:
    """Completed sessions with a date of their own, and those that only have their schedule's."""
    completed_at, scheduled_start = sessions.c.completed_at, sessions.c.scheduled_start
    return (
        _dated(completed_at).where(completed_at >= start),
        _dated(scheduled_start).where(completed_at.is_(None), scheduled_start >= start),
    )


def _dated(at: ColumnElement[datetime]) -> Select[Any]:
    return select(
        sessions.c.id,
        sessions.c.tutor_id,
        sessions.c.student_id,
        sessions.c.session_number,
        sessions.c.overall_session_score,
        at.label("at"),
    ).where(sessions.c.status == status("completed"))


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


def poor_first_session(session: FromClause) -> ColumnElement[bool]:
    """A first session with a student that went badly, in its window; of those of `completed_since`."""
    return and_(
        session.c.session_number == 1,
        session.c.overall_session_score < limit("poor_first_session_below"),
        session.c.at >= start_of("poor_first_session"),
    )


def engagement(heard: FromClause = audio) -> ColumnElement[Decimal]:
    """The engagement score; the platform's column has no check and may hold NaN, which is no score."""
    return func.nullif(heard.c.student_engagement_score, literal_column("'NaN'", Numeric), type_=Numeric)


def questions_asked(heard: FromClause = audio) -> ColumnElement[int]:
    """Open and closed questions together; as bigint, because two integers of a client's may not add up to one."""
    return cast(heard.c.open_ended_questions, BigInteger) + heard.c.closed_ended_questions


def converted(session: FromClause) -> ColumnElement[bool]:
    """Whether the session's student has a later session with the same tutor that isn't cancelled."""
    later = sessions.alias("later")
    return exists().where(
        later.c.tutor_id == session.c.tutor_id,
        later.c.student_id == session.c.student_id,
        later.c.session_number > literal_column("1"),
        later.c.status != status("cancelled"),
    )


def recent(metric: ColumnElement[Any], *, of: FromClause, name: str) -> LateralFromClause:
    """The latest ten sessions of each tutor in `of` that have the audio metric: `id`, `at` (date) and `metric`."""
    latest = completed_by_each(start_of("window"), of, name="latest")
    return (
        select(latest.c.id, latest.c.at, metric.label("metric"))
        .select_from(latest.join(audio, audio.c.session_id == latest.c.id))
        .where(metric.is_not(None))
        .order_by(*latest_first(latest))
        .limit(bindparam("recent_sessions", type_=Integer))
        .correlate(of)
        .lateral(name)
    )


def latest_first(session: FromClause) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """By date, latest first; the id settles ties, so that "the recent ten" are always the same ten."""
    return session.c.at.desc(), session.c.id.desc()


def with_metrics() -> FromClause:
    """Sessions with their audio and video metrics, where they exist."""
    return sessions.outerjoin(audio, audio.c.session_id == sessions.c.id).outerjoin(
        video, video.c.session_id == sessions.c.id
    )


def is_consumed(
    alert_type: AlertType,
    *,
    among: CTE,
    tutor_id: ColumnElement[str],
    session_id: ColumnElement[Any],
    at: ColumnElement[datetime],
) -> ColumnElement[bool]:
    """Whether the session, dated `at`, opens no alert of the type any more, because one was based on it already.

    That is an alert that was resolved, deleted or moved, or another tutor's open one. A resolved alert from before
    Tutorwatch, which has no evidence, consumed all that is dated up to its resolution. `among` is what `consumed` gives
    for sessions of which this is one.
    """
    until = _consumed_until()
    return or_(
        exists().where(
            among.c.tutor_id == tutor_id,
            among.c.alert_type == _literal(alert_type),
            among.c.session_id == session_id,
        ),
        exists().where(
            until.c.tutor_id == tutor_id, until.c.alert_type == _literal(alert_type), until.c.consumed_until >= at
        ),
    )


def alert_counts() -> CTE:
    """How many alerts of our types each tutor has, resolved ones and open ones."""
    return (
        select(
            alerts.c.tutor_id,
            func.count().filter(alerts.c.resolved).label("resolved_alerts"),
            func.count().filter(~alerts.c.resolved).label("open_alerts"),
        )
        .where(alerts.c.tutor_id == any_(TUTOR_IDS), is_of_ours())
        .group_by(alerts.c.tutor_id)
    ).cte("alert_counts")


def consumed(*sources: FromClause) -> CTE:
    """Of these sessions (`id`, `tutor_id`) those that are an alert's evidence, but for the tutor's own open ones."""
    candidates = union_all(*(select(source.c.id, source.c.tutor_id) for source in sources)).cte("candidates")
    # By lists of keys: a plan kept for one tutor would read all that was ever consumed, and everybody's alerts.
    found = select(consumed_sessions).where(consumed_sessions.c.session_id == any_(_ids(candidates.c.id))).cte("used")
    open_ones = (
        select(alerts.c.id, alerts.c.tutor_id)
        .where(alerts.c.id == any_(_ids(found.c.alert_id)), ~alerts.c.resolved)
        .cte("open_with_evidence")
    )
    own_open = exists().where(open_ones.c.id == found.c.alert_id, open_ones.c.tutor_id == candidates.c.tutor_id)
    return (
        select(candidates.c.tutor_id, found.c.alert_type, found.c.session_id)
        .select_from(candidates.join(found, found.c.session_id == candidates.c.id))
        .where(~own_open)
    ).cte("consumed")


def _ids(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.array(select(column).scalar_subquery(), type_=ARRAY(Uuid))


def held_by_the_batch() -> CTE:
    """The batch's completed sessions of all windows that start no earlier than the alerts' and the insights'."""
    start = func.least(*(start_of(name) for name in ("window", "poor_first_session", "declining")), type_=NaiveUtc)
    held = completed_since(start, sessions.c.tutor_id == any_(TUTOR_IDS), name="held")
    return select(*held.c).cte("held")


def missed_by_the_batch() -> Select[Any]:
    """The batch's sessions that a tutor missed or rescheduled, in the windows of the alerts about them."""
    return select(sessions.c.id, sessions.c.tutor_id).where(
        sessions.c.tutor_id == any_(TUTOR_IDS),
        sessions.c.status.in_([status("no_show_tutor"), status("rescheduled")]),
        sessions.c.scheduled_start >= func.least(start_of("no_show"), start_of("reschedule")),
    )


@cache
def _consumed_until() -> CTE:
    """By tutor and type, the latest resolution of an alert without evidence."""
    resolved_at = func.coalesce(alerts.c.resolved_at, alerts.c.triggered_date, type_=NaiveUtc)
    alert_type = cast(alerts.c.alert_type, Text).label("alert_type")
    return (
        select(alerts.c.tutor_id, alert_type, func.max(resolved_at, type_=NaiveUtc).label("consumed_until"))
        .where(
            alerts.c.tutor_id == any_(TUTOR_IDS),
            is_of_ours(),
            alerts.c.resolved,
            ~exists().where(alert_evidence.c.alert_id == alerts.c.id),
        )
        .group_by(alerts.c.tutor_id, alert_type)
    ).cte("consumed_until")
