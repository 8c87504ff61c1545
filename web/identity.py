"""Who is asking, and who may."""

from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web


class Role(StrEnum):
    """The platform's roles (`users.role`)."""

    ADMIN = "admin"
    TUTOR = "tutor"
    STUDENT = "student"


class Access(StrEnum):
    """Who may use a route. Every route says so; what says nothing is for admins only."""

    ADMINS = "admins"
    ADMINS_AND_THE_TUTOR = "admins and the tutor whom it is about"
    SIGNED_IN = "anyone signed in"
    ANYONE = "anyone"


@dataclass(frozen=True, slots=True)
class Identity:
    """A person (or program) who is signed in. `csrf_token` is empty where no cookie is involved."""

    user_id: str
    name: str
    role: Role
    csrf_token: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether they see and do everything."""
        return self.role is Role.ADMIN


IDENTITY = web.RequestKey("identity", Identity)
"""Set by the middleware of `web.access` on every request of somebody known."""
