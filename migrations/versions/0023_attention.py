"""Whether somebody attends to an alert, and what other clients do to it."""

from migrations.sql import execute, read_sql

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """What is acknowledged is compared from now on with what it is based on now."""
    execute(read_sql("revisions/0023_attention"))
