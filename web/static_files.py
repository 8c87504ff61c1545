"""Static files, at addresses that change with their content, so that browsers may keep them for ever."""

import hashlib
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "static"
KEPT_FOR_EVER = "public, max-age=31536000, immutable"


class StaticFiles:
    """The folder under one address that carries a digest of all of it: modules may import each other by name."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._prefix = f"/static/{_digest(folder)}"

    def add_to(self, app: web.Application) -> None:
        """Serves the folder."""
        app.router.add_static(self._prefix, self._folder, name="static")
        app.on_response_prepare.append(self._let_keep)

    def url(self, name: str) -> str:
        """The address of a file. Raises FileNotFoundError: a template names a file that isn't there."""
        if not (self._folder / name).is_file():
            raise FileNotFoundError(f"There is no static file {name!r}")
        return f"{self._prefix}/{name}"

    async def _let_keep(self, request: web.Request, response: web.StreamResponse) -> None:
        if request.path.startswith(f"{self._prefix}/") and response.status in (200, 206, 304):
            response.headers["Cache-Control"] = KEPT_FOR_EVER


def _digest(folder: Path) -> str:
    content = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            content.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return content.hexdigest()[:16]
