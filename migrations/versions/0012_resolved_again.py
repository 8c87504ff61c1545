"""An alert that another client reopens may be resolved again: a resolution says which of them it is about."""

from migrations.sql import execute

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """The resolutions so far are of the alerts as they stand."""
    execute("""
        -- The alert's own resolved_at of that time: where it is another one by now, somebody else resolved it since.
        ALTER TABLE tutorwatch.alert_resolutions ADD COLUMN IF NOT EXISTS resolved_at timestamp;
        UPDATE tutorwatch.alert_resolutions AS resolution SET resolved_at = alerts.resolved_at
        FROM public.alerts WHERE alerts.id = resolution.alert_id AND alerts.resolved
    """)
