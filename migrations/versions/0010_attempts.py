"""Attempts at failing tutors are booked before they are made, so that one that kills its listener counts too."""

from migrations.sql import execute

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Adds to `failures` what tells an attempt under way from one that was reported."""
    execute("""
        ALTER TABLE tutorwatch.failures
            -- The latest attempt has begun and not been reported: it is under way, or its listener died of it.
            ADD COLUMN IF NOT EXISTS unfinished boolean NOT NULL DEFAULT false,
            -- A generation is wanted whatever becomes of the attempt under way: a change came after it began.
            ADD COLUMN IF NOT EXISTS wanted boolean NOT NULL DEFAULT false
    """)
