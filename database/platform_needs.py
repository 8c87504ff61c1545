"""The parts of the platform's schema that Tutorwatch needs, as data: all that is read or written of it, and by whom.

`database.platform` compares a database with it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from database.metric_columns import AUDIO_METRICS, BOOLEAN_METRICS, SCREEN_METRICS, VIDEO_METRICS, is_measured
from database.recording import RECORDED


class Kind(StrEnum):
    """The kinds of values that a column must be able to hold, in the words of a message."""

    TEXT = "text"
    INSTANT = "a date with time"
    DATE = "a date"
    NUMBER = "a number"
    WHOLE = "a whole number"
    BOOLEAN = "a boolean"
    UUID = "a uuid"
    UUIDS = "an array of uuids"
    LABEL = "an enum or text"


_TEXT_TYPES = {"text", "varchar", "bpchar", "citext"}
_WHOLE_TYPES = {"int2", "int4", "int8"}
TYPES: Mapping[Kind, Collection[str]] = {
    Kind.TEXT: _TEXT_TYPES,
    Kind.INSTANT: {"timestamp", "timestamptz"},
    Kind.DATE: {"date"},
    Kind.NUMBER: {"numeric", "float4", "float8"} | _WHOLE_TYPES,
    Kind.WHOLE: _WHOLE_TYPES,
    Kind.BOOLEAN: {"bool"},
    Kind.UUID: {"uuid"},
    Kind.UUIDS: {"_uuid"},
    Kind.LABEL: _TEXT_TYPES,  # and every enum
}
"""As the catalogs name them."""


class Feature(StrEnum):
    """Something that a database may do without."""

    COACHING_NOTES = "coaching notes"
    SCREEN_METRICS = "screen metrics on a session's page"
    FEEDBACK = "students' ratings and feedback"
    SUBJECTS = "subjects of sessions"
    MEMBER_SINCE = "dates since when tutors are members"
    PREFERRED_NAME = "names that people prefer to be called by"
    SESSION_PAGE = "full details on a session's page"


@dataclass(frozen=True, slots=True)
class Need:
    """The needs of one column."""

    kind: Kind
    labels: frozenset[str] = frozenset()
    """Labels without which statements of ours fail."""
    names_rules: bool = False
    """Whether its labels name rules: one that the platform's enum lacks switches that rule off."""
    characters: int = 0
    """How long the texts are that we write there."""
    feature: Feature | None = None
    """What is missing without it; None: rules, triggers or most pages don't work."""


def _labels(*labels: str, names_rules: bool = False, feature: Feature | None = None) -> Need:
    return Need(Kind.LABEL, frozenset(labels), names_rules, feature=feature)


def _details(metrics: Iterable[str], feature: Feature) -> dict[str, Need]:
    return {
        name: Need(
            Kind.BOOLEAN if name in BOOLEAN_METRICS else Kind.NUMBER if is_measured(name) else Kind.WHOLE,
            feature=feature,
        )
        for name in metrics
    }


_TEXT, _INSTANT, _NUMBER = Need(Kind.TEXT), Need(Kind.INSTANT), Need(Kind.NUMBER)
_WHOLE, _BOOLEAN, _UUID = Need(Kind.WHOLE), Need(Kind.BOOLEAN), Need(Kind.UUID)

NEEDED: Mapping[str, Mapping[str, Need]] = {
    "users": {
        "id": _TEXT,
        "email": _TEXT,
        "name": _TEXT,
        "preferred_name": Need(Kind.TEXT, feature=Feature.PREFERRED_NAME),
        "role": _labels("admin", "tutor"),
        "created_at": _INSTANT,
    },
    "tutors": {"user_id": _TEXT, "member_since": Need(Kind.DATE, feature=Feature.MEMBER_SINCE)},
    "sessions": {
        "id": _UUID,
        "tutor_id": _TEXT,
        "student_id": _TEXT,
        "scheduled_start": _INSTANT,
        "completed_at": _INSTANT,
        "session_number": _WHOLE,
        # What is scheduled hasn't ended, as triggers and pages tell by the label's text: under another name it would
        # count. `no_show_student` is one of those that the dashboard reads along an index, which text wouldn't use.
        "status": _labels("scheduled", "completed", "no_show_tutor", "no_show_student", "cancelled", "rescheduled"),
        "rescheduled_by": _labels("tutor"),
        "overall_session_score": _NUMBER,
        "subject_id": Need(Kind.UUID, feature=Feature.SUBJECTS),
        "scheduled_duration": Need(Kind.WHOLE, feature=Feature.SESSION_PAGE),
        "actual_duration": Need(Kind.WHOLE, feature=Feature.SESSION_PAGE),
        "technical_issues": Need(Kind.BOOLEAN, feature=Feature.SESSION_PAGE),
        "technical_issues_description": Need(Kind.TEXT, feature=Feature.SESSION_PAGE),
        "homework_assigned": Need(Kind.BOOLEAN, feature=Feature.SESSION_PAGE),
        "follow_up_booked": Need(Kind.BOOLEAN, feature=Feature.SESSION_PAGE),
        "ai_summary": Need(Kind.TEXT, feature=Feature.SESSION_PAGE),
    },
    "session_audio_metrics": _details(AUDIO_METRICS, Feature.SESSION_PAGE)
    | {
        "session_id": _UUID,
        "tutor_talk_ratio": _NUMBER,
        "student_engagement_score": _NUMBER,
        "tutor_checks_understanding_count": _NUMBER,
        "tutor_positive_reinforcement_count": _NUMBER,
        "open_ended_questions": _NUMBER,
        "closed_ended_questions": _NUMBER,
    },
    "session_video_metrics": _details(VIDEO_METRICS, Feature.SESSION_PAGE)
    | {"session_id": _UUID, "tutor_uses_visual_aids": _BOOLEAN},
    "alerts": {
        "id": _UUID,
        "tutor_id": _TEXT,
        "alert_type": _labels(names_rules=True),
        "severity": _labels("info", "warning", "critical"),
        "title": Need(Kind.TEXT, characters=60),
        "description": Need(Kind.TEXT, characters=500),
        "triggered_date": _INSTANT,
        "session_id": _UUID,
        "acknowledged": _BOOLEAN,
        "acknowledged_by": _TEXT,
        "acknowledged_at": _INSTANT,
        "action_taken": Need(Kind.TEXT, characters=500),
        "resolved": _BOOLEAN,
        "resolved_at": _INSTANT,
        "created_at": _INSTANT,
    },
    "tutor_insights": {
        "id": _UUID,
        "tutor_id": _TEXT,
        "insight_type": _labels("strength", "growth_area"),
        "category": _labels(names_rules=True),
        "display_text": Need(Kind.TEXT, characters=500),
        "detected_at": _INSTANT,
        "last_confirmed_at": _INSTANT,
        "is_active": _BOOLEAN,
        "resolved_at": _INSTANT,
        "sample_sessions": Need(Kind.UUIDS),
        "metric_value": _NUMBER,
    },
    "subjects": {
        "id": Need(Kind.UUID, feature=Feature.SUBJECTS),
        "name": Need(Kind.TEXT, feature=Feature.SUBJECTS),
    },
    "session_screen_metrics": _details(SCREEN_METRICS, Feature.SCREEN_METRICS)
    | {"session_id": Need(Kind.UUID, feature=Feature.SCREEN_METRICS)},
    "session_feedback": {
        "session_id": Need(Kind.UUID, feature=Feature.FEEDBACK),
        "student_satisfaction_rating": Need(Kind.WHOLE, feature=Feature.FEEDBACK),
        "feedback_text": Need(Kind.TEXT, feature=Feature.FEEDBACK),
    },
    "coaching_notes": {
        "id": Need(Kind.UUID, feature=Feature.COACHING_NOTES),
        "tutor_id": Need(Kind.TEXT, feature=Feature.COACHING_NOTES),
        "note_type": _labels("manual", "system", feature=Feature.COACHING_NOTES),
        "content": Need(Kind.TEXT, feature=Feature.COACHING_NOTES),
        "created_by": Need(Kind.TEXT, feature=Feature.COACHING_NOTES),
        "created_at": Need(Kind.INSTANT, feature=Feature.COACHING_NOTES),
    },
}
"""All that is read or written of the platform, by table and column."""

RECORDED_TABLES = tuple(recorded.table for recorded in RECORDED)
"""Tables whose changes triggers record."""

READ_BY_RULES = ("users", "tutors", *RECORDED_TABLES)
"""Tables of which a listener must see every row."""

UNPARTITIONED = ("alerts", "tutor_insights")

INSERTED: Mapping[str, tuple[str, ...]] = {
    "alerts": (
        "tutor_id",
        "alert_type",
        "severity",
        "title",
        "description",
        "triggered_date",
        "created_at",
        "acknowledged",
        "resolved",
    ),
    "tutor_insights": (
        "tutor_id",
        "category",
        "insight_type",
        "display_text",
        "metric_value",
        "sample_sessions",
        "detected_at",
        "is_active",
    ),
    "coaching_notes": ("tutor_id", "note_type", "content", "created_by", "created_at"),
}
"""What our INSERTs always give a value."""

LEFT_EMPTY = {("alerts", "session_id")}
"""What they give NULL, now and then: a default is of no help."""
