"""The rights of the two services in the database, and no others, column by column: `tutorwatch rights` grants them, and
the doctor asks for it. A new table or function is nobody's until it is named here.
"""

from collections.abc import Iterator, Mapping

from database.platform_needs import INSERTED

Privileges = Mapping[str, str]
"""By the privilege's name, the columns that it is limited to, with commas between them; empty: the whole object."""
Right = tuple[str, str, str | None]
"""A privilege, the object it is on, and the column it is limited to."""

_READ: Privileges = {"SELECT": ""}
_CALL: Privileges = {"EXECUTE": ""}
_READ_AND_WRITE: Privileges = {"SELECT": "", "INSERT": "", "UPDATE": "", "DELETE": ""}
_ENTRY = "action, outcome, reason, actor, actor_role, actor_by, address, user_id, object, details"
_EVENT = "alert_id, tutor_id, event, actor, details"
_ATTENTION: Privileges = {
    "SELECT": "",
    "INSERT": "alert_id, tutor_id, acknowledged_at, session_ids, shown, worse_since",
    "UPDATE": "acknowledged_at, session_ids, shown, worse_since",
}
_BOTH: Mapping[str, Privileges] = {
    "SCHEMA tutorwatch": {"USAGE": ""},
    "tutorwatch.alembic_version": _READ,
    "public.sessions": _READ,
    "public.session_audio_metrics": _READ,
    "public.session_video_metrics": _READ,
    "tutorwatch.unrecorded": _READ,
    "tutorwatch.automation_off": _READ,
    "tutorwatch.outbox_id_seq": _READ,
}

GRANTS: Mapping[str, Mapping[str, Privileges]] = {
    "listener": {
        **_BOTH,
        # Reads what the rules are about,
        "public.users": {"SELECT": "id, name, role"},
        "public.tutors": {"SELECT": "user_id"},
        # writes what they find (only a person acknowledges and resolves),
        "public.alerts": {"SELECT": "", "UPDATE": "title, description, session_id"},
        "FUNCTION tutorwatch.open_alerts": _CALL,
        "FUNCTION tutorwatch.end_duplicate_alerts": _CALL,
        "public.tutor_insights": {
            "SELECT": "",
            "INSERT": ", ".join(INSERTED["tutor_insights"]),
            "UPDATE": "insight_type, display_text, metric_value, sample_sessions, last_confirmed_at, is_active,"
            " resolved_at",
        },
        "tutorwatch.alert_evidence": _READ_AND_WRITE,
        "tutorwatch.consumed_sessions": {"SELECT": "", "INSERT": "", "DELETE": ""},
        "tutorwatch.alert_resolutions": {"SELECT": "", "DELETE": ""},
        "tutorwatch.alert_attention": {**_ATTENTION, "DELETE": ""},
        "tutorwatch.alert_history": {"INSERT": f"{_EVENT}, is_noticed"},
        # tells people what the channels ask for,
        "tutorwatch.channels": {"SELECT": "", "UPDATE": "is_on, switched_off_because, paused_until"},
        "tutorwatch.deliveries": {
            "SELECT": "",
            "UPDATE": "state, attempts, next_attempt_at, claimed_at, last_error, delivered_at",
            "DELETE": "",
        },
        # and keeps the records of its own work.
        "tutorwatch.outbox": _READ_AND_WRITE,
        "tutorwatch.failures": _READ_AND_WRITE,
        "tutorwatch.listeners": _READ_AND_WRITE,
        "tutorwatch.sweep": {"SELECT": "", "UPDATE": ""},
        "tutorwatch.announcements": {"SELECT": "", "DELETE": ""},
        "FUNCTION tutorwatch.keep_audit_trail": _CALL,
        # For `tutorwatch retry` with its role: what an operator does is on record.
        "tutorwatch.audit_trail": {"INSERT": _ENTRY},
        # Its canary writes a session by a function that takes it back.
        "FUNCTION tutorwatch.try_recording": _CALL,
        "tutorwatch.canary": {"SELECT": "", "UPDATE": ""},
        "tutorwatch.canary_markers": {
            "SELECT": "",
            "INSERT": "",
            "UPDATE": "answered_at, answered_by, was_woken",
            "DELETE": "",
        },
    },
    "web": {
        **_BOTH,
        # Reads what its pages show,
        "public.users": {"SELECT": "id, email, name, role"},
        "public.tutors": {"SELECT": "user_id"},
        "public.tutor_insights": _READ,
        "tutorwatch.alert_evidence": _READ,
        "tutorwatch.consumed_sessions": _READ,
        "tutorwatch.listeners": _READ,
        "tutorwatch.sweep": _READ,
        "tutorwatch.outbox": {"SELECT": "recorded_at, tutor_id, session_ids"},
        "tutorwatch.canary": _READ,
        "tutorwatch.canary_markers": _READ,
        # writes what admins do,
        "public.alerts": {
            "SELECT": "",
            "UPDATE": "acknowledged, acknowledged_by, acknowledged_at, resolved, resolved_at, action_taken",
        },
        "tutorwatch.alert_resolutions": {
            "SELECT": "",
            "INSERT": "",
            "UPDATE": "tutor_id, resolved_by, outcome, resolved_at, message_to_tutor",
        },
        "tutorwatch.alert_attention": _ATTENTION,
        "tutorwatch.alert_history": {"SELECT": "", "INSERT": _EVENT},
        "FUNCTION tutorwatch.reopen_alert": _CALL,
        "tutorwatch.failures": {
            "SELECT": "",
            "UPDATE": "attempts, next_attempt_at, parked_at, unfinished, wanted",
        },
        # and keeps a record of it that it can't change.
        "tutorwatch.audit_trail": {"SELECT": "", "INSERT": _ENTRY},
        # It signs people in, by functions that ask for a proof, and out. It makes no account, password, link or token.
        "tutorwatch.sign_ins": {"SELECT": "", "UPDATE": "seen_at", "DELETE": ""},
        "tutorwatch.sign_in_links": {"SELECT": "", "DELETE": ""},
        "tutorwatch.sign_in_failures": {"SELECT": "", "INSERT": "", "DELETE": ""},
        "tutorwatch.sign_in_locks": {"SELECT": "", "INSERT": "", "UPDATE": "locked_at", "DELETE": ""},
        "tutorwatch.known_browsers": {"SELECT": "", "INSERT": "", "UPDATE": "seen_at", "DELETE": ""},
        "tutorwatch.api_tokens": {"SELECT": "", "UPDATE": "last_used_at"},
        # It reads who is told what, but neither targets nor secrets.
        "tutorwatch.channels": {
            "SELECT": "id, name, kind, shown, severities, types, events, is_on, switched_off_because, paused_until,"
            " created_at, created_by"
        },
        "tutorwatch.deliveries": _READ,
        # It keeps what people chose for themselves.
        "tutorwatch.preferences": {"SELECT": "", "INSERT": "", "UPDATE": "time_zone", "DELETE": ""},
        "FUNCTION tutorwatch.password_parameters": _CALL,
        "FUNCTION tutorwatch.sign_in_with_password": _CALL,
        "FUNCTION tutorwatch.replace_password": _CALL,
        "FUNCTION tutorwatch.sign_in_with_link": _CALL,
        "FUNCTION tutorwatch.set_password_with_link": _CALL,
    },
}
"""By service and object."""

OPTIONAL: Mapping[str, Privileges] = {
    "public.users": {"SELECT": "preferred_name"},
    "public.tutors": {"SELECT": "member_since"},
    "public.subjects": _READ,
    "public.session_screen_metrics": _READ,
    "public.session_feedback": _READ,
    "public.coaching_notes": {
        "SELECT": "",
        "INSERT": ", ".join(INSERTED["coaching_notes"]),
    },
}
"""The dashboard's, where the platform has them: what it hasn't got, nobody needs a right on."""

OPENID: Mapping[str, Privileges] = {"FUNCTION tutorwatch.sign_in_from_provider": _CALL}
"""The dashboard's, where the operator says so: its role signs in whom a provider of OpenID Connect vouches for. The
database can't check what a provider says, so that this role's password opens every account."""


def statements(granted: Mapping[str, Privileges], to: str) -> Iterator[str]:
    """The GRANTs, a statement for each object; `to` as SQL has the role."""
    for thing, privileges in granted.items():
        what = ", ".join(f"{name} ({columns})" if columns else name for name, columns in privileges.items())
        yield f"GRANT {what} ON {thing} TO {to};"


def needed(service: str) -> Iterator[Right]:
    """Yield the rights without which `listener` or `web` doesn't work."""
    granted = [*GRANTS[service].items(), *(OPTIONAL.items() if service == "web" else ())]
    for thing, privileges in granted:
        for name, columns in privileges.items():
            yield from ((name, thing, column or None) for column in columns.split(", "))
