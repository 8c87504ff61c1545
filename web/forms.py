"""Reads what a form or a program sends."""

import json
from typing import Any

from aiohttp import web

from web.models import FieldError, InvalidInputError

FORM_FIELD = "csrf_token"
RETURN_FIELD = "return_to"
FORM_TYPE = "application/x-www-form-urlencoded"
"""As all our pages send them. Not multipart/form-data: many small parts would keep a processor busy for a second."""


async def read_form(request: web.Request) -> dict[str, str]:
    """The form's fields, our own hidden ones included. Raises InvalidInputError, or a 4xx of aiohttp's."""
    _refuse_compressed(request)
    if request.content_type != FORM_TYPE:
        raise web.HTTPUnsupportedMediaType(text="Send this as a form.")
    try:
        fields = await request.post()
    except (ValueError, LookupError):  # no such charset, too
        raise InvalidInputError([FieldError("", "The form can't be read.")]) from None
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    if len(texts) < len(fields):
        raise InvalidInputError([FieldError("", "Each field is to be given once, as text.")])
    return texts


def _refuse_compressed(request: web.Request) -> None:
    """No browser compresses what it sends, and the server doesn't unfold it (see web/service.py)."""
    if "Content-Encoding" in request.headers:
        raise web.HTTPUnsupportedMediaType(text="Send this without Content-Encoding.")


async def read_fields(request: web.Request) -> dict[str, str]:
    """The form's own fields, without the hidden ones that every form has."""
    fields = await read_form(request)
    return {name: value for name, value in fields.items() if name not in (FORM_FIELD, RETURN_FIELD)}


async def read_json(request: web.Request) -> dict[str, Any]:
    """The object in a JSON body; an absent body is an empty one. Raises InvalidInputError, or a 4xx of aiohttp's."""
    if not request.can_read_body:
        return {}
    _refuse_compressed(request)
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="Send this as application/json.")
    try:
        body = json.loads(await request.text())
    except (ValueError, LookupError, RecursionError):
        raise InvalidInputError([FieldError("", "The body is not JSON.")]) from None
    if not isinstance(body, dict):
        raise InvalidInputError([FieldError("", "The body must be a JSON object.")])
    return body
