"""Long SQL, kept in `.sql` files in a folder `sql/` of the package that runs it."""

from functools import cache
from importlib import resources


@cache
def read_sql(folder: str, name: str, **fragments: str) -> str:
    """Return the text of `<name>.sql` in a folder, which is named as for an import: `migrations.sql`.

    Each `{name}` in it is replaced by the fragment of SQL of that name; other braces mean nothing.
    """
    text = resources.files(folder).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    for placeholder, fragment in fragments.items():
        text = text.replace(f"{{{placeholder}}}", fragment)
    return text
