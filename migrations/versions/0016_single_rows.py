"""An insert of one tutor's sessions, or of sessions that are only scheduled, pays less for being recorded."""

from migrations.sql import execute, read_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """The triggers go on calling the same function: no lock is needed."""
    execute(read_sql("recording_v4"))
