"""The platform's tables as pages show them: more columns than the rules need, for reading only."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Uuid,
    case,
    func,
    literal_column,
)
from sqlalchemy.types import TypeEngine

from rules.tables import SESSION_STATUS, NaiveUtc, PlatformEnum

_platform = MetaData(schema="public")

tutors = Table(
    "tutors",
    _platform,
    Column("user_id", String, primary_key=True),
    Column("member_since", Date),
)

subjects = Table("subjects", _platform, Column("id", Uuid, primary_key=True), Column("name", String))

sessions = Table(
    "sessions",
    _platform,
    Column("id", Uuid, primary_key=True),
    Column("tutor_id", String),
    Column("student_id", String),
    Column("subject_id", Uuid),
    Column("scheduled_start", NaiveUtc),
    Column("completed_at", NaiveUtc),
    Column("scheduled_duration", Integer),
    Column("actual_duration", Integer),
    Column("session_number", Integer),
    Column("status", SESSION_STATUS),
    Column("rescheduled_by", PlatformEnum("reschedule_by")),
    Column("technical_issues", Boolean),
    Column("technical_issues_description", Text),
    Column("homework_assigned", Boolean),
    Column("follow_up_booked", Boolean),
    Column("overall_session_score", Numeric(3, 1)),
    Column("ai_summary", Text),
)

AUDIO_FIGURES = (
    "tutor_talk_ratio",
    "student_talk_ratio",
    "productive_silence_ratio",
    "awkward_pause_ratio",
    "student_engagement_score",
    "tutor_enthusiasm_score",
    "avg_student_response_delay",
    "long_pauses_count",
    "student_initiated_questions",
    "student_frustration_count",
    "student_confusion_count",
    "positive_moments_count",
    "tutor_checks_understanding_count",
    "tutor_positive_reinforcement_count",
    "concept_re_explanation_count",
    "open_ended_questions",
    "closed_ended_questions",
    "rhetorical_questions",
)
VIDEO_FIGURES = (
    "student_on_screen_attention_pct",
    "student_visual_engagement_score",
    "distraction_events_count",
    "confusion_moments_count",
    "tutor_uses_visual_aids",
    "student_taking_notes_duration",
)
SCREEN_FIGURES = (
    "active_tab_focus_pct",
    "tab_switches_count",
    "whiteboard_usage_minutes",
    "messaging_app_detected",
    "gaming_detected",
)

_BOOLEANS = ("tutor_uses_visual_aids", "messaging_app_detected", "gaming_detected")
_MEASURED = ("_ratio", "_pct", "_score", "_delay")


def at_most(rows: int) -> ColumnElement[int]:
    """A LIMIT that the server knows when it plans, for queries whose values hardly matter for their plan.

    With a parameter it would expect a tenth of all rows, take any plan made for all values for a bad one, and plan anew
    each time: for sessions with all that is joined to them that took six times as long as reading them.
    """
    return literal_column(str(rows), Integer)


def _metrics_table(name: str, figures: tuple[str, ...]) -> Table:
    columns: list[Column[Any]] = [Column(figure, _type_of(figure)) for figure in figures]
    return Table(name, _platform, Column("session_id", Uuid, primary_key=True), *columns)


def _type_of(figure: str) -> TypeEngine[Any]:
    if figure in _BOOLEANS:
        return Boolean()
    return Numeric() if figure.endswith(_MEASURED) else Integer()


audio = _metrics_table("session_audio_metrics", AUDIO_FIGURES)
video = _metrics_table("session_video_metrics", VIDEO_FIGURES)
screen = _metrics_table("session_screen_metrics", SCREEN_FIGURES)

feedback = Table(
    "session_feedback",
    _platform,
    Column("session_id", Uuid, primary_key=True),
    Column("student_satisfaction_rating", Integer),
    Column("feedback_text", Text),
    Column("submitted_at", NaiveUtc),
)


def held_at(session: FromClause) -> ColumnElement[datetime]:
    """When a session took place, or was to take place: what sessions are sorted by.

    The same expression as the rules' date of a completed session, so that it finds the same index.
    """
    return func.coalesce(session.c.completed_at, session.c.scheduled_start, type_=NaiveUtc)


_EARLIEST = literal_column("timestamp '0001-01-01'", DateTime)
_LATEST = literal_column("timestamp '9999-12-31'", DateTime)


def shown_at(instant: ColumnElement[Any]) -> ColumnElement[datetime]:
    """An instant within what Python can hold; a client may have written 'infinity'."""
    bounded = func.least(func.greatest(instant, _EARLIEST), _LATEST, type_=NaiveUtc)
    return case((instant.is_not(None), bounded))


_FIRST_DAY = literal_column("date '0001-01-01'", Date)
_LAST_DAY = literal_column("date '9999-12-31'", Date)


def shown_on(day: ColumnElement[Any]) -> ColumnElement[date]:
    """A day within what Python can hold, in the same way."""
    bounded = func.least(func.greatest(day, _FIRST_DAY), _LAST_DAY, type_=Date)
    return case((day.is_not(None), bounded))


def number(figure: ColumnElement[Any]) -> ColumnElement[Any]:
    """A figure; none where a client wrote NaN into a numeric column."""
    if not isinstance(figure.type, Numeric):
        return figure
    return func.nullif(figure, literal_column("'NaN'", Numeric), type_=Numeric)
