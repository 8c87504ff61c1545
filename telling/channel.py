"""What a kind of channel is: how its URLs look, and how it sends."""

import base64
import secrets
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from database.errors import TutorwatchError
from telling.message import Message
from telling.result import Result
from telling.settings import TellingSettings

LONGEST_TARGET = 2000
SECRET_PREFIX = "whsec_"  # nosec B105  # noqa: S105 - what Standard Webhooks calls a secret, not one


class TargetError(TutorwatchError):
    """A channel can't have this URL; the message says why, without what may be secret in it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a channel leads."""

    url: str
    secret: str | None = None


class Kind(Protocol):
    """A kind of channel: the `KIND` of a file in `telling.channels`."""

    name: str
    schemes: tuple[str, ...]
    form: str
    """An example of its URL."""
    can_deduplicate: bool
    """Whether receivers can tell that a second delivery is the first one again."""
    signs: bool
    """Whether it has a secret that its receiver shares."""

    def shown(self, url: str) -> str:
        """Return what may be shown of the URL. Raises TargetError."""

    async def send(self, target: Target, message: Message, settings: TellingSettings) -> Result:
        """Return what came of one attempt; raises nothing that the network or the receiver may do."""


def http_url(url: str) -> SplitResult:
    """Return the URL behind `webhook+` or `slack+`, in parts. Raises TargetError."""
    try:
        parts = urlsplit(url.partition("+")[2])
        is_usable = parts.hostname and parts.port != 0 and parts.username is None
    except ValueError:
        is_usable = False
    if not is_usable or not url.isprintable() or " " in url or len(url) > LONGEST_TARGET:
        raise TargetError("It must lead somewhere: https://host[:port]/path, without a user and a password")
    return parts


def new_secret() -> str:
    """A new secret to sign with, as Standard Webhooks writes it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
