"""Consumed evidence by session, duplicates as an outcome, and the switch: all that old services don't notice."""

from migrations.sql import execute, read_sql

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Adds only: services of revision 0017 go on beside it."""
    execute(read_sql("revisions/0018_consumed_sessions"))
