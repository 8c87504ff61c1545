"""What Tutorwatch has in a database beside its own tables: functions, triggers, and indexes on the platform's tables.

`migrate` makes a database have all of this and nothing else of ours; the doctor compares with it. Only plain indexes
and plain triggers are on the platform's tables: whatever the platform alters, they are in nobody's way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from database.recording import RECORDED
from migrations.sql import read_sql

FUNCTIONS = (
    "note_unrecorded",
    "record_sessions",
    "record_metrics_of",
    "record_audio_metrics",
    "record_video_metrics",
    "record_alerts",
    "record_insights",
    "record_truncate",
    "mark_statement",
    "record_row",
    "wake_listeners",
    "announce_alerts",
    "wake_dashboards",
    "end_duplicate_alerts",
    "test_insert",
    "try_recording",
    "open_alerts",
    "password_parameters",
    "sign_in_with_password",
    "replace_password",
    "sign_in_with_link",
    "set_password_with_link",
    "sign_in_from_provider",
    "keep_audit_trail",
)
"""Each is `migrations/sql/functions/<name>.sql`. A function comes after those that it calls."""

SEQUENCES = ("automation_off", "unrecorded")
"""What triggers read and count with. A new one starts anew: on, and nothing unrecorded."""

VIEWS = {"wake_gate": "SELECT true AS no_row"}
"""What is only there to be locked: VACUUM passes a view by, so that neither ever waits for the other."""

INDEXES = {
    # A tutor's sessions of a status, by date: all that generation reads of them.
    "tutorwatch_sessions_by_tutor": "public.sessions (tutor_id, status, completed_at, scheduled_start)"
    " INCLUDE (id, student_id, session_number, overall_session_score, rescheduled_by)",
    # Whether a student came back to a tutor.
    "tutorwatch_sessions_by_pair": "public.sessions (tutor_id, student_id) INCLUDE (session_number, status)",
    # The dashboard's: the latest sessions, and those that fell through.
    "tutorwatch_sessions_by_date": "public.sessions (completed_at, scheduled_start, id)",
    "tutorwatch_sessions_by_status": "public.sessions (status, scheduled_start) INCLUDE (tutor_id, rescheduled_by)",
    "tutorwatch_alerts_by_tutor": "public.alerts (tutor_id, alert_type)",
    # Deleting a session sets alerts.session_id to null, which reads all of alerts without this.
    "tutorwatch_alerts_by_session": "public.alerts (session_id)",
    # Few alerts are open: each page asks for them in order, and who has how many of which.
    "tutorwatch_alerts_open": "public.alerts (resolved, triggered_date DESC, id DESC)",
    "tutorwatch_alerts_open_by_severity": "public.alerts (resolved, severity, triggered_date DESC, id DESC)"
    " INCLUDE (tutor_id)",
    # The list of alerts, resolved ones included, where few of many pass the filter.
    "tutorwatch_alerts_by_date": "public.alerts (triggered_date DESC, id DESC)",
    "tutorwatch_alerts_by_severity": "public.alerts (severity, triggered_date DESC, id DESC)",
    "tutorwatch_alerts_by_type": "public.alerts (alert_type, triggered_date DESC, id DESC)",
    "tutorwatch_insights_by_tutor": "public.tutor_insights (tutor_id)",
}
"""On the platform's tables, for speed only: nothing is wrong without them."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger as `migrate` creates it."""

    table: str
    """With its schema."""
    name: str
    function: str
    """Of schema tutorwatch, without its arguments' brackets."""
    event: str
    """`INSERT`, or several: `INSERT OR UPDATE`."""
    timing: str = "AFTER"
    transitions: str = ""
    per_row: bool = False
    arguments: tuple[str, ...] = ()
    condition: str = ""
    is_deferred: bool = False
    fires: str = "ALWAYS"
    """`ALWAYS`, or `REPLICA`: only under session_replication_role = replica."""

    def on(self, table: str) -> "Trigger":
        """The same trigger on another table: a partition."""
        return Trigger(
            table, self.name, self.function, self.event, self.timing, self.transitions, self.per_row,
            self.arguments, self.condition, self.is_deferred, self.fires,
        )  # fmt: skip

    @property
    def definition(self) -> str:
        """As `pg_get_triggerdef` writes it, every name with its schema."""
        kind = "CONSTRAINT TRIGGER" if self.is_deferred else "TRIGGER"
        arguments = ", ".join(f"'{argument}'" for argument in self.arguments)
        parts = [
            f"CREATE {kind} {self.name} {self.timing} {self.event} ON {self.table}",
            self.transitions,
            "DEFERRABLE INITIALLY DEFERRED" if self.is_deferred else "",
            f"FOR EACH {'ROW' if self.per_row else 'STATEMENT'}",
            f"WHEN ({self.condition})" if self.condition else "",
            f"EXECUTE FUNCTION tutorwatch.{self.function}({arguments})",
        ]
        return " ".join(part for part in parts if part)

    @property
    def statements(self) -> tuple[str, ...]:
        """What creates or replaces it; for one short transaction."""
        create = self.definition.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER")
        # A constraint trigger can't be replaced in place.
        drop = (f"DROP TRIGGER IF EXISTS {self.name} ON {self.table};",) if self.is_deferred else ()
        return (*drop, f"{create};", f"ALTER TABLE {self.table} ENABLE {self.fires} TRIGGER {self.name};")


_TRANSITIONS = {
    "INSERT": "REFERENCING NEW TABLE AS new_rows",
    "UPDATE": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "REFERENCING OLD TABLE AS old_rows",
    "TRUNCATE": "",
}


@cache
def triggers() -> tuple[Trigger, ...]:
    """Every trigger, those on partitions aside."""
    return tuple(_triggers())


def _triggers() -> Iterator[Trigger]:
    for recorded in RECORDED:
        table = f"public.{recorded.table}"
        for event, transitions in _TRANSITIONS.items():
            function = "record_truncate" if event == "TRUNCATE" else recorded.function
            yield Trigger(table, f"tutorwatch_{event.lower()}", function, event, transitions=transitions)
        yield Trigger(
            table, "tutorwatch_mark", "mark_statement", "INSERT OR DELETE OR UPDATE", timing="BEFORE", fires="REPLICA"
        )
        yield Trigger(
            table,
            "tutorwatch_row",
            "record_row",
            "INSERT OR DELETE OR UPDATE",
            per_row=True,
            arguments=(recorded.kind, *recorded.columns),
            fires="REPLICA",
        )
    for event, transitions in _TRANSITIONS.items():
        yield Trigger(
            "public.alerts", f"tutorwatch_announce_{event.lower()}", "announce_alerts", event, transitions=transitions
        )
    yield Trigger(
        "tutorwatch.outbox",
        "tutorwatch_wake",
        "wake_listeners",
        "INSERT",
        per_row=True,
        condition="(new.wakes IS NOT NULL)",
        is_deferred=True,
    )
    yield Trigger(
        "tutorwatch.announcements", "tutorwatch_wake", "wake_dashboards", "INSERT", per_row=True, is_deferred=True
    )


def function_sql(name: str) -> str:
    """The statement that creates or replaces the function."""
    return read_sql(f"functions/{name}")


def view_sql(name: str) -> str:
    """The statement that creates the view."""
    return f"CREATE OR REPLACE VIEW tutorwatch.{name} AS {VIEWS[name]};"


def index_sql(name: str) -> str:
    """The statement that builds the index without stopping a write."""
    return f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {INDEXES[name]};"


def index_table(name: str) -> str:
    """The table that the index is on, with its schema."""
    return INDEXES[name].split(" ")[0]
