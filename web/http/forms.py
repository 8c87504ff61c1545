"""Reads what a form or a program sends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from web.http.inputs import FieldError, InvalidInputError

FORM_FIELD = "csrf_token"
RETURN_FIELD = "return_to"
FORM_TYPE = "application/x-www-form-urlencoded"
"""As all our pages send them. Not multipart/form-data: many small parts would keep a processor busy for a second."""
ARRIVAL_SECONDS = 10.0
"""How long a body may take to arrive."""


async def read_form(request: web.Request) -> dict[str, str]:
    """The form's fields, our own hidden ones included. Raises InvalidInputError, or a 4xx of aiohttp's."""
    if request.content_type != FORM_TYPE:
        raise web.HTTPUnsupportedMediaType(text="Send this as a form.")
    try:
        async with _bounded(request):
            fields = await request.post()
        texts = {name: value for name, value in fields.items() if isinstance(value, str)}
        "".join([*texts, *texts.values()]).encode()  # some charsets let half a character through
    except (ValueError, LookupError):  # no such charset, too
        raise InvalidInputError([FieldError("", "The form can't be read.")]) from None
    if len(texts) < len(fields):
        raise InvalidInputError([FieldError("", "Each field is to be given once, as text.")])
    return texts


@asynccontextmanager
async def _bounded(request: web.Request) -> AsyncIterator[None]:
    """Refuses a body before reading it where its headers say enough, and gives up on one that doesn't arrive."""
    if "Content-Encoding" in request.headers:  # no browser compresses; the server doesn't unfold (web/service.py)
        raise web.HTTPUnsupportedMediaType(text="Send this without Content-Encoding.")
    if (size := request.content_length or 0) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, size)
    try:
        async with asyncio.timeout(ARRIVAL_SECONDS):
            yield
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The request didn't arrive in time.") from None
    except ConnectionResetError:  # whoever sent it has gone: nobody reads the answer
        raise web.HTTPBadRequest(text="The request ended in the middle.") from None


async def read_fields(request: web.Request) -> dict[str, str]:
    """The form's own fields, without the hidden ones that every form has."""
    fields = await read_form(request)
    return {name: value for name, value in fields.items() if name not in (FORM_FIELD, RETURN_FIELD)}


async def read_json(request: web.Request) -> dict[str, Any]:
    """The object in a JSON body; an absent body is an empty one. Raises InvalidInputError, or a 4xx of aiohttp's."""
    if not request.can_read_body:
        return {}
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="Send this as application/json.")
    try:
        async with _bounded(request):
            text = await request.text()
        body = json.loads(text)
    except (ValueError, LookupError, RecursionError):
        raise InvalidInputError([FieldError("", "The body is not JSON.")]) from None
    if not isinstance(body, dict):
        raise InvalidInputError([FieldError("", "The body must be a JSON object.")])
    return body
