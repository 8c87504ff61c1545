"""Indexes for generation's reads and for the clients' deletes that touch our alerts.

That of a tutor's sessions by date was tutorwatch_sessions_dated here; revision 0014 builds its successor.
"""

from migrations.indexes import create_concurrently

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Builds each index concurrently; a name that exists already is left alone."""
    create_concurrently(
        "tutorwatch_sessions_missed",
        "public.sessions (tutor_id, scheduled_start) WHERE status IN ('no_show_tutor', 'rescheduled')",
    )
    create_concurrently(
        "tutorwatch_sessions_returning",
        "public.sessions (tutor_id, student_id) WHERE session_number > 1 AND status <> 'cancelled'",
    )
    create_concurrently("tutorwatch_alerts_tutor", "public.alerts (tutor_id, alert_type)")
    # Deleting a session sets alerts.session_id to null, which reads all of alerts without this.
    create_concurrently("tutorwatch_alerts_session", "public.alerts (session_id) WHERE session_id IS NOT NULL")
