"""The URL of a database, checked as libpq will: what other tools understand is refused with a reason."""

from functools import cache
from typing import Annotated
from urllib.parse import urlsplit

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, Field

FORM = "postgresql://user:password@host/database"
_SCHEMES = ("postgresql", "postgres")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def checked_url(url: str | None) -> str | None:
    """The URL or connection string as libpq takes it; ValueError with what is wrong with it, never quoting a password.

    libpq's own message is left out, because it may quote one.
    """
    url = (url or "").strip()
    if url[:1] in ("'", '"'):
        raise ValueError("begins with a quotation mark: leave the quotes out")
    if "://" in url:
        _refuse_other_tools(url)
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError(
            f"is no URL or connection string of libpq's (such as {FORM}): check its form and its %-escapes"
        ) from None
    ssl_mode = parts.get("sslmode")
    if ssl_mode is not None and ssl_mode not in _SSL_MODES:
        raise ValueError(f"has sslmode={ssl_mode}, which libpq doesn't know: it is one of {', '.join(_SSL_MODES)}")
    return url


def _refuse_other_tools(url: str) -> None:
    scheme, _, _ = url.partition("://")
    if scheme not in _SCHEMES and ("=" not in scheme or scheme.startswith("jdbc:")):
        raise ValueError(f"begins with {scheme!r}, as another tool has it: write {FORM}")
    if scheme not in _SCHEMES:
        return  # `key=value` pairs, of which one holds a URL
    names = [part.partition("=")[0] for part in urlsplit(url).query.split("&") if part]
    unknown = [name for name in dict.fromkeys(names) if name not in _parameters()]
    if unknown:
        named = " and ".join(unknown)
        few = "the parameter" if len(unknown) == 1 else "the parameters"
        raise ValueError(f"has {few} {named}, which other tools understand but libpq doesn't: leave it out")


@cache
def _parameters() -> frozenset[str]:
    """Return the parameters that libpq knows, and `ssl`, of JDBC, which it takes with the value `true`."""
    return frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults()) | {"ssl"}


DatabaseUrl = Annotated[str, Field(min_length=1), AfterValidator(checked_url)]
"""Whatever libpq takes: a URL, or `key=value` pairs."""
