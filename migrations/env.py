"""Alembic's entry: runs the revisions on the connection that `migrations.upgrade` hands over."""

from alembic import context

config = context.config


def run() -> None:
    """One transaction a revision, so that an interruption loses at most the revision it hit."""
    context.configure(
        connection=None if context.is_offline_mode() else config.attributes["connection"],
        dialect_name="postgresql" if context.is_offline_mode() else None,
        literal_binds=context.is_offline_mode(),
        version_table_schema="tutorwatch",
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
