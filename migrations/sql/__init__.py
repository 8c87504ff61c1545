"""The .sql files of the migrations, and how a revision runs them."""

from importlib import resources

from alembic import op


def read_sql(name: str) -> str:
    """The text of `migrations/sql/<name>.sql`."""
    return resources.files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")


def execute(statements: str) -> None:
    """Runs one or more statements as they are: no parameters, so no meaning in `%` or `:name`."""
    if op.get_context().as_sql:
        op.execute(statements)
    else:
        op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})
