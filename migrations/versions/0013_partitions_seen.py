"""Which partitions the listeners have seen: rows that come or go with one fire no trigger."""

from migrations.sql import execute

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Those that are there count as seen: what they hold is the backfill's affair."""
    execute("""
        ALTER TABLE tutorwatch.sweep ADD COLUMN IF NOT EXISTS partitions_seen oid[] NOT NULL DEFAULT '{}';
        UPDATE tutorwatch.sweep SET partitions_seen = ARRAY(
            SELECT part.relid::oid
            FROM unnest('{public.sessions,public.session_audio_metrics,public.session_video_metrics}'::regclass[])
                AS whole, pg_partition_tree(whole) AS part
            WHERE part.isleaf ORDER BY 1
        )
    """)
