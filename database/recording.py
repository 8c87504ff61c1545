"""The recording of changes: which tables and columns, by which triggers, and the switch that turns it off."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from database.channels import CHANGES
from database.sql_files import read_sql


@dataclass(frozen=True, slots=True)
class Recorded:
    """A table of the platform's whose changes concern a tutor."""

    table: str
    """In schema public."""
    function: str
    """Of schema tutorwatch: what its statement triggers call."""
    kind: str
    """What `record_row` has to know of its rows: `sessions`, `metrics` of one, or `results` of a generation."""
    columns: tuple[str, ...]
    """The columns whose change concerns somebody."""


RECORDED = (
    Recorded(
        "sessions",
        "record_sessions",
        "sessions",
        (
            "tutor_id",
            "student_id",
            "session_number",
            "status",
            "overall_session_score",
            "scheduled_start",
            "completed_at",
            "rescheduled_by",
        ),
    ),
    Recorded(
        "session_audio_metrics",
        "record_audio_metrics",
        "metrics",
        (
            "session_id",
            "tutor_talk_ratio",
            "student_engagement_score",
            "tutor_checks_understanding_count",
            "tutor_positive_reinforcement_count",
            "open_ended_questions",
            "closed_ended_questions",
        ),
    ),
    Recorded("session_video_metrics", "record_video_metrics", "metrics", ("session_id", "tutor_uses_visual_aids")),
    Recorded(
        "alerts",
        "record_alerts",
        "results",
        ("tutor_id", "alert_type", "acknowledged", "resolved", "resolved_at"),
    ),
    Recorded("tutor_insights", "record_insights", "results", ("tutor_id", "category", "is_active")),
)

STATEMENT_TRIGGERS = ("tutorwatch_insert", "tutorwatch_update", "tutorwatch_delete", "tutorwatch_truncate")
"""On each recorded table and on each of its partitions; they fire always."""
MARK_TRIGGER = "tutorwatch_mark"
"""Likewise; fires only under session_replication_role = replica, as the next one."""
ROW_TRIGGER = "tutorwatch_row"
"""On each recorded table; its partitions get theirs from it."""

# The switch is a sequence, tutorwatch.automation_off, which triggers read without a lock or a snapshot. Not called: on.
# Called: off, since the second of the Unix epoch that is its value.
SWITCH_OFF = "SELECT setval('tutorwatch.automation_off', extract(epoch FROM clock_timestamp())::bigint, true)"
SWITCH_ON = "SELECT setval('tutorwatch.automation_off', 1, false)"

EVERY_TUTOR = "INSERT INTO tutorwatch.outbox DEFAULT VALUES"
"""Records a change that concerns all tutors."""

REEVALUATE_ALL = f"""
    {EVERY_TUTOR};
    UPDATE tutorwatch.sweep SET again_after = pg_current_xact_id();
    SELECT pg_notify('{CHANGES}', '')
"""  # noqa: S608 - a constant of ours
"""Has all tutors re-evaluated at once, and again (see `listener.sweep`) when all transactions that run now have ended:
what they write may go unrecorded, and becomes visible only at their commit."""

OFF_SINCE = "SELECT CASE WHEN is_called THEN to_timestamp(last_value) END FROM tutorwatch.automation_off"
"""Since when changes are not recorded because the switch is off; NULL: it is on."""


class Automation(StrEnum):
    """Whether changes are recorded, as the command line and the dashboard say it."""

    ON = "on"
    PARTLY = "partly on"
    """The switch is on, but a trigger or function doesn't record what it should."""
    OFF = "off"
    MISSING = "missing"
    """Before `migrate`."""


def automation_of(off_since: datetime | None, *, is_all_recorded: bool) -> Automation:
    """The state, by when the switch was turned off, and by whether `BROKEN_TRIGGERS` finds none."""
    if off_since:
        return Automation.OFF
    return Automation.ON if is_all_recorded else Automation.PARTLY


def _expected() -> str:
    """The triggers of all recorded tables as rows: table, trigger, function, when it fires, whether on partitions."""
    rows = []
    for recorded in RECORDED:
        functions = dict.fromkeys(STATEMENT_TRIGGERS, recorded.function) | {"tutorwatch_truncate": "record_truncate"}
        rows += [(recorded.table, trigger, function, "A", True) for trigger, function in functions.items()]
        rows.append((recorded.table, MARK_TRIGGER, "mark_statement", "R", True))
        rows.append((recorded.table, ROW_TRIGGER, "record_row", "R", False))
    return ", ".join(
        f"('{table}', '{name}', '{function}', '{fires}', {on})" for table, name, function, fires, on in rows
    )


BROKEN_TRIGGERS = read_sql("database.sql", "broken_triggers", expected=_expected())
"""The triggers that don't record what they should: table, trigger, and what is wrong with it. Reads the catalogs only;
to be run without parameters."""
