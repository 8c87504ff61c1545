"""Keeps other sites from sending our forms with our users' cookies."""

from aiohttp import web

from web.auth.proxies import is_https
from web.keys import SETTINGS


def refuse_other_sites(request: web.Request) -> None:
    """Raises HTTPForbidden where the browser says that another site sent this.

    By Sec-Fetch-Site, which no page can forge; browsers (and plain http) without it send Origin. Programs
    send neither; what they send beside a cookie must carry the form token all the same.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        is_ours = site in ("same-origin", "none")
    else:
        is_ours = origin is None or origin.lower() == _own_origin(request)
    if not is_ours:
        raise web.HTTPForbidden(text="This was sent from another site.")


def _own_origin(request: web.Request) -> str:
    if url := request.app[SETTINGS].web_url:
        return url
    return f"{'https' if is_https(request) else 'http'}://{request.host.lower()}"
