"""What the dashboard needs: its indexes, the announcement of changed alerts, and the sign-in tables."""

from alembic import op

from migrations.indexes import create_concurrently
from migrations.sql import execute, read_sql

revision = "0008"
down_revision = "0007"

TRANSITIONS = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "REFERENCING OLD TABLE AS old_rows",
    "truncate": "",
}


def upgrade() -> None:
    """Tables last: all before them can be done twice, should this be interrupted."""
    _create_indexes()
    _announce_alerts()
    execute(read_sql("sign_in_tables"))
    # What a listener has done since its start, for /metrics: its own process has no port.
    execute("ALTER TABLE tutorwatch.listeners ADD COLUMN figures jsonb NOT NULL DEFAULT '{}'")


def _create_indexes() -> None:
    # Few alerts are unresolved: what each page asks of them needs an order, and who has how many of which.
    create_concurrently(
        "tutorwatch_alerts_unresolved", "public.alerts (triggered_date DESC, id DESC) WHERE NOT resolved"
    )
    create_concurrently(
        "tutorwatch_alerts_severity",
        "public.alerts (severity, triggered_date DESC, id DESC) INCLUDE (tutor_id) WHERE NOT resolved",
    )
    create_concurrently("tutorwatch_alerts_newest", "public.alerts (triggered_date DESC, id DESC)")
    create_concurrently(
        "tutorwatch_sessions_newest", "public.sessions ((coalesce(completed_at, scheduled_start)) DESC, id DESC)"
    )
    create_concurrently(
        "tutorwatch_sessions_failed",
        "public.sessions (scheduled_start) INCLUDE (tutor_id, status, rescheduled_by)"
        " WHERE status IN ('no_show_tutor', 'no_show_student', 'rescheduled')",
    )
    create_concurrently("tutorwatch_insights_tutor", "public.tutor_insights (tutor_id)")
    create_concurrently("tutorwatch_users_email", "public.users (lower(email))")


def _announce_alerts() -> None:
    """In a short transaction of its own: the lock on alerts must not be held while tables are created."""
    with op.get_context().autocommit_block():
        execute("\n".join(["BEGIN;", read_sql("announcing_v1"), *map(_create_trigger, TRANSITIONS), "COMMIT"]))


def _create_trigger(event: str) -> str:
    return f"""
CREATE OR REPLACE TRIGGER tutorwatch_announce_{event} AFTER {event.upper()} ON public.alerts
    {TRANSITIONS[event]}
    FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.announce_alerts_v1();"""
