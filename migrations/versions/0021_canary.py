"""The canary: what came of its latest test of recording, and the test changes that listeners answer."""

from migrations.sql import execute, read_sql

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """A table for each part. The outbox stays as it is: clients write there."""
    execute(read_sql("revisions/0021_canary"))
