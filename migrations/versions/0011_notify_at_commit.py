"""Notifications are sent when a transaction commits, by one writer of many; what couldn't be recorded is noted."""

from migrations.sql import execute, read_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """The platform's triggers go on calling the same functions: no lock on its tables is needed."""
    execute("""
        -- On one of the rows of each statement: the payload of the notification for it.
        ALTER TABLE tutorwatch.outbox ADD COLUMN wakes text;

        -- Counts changes that could not be recorded: a sequence keeps what a rollback would take back.
        CREATE SEQUENCE tutorwatch.unrecorded;
        ALTER TABLE tutorwatch.sweep
            ADD COLUMN unrecorded_seen bigint NOT NULL DEFAULT 0,
            -- Every tutor is to be looked at once more when all transactions before this one have ended.
            ADD COLUMN again_after xid8;

        -- Changes of alerts on their way to the dashboards: rows that go again before they are committed.
        CREATE TABLE tutorwatch.announcements (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tutor_id varchar(128)
        )
    """)
    execute(read_sql("recording_v2"))
    execute(read_sql("announcing_v2"))
    execute("""
        CREATE CONSTRAINT TRIGGER tutorwatch_wake AFTER INSERT ON tutorwatch.outbox
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.wakes IS NOT NULL))
            EXECUTE FUNCTION tutorwatch.wake_listeners_v2();
        CREATE CONSTRAINT TRIGGER tutorwatch_wake AFTER INSERT ON tutorwatch.announcements
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tutorwatch.wake_dashboards_v2();
        DROP FUNCTION tutorwatch.wake_listeners_v1(text);
        DROP FUNCTION tutorwatch.wake_dashboards_v1(text)
    """)
