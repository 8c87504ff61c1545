"""Where to go next: to pages of ours only."""

from urllib.parse import urlsplit

from aiohttp import web

LONGEST_PATH = 2000


def local_path(asked: str, default: str = "/") -> str:
    """The path on this site that was asked for; the default for anything that leads elsewhere.

    Browsers read a backslash as a slash and leave out control characters: what holds either is elsewhere.
    """
    if not asked.startswith("/") or asked.startswith("//") or len(asked) > LONGEST_PATH:
        return default
    if "\\" in asked or not asked.isprintable():
        return default
    parts = urlsplit(asked)
    return default if parts.scheme or parts.netloc else asked


def redirect(path: str) -> web.Response:
    """To be fetched with GET, whatever this request was."""
    return web.Response(status=303, headers={"Location": path})
