"""What every template gets: made for the pages that are rendered, which most answers are not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp_jinja2
from aiohttp import web
from markupsafe import Markup

from rules.life import Outcome
from web.auth.cookies import FORM, form_token, new_token, read_cookie, read_flash
from web.auth.identity import IDENTITY
from web.keys import CONDITION, SETTINGS, VERSION
from web.time_zones import COOKIE, zone_named

AS_OF: web.RequestKey[datetime | None] = web.RequestKey("as_of")
"""How old a page's content is, where it comes from a replica."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A form that couldn't be accepted, for it to come again: what was typed, and what is wrong with which field."""

    values: Mapping[str, str]
    problems: Mapping[str, str]
    return_to: str


TYPED = web.RequestKey("typed", Typed)
_FORM_SECRET = web.RequestKey("form_secret", str)


def render(template: str, request: web.Request, values: Mapping[str, Any]) -> str:
    """The page; error pages, too, before it is known who asks. Raises jinja2.TemplateNotFound."""
    identity = request.get(IDENTITY)
    context = {
        "identity": identity,
        "csrf_token": (identity and identity.csrf_token) or form_token(form_secret(request)),
        "flash": flash_of(request),
        "path": request.path,
        "version": request.app[VERSION],
        "typed": request.get(TYPED),
        "condition": request.app[CONDITION].known,
        "missing": request.app[CONDITION].missing,
        "as_of": request.get(AS_OF),
        "zone": zone_of(request),
        "follows_browser": _follows_browser(request),
    }
    return aiohttp_jinja2.get_env(request.app).get_template(template).render({**context, **values})


def render_page(template: str, request: web.Request, now: datetime, **values: Any) -> web.Response:
    """The page as it is at this moment."""
    typed = request.get(TYPED)
    here, status = (typed.return_to, 400) if typed else (request.path_qs, 200)
    page = {"now": now, "here": here, "outcomes": list(Outcome)}
    return web.Response(status=status, text=render(template, request, page | values), content_type="text/html")


def render_for_all(template: str, app: web.Application, zone: ZoneInfo, values: Mapping[str, Any]) -> Markup:
    """A part of a page that is the same for all who read it in this time zone: it raises if it looks at who that is."""
    context = {"condition": app[CONDITION].known, "missing": app[CONDITION].missing, "zone": zone}
    html = aiohttp_jinja2.get_env(app).get_template(template).render({**context, **values})
    return Markup(html)  # noqa: S704 # nosec B704 - a template has escaped it


def zone_of(request: web.Request) -> ZoneInfo:
    """The viewer's time zone: the one that they chose, else the browser's, else the installation's."""
    identity = request.get(IDENTITY)
    chosen = identity and identity.time_zone and zone_named(identity.time_zone)
    return chosen or browser_zone(request) or ZoneInfo(request.app[SETTINGS].web_time_zone)


def _follows_browser(request: web.Request) -> bool:
    """Whether the page may be loaded anew once its browser has said its zone: nobody chose another, and nothing is
    lost by it.
    """
    identity = request.get(IDENTITY)
    return request.method == "GET" and not (identity and identity.time_zone) and not flash_of(request)


def browser_zone(request: web.Request) -> ZoneInfo | None:
    """The browser's time zone; None where it says none, or one that is unknown here."""
    return zone_named(request.cookies.get(COOKIE, ""))


def form_secret(request: web.Request) -> str:
    """The secret behind the form tokens of this browser; new where the browser has none yet."""
    if _FORM_SECRET not in request:
        request[_FORM_SECRET] = read_cookie(request, FORM) or new_token()
    return request[_FORM_SECRET]


def flash_of(request: web.Request) -> Mapping[str, str] | None:
    """The message that this page shows."""
    return None if is_background(request) else read_flash(request)


def is_background(request: web.Request) -> bool:
    """Whether a script asks, not somebody who would read a message."""
    return request.headers.get("Sec-Fetch-Dest") == "empty"
