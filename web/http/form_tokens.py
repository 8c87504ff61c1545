"""Forms are accepted from our own pages only: other sites could have them sent with our users' cookies."""

from aiohttp import web

from web.auth.cookies import SIGN_IN, is_form_token, read_cookie
from web.auth.identity import IDENTITY, Access, SignedInBy
from web.auth.proxies import is_https
from web.http.forms import FORM_FIELD, FORM_TYPE, read_form
from web.http.rendering import form_secret
from web.keys import SETTINGS

FORM_HEADER = "X-CSRF-Token"


class StaleFormError(web.HTTPForbidden):
    """The form was made for another sign-in than the one it came with, or by nobody here."""

    def __init__(self) -> None:
        super().__init__(text="This form is out of date. Go back, load the page again and send it once more.")


async def require_own_form(request: web.Request, access: Access) -> None:
    """Raises HTTPForbidden unless it was sent from a page of ours; programs' tokens do without.

    StaleFormError where only its form token is wrong.
    """
    identity = request.get(IDENTITY)
    if identity and identity.by is SignedInBy.PROGRAM:
        return
    _refuse_other_sites(request)
    given = request.headers.get(FORM_HEADER)
    if given is None and request.content_type == FORM_TYPE:
        given = (await read_form(request)).get(FORM_FIELD)
    if given is None or not any(is_form_token(given, *of) for of in _form_secrets(request, access)):
        raise StaleFormError


def _form_secrets(request: web.Request, access: Access) -> list[tuple[str, str]]:
    """Of a browser that is signed in, its sign-in; a sign-in form may still be open in another tab.

    Whom a proxy signs in has none: the browser's own secret then counts for this person only, not for the next one.
    """
    identity = request.get(IDENTITY)
    sign_in = read_cookie(request, SIGN_IN) if identity and identity.by is SignedInBy.COOKIE else None
    theirs = (sign_in, "") if sign_in else (form_secret(request), identity.user_id if identity else "")
    return [theirs, (form_secret(request), "")] if access is Access.ANYONE else [theirs]


def _refuse_other_sites(request: web.Request) -> None:
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
        raise web.HTTPForbidden(text="This request came from another site.")


def is_from_own_page(request: web.Request) -> bool:
    """Whether the browser says that a page of ours sent this: not merely that no other site is known to have."""
    if site := request.headers.get("Sec-Fetch-Site"):
        return site == "same-origin"
    return request.headers.get("Origin", "").lower() == _own_origin(request)


def _own_origin(request: web.Request) -> str:
    if url := request.app[SETTINGS].web_url:
        return url
    return f"{'https' if is_https(request) else 'http'}://{request.host.lower()}"
