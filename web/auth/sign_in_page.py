"""The page to sign in on, and the page that brings a form back whose sign-in had ended: no form is sent by itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from web.auth.cookies import SIGN_IN, read_cookie
from web.auth.identity import IDENTITY
from web.http.form_tokens import is_from_own_page
from web.http.forms import FORM_FIELD, FORM_TYPE, RETURN_FIELD, read_form
from web.http.inputs import FIELD_LABELS
from web.http.paths import path_part
from web.http.redirects import local_path, redirect
from web.http.rendering import render
from web.keys import SETTINGS

ENDED = "Your sign-in has ended."
NOT_DONE = "Your sign-in had ended: what you sent was not done."
LONGEST_UNSENT = 60_000
"""Bytes that are carried through a sign-in: two of the longest texts, in most scripts."""
_NEVER_KEPT = ("/account", "/password", "/sign-in", "/sign-out")
_ACTS = {
    "acknowledge": "Acknowledge an alert",
    "resolve": "Resolve an alert",
    "notes": "Add a note",
    "retry": "Try failed tutors again",
}


@dataclass(frozen=True, slots=True)
class Unsent:
    """A form that was sent without being signed in: where to, and its fields without the form token."""

    path: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def dump(self) -> str:
        """For a hidden field of the sign-in form."""
        return json.dumps({"path": self.path, "fields": dict(self.fields)}, ensure_ascii=False)

    @property
    def act(self) -> str:
        """What it was to do, in words."""
        return _ACTS.get(self.path.rpartition("/")[2], "Send a form")

    @property
    def about(self) -> str:
        """The page of what it is about."""
        return self.path.rpartition("/")[0] or "/"

    @property
    def texts(self) -> list[tuple[str, str]]:
        """What somebody typed or chose: each with its label."""
        return [(FIELD_LABELS[name], value) for name, value in self.fields.items() if name in FIELD_LABELS and value]

    @property
    def return_to(self) -> str:
        """The page on which it was sent."""
        return local_path(self.fields.get(RETURN_FIELD, ""))

    @classmethod
    def load(cls, text: str) -> Self | None:
        """The form in a hidden field; None if there is none, or none of ours."""
        try:
            kept = json.loads(text)
            path = local_path(kept["path"], "")
            fields = {str(name): str(value) for name, value in kept["fields"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return cls(path, fields) if path and not path.startswith(_NEVER_KEPT) else None


async def unsent_form(request: web.Request) -> Unsent | None:
    """What a page of ours has sent with this request, for it to be sent again; None for any other, and passwords."""
    if not is_from_own_page(request) or request.content_type != FORM_TYPE or request.path.startswith(_NEVER_KEPT):
        return None
    fields = {name: value for name, value in (await read_form(request)).items() if name != FORM_FIELD}
    unsent = Unsent(request.rel_url.raw_path, fields)
    return unsent if len(unsent.dump.encode()) <= LONGEST_UNSENT else Unsent(unsent.path)


async def show(request: web.Request) -> web.StreamResponse:
    """`GET /sign-in`: the form; whoever is signed in already is sent on, to `next` or to where they belong."""
    following = request.query.get("next", "")
    identity = request.get(IDENTITY)
    if identity is not None:
        home = "/" if identity.is_admin else f"/tutors/{path_part(identity.user_id)}"
        return redirect(local_path(following, home) if following != "/" else home)
    had_one = following and read_cookie(request, SIGN_IN)
    return sign_in_page(request, following=following, told=ENDED if had_one else "")


async def ask_again(request: web.Request) -> web.Response:
    """The sign-in page as the answer to a form of ours whose sign-in had ended: it keeps what was typed."""
    unsent = await unsent_form(request)
    if unsent is None:
        return redirect("/sign-in")
    response = sign_in_page(request, following=unsent.return_to, told=NOT_DONE, unsent=unsent, status=401)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def sign_in_page(
    request: web.Request,
    *,
    following: str,
    email: str = "",
    told: str = "",
    problem: str = "",
    unsent: Unsent | None = None,
    status: int = 200,
) -> web.Response:
    """The page; `told` is what happened before, `problem` what was wrong with the last attempt."""
    settings = request.app[SETTINGS]
    values: dict[str, Any] = {
        "next": following,
        "email": email,
        "told": told,
        "problem": problem,
        "unsent": unsent,
        "provider": settings.web_openid_name if settings.web_openid_issuer else None,
        "takes_passwords": settings.web_password_sign_in,
    }
    return web.Response(status=status, text=render("sign_in.html", request, values), content_type="text/html")


def unsent_page(request: web.Request, unsent: Unsent, *, csrf_token: str = "", status: int = 200) -> web.Response:  # nosec B107
    """The page that asks whether to send the form now; `csrf_token` is that of a sign-in that has only just begun."""
    values: dict[str, Any] = {"unsent": unsent} | ({"csrf_token": csrf_token} if csrf_token else {})
    return web.Response(status=status, text=render("unsent.html", request, values), content_type="text/html")
