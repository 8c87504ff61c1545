"""Clients' ids as parts of paths, and back: any text can be a user's id."""

from urllib.parse import quote

from aiohttp import web

_MARK = "~"


def path_part(text: str) -> str:
    """A client's id as one part of a path, whatever characters it has, and none.

    Browsers take `.` and `..` for folders, also as `%2E`, and lead elsewhere: a mark stands before ids of dots alone,
    and before those that would be misread because they look like such a one.
    """
    return quote(_MARK + text if _is_of_dots(text) else text, safe="")


def id_in_path(request: web.Request) -> str:
    """The id that the path names as its `{id}`."""
    part = request.match_info["id"]
    return part.removeprefix(_MARK) if _is_of_dots(part) else part


def may_be_stored(text: str) -> bool:
    """Whether PostgreSQL could hold it at all: what it couldn't, it doesn't hold."""
    return text.isprintable() or ("\x00" not in text and not any("\ud800" <= each <= "\udfff" for each in text))


def _is_of_dots(text: str) -> bool:
    """Whether it has dots alone (or nothing), after however many marks."""
    return not text.lstrip(_MARK).strip(".")
