"""What the audit trail records, apart from how: the queries that read it import nothing of what writes it."""

from enum import StrEnum


class Action(StrEnum):
    """What is on record when somebody does it."""

    SIGN_IN = "sign_in"
    SIGN_OUT = "sign_out"
    SIGN_INS_ENDED = "sign_ins_ended"
    """Sign-ins in other browsers, by their owner."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 # nosec B105
    ADMIN_CREATED = "admin_created"
    LINK_CREATED = "link_created"
    PROVIDER_UNLINKED = "provider_unlinked"
    TOKEN_CREATED = "token_created"  # noqa: S105 # nosec B105
    TOKEN_USED = "token_used"  # noqa: S105 # nosec B105
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 # nosec B105
    ALERT_ACKNOWLEDGED = "alert_acknowledged"
    ALERT_RESOLVED = "alert_resolved"
    ALERT_UNACKNOWLEDGED = "alert_unacknowledged"
    ALERT_REOPENED = "alert_reopened"
    NOTE_ADDED = "note_added"
    TUTORS_RETRIED = "tutors_retried"
    AUDIT_EXPORTED = "audit_exported"
