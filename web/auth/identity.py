"""Who is asking, and who may."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aiohttp import web


class Role(StrEnum):
    """The platform's roles (`users.role`)."""

    ADMIN = "admin"
    TUTOR = "tutor"
    STUDENT = "student"


class Viewer(StrEnum):
    """For whom something is read."""

    ADMIN = "admin"
    TUTOR = "tutor"
    """The tutor whom it is about: what admins write for each other isn't even read."""


class Access(StrEnum):
    """Who may use a route. Every route says so; what says nothing is for admins only."""

    ADMINS = "admins"
    ADMINS_AND_THE_TUTOR = "admins and the tutor whom it is about"
    SIGNED_IN = "anyone signed in"
    ANYONE = "anyone"
    ANYONE_UNASKED = "anyone, without looking who asks"
    """What must answer without the database, too."""


class SignedInBy(StrEnum):
    """How somebody is known."""

    COOKIE = "cookie"
    HEADER = "header of a sign-in proxy"
    PROGRAM = "token of a program"


class Scope(StrEnum):
    """How far a program's token reaches: each one as far as those before it, too."""

    SUMMARY = "summary"
    READ = "read"
    ACT = "act"

    def covers(self, needed: "Scope") -> bool:
        """Whether a token of this scope may do what needs the other one."""
        scopes = list(Scope)
        return scopes.index(self) >= scopes.index(needed)


@dataclass(frozen=True, slots=True)
class Token:
    """A program's token."""

    name: str
    scope: Scope
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Identity:
    """A person (or program) who is signed in. `csrf_token` is empty where no cookie is involved.

    A program's token that isn't made out for a person has the role of an admin and no `user_id`: it only reads.
    """

    user_id: str
    name: str
    role: Role
    csrf_token: str = ""
    by: SignedInBy = SignedInBy.COOKIE
    token: Token | None = None
    """A program's."""
    time_zone: str | None = None
    """The name of the zone that they chose."""

    @property
    def is_admin(self) -> bool:
        """Whether they see and do everything."""
        return self.role is Role.ADMIN

    @property
    def viewer(self) -> Viewer:
        """As whom they read: who is no admin sees at most what the tutor does whom it is about."""
        return Viewer.ADMIN if self.is_admin else Viewer.TUTOR

    @property
    def may_sign_out(self) -> bool:
        """Whether it is in our hands: whom a proxy signs in it signs in again with the next request."""
        return self.by is SignedInBy.COOKIE

    @property
    def may_act(self) -> bool:
        """Whether there is a person in whose name something can be done."""
        return bool(self.user_id)


IDENTITY = web.RequestKey("identity", Identity)
"""Set by the middleware of `web.auth.access` on every request of somebody known."""
