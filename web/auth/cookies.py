"""Our cookies: the sign-in, the secret behind form tokens of those who have none, the flash message, and the token by
which a browser is known again.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping

from aiohttp import web

from web.auth.proxies import is_https

SIGN_IN = "tutorwatch_session"
FORM = "tutorwatch_form"
BROWSER = "tutorwatch_browser"
FLASH = "tutorwatch_flash"

FLASH_SECONDS = 60
LONGEST_FLASH = 1000


def new_token() -> str:
    """A secret of 256 bits, for a cookie, a link or a program."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is stored of a token. It is random, so that nothing slower than SHA-256 is needed."""
    return hashlib.sha256(token_bytes(token)).digest()


def token_bytes(token: str) -> bytes:
    """The token as the database's functions compute that of it."""
    return token.encode("utf-8", "surrogateescape")


def form_token(secret: str, user_id: str = "") -> str:
    """The token that forms carry, derived from the browser's secret: another site can neither read nor guess it.

    A secret that isn't one person's own, as that of a sign-in is, needs the user's id, too.
    """
    what = f"form token\0{user_id}" if user_id else "form token"
    return hmac.digest(secret.encode("utf-8", "surrogateescape"), what.encode(), "sha256").hex()


def is_form_token(given: str, secret: str, user_id: str = "") -> bool:
    """Whether the token belongs to the secret, and to the user."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), form_token(secret, user_id).encode())


def read_cookie(request: web.Request, name: str) -> str | None:
    """The cookie's value, or None."""
    return request.cookies.get(full_name(request, name)) or None


def set_cookie(request: web.Request, response: web.StreamResponse, name: str, value: str, max_age: float) -> None:
    """For this host only, out of reach of scripts, and never sent by another site's forms."""
    response.set_cookie(
        full_name(request, name),
        value,
        max_age=int(max_age),
        path="/",
        httponly=True,
        samesite="Lax",
        secure=is_https(request),
    )


def drop_cookie(request: web.Request, response: web.StreamResponse, name: str) -> None:
    """Has the browser forget the cookie."""
    response.del_cookie(full_name(request, name), path="/", httponly=True, samesite="Lax", secure=is_https(request))


_UNDO = re.compile("/alerts/[0-9a-f-]{36}/(unacknowledge|reopen)")
"""What a message may offer to take back: another site may have set the cookie."""


def set_flash(
    request: web.Request, response: web.StreamResponse, kind: str, text: str, *, undo: str | None = None
) -> None:
    """Gives the next page a message: `kind` is "done" or "error", `undo` the address that takes back what was done."""
    message = json.dumps({"kind": kind, "text": text[:LONGEST_FLASH], "undo": undo or ""})
    set_cookie(request, response, FLASH, base64.urlsafe_b64encode(message.encode()).decode(), FLASH_SECONDS)


def read_flash(request: web.Request) -> Mapping[str, str] | None:
    """The message for this page: its `kind`, `text`, and `undo`, an address of ours or nothing."""
    kept = read_cookie(request, FLASH)
    if kept is None:
        return None
    try:
        message = json.loads(base64.urlsafe_b64decode(kept))
        flash = {"kind": str(message["kind"]), "text": str(message["text"]), "undo": str(message.get("undo", ""))}
        "".join(flash.values()).encode()  # half a character could not be sent
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return flash if _UNDO.fullmatch(flash["undo"]) else flash | {"undo": ""}


def full_name(request: web.Request, name: str) -> str:
    """The cookie's name in the browser: behind https with the prefix that keeps other hosts from setting it."""
    return f"__Host-{name}" if is_https(request) else name
