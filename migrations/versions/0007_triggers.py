"""The triggers on sessions, on their audio and video metrics, and on alerts."""

from alembic import context, op

from migrations.sql import execute

revision = "0007"
down_revision = "0006"

RECORDED = {
    "sessions": ("record_sessions_v1", ("insert", "update", "delete")),
    "session_audio_metrics": ("record_audio_metrics_v1", ("insert", "update", "delete")),
    "session_video_metrics": ("record_video_metrics_v1", ("insert", "update", "delete")),
    "alerts": ("record_alerts_v1", ("update", "delete")),
}
TRANSITIONS = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "REFERENCING OLD TABLE AS old_rows",
}


def upgrade() -> None:
    """One short transaction per table or partition: two of these locks at once could deadlock with a client."""
    partitions = context.config.attributes["partitions"]
    tables = [(f"public.{table}", table) for table in RECORDED] + [
        (partition.name, partition.of) for partition in partitions if partition.of in RECORDED
    ]
    for table, of in tables:
        function, events = RECORDED[of]
        statements = [_create_trigger(table, event, function) for event in events]
        statements.append(_create_trigger(table, "truncate", "record_truncate_v1"))
        if not context.config.attributes["automation"]:
            statements += [
                f"ALTER TABLE {table} DISABLE TRIGGER tutorwatch_{event};" for event in (*events, "truncate")
            ]
        with op.get_context().autocommit_block():
            execute("\n".join(["BEGIN;", *statements, "COMMIT"]))


def _create_trigger(table: str, event: str, function: str) -> str:
    return f"""
CREATE OR REPLACE TRIGGER tutorwatch_{event} AFTER {event.upper()} ON {table}
    {TRANSITIONS.get(event, "")}
    FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.{function}();"""
