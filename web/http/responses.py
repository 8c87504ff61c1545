"""What every answer gets."""

from aiohttp import web
from aiohttp.typedefs import Handler

from database.serving import HSTS, SECURITY_HEADERS, protect
from web.auth.cookies import FLASH, FORM, drop_cookie, read_cookie, set_cookie
from web.auth.identity import IDENTITY
from web.auth.proxies import is_https
from web.http.observation import ID_HEADER, REQUEST_ID
from web.http.rendering import form_secret, is_background

FORM_COOKIE_SECONDS = 30 * 86_400

TOKEN_EXPIRES_HEADER = "Tutorwatch-Token-Expires"  # noqa: S105 # nosec B105
"""Tells a program when its token ends."""


@web.middleware
async def keep_cookies(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Sets with a page what its forms need, and forgets what has been shown."""
    response = await handler(request)
    if response.content_type == "text/html" and not response.prepared:
        _keep_cookies(request, response)
    return response


async def complete(request: web.Request, response: web.StreamResponse) -> None:
    """Adds the headers that every answer has, just before it is sent.

    None is to be kept by a browser, streams and answers with an ETag neither: whoever uses the computer next could read
    it. Static files say otherwise, after this.
    """
    protect(response, SECURITY_HEADERS | HSTS if is_https(request) else SECURITY_HEADERS)
    response.headers["Cache-Control"] = "no-store"
    response.headers[ID_HEADER] = request.get(REQUEST_ID, "")
    identity = request.get(IDENTITY)
    if identity and identity.token and identity.token.expires_at:
        response.headers[TOKEN_EXPIRES_HEADER] = identity.token.expires_at.isoformat()


def _keep_cookies(request: web.Request, response: web.StreamResponse) -> None:
    """A page has forms, so the browser needs a secret; a message has been shown once."""
    if read_cookie(request, FORM) is None:
        set_cookie(request, response, FORM, form_secret(request), FORM_COOKIE_SECONDS)
    if read_cookie(request, FLASH) and not is_background(request):
        drop_cookie(request, response, FLASH)
