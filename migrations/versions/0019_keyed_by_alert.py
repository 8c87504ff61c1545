"""Evidence and resolutions by the alert alone, so that they follow one that moves; no unique index is needed any more.

Runs when services of revision 0017 have ended: they insert by the keys and unique indexes that go.
"""

from migrations.sql import execute, read_sql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Makes counted evidence consumed evidence; of several rows of an alert that moved, the latest stays."""
    execute(read_sql("revisions/0019_keyed_by_alert"))
