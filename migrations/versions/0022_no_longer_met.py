"""Since when an open alert's condition is no longer met."""

from migrations.sql import execute, read_sql

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Adds the column; alerts that are open now get a value with the next generation of their tutor."""
    execute(read_sql("revisions/0022_no_longer_met"))
