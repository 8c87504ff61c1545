"""Static files, at addresses that change with their content, so that browsers may keep them for ever."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

FOLDER = Path(__file__).parent.parent / "static"
KEPT_FOR_EVER = "public, max-age=31536000, immutable"


class StaticFiles:
    """The folder under one address that carries a digest of all of it: modules may import each other by name."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
        self._prefix = f"/static/{_digest(self._files)}"

    def add_to(self, app: web.Application) -> None:
        """Serves the files that are there now: an address is looked up among them, never in the file system."""
        app.router.add_get(f"{self._prefix}/{{name:.+}}", self._serve)
        app.on_response_prepare.append(self._let_keep)

    def url(self, name: str) -> str:
        """The address of a file. Raises FileNotFoundError: a template names a file that isn't there."""
        if name not in self._files:
            raise FileNotFoundError(f"There is no static file {name!r}")
        return f"{self._prefix}/{name}"

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return _File(file)

    async def _let_keep(self, request: web.Request, response: web.StreamResponse) -> None:
        if request.path.startswith(f"{self._prefix}/") and response.status in (200, 206, 304):
            response.headers["Cache-Control"] = KEPT_FOR_EVER


class _File(web.FileResponse):
    """A file for a browser that may leave, or stop reading, in the middle of it."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends the file. Raises ConnectionError if the browser doesn't take it: that is nobody's mistake."""
        try:
            return await super().prepare(request)
        except (OSError, RuntimeError) as error:  # the event loop says a closed connection in either way
            if request.transport is not None and not request.transport.is_closing():
                raise
            raise ConnectionAbortedError from error


def _digest(files: Mapping[str, Path]) -> str:
    content = hashlib.sha256()
    for name, file in sorted(files.items()):
        content.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return content.hexdigest()[:16]
