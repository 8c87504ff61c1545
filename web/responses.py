"""What every answer and every template gets."""

import warnings

import aiohttp_jinja2
from aiohttp import web
from aiohttp.typedefs import Handler

from web.access import FORM_SECRET
from web.access_cookies import FLASH, FORM, drop_cookie, form_token, new_token, read_cookie, read_flash, set_cookie
from web.access_proxies import is_https
from web.identity import IDENTITY
from web.keys import VERSION
from web.observation import ID_HEADER, REQUEST_ID

FORM_COOKIE_SECONDS = 30 * 86_400

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not no-referrer: with it browsers send "Origin: null" with our own forms, too.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HSTS = "max-age=31536000"


@web.middleware
async def provide_context(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives templates what all of them need; error pages, too, before it is known who asks."""
    request[FORM_SECRET] = read_cookie(request, FORM) or new_token()
    context = {
        "identity": None,
        "csrf_token": form_token(request[FORM_SECRET]),
        "flash": None if _is_background(request) else read_flash(request),
        "path": request.path,
        "version": request.app[VERSION],
        "as_of": None,
    }
    with warnings.catch_warnings():
        # aiohttp-jinja2 keeps the context under a plain string, which aiohttp has come to warn of.
        warnings.simplefilter("ignore", web.NotAppKeyWarning)
        request[aiohttp_jinja2.REQUEST_CONTEXT_KEY] = context
    response = await handler(request)
    if response.content_type == "text/html" and not response.prepared:
        _keep_cookies(request, response)
    return response


@web.middleware
async def provide_identity(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Adds who asks, once that is known."""
    if identity := request.get(IDENTITY):
        context = request[aiohttp_jinja2.REQUEST_CONTEXT_KEY]
        context["identity"] = identity
        context["csrf_token"] = identity.csrf_token or context["csrf_token"]
    return await handler(request)


async def complete(request: web.Request, response: web.StreamResponse) -> None:
    """Adds the headers that every answer has, just before it is sent."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if is_https(request):
        response.headers.setdefault("Strict-Transport-Security", HSTS)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "Tutorwatch"  # not which library, of which version
    response.headers[ID_HEADER] = request.get(REQUEST_ID, "")


def _keep_cookies(request: web.Request, response: web.StreamResponse) -> None:
    """A page has forms, so the browser needs a secret; a message has been shown once."""
    if read_cookie(request, FORM) is None:
        set_cookie(request, response, FORM, request[FORM_SECRET], FORM_COOKIE_SECONDS)
    if read_cookie(request, FLASH) and not _is_background(request):
        drop_cookie(request, response, FLASH)


def _is_background(request: web.Request) -> bool:
    """Whether a script asks, not somebody who would read a message."""
    return request.headers.get("Sec-Fetch-Dest") == "empty"
