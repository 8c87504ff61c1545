"""The parts of Tutorwatch in a database beside its own tables: functions, triggers, indexes on the platform's tables.

`migrate` makes a database have all of this and nothing else of ours; the doctor compares with it. Only plain indexes
and plain triggers are on the platform's tables: whatever the platform alters, they don't get in its way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from database.recording import MARK_TRIGGER, RECORDED, ROW_TRIGGER, Recorded
from migrations.sql import read_sql


@dataclass(frozen=True, slots=True)
class Function:
    """A function of schema tutorwatch, in PL/pgSQL. Its names resolve in `pg_catalog` alone, whoever calls it."""

    name: str
    signature: str = "() RETURNS trigger"
    file: str = ""
    """Of its body, if not its own name: `migrations/sql/functions/<file>.sql`."""
    columns: tuple[str, ...] = ()
    """The columns that the body has in place of `{columns}`."""
    lock_timeout: str | None = None
    row_security: str | None = None
    is_definer: bool = True
    """Whether it runs with its owner's rights."""
    is_stable: bool = False

    @property
    def settings(self) -> dict[str, str]:
        """The settings under which it runs."""
        given = {"search_path": SEARCH_PATH, "lock_timeout": self.lock_timeout, "row_security": self.row_security}
        return {name: value for name, value in given.items() if value}

    @property
    def body(self) -> str:
        """The code, as the catalogs keep it."""
        fragments = {"columns": ", ".join(self.columns), "on_error": read_sql("on_error").rstrip()}
        return "\n" + read_sql(f"functions/{self.file or self.name}", **fragments)

    @property
    def sql(self) -> str:
        """The statement that creates or replaces it."""
        options = f"LANGUAGE plpgsql{' STABLE' * self.is_stable}{' SECURITY DEFINER' * self.is_definer}"
        settings = "".join(f" SET {name} = {value}" for name, value in self.settings.items())
        head = f"CREATE OR REPLACE FUNCTION tutorwatch.{self.name}{self.signature}\n{options}{settings}"
        return f"{head} AS $${self.body}$$;"


SEARCH_PATH = "pg_catalog, pg_temp"
_BRIEF = "'100ms'"
"""How long a function that runs in a client's transaction may wait for a lock of ours."""


def _recording(recorded: Recorded) -> Function:
    file = {"sessions": "record_sessions", "metrics": "record_metrics", "results": "record_results"}[recorded.kind]
    return Function(recorded.function, file=file, columns=recorded.columns, lock_timeout=_BRIEF, row_security="off")


FUNCTIONS = {
    function.name: function
    for function in (
        Function("note_unrecorded", "(table_name text, problem text) RETURNS void"),
        Function(
            "record_metrics_of",
            "(changed uuid[], sessions_may_be_gone boolean) RETURNS void",
            row_security="off",
            is_definer=False,
        ),
        *map(_recording, RECORDED),
        Function("record_truncate", lock_timeout=_BRIEF),
        Function("mark_statement", is_definer=False),
        Function("record_row", lock_timeout=_BRIEF, row_security="off"),
        Function("wake_listeners"),
        Function("announce_alerts", lock_timeout=_BRIEF),
        Function("wake_dashboards"),
        Function("write_deliveries", row_security="off"),
        Function(
            "end_duplicate_alerts",
            "(duplicates uuid[], kept uuid[], at timestamp) RETURNS bigint",
            row_security="off",
        ),
        Function("test_insert", "(table_name text, given jsonb) RETURNS text", row_security="off", is_definer=False),
        Function("try_recording", "() RETURNS jsonb", lock_timeout=_BRIEF, row_security="off"),
        Function(
            "open_alerts",
            "(rows json, at timestamp)"
            " RETURNS TABLE (id uuid, tutor_id text, type text, severity text, description text)",
            row_security="off",
        ),
        Function(
            "reopen_alert",
            "(alert_id uuid, lock_seed bigint, OUT concerns text, OUT refused text)",
            row_security="off",
        ),
        Function("password_parameters", "(account text) RETURNS text", is_stable=True),
        Function(
            "sign_in_with_password",
            "(account text, password_key bytea, sign_in bytea, from_address text, with_browser text) RETURNS boolean",
        ),
        Function(
            "replace_password",
            "(account text, password_key bytea, new_parameters text, new_key_digest bytea) RETURNS boolean",
        ),
        Function(
            "sign_in_with_link",
            "(link bytea, sign_in bytea, from_address text, with_browser text) RETURNS text",
            row_security="off",
        ),
        Function(
            "set_password_with_link",
            "(link bytea, new_parameters text, new_key_digest bytea) RETURNS text",
            row_security="off",
        ),
        Function(
            "sign_in_from_provider",
            "(token_issuer text, token_subject text, verified_email text, sign_in bytea, from_address text,"
            " with_browser text) RETURNS text",
            row_security="off",
        ),
        Function(
            "keep_audit_trail",
            "(days integer) RETURNS TABLE (removed bigint, anonymised bigint)",
            row_security="off",
        ),
    )
}
"""By name. A function comes after those that it calls."""

SEQUENCES = ("automation_off", "unrecorded")
"""What triggers read and count with. A new one starts anew: on, and nothing unrecorded."""

VIEWS = {"wake_gate": "CREATE OR REPLACE VIEW tutorwatch.wake_gate AS SELECT true AS no_row;"}
"""A view that is only there to be locked: VACUUM ignores views, so that neither ever waits for the other."""


@dataclass(frozen=True, slots=True)
class Index:
    """A plain index on one of the platform's tables, for speed only: nothing is wrong without it."""

    name: str
    table: str
    """With its schema."""
    keys: tuple[str, ...]
    include: tuple[str, ...] = ()

    @property
    def columns(self) -> str:
        """The columns in it, as SQL has them."""
        return f"({', '.join(self.keys)})" + (f" INCLUDE ({', '.join(self.include)})" if self.include else "")

    def sql(self, *, name: str = "", table: str = "") -> str:
        """The statement that builds it, or its part on a partition, without stopping a write."""
        return f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name or self.name} ON {table or self.table} {self.columns};"

    def sql_without_parts(self, *, name: str = "", table: str = "") -> str:
        """The statement that creates it on a partitioned table alone, in a moment; parts are attached to it."""
        return f"CREATE INDEX IF NOT EXISTS {name or self.name} ON ONLY {table or self.table} {self.columns};"


_BY_DATE = ("triggered_date DESC", "id DESC")

INDEXES = {
    index.name: index
    for index in (
        # A tutor's sessions of a status, by date: all that generation reads of them.
        Index(
            "tutorwatch_sessions_by_tutor",
            "public.sessions",
            ("tutor_id", "status", "completed_at", "scheduled_start"),
            ("id", "student_id", "session_number", "overall_session_score", "rescheduled_by"),
        ),
        # Whether a student came back to a tutor.
        Index(
            "tutorwatch_sessions_by_pair", "public.sessions", ("tutor_id", "student_id"), ("session_number", "status")
        ),
        # The dashboard's: the latest sessions, and those that fell through.
        Index("tutorwatch_sessions_by_date", "public.sessions", ("completed_at", "scheduled_start", "id")),
        Index(
            "tutorwatch_sessions_by_status",
            "public.sessions",
            ("status", "scheduled_start"),
            ("tutor_id", "rescheduled_by"),
        ),
        Index("tutorwatch_alerts_by_tutor", "public.alerts", ("tutor_id", "alert_type")),
        # Deleting a session sets alerts.session_id to null, which reads all of alerts without this.
        Index("tutorwatch_alerts_by_session", "public.alerts", ("session_id",)),
        # Few alerts are open: each page asks for them in order, and who has how many of which.
        Index("tutorwatch_alerts_open", "public.alerts", ("resolved", *_BY_DATE)),
        Index(
            "tutorwatch_alerts_open_by_severity", "public.alerts", ("resolved", "severity", *_BY_DATE), ("tutor_id",)
        ),
        # The list of alerts, resolved ones included, where few of many pass the filter.
        Index("tutorwatch_alerts_by_date", "public.alerts", _BY_DATE),
        Index("tutorwatch_alerts_resolved", "public.alerts", ("resolved", "resolved_at DESC NULLS LAST", "id DESC")),
        Index("tutorwatch_alerts_by_severity", "public.alerts", ("severity", *_BY_DATE)),
        Index("tutorwatch_alerts_by_type", "public.alerts", ("alert_type", *_BY_DATE)),
        Index("tutorwatch_insights_by_tutor", "public.tutor_insights", ("tutor_id",)),
    )
}
"""By name."""


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
        return replace(self, table=table)

    @property
    def definition(self) -> str:
        """The definition as `pg_get_triggerdef` writes it, every name with its schema."""
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
        """The statements that create or replace it, for one short transaction."""
        create = self.definition.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER")
        # A constraint trigger can't be replaced in place.
        drop = (f"DROP TRIGGER IF EXISTS {self.name} ON {self.table};",) if self.is_deferred else ()
        return (*drop, f"{create};", f"ALTER TABLE {self.table} ENABLE {self.fires} TRIGGER {self.name};")


HISTORY = "tutorwatch.alert_history"
"""The table of ours whose trigger needs the newest revision: it is installed after all revisions."""

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
            table, MARK_TRIGGER, "mark_statement", "INSERT OR DELETE OR UPDATE", timing="BEFORE", fires="REPLICA"
        )
        yield Trigger(
            table,
            ROW_TRIGGER,
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
    yield Trigger(HISTORY, "tutorwatch_tell", "write_deliveries", "INSERT", transitions=_TRANSITIONS["INSERT"])
