"""Long SQL, kept in `.sql` files in a folder `sql/` of the package that runs it."""

from importlib import resources


def read_sql(folder: str, name: str) -> str:
    """The text of `<name>.sql` in a folder, which is named as for an import: `migrations.sql`."""
    return resources.files(folder).joinpath(f"{name}.sql").read_text(encoding="utf-8")
