"""Who is told of alerts, and what is on its way to them."""

from migrations.sql import execute, read_sql

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Nobody is told of anything until somebody makes a channel."""
    execute(read_sql("revisions/0025_telling"))
