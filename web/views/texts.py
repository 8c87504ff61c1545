"""The whole of a text of which pages and documents show the beginning: sent in slices, however long it is."""

from aiohttp import web

from web.auth.access import source_in_path
from web.http.paths import id_in_path
from web.keys import CONDITION
from web.queries.texts import Source, slice_of_text
from web.reading import answer_in_time, reading
from web.views.api.openapi import Operation

WHOLE_TEXT = Operation(
    "getWholeText", "The whole of a text that was cut: `cut` says where", None, answers_text=True, problems=(404,)
)


async def whole_text(request: web.Request) -> web.StreamResponse:
    """`GET /texts/{kind}/{id}/{field}`, for whoever may see the page that shows its beginning."""
    source = source_in_path(request)
    first = await _slice(request, source, 0) if source else None
    if source is None or first is None:
        raise web.HTTPNotFound
    if request.method == "HEAD":
        return web.Response(content_type="text/plain", charset="utf-8")
    return await _send(request, source, first)


async def _send(request: web.Request, source: Source, first: str) -> web.StreamResponse:
    """Holds one slice at a time, and no connection while a browser reads slowly."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(request)
    try:
        part: str | None = first
        start = 0
        while part:
            await response.write(part.encode())
            start += len(part)
            part = await _slice(request, source, start)
        await response.write_eof()
    except Exception:
        if request.transport:
            request.transport.abort()  # so that nobody takes what has come so far for the whole
        raise
    return response


async def _slice(request: web.Request, source: Source, start: int) -> str | None:
    async def read() -> str | None:
        async with reading(request) as conn:
            missing = request.app[CONDITION].missing
            return await slice_of_text(conn, source, id_in_path(request), start, missing=missing)

    return await answer_in_time(request, read)
