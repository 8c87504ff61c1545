"""The .sql files of the migrations, and how a revision runs them."""

from functools import partial

from alembic import op

from database import sql_files

read_sql = partial(sql_files.read_sql, "migrations.sql")
"""The text of one of these files, by its name without `.sql`."""


def execute(statements: str) -> None:
    """Runs one or more statements as they are: no parameters, so no meaning in `%` or `:name`."""
    if op.get_context().as_sql:
        op.execute(statements)
    else:
        op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})
