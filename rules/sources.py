"""The sources of `rules.rule` in SQL: their sessions, the sessions' dates, and their columns as conditions see them.

The parameters of the queries built on it come from `parameters`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    Integer,
    Numeric,
    Select,
    String,
    Subquery,
    any_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.sql.expression import FromClause
from sqlalchemy.sql.selectable import LateralFromClause

from database.column_types import NaiveUtc, PlatformEnum
from database.tables import SESSION_STATUS, audio, sessions, video
from rules.registry import STATISTICS, THRESHOLDS
from rules.rule import Average, Condition, Count, Kind, Lowest, Statistic
from rules.thresholds import RECENT_SESSIONS, WINDOW_DAYS, Threshold, Thresholds, Unit

TUTOR_IDS: BindParameter[Sequence[str]] = bindparam("tutor_ids", type_=ARRAY(String))
ENDED_EARLY = ("no_show_tutor", "rescheduled")
"""How sessions ended that `MISSED` holds."""


def parameters(tutor_ids: Sequence[str], now: datetime, thresholds: Thresholds) -> dict[str, Any]:
    """The tutors, where each window starts, and every threshold by its name: each tutor's where they differ.

    Raises ValueError where windows or "the recent ten" differ: statements read one kind of them for a whole batch.
    """
    values: dict[str, Any] = {"tutor_ids": list(tutor_ids)} | dict(thresholds.values)
    differing = thresholds.differing(tutor_ids)
    for name in differing:
        values[name] = [thresholds.of(tutor_id).values[name] for tutor_id in tutor_ids]
    # In UTC a day has 24 hours. A connection's zone may be another one: PGTZ in the environment overrules ours.
    windows = [threshold for threshold in THRESHOLDS if threshold.unit is Unit.DAYS]
    if same := differing & {threshold.name for threshold in (*windows, RECENT_SESSIONS)}:
        raise ValueError(f"{', '.join(sorted(same))} must be the same for all tutors")
    for window in windows:
        length = timedelta(days=thresholds[window])
        values[f"{window.name}_start"] = now.astimezone(UTC) - length
        values[f"{window.name}_start_before"] = now.astimezone(UTC) - 2 * length
    return values


def start_of(window: Threshold[int], *, before: bool = False) -> BindParameter[datetime]:
    """A window's start, which belongs to the window; or the start of the window of the same length `before`."""
    return bindparam(f"{window.name}_start{'_before' if before else ''}", type_=NaiveUtc)


def earliest(statistics: Sequence[Statistic[Any]]) -> ColumnElement[datetime]:
    """The start of the longest of these statistics' windows."""
    starts = {
        (start := start_of(each.window, before=isinstance(each, Average) and each.before)).key: start
        for each in statistics
    }
    return func.least(*starts.values(), type_=NaiveUtc)


class Batch:
    """A batch of tutors in SQL: `rows` has their ids and, where these differ, their thresholds."""

    def __init__(self, differing: frozenset[str]) -> None:
        self._differing = sorted(differing)
        lists = [bindparam(name, type_=ARRAY(Numeric)) for name in self._differing]
        ids = func.unnest(TUTOR_IDS, *lists).table_valued("tutor_id", *self._differing, name="tutor")
        self.rows = select(ids.render_derived()).cte("batch")

    def __getitem__(self, threshold: Threshold[Any]) -> ColumnElement[Decimal]:
        """The threshold: a parameter, or where they differ that of the tutor whose row is `joined`."""
        if threshold.name in self._differing:
            return cast(self.rows.c[threshold.name], Numeric)
        return bindparam(threshold.name, type_=Numeric)

    def joined(self, to: FromClause, tutor_id: ColumnElement[str]) -> FromClause:
        """The relation, with the thresholds of each row's tutor where these differ."""
        return to.join(self.rows, self.rows.c.tutor_id == tutor_id) if self._differing else to


class Columns:
    """The columns of relations as a rule's conditions see them: by name, those that are computed included."""

    def __init__(self, *relations: FromClause, **computed: ColumnElement[Any]) -> None:
        self._relations = relations
        self._computed = computed

    def __contains__(self, name: str) -> bool:
        return name in self._computed or any(name in relation.c for relation in self._relations)

    def __getattr__(self, name: str) -> Any:
        if name in self._computed:
            return self._computed[name]
        found = [relation.c[name] for relation in self._relations if name in relation.c]
        if not found:
            raise AttributeError(f"This source has no column {name}")
        return _Label(found[0]) if isinstance(found[0].type, PlatformEnum) else found[0]


class _Label:
    """A column of one of the platform's enums, compared with a label that PostgreSQL reads as whatever type it has."""

    def __init__(self, column: ColumnElement[Any]) -> None:
        self._column = column

    def __eq__(self, label: object) -> ColumnElement[bool]:  # type: ignore[override]
        return self._column == literal_column(f"'{label}'", self._column.type)

    __hash__ = None  # type: ignore[assignment]


def engagement(metrics: FromClause = audio) -> ColumnElement[Decimal]:
    """The engagement score; the platform's column has no check and may hold NaN, which is no score."""
    return func.nullif(metrics.c.student_engagement_score, literal_column("'NaN'", Numeric), type_=Numeric)


def questions_asked(metrics: FromClause = audio) -> ColumnElement[int]:
    """Open and closed questions together; as bigint, because the sum of two integers may exceed an integer."""
    return cast(metrics.c.open_ended_questions, BigInteger) + metrics.c.closed_ended_questions


AUDIO = Columns(audio, engagement=engagement(), questions=questions_asked())
VIDEO = Columns(video)
"""The metrics of a session as conditions see them."""


def of_metrics(session: FromClause) -> Columns:
    """The columns of completed sessions `with_metrics`, and whether they `converted`."""
    computed = {"engagement": AUDIO.engagement, "questions": AUDIO.questions, "converted": converted(session)}
    return Columns(session, audio, video, **computed)


def with_metrics(session: FromClause = sessions) -> FromClause:
    """Sessions with their audio and video metrics, where they exist."""
    return session.outerjoin(audio, audio.c.session_id == session.c.id).outerjoin(
        video, video.c.session_id == session.c.id
    )


def meets(where: Condition) -> ColumnElement[bool]:
    """Return whether a row of `sessions` meets a rule's condition that needs no threshold."""
    found: ColumnElement[bool] = where(Columns(sessions), Batch(frozenset()))
    return found


def status(label: str) -> ColumnElement[str]:
    """A status as a literal, which PostgreSQL reads as whatever type the column has."""
    return literal_column(f"'{label}'", SESSION_STATUS)


def dated(session: FromClause) -> ColumnElement[datetime]:
    """The date of a completed session; clients may leave `completed_at` out."""
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
    # OFFSET 0 keeps the LIMIT of the enclosing query out of this one. With it, the planner may read everybody's
    # sessions by date, hoping to meet the tutor's soon; where there are none, that reads all, once for each tutor.
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


def converted(session: FromClause) -> ColumnElement[bool]:
    """Return whether the session's student has a later session with the same tutor that isn't cancelled."""
    later = sessions.alias("later")
    return exists().where(
        later.c.tutor_id == session.c.tutor_id,
        later.c.student_id == session.c.student_id,
        later.c.session_number > literal_column("1"),
        later.c.status != status("cancelled"),
    )


def recent_of_each(metric: ColumnElement[Any], *, of: FromClause, name: str) -> LateralFromClause:
    """The "recent ten" of each tutor in `of`, latest sessions that have the audio metric: `id`, `at` and `metric`."""
    latest = completed_by_each(start_of(WINDOW_DAYS), of, name="latest")
    return (
        select(latest.c.id, latest.c.at, metric.label("metric"))
        .select_from(latest.join(audio, audio.c.session_id == latest.c.id))
        .where(metric.is_not(None))
        .order_by(*latest_first(latest))
        .limit(bindparam(RECENT_SESSIONS.name, type_=Integer))
        .correlate(of)
        .lateral(name)
    )


def latest_first(session: FromClause) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """By date, latest first; the id breaks ties, so that "the recent ten" are always the same ten."""
    return session.c.at.desc(), session.c.id.desc()


def completed_of_the_batch(*kinds: Kind, name: str, before: bool = False) -> Subquery:
    """The batch's completed sessions in the windows of all statistics over sources of these kinds; in those `before`,
    too, if that is asked for.
    """
    wanted = [each for each in STATISTICS if each.source.kind in kinds]
    current = [each for each in wanted if before or not (isinstance(each, Average) and each.before)]
    return completed_since(earliest(current), sessions.c.tutor_id == any_(TUTOR_IDS), name=name)


def missed_by_the_batch() -> tuple[ColumnElement[bool], ...]:
    """Conditions for missed or rescheduled `sessions` of the batch, in the windows of the rules about them."""
    return (
        sessions.c.tutor_id == any_(TUTOR_IDS),
        sessions.c.status.in_([status(label) for label in ENDED_EARLY]),
        sessions.c.scheduled_start >= earliest([each for each in STATISTICS if each.source.kind is Kind.MISSED]),
    )


def counts(statistic: Statistic[Any], session: Columns, batch: Batch) -> list[ColumnElement[bool]]:
    """The conditions for a session of the source to be among the statistic's, except that it has the metric."""
    conditions: list[ColumnElement[bool]] = []
    start = start_of(statistic.window)
    if isinstance(statistic, Average) and statistic.before:
        conditions = [session.at < start, session.at >= start_of(statistic.window, before=True)]
    elif statistic.source.kind not in (Kind.COMPLETED, Kind.RECENT):  # those two are read in one window
        conditions = [session.at >= start]
    if isinstance(statistic, Count | Lowest) and statistic.where:
        conditions.append(statistic.where(session, batch))
    return conditions


def holds_in(where: Condition | str, session: Columns, batch: Batch) -> ColumnElement[bool]:
    """A share's condition, or the column that is one."""
    found: ColumnElement[bool] = getattr(session, where) if isinstance(where, str) else where(session, batch)
    return found
