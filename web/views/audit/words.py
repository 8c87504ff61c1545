"""Entries of the audit trail in words that a person reads."""

from dataclasses import dataclass

from web.auth.audit import COMMAND_LINE, Action
from web.auth.identity import Role, SignedInBy
from web.http.paths import path_part
from web.queries import AuditRow
from web.queries.audit import DELETED
from web.views.labels import label

ACTIONS = {
    Action.SIGN_IN: "Sign-in",
    Action.SIGN_OUT: "Sign-out",
    Action.SIGN_INS_ENDED: "End of other sign-ins",
    Action.PASSWORD_CHANGED: "Change of a password",
    Action.ADMIN_CREATED: "New admin",
    Action.LINK_CREATED: "New one-time link",
    Action.PROVIDER_UNLINKED: "End of a link to a sign-in provider",
    Action.TOKEN_CREATED: "New token",
    Action.TOKEN_USED: "Use of a token",
    Action.TOKEN_REVOKED: "End of a token",
    Action.ALERT_ACKNOWLEDGED: "Acknowledged an alert",
    Action.ALERT_RESOLVED: "Resolved an alert",
    Action.ALERT_UNACKNOWLEDGED: "Took an acknowledgement back",
    Action.ALERT_REOPENED: "Reopened an alert",
    Action.NOTE_ADDED: "New coaching note",
    Action.TUTORS_RETRIED: "Retry of failed tutors",
    Action.AUDIT_EXPORTED: "Audit trail saved as CSV",
}
_BY_TOKEN = f"{SignedInBy.PROGRAM}: "
_BY_COMMAND = f"{COMMAND_LINE}, "


@dataclass(frozen=True, slots=True)
class Told:
    """An entry as the page shows it."""

    row: AuditRow
    what: str
    who: str
    """A name where there is one."""
    is_named: bool
    how: str
    """The role, and how they are known."""
    concerns: str | None
    """Somebody else's name."""
    object: str | None
    object_url: str | None
    details: str | None


def tell(row: AuditRow) -> Told:
    """The entry in words."""
    alert_id = (row.object or "").partition("alert ")[2]
    is_alert = bool(alert_id and row.user_id)
    return Told(
        row=row,
        what=action_in_words(row.action),
        who=row.actor_name or _nobody(row),
        is_named=row.actor_name not in (None, DELETED),
        how=", ".join(part for part in (_role(row), _way(row.actor_by)) if part),
        concerns=row.user_name if row.user_id != row.actor else None,
        object="the alert" if is_alert else row.object,
        object_url=f"/tutors/{path_part(row.user_id)}#alert-{alert_id}" if is_alert and row.user_id else None,
        details=label(row.details).lower() if row.details and row.action == Action.ALERT_RESOLVED else row.details,
    )


def action_in_words(action: str) -> str:
    """What was done; an action that this program doesn't know reads well enough."""
    return ACTIONS[Action(action)] if action in ACTIONS else label(action)


def _nobody(row: AuditRow) -> str:
    by = row.actor_by or ""
    if by.startswith(COMMAND_LINE):
        return "An operator"
    return "A program" if by.startswith(SignedInBy.PROGRAM) else "Somebody"


def _role(row: AuditRow) -> str:
    if row.actor_role is None or row.actor_role in set(Role):
        return row.actor_role or ""
    return f"as database role {row.actor_role}"


def _way(by: str | None) -> str:
    match by:
        case None:
            return ""
        case SignedInBy.COOKIE:
            return "in a browser"
        case SignedInBy.HEADER:
            return "signed in by the proxy"
        case SignedInBy.PROGRAM:
            return "with a token"
        case "password":
            return "with their password"
        case "link":
            return "with a one-time link"
        case "openid":
            return "with OpenID Connect"
    if by.startswith(_BY_TOKEN):
        return f"with the token {by.removeprefix(_BY_TOKEN)}"
    if by.startswith(_BY_COMMAND):
        return f"on the command line, {by.removeprefix(_BY_COMMAND)}"
    return by
