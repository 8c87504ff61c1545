"""At most one open alert per tutor and type, of the types that Tutorwatch opens."""

from migrations.indexes import create_unique_after_settling

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Other clients' types (student_churn_risk, ...) may be open several times, one per student."""
    create_unique_after_settling(
        "tutorwatch_one_open_alert",
        "public.alerts (tutor_id, alert_type) WHERE NOT resolved AND alert_type IN"
        " ('poor_first_session', 'no_show_pattern', 'high_talk_ratio', 'low_understanding_checks',"
        " 'high_reschedule_rate', 'declining_performance')",
        settle_file="settle_duplicate_alerts",
    )
