"""The tables that the rules and the dashboard read and write, for SQLAlchemy Core, each declared once.

Only the columns we use. The schema itself belongs to `migrations`.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.types import TypeEngine

from database.column_types import NaiveUtc, PlatformEnum
from database.metric_columns import AUDIO_METRICS, BOOLEAN_METRICS, SCREEN_METRICS, VIDEO_METRICS, is_measured

ALERT_TYPE = PlatformEnum("alert_type")
ALERT_SEVERITY = PlatformEnum("alert_severity")
INSIGHT_TYPE = PlatformEnum("insight_type")
INSIGHT_CATEGORY = PlatformEnum("insight_category")
SESSION_STATUS = PlatformEnum("session_status")

platform = MetaData(schema="public")
own = MetaData(schema="tutorwatch")

users = Table(
    "users",
    platform,
    Column("id", String, primary_key=True),
    Column("email", String),
    Column("name", String),
    Column("preferred_name", String),
    Column("role", PlatformEnum("user_role")),
    Column("created_at", NaiveUtc),
)

tutors = Table(
    "tutors",
    platform,
    Column("user_id", String, primary_key=True),
    Column("member_since", Date),
)

subjects = Table("subjects", platform, Column("id", Uuid, primary_key=True), Column("name", String))

sessions = Table(
    "sessions",
    platform,
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


def _metrics_table(name: str, metrics: tuple[str, ...]) -> Table:
    columns: list[Column[Any]] = [Column(metric, _type_of(metric)) for metric in metrics]
    return Table(name, platform, Column("session_id", Uuid, primary_key=True), *columns)


def _type_of(metric: str) -> TypeEngine[Any]:
    if metric in BOOLEAN_METRICS:
        return Boolean()
    return Numeric() if is_measured(metric) else Integer()


audio = _metrics_table("session_audio_metrics", AUDIO_METRICS)
video = _metrics_table("session_video_metrics", VIDEO_METRICS)
screen = _metrics_table("session_screen_metrics", SCREEN_METRICS)

feedback = Table(
    "session_feedback",
    platform,
    Column("session_id", Uuid, primary_key=True),
    Column("student_satisfaction_rating", Integer),
    Column("feedback_text", Text),
    Column("submitted_at", NaiveUtc),
)

alerts = Table(
    "alerts",
    platform,
    Column("id", Uuid, primary_key=True),
    Column("tutor_id", String),
    Column("alert_type", ALERT_TYPE),
    Column("severity", ALERT_SEVERITY),
    Column("title", String(255)),
    Column("description", Text),
    Column("triggered_date", NaiveUtc),
    Column("session_id", Uuid),
    Column("acknowledged", Boolean),
    Column("acknowledged_by", String),
    Column("acknowledged_at", NaiveUtc),
    Column("action_taken", Text),
    Column("resolved", Boolean),
    Column("resolved_at", NaiveUtc),
    Column("created_at", NaiveUtc),
)

tutor_insights = Table(
    "tutor_insights",
    platform,
    Column("id", Uuid, primary_key=True),
    Column("tutor_id", String),
    Column("insight_type", INSIGHT_TYPE),
    Column("category", INSIGHT_CATEGORY),
    Column("display_text", Text),
    Column("detected_at", NaiveUtc),
    Column("last_confirmed_at", NaiveUtc),
    Column("is_active", Boolean),
    Column("resolved_at", NaiveUtc),
    Column("sample_sessions", ARRAY(Uuid)),
    Column("metric_value", Numeric(5, 2)),
)

coaching_notes = Table(
    "coaching_notes",
    platform,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("tutor_id", String),
    Column("note_type", PlatformEnum("coaching_note_type")),
    Column("content", Text),
    Column("created_by", String),
    Column("created_at", NaiveUtc),
)

outbox = Table(
    "outbox",
    own,
    Column("id", BigInteger, primary_key=True),
    Column("tutor_id", String),
    Column("session_ids", ARRAY(Uuid)),
    Column("recorded_at", DateTime(timezone=True)),
)

failures = Table(
    "failures",
    own,
    Column("tutor_id", String, primary_key=True),
    Column("attempts", Integer),
    Column("last_error", Text),
    Column("first_failed_at", DateTime(timezone=True)),
    Column("last_failed_at", DateTime(timezone=True)),
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("parked_at", DateTime(timezone=True)),
    Column("unfinished", Boolean),
    Column("wanted", Boolean),
)

alert_evidence = Table(
    "alert_evidence",
    own,
    Column("alert_id", Uuid, primary_key=True),
    Column("tutor_id", String),
    Column("value", Numeric),
    Column("threshold", Numeric),
    Column("session_ids", ARRAY(Uuid)),
    Column("refreshed_at", DateTime(timezone=True)),
    Column("not_met_since", DateTime(timezone=True)),
    Column("shown", Numeric),
    Column("is_over", Boolean),
)

alert_attention = Table(
    "alert_attention",
    own,
    Column("alert_id", Uuid, primary_key=True),
    Column("tutor_id", Text),
    Column("acknowledged_at", NaiveUtc),
    Column("session_ids", ARRAY(Uuid)),
    Column("shown", Numeric),
    Column("worse_since", DateTime(timezone=True)),
    Column("reopened_at", NaiveUtc),
)

consumed_sessions = Table(
    "consumed_sessions",
    own,
    Column("session_id", Uuid, primary_key=True),
    Column("alert_type", Text, primary_key=True),
    Column("alert_id", Uuid, primary_key=True),
)

alert_resolutions = Table(
    "alert_resolutions",
    own,
    Column("alert_id", Uuid, primary_key=True),
    Column("tutor_id", String),
    Column("resolved_by", String),
    Column("outcome", Text),
    Column("resolved_at", NaiveUtc),
    Column("message_to_tutor", Text),
)

alert_history = Table(
    "alert_history",
    own,
    Column("id", BigInteger, primary_key=True),
    Column("alert_id", Uuid),
    Column("tutor_id", Text),
    Column("at", DateTime(timezone=True)),
    Column("event", Text),
    Column("actor", Text),
    Column("details", Text),
    Column("is_noticed", Boolean),
)

channels = Table(
    "channels",
    own,
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("kind", Text),
    Column("target", Text),
    Column("shown", Text),
    Column("secret", Text),
    Column("severities", ARRAY(Text)),
    Column("types", ARRAY(Text)),
    Column("events", ARRAY(Text)),
    Column("is_on", Boolean),
    Column("switched_off_because", Text),
    Column("paused_until", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True)),
    Column("created_by", Text),
)

deliveries = Table(
    "deliveries",
    own,
    Column("id", Uuid, primary_key=True),
    Column("alert_id", Uuid),
    Column("tutor_id", Text),
    Column("history_id", BigInteger),
    Column("event", Text),
    Column("details", Text),
    Column("channel_id", Uuid),
    Column("state", Text),
    Column("attempts", Integer),
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("claimed_at", DateTime(timezone=True)),
    Column("last_error", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("delivered_at", DateTime(timezone=True)),
)

sweep = Table("sweep", own, Column("swept_at", DateTime(timezone=True)))

listeners = Table(
    "listeners",
    own,
    Column("listener_id", Uuid, primary_key=True),
    Column("host", Text),
    Column("process_id", Integer),
    Column("version", Text),
    Column("started_at", DateTime(timezone=True)),
    Column("seen_at", DateTime(timezone=True)),
)

canary = Table(
    "canary",
    own,
    Column("only_row", Boolean, primary_key=True),
    Column("due_at", DateTime(timezone=True)),
    Column("tried_at", DateTime(timezone=True)),
    Column("outcome", Text),
    Column("problem", Text),
    Column("seconds", Double),
    Column("unrecorded_since", DateTime(timezone=True)),
)

canary_markers = Table(
    "canary_markers",
    own,
    Column("id", Uuid, primary_key=True),
    Column("sent_at", DateTime(timezone=True)),
    Column("answered_at", DateTime(timezone=True)),
    Column("answered_by", Text),
    Column("was_woken", Boolean),
)

announcements = Table("announcements", own, Column("id", BigInteger, primary_key=True), Column("tutor_id", String))
