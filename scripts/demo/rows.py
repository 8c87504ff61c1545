"""The platform's rows as the demo writes them: one class per table, one field per column."""

from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from psycopg import sql


class SessionStatus(StrEnum):
    """The platform's session_status; everything but `scheduled` is an end state here."""

    SCHEDULED = "scheduled"
    COMPLETED = "completed"
    NO_SHOW_TUTOR = "no_show_tutor"
    NO_SHOW_STUDENT = "no_show_student"
    CANCELLED = "cancelled"
    RESCHEDULED = "rescheduled"


class Participant(StrEnum):
    """The platform's reschedule_by: who moved a session."""

    TUTOR = "tutor"
    STUDENT = "student"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the platform; every `datetime` in it is naive UTC."""

    table: ClassVar[str]

    @classmethod
    def columns(cls) -> list[str]:
        """Column names in the order of `values`."""
        return [field.name for field in fields(cls)]

    @classmethod
    def copy_statement(cls) -> sql.Composed:
        """The COPY that takes rows of this table in text format, in which enum labels are plain words."""
        return sql.SQL("COPY {} ({}) FROM STDIN").format(cls._qualified_table(), cls._column_list())

    @classmethod
    def insert_statement(cls) -> sql.Composed:
        """The INSERT of one row, a positional parameter per column."""
        placeholders = sql.SQL(", ").join(sql.Placeholder() for _ in cls.columns())
        return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            cls._qualified_table(), cls._column_list(), placeholders
        )

    def values(self) -> list[object]:
        """The row's values in the order of `columns`."""
        return [getattr(self, column) for column in self.columns()]

    @classmethod
    def _qualified_table(cls) -> sql.Identifier:
        return sql.Identifier("public", cls.table)

    @classmethod
    def _column_list(cls) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier(column) for column in cls.columns())


@dataclass(frozen=True, kw_only=True)
class User(Row):
    """A person who can sign in; `role` is admin, tutor or student."""

    table: ClassVar[str] = "users"

    id: str
    email: str
    name: str
    role: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Subject(Row):
    """Something that is taught; `category` is a label of subject_category."""

    table: ClassVar[str] = "subjects"

    id: UUID
    name: str
    category: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Tutor(Row):
    """A tutor's profile page; `hourly_rate` in dollars."""

    table: ClassVar[str] = "tutors"

    user_id: str
    member_since: date
    bio: str
    experience: str
    hourly_rate: Decimal


@dataclass(frozen=True, kw_only=True)
class Student(Row):
    """A student's profile; `status` is active, churned or paused, `churned_date` set only when churned."""

    table: ClassVar[str] = "students"

    user_id: str
    enrolled_since: date
    grade_level: str
    parent_email: str
    status: str
    churned_date: date | None


@dataclass(frozen=True, kw_only=True)
class Session(Row):
    """A tutoring session; durations in minutes, score 0 to 10, number counts within the pair from 1."""

    table: ClassVar[str] = "sessions"

    id: UUID
    tutor_id: str
    student_id: str
    scheduled_start: datetime
    actual_start: datetime | None
    scheduled_duration: int
    actual_duration: int | None
    subject_id: UUID
    session_number: int
    status: SessionStatus
    tutor_showed_up: bool
    student_showed_up: bool
    rescheduled_by: Participant | None
    has_audio_analysis: bool
    has_video_analysis: bool
    has_screen_monitoring: bool
    homework_assigned: bool
    follow_up_booked: bool
    overall_session_score: Decimal | None
    ai_summary: str | None
    completed_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class AudioMetrics(Row):
    """What the audio analysis found; ratios 0 to 1, scores 0 to 10, delay in seconds."""

    table: ClassVar[str] = "session_audio_metrics"

    session_id: UUID
    tutor_talk_ratio: Decimal
    student_talk_ratio: Decimal
    productive_silence_ratio: Decimal
    awkward_pause_ratio: Decimal
    student_engagement_score: Decimal
    tutor_enthusiasm_score: Decimal
    avg_student_response_delay: Decimal
    long_pauses_count: int
    student_initiated_questions: int
    student_frustration_count: int
    student_confusion_count: int
    positive_moments_count: int
    tutor_checks_understanding_count: int
    tutor_positive_reinforcement_count: int
    concept_re_explanation_count: int
    open_ended_questions: int
    closed_ended_questions: int
    rhetorical_questions: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class VideoMetrics(Row):
    """What the video analysis found; attention 0 to 1, score 0 to 10, note taking in minutes."""

    table: ClassVar[str] = "session_video_metrics"

    session_id: UUID
    student_on_screen_attention_pct: Decimal
    student_visual_engagement_score: Decimal
    distraction_events_count: int
    confusion_moments_count: int
    tutor_uses_visual_aids: bool
    student_taking_notes_duration: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class ScreenMetrics(Row):
    """What the screen monitoring found; focus 0 to 1."""

    table: ClassVar[str] = "session_screen_metrics"

    session_id: UUID
    active_tab_focus_pct: Decimal
    tab_switches_count: int
    whiteboard_usage_minutes: int
    messaging_app_detected: bool
    gaming_detected: bool
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Feedback(Row):
    """What the student said afterwards; rating 1 to 5."""

    table: ClassVar[str] = "session_feedback"

    session_id: UUID
    student_satisfaction_rating: int
    feedback_text: str
    submitted_at: datetime
