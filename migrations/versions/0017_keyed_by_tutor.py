"""Evidence and resolutions of alerts are keyed by tutor, then alert: one index of each table in place of two."""

from migrations.sql import execute

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """No client writes to these tables; our own services wait for the moment that it takes."""
    for table in ("alert_evidence", "alert_resolutions"):
        execute(f"""
            ALTER TABLE tutorwatch.{table} DROP CONSTRAINT {table}_pkey, ADD PRIMARY KEY (tutor_id, alert_id);
            DROP INDEX IF EXISTS tutorwatch.{table}_tutor;
        """)
