"""What generation reads of a tutor's sessions, from the index alone: the sessions lie all over their table."""

from migrations.indexes import create_concurrently, drop_concurrently

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """The old index goes once the new one stands."""
    # An index-only scan needs the columns of the expression, too.
    create_concurrently(
        "tutorwatch_sessions_of_tutor",
        "public.sessions (tutor_id, (coalesce(completed_at, scheduled_start)))"
        " INCLUDE (id, student_id, status, completed_at, scheduled_start, session_number, overall_session_score)",
    )
    drop_concurrently("tutorwatch_sessions_dated", of="sessions")
