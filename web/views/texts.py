"""The whole of a text of which pages and documents show the beginning: sent in slices, however long it is."""

from aiohttp import web

from web.auth.access import require_tutor_access
from web.auth.identity import IDENTITY
from web.http.paths import id_in_path
from web.keys import CONDITION
from web.queries.reading import answer_in_time, reading
from web.queries.texts import SOURCES, Slice, Source, slice_of_text
from web.views.openapi import Operation

WHOLE_TEXT = Operation(
    "getWholeText", "The whole of a text that was cut: `cut` says where", None, answers_text=True, problems=(404,)
)


async def whole_text(request: web.Request) -> web.StreamResponse:
    """`GET /texts/{kind}/{id}/{field}`, for whoever may see the page that shows its beginning."""
    source = SOURCES.get((request.match_info["kind"], request.match_info["field"]))
    if source is None or (source.is_private and not request[IDENTITY].is_admin):
        raise web.HTTPNotFound
    first = await _slice(request, source, 0)
    if first is None:
        raise web.HTTPNotFound
    require_tutor_access(request, first.tutor_id)
    if request.method == "HEAD":
        return web.Response(content_type="text/plain", charset="utf-8")
    return await _send(request, source, first)


async def _send(request: web.Request, source: Source, first: Slice) -> web.StreamResponse:
    """Holds one slice at a time, and no connection while a browser reads slowly."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(request)
    try:
        part: Slice | None = first
        start = 0
        while part and part.text:
            await response.write(part.text.encode())
            start += len(part.text)
            part = await _slice(request, source, start)
        await response.write_eof()
    except Exception:
        if request.transport:
            request.transport.abort()  # so that nobody takes what has come so far for the whole
        raise
    return response


async def _slice(request: web.Request, source: Source, start: int) -> Slice | None:
    async def read() -> Slice | None:
        async with reading(request) as conn:
            missing = request.app[CONDITION].missing
            return await slice_of_text(conn, source, id_in_path(request), start, missing=missing)

    return await answer_in_time(request, read)
