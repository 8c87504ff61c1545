"""Indexes for the list of alerts, resolved ones included, where few of many pass the filter."""

from migrations.indexes import create_concurrently

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Measured with a million alerts: a filter that none passes took 250 ms, and takes 0.05 ms.

    An index of users by name isn't here: where many students sort before the tutors, the list of tutors gets slower.
    """
    create_concurrently("tutorwatch_alerts_of_severity", "public.alerts (severity, triggered_date DESC, id DESC)")
    create_concurrently("tutorwatch_alerts_of_type", "public.alerts (alert_type, triggered_date DESC, id DESC)")
