"""Of the writers that commit at the same moment, one wakes the listeners."""

from migrations.sql import execute, read_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """The triggers go on calling the same functions: no lock on the platform's tables is needed."""
    execute("""
        -- On one of the rows of each statement: the payload of the notification for it.
        ALTER TABLE tutorwatch.outbox ADD COLUMN IF NOT EXISTS wakes text
    """)
    execute(read_sql("recording_v2"))
    execute("""
        DROP TRIGGER IF EXISTS tutorwatch_wake ON tutorwatch.outbox;
        CREATE CONSTRAINT TRIGGER tutorwatch_wake AFTER INSERT ON tutorwatch.outbox
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.wakes IS NOT NULL))
            EXECUTE FUNCTION tutorwatch.wake_listeners_v2();
        DROP FUNCTION IF EXISTS tutorwatch.wake_listeners_v1(text)
    """)
