"""Cursors of lists as text for URLs, each bound to the list and the filter that it was made for."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web

from web.http.inputs import FieldError, InvalidInputError, left_out
from web.http.paths import may_be_stored
from web.queries.paging import Cursor, Page

_BACKWARDS = "backwards"

Parse = Callable[[str], Any]
"""Makes a value of its text. Raises ValueError or OverflowError."""


def encode_cursor(cursor: Cursor[Any] | None, bound_to: Sequence[str | None]) -> str | None:
    """The cursor as text for a URL, good for what it is bound to and nothing else; None of none."""
    if cursor is None:
        return None
    position = [_fingerprint(bound_to), *map(_to_text, cursor.at), *([_BACKWARDS] if cursor.is_backwards else [])]
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode_cursor(text: str, bound_to: Sequence[str | None], *parts: Parse) -> Cursor[Any]:
    """The cursor in a URL, its position made by these parts.

    Raises InvalidInputError if it is none, or was made for something else.
    """
    try:
        fingerprint, *values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        is_backwards = values[len(parts) :] == [_BACKWARDS]
        if len(values) != len(parts) + is_backwards or not all(isinstance(value, str) for value in values):
            raise ValueError
        at = tuple(parse(value) for parse, value in zip(parts, values, strict=False))
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise InvalidInputError([FieldError("cursor", "is not a cursor of this list")]) from None
    if fingerprint != _fingerprint(bound_to):
        raise InvalidInputError([FieldError("cursor", "belongs to a list with other filters")])
    return Cursor(at, is_backwards)


def page_cursor(text: str | None, bound_to: Sequence[str | None], said: list[str], *parts: Parse) -> Cursor[Any] | None:
    """The cursor that the page begins after, or ends before; what can't be used is `said` to be left out."""
    if not text:
        return None
    try:
        return decode_cursor(text, bound_to, *parts)
    except InvalidInputError:
        said.append(left_out("cursor", text))
        return None


def page_urls(
    request: web.Request, page: Page[Any, Any], bound_to: Sequence[str | None], *, name: str = "cursor"
) -> dict[str, str | None]:
    """Where the list's first page is, and those before and after this one; `name` is that of the cursor's parameter."""
    return {
        "first_url": _url(request, {name: None}),
        "previous_url": _url(request, {name: encode_cursor(page.previous, bound_to)}) if page.previous else None,
        "next_url": _url(request, {name: encode_cursor(page.next, bound_to)}) if page.next else None,
    }


def _url(request: web.Request, changed: Mapping[str, str | None]) -> str:
    """This page's URL with some parameters changed; None takes one out."""
    query = {name: value for name, value in request.query.items() if value} | dict(changed)
    kept = {name: value for name, value in query.items() if value is not None}
    path = request.rel_url.raw_path
    return f"{path}?{urlencode(kept)}" if kept else path


def instant(text: str) -> datetime:
    """Of a cursor, an instant."""
    return datetime.fromisoformat(text).astimezone(UTC)


def number(text: str) -> int:
    """Of a cursor, the number of an entry."""
    found = int(text)
    if not 0 <= found < 2**63:
        raise ValueError
    return found


def maybe(parse: Parse) -> Parse:
    """Of a cursor, a value or none."""
    return lambda text: parse(text) if text else None


def words(text: str) -> str:
    """Of a cursor, a text that the database can hold."""
    if not may_be_stored(text):
        raise ValueError
    return text


def _to_text(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(UTC).isoformat()
        case UUID():
            return value.hex
    return str(value)


def _fingerprint(bound_to: Sequence[str | None]) -> str:
    return hashlib.sha256(json.dumps(list(bound_to)).encode()).hexdigest()[:16]
