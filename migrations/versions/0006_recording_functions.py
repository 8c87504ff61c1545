"""The functions that record a change in the outbox."""

from migrations.sql import execute, read_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Nothing calls them before the next revision."""
    execute(read_sql("recording_v1"))
