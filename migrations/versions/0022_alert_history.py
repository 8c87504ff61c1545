"""The history of alerts, and since when an open alert's condition is no longer met."""

from migrations.sql import execute, read_sql

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """What is on record of alerts that exist is taken over; the next generation of their tutor tells the rest."""
    execute(read_sql("revisions/0022_alert_history"))
