"""What wakes dashboards and listeners reads no table, and keeps no lock from others; what went by 0011 is looked at."""

from alembic import context

from migrations.sql import execute, read_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """The triggers go on calling the same functions: no lock is needed, and nothing of what a client runs goes away.

    Revision 0011 did take something away: a client that was just recording then could neither record its change nor
    note that. Whatever has joined before may have lost one: it counts as noted, where changes are recorded at all.
    """
    execute(read_sql("announcing_v3"))
    execute(read_sql("recording_v3"))
    if context.config.attributes["has_joined"]:
        execute("""
            SELECT nextval('tutorwatch.unrecorded')
            WHERE EXISTS (SELECT FROM pg_trigger WHERE tgname = 'tutorwatch_update' AND tgenabled IN ('O', 'A'))
        """)
