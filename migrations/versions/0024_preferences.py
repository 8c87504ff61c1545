"""What people chose for themselves: so far, their time zone."""

from migrations.sql import execute, read_sql

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Nobody has chosen anything yet."""
    execute(read_sql("revisions/0024_preferences"))
