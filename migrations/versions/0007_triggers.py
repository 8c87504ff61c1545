"""The triggers on sessions and on the audio and video metrics."""

from alembic import context, op

from migrations.sql import execute

revision = "0007"
down_revision = "0006"

FUNCTIONS = {
    "sessions": "record_sessions_v1",
    "session_audio_metrics": "record_audio_metrics_v1",
    "session_video_metrics": "record_video_metrics_v1",
}


def upgrade() -> None:
    """One short transaction per table: two of these locks held at once could deadlock with a client."""
    for table, function in FUNCTIONS.items():
        with op.get_context().autocommit_block():
            execute(f"BEGIN; {_create_triggers(table, function)} COMMIT")


def _create_triggers(table: str, function: str) -> str:
    state = "" if context.config.attributes["automation"] else f"{_disable_triggers(table)}\n"
    return f"""
CREATE OR REPLACE TRIGGER tutorwatch_insert AFTER INSERT ON public.{table}
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.{function}();
CREATE OR REPLACE TRIGGER tutorwatch_update AFTER UPDATE ON public.{table}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.{function}();
CREATE OR REPLACE TRIGGER tutorwatch_delete AFTER DELETE ON public.{table}
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.{function}();
CREATE OR REPLACE TRIGGER tutorwatch_truncate AFTER TRUNCATE ON public.{table}
    FOR EACH STATEMENT EXECUTE FUNCTION tutorwatch.record_truncate_v1();
{state}"""


def _disable_triggers(table: str) -> str:
    return "\n".join(
        f"ALTER TABLE public.{table} DISABLE TRIGGER tutorwatch_{event};"
        for event in ("insert", "update", "delete", "truncate")
    )
