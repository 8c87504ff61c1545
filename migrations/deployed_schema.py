"""What the platform's database must look like before Tutorwatch joins it.

The tables, columns and types are those of the deployed platform; `migrations/sql/platform_tables.sql`
creates the same ones in an empty database, and a test holds the two together.
"""

from sqlalchemy import Connection, text

OLDEST_SERVER = 15
"""PostgreSQL's major version with which all of this is tested; older ones lack what the triggers use."""

_TIMESTAMP = "timestamp without time zone"
_ID = "character varying(128)"
_AN_ENUM = "an enum"
"""A column whose enum the deployed schema doesn't name."""

COLUMNS: dict[str, dict[str, str]] = {
    "users": {
        "id": _ID,
        "email": "character varying(255)",
        "name": "character varying(255)",
        "preferred_name": "character varying(255)",
        "avatar_url": "character varying(500)",
        "role": "user_role",
        "created_at": _TIMESTAMP,
    },
    "tutors": {
        "user_id": _ID,
        "member_since": "date",
        "bio": "text",
        "experience": "text",
        "education": "text",
        "teaching_style": "text",
        "hourly_rate": "numeric(6,2)",
    },
    "students": {
        "user_id": _ID,
        "enrolled_since": "date",
        "grade_level": _AN_ENUM,
        "parent_email": "character varying(255)",
        "bio": "text",
        "learning_goals": "text",
        "status": _AN_ENUM,
        "churned_date": "date",
        "churn_survey_response": "text",
    },
    "subjects": {
        "id": "uuid",
        "name": "character varying(100)",
        "category": "subject_category",
        "created_at": _TIMESTAMP,
    },
    "sessions": {
        "id": "uuid",
        "tutor_id": _ID,
        "student_id": _ID,
        "scheduled_start": _TIMESTAMP,
        "actual_start": _TIMESTAMP,
        "scheduled_duration": "integer",
        "actual_duration": "integer",
        "subject_id": "uuid",
        "session_number": "integer",
        "status": "session_status",
        "tutor_showed_up": "boolean",
        "student_showed_up": "boolean",
        "rescheduled_by": "reschedule_by",
        "technical_issues": "boolean",
        "technical_issues_description": "text",
        "has_audio_analysis": "boolean",
        "has_video_analysis": "boolean",
        "has_screen_monitoring": "boolean",
        "homework_assigned": "boolean",
        "follow_up_booked": "boolean",
        "overall_session_score": "numeric(3,1)",
        "ai_summary": "text",
        "completed_at": _TIMESTAMP,
        "created_at": _TIMESTAMP,
    },
    "session_audio_metrics": {
        "session_id": "uuid",
        "tutor_talk_ratio": "numeric(4,3)",
        "student_talk_ratio": "numeric(4,3)",
        "productive_silence_ratio": "numeric(4,3)",
        "awkward_pause_ratio": "numeric(4,3)",
        "student_engagement_score": "numeric(3,1)",
        "tutor_enthusiasm_score": "numeric(3,1)",
        "avg_student_response_delay": "numeric(5,2)",
        "long_pauses_count": "integer",
        "student_initiated_questions": "integer",
        "student_frustration_count": "integer",
        "student_confusion_count": "integer",
        "positive_moments_count": "integer",
        "tutor_checks_understanding_count": "integer",
        "tutor_positive_reinforcement_count": "integer",
        "concept_re_explanation_count": "integer",
        "open_ended_questions": "integer",
        "closed_ended_questions": "integer",
        "rhetorical_questions": "integer",
        "created_at": _TIMESTAMP,
    },
    "session_video_metrics": {
        "session_id": "uuid",
        "student_on_screen_attention_pct": "numeric(4,3)",
        "student_visual_engagement_score": "numeric(3,1)",
        "distraction_events_count": "integer",
        "confusion_moments_count": "integer",
        "tutor_uses_visual_aids": "boolean",
        "student_taking_notes_duration": "integer",
        "created_at": _TIMESTAMP,
    },
    "session_screen_metrics": {
        "session_id": "uuid",
        "active_tab_focus_pct": "numeric(4,3)",
        "tab_switches_count": "integer",
        "whiteboard_usage_minutes": "integer",
        "messaging_app_detected": "boolean",
        "gaming_detected": "boolean",
        "created_at": _TIMESTAMP,
    },
    "session_feedback": {
        "session_id": "uuid",
        "student_satisfaction_rating": "integer",
        "feedback_text": "text",
        "submitted_at": _TIMESTAMP,
    },
    "alerts": {
        "id": "uuid",
        "tutor_id": _ID,
        "alert_type": "alert_type",
        "severity": "alert_severity",
        "title": "character varying(255)",
        "description": "text",
        "triggered_date": _TIMESTAMP,
        "session_id": "uuid",
        "acknowledged": "boolean",
        "acknowledged_by": _ID,
        "acknowledged_at": _TIMESTAMP,
        "action_taken": "text",
        "resolved": "boolean",
        "resolved_at": _TIMESTAMP,
        "created_at": _TIMESTAMP,
    },
    "tutor_insights": {
        "id": "uuid",
        "tutor_id": _ID,
        "insight_type": "insight_type",
        "category": "insight_category",
        "display_text": "text",
        "detected_at": _TIMESTAMP,
        "last_confirmed_at": _TIMESTAMP,
        "is_active": "boolean",
        "resolved_at": _TIMESTAMP,
        "sample_sessions": "uuid[]",
        "metric_value": "numeric(5,2)",
    },
    "coaching_notes": {
        "id": "uuid",
        "tutor_id": _ID,
        "note_type": "coaching_note_type",
        "content": "text",
        "created_by": _ID,
        "created_at": _TIMESTAMP,
    },
}

LABELS: dict[str, set[str]] = {
    "user_role": {"admin", "tutor", "student"},
    "session_status": {
        "scheduled",
        "in_progress",
        "completed",
        "no_show_tutor",
        "no_show_student",
        "cancelled",
        "rescheduled",
    },
    "reschedule_by": {"tutor", "student"},
    "alert_type": {
        "high_talk_ratio",
        "low_understanding_checks",
        "poor_first_session",
        "high_reschedule_rate",
        "no_show_pattern",
        "declining_performance",
    },
    "alert_severity": {"warning", "critical"},
    "insight_type": {"strength", "growth_area"},
    "insight_category": {
        "high_engagement",
        "low_engagement",
        "high_talk_ratio",
        "balanced_talk_ratio",
        "frequent_understanding_checks",
        "infrequent_understanding_checks",
        "strong_questioning",
        "low_visual_aids",
        "high_visual_aids",
        "positive_reinforcement",
        "first_session_expert",
    },
    "coaching_note_type": {"manual", "system"},
}
"""The enum labels that Tutorwatch reads or writes; the platform may have more."""

# Tables, views and enums, those of extensions aside.
_CONTENTS = text("""
    SELECT 1 FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 1 FROM pg_type AS t
    WHERE t.typnamespace = 'public'::regnamespace AND t.typtype = 'e'
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = t.oid AND d.deptype = 'e')
""")

_COLUMNS = text("""
    SELECT c.relname AS table_name, a.attname AS column_name,
           CASE WHEN t.typtype = 'e' AND t.typnamespace = 'public'::regnamespace THEN t.typname
                ELSE format_type(a.atttypid, a.atttypmod) END AS type_name,
           t.typtype = 'e' AS is_enum
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY(:tables)
""")

_UNPARTITIONED = ("alerts", "tutor_insights")
"""Their unique indexes, of what is open or active, couldn't span partitions."""

_PARTITIONED = text("""
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'p' AND relname = ANY(:tables) ORDER BY 1
""")

_LABELS = text("""
    SELECT t.typname, e.enumlabel
    FROM pg_type AS t JOIN pg_enum AS e ON e.enumtypid = t.oid
    WHERE t.typnamespace = 'public'::regnamespace
""")


def is_empty(connection: Connection) -> bool:
    """Whether schema public has no table and no enum, those of extensions aside."""
    return connection.execute(_CONTENTS).first() is None


def find_problems(connection: Connection) -> list[str]:
    """What keeps Tutorwatch from joining this database, a line each; empty if nothing does.

    Reads the catalogs only. An empty database has no problems: it gets everything.
    """
    version = connection.scalar(text("SELECT current_setting('server_version_num')::integer / 10000"))
    if version is None or version < OLDEST_SERVER:
        return [f"PostgreSQL {version} is too old: {OLDEST_SERVER} or later is needed"]
    if connection.scalar(text("SELECT to_regnamespace('public')")) is None:
        return ["schema public is missing: CREATE SCHEMA public"]
    if is_empty(connection):
        return []
    return _column_problems(connection) + _partition_problems(connection) + _label_problems(connection)


def _column_problems(connection: Connection) -> list[str]:
    found: dict[str, dict[str, str]] = {}
    enum_columns: set[tuple[str, str]] = set()
    for row in connection.execute(_COLUMNS, {"tables": list(COLUMNS)}):
        found.setdefault(row.table_name, {})[row.column_name] = row.type_name
        if row.is_enum:
            enum_columns.add((row.table_name, row.column_name))
    problems = []
    for table, columns in COLUMNS.items():
        if table not in found:
            problems.append(f"table public.{table} is missing")
            continue
        for column, expected in columns.items():
            actual = found[table].get(column)
            if actual is None:
                problems.append(f"column {table}.{column} is missing ({expected})")
            elif expected == _AN_ENUM and (table, column) in enum_columns:
                continue
            elif actual != expected:
                problems.append(f"column {table}.{column} is {actual}, not {expected}")
    return problems


def _partition_problems(connection: Connection) -> list[str]:
    partitioned = connection.scalars(_PARTITIONED, {"tables": list(_UNPARTITIONED)})
    return [
        f"table public.{table} is partitioned, which only sessions and their metrics may be" for table in partitioned
    ]


def _label_problems(connection: Connection) -> list[str]:
    found: dict[str, set[str]] = {}
    for row in connection.execute(_LABELS):
        found.setdefault(row.typname, set()).add(row.enumlabel)
    return [
        f"enum {enum} lacks {', '.join(sorted(missing))}"
        for enum, labels in LABELS.items()
        if enum in found and (missing := labels - found[enum])
    ]
