"""What clients may ask for and send, validated; and what the JSON answers look like."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from rules.life import Outcome
from web.queries.paging import Place

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 200
LONGEST_ID = 128
"""Characters of `users.id`."""
LONGEST_TEXT = 10_000
"""Characters of an action taken, of a message to a tutor, or of a coaching note."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `field` is empty where it is about the whole."""

    field: str
    message: str


class InvalidInputError(Exception):
    """What the client sent can't be accepted; names every field that is wrong. Answered with 400."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__(
            "; ".join(f"{error.field}: {error.message}" if error.field else error.message for error in errors)
        )
        self.errors = errors


class AlertStatus(StrEnum):
    """Where alerts are in their life, for filtering."""

    UNRESOLVED = "unresolved"
    """Open or acknowledged: what still needs somebody. The default."""
    OPEN = "open"
    """Nobody has acknowledged it yet."""
    ACKNOWLEDGED = "acknowledged"
    """Acknowledged, not resolved."""
    RESOLVED = "resolved"
    ALL = "all"


class Severity(StrEnum):
    """The platform's severities, worst first."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class PlatformAlertType(StrEnum):
    """The platform's alert types: those that Tutorwatch opens, and two that other clients write."""

    POOR_FIRST_SESSION = "poor_first_session"
    NO_SHOW_PATTERN = "no_show_pattern"
    HIGH_TALK_RATIO = "high_talk_ratio"
    LOW_UNDERSTANDING_CHECKS = "low_understanding_checks"
    HIGH_RESCHEDULE_RATE = "high_reschedule_rate"
    DECLINING_PERFORMANCE = "declining_performance"
    STUDENT_FRUSTRATION_DETECTED = "student_frustration_detected"
    STUDENT_CHURN_RISK = "student_churn_risk"


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts are asked for. Alerts are listed newest first: by `triggered_date`, then by id."""

    status: AlertStatus = AlertStatus.UNRESOLVED
    severity: Severity | None = None
    type: PlatformAlertType | None = None
    tutor: str | None = None
    """A part of the tutor's name, as typed; case doesn't matter."""


AlertPosition = tuple[datetime, UUID]
"""When an alert was triggered, and its id."""
Cursor = Place[AlertPosition]


@dataclass(frozen=True, slots=True)
class AlertsRequest:
    """One page of alerts, as asked for in a query string."""

    filter: AlertFilter
    cursor: Cursor | None
    limit: int


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    return text


PlainText = Annotated[str, AfterValidator(_without_nul)]
"""Text that PostgreSQL can hold."""
OptionalText = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=LONGEST_TEXT), AfterValidator(_without_nul)
]
RequiredText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TEXT), AfterValidator(_without_nul)
]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AlertsQuery(_Input):
    """The query string of the list of alerts."""

    status: AlertStatus = Field(
        AlertStatus.UNRESOLVED, description="`unresolved` is open or acknowledged; `open` is not even acknowledged"
    )
    severity: Severity | None = None
    type: PlatformAlertType | None = None
    tutor: Annotated[PlainText, Field(max_length=255)] | None = Field(None, description="Part of the tutor's name")
    cursor: Annotated[str, Field(max_length=500)] | None = Field(
        None, description="`next` or `previous` of another page; valid for the same filters only"
    )
    limit: int = Field(DEFAULT_PAGE_SIZE, ge=1, le=LARGEST_PAGE_SIZE)


class Resolution(_Input):
    """What was done about an alert."""

    action_taken: RequiredText = Field(description="What was done, in words; only admins read it")
    outcome: Outcome
    message_to_tutor: OptionalText | None = Field(None, description="What the tutor reads of it on their page")


class Note(_Input):
    """A coaching note."""

    content: RequiredText


class SignIn(_Input):
    """The sign-in form. The password's length is bounded because hashing it costs time."""

    email: Annotated[PlainText, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
    password: Annotated[str, Field(min_length=1, max_length=1024)]
    next: PlainText = ""


class _NewPassword(_Input):
    """A new password, typed twice."""

    new_password: Annotated[str, Field(min_length=1, max_length=1024)]
    again: Annotated[str, Field(max_length=1024)]

    @property
    def is_same(self) -> bool:
        """Whether it was typed the same twice."""
        return self.new_password == self.again


class ChosenPassword(_NewPassword):
    """The form behind a link for choosing a password."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


class ChangedPassword(_NewPassword):
    """The form with which people change their own password."""

    password: Annotated[str, Field(min_length=1, max_length=1024)]


class EndedSignIns(_Input):
    """Which sign-in of one's own to end; None: all others."""

    sign_in: UUID | None = None


class Retry(_Input):
    """Which failing tutor to try again, or all of them."""

    tutor_id: Annotated[PlainText, Field(min_length=1, max_length=LONGEST_ID)] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _one_or_all(self) -> Self:
        if (self.tutor_id is not None) == self.all:
            raise ValueError("Give a tutor_id, or all")
        return self


class SignInLink(_Input):
    """The form behind a link that signs in once."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


AnyInput = TypeVar("AnyInput", bound=BaseModel)


def parse_input(model: type[AnyInput], values: Mapping[str, Any]) -> AnyInput:
    """The validated values. Raises InvalidInputError that names each wrong or unknown field."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise InvalidInputError([_field_error(dict(problem)) for problem in error.errors()]) from None


def parse_alerts_request(query: Mapping[str, str]) -> AlertsRequest:
    """What a query string asks for; a filter that is given empty (`?severity=`) is none.

    Raises InvalidInputError for unknown filters and values, and for a cursor of another query.
    """
    asked = parse_input(AlertsQuery, {name: value for name, value in query.items() if value != ""})
    tutor = (asked.tutor or "").strip() or None
    wanted = AlertFilter(asked.status, asked.severity, asked.type, tutor)
    return AlertsRequest(wanted, decode_cursor(wanted, asked.cursor) if asked.cursor else None, asked.limit)


def encode_cursor(wanted: AlertFilter, cursor: Cursor) -> str:
    """A cursor as text for a URL, bound to the filter."""
    triggered_at, alert_id = cursor.at
    return pack_cursor(_parts(wanted), triggered_at, alert_id.hex, is_backwards=cursor.is_backwards)


def decode_cursor(wanted: AlertFilter, text: str) -> Cursor:
    """The cursor in a URL. Raises InvalidInputError if it is none, or was made for other filters."""
    return unpack_cursor(_parts(wanted), text, UUID)


def _parts(wanted: AlertFilter) -> list[str | None]:
    return [wanted.status, wanted.severity, wanted.type, wanted.tutor]


_BACKWARDS = "backwards"
Id = TypeVar("Id")


def pack_cursor(wanted: Sequence[str | None], at: datetime, row_id: str, *, is_backwards: bool) -> str:
    """A place in a list that is ordered by an instant and an id, as text for a URL; bound to what is wanted."""
    instant = at.astimezone(UTC).isoformat()
    position = [_fingerprint(wanted), instant, row_id, *([_BACKWARDS] if is_backwards else [])]
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def unpack_cursor(wanted: Sequence[str | None], text: str, to_id: Callable[[str], Id]) -> Place[tuple[datetime, Id]]:
    """The place in a URL. Raises InvalidInputError if it is none, or was made for something else."""
    try:
        fingerprint, instant, row_id, *rest = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        is_backwards = rest == [_BACKWARDS]
        if rest and not is_backwards:
            raise ValueError
        place = Place((datetime.fromisoformat(instant).astimezone(UTC), to_id(row_id)), is_backwards)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error):
        raise InvalidInputError([FieldError("cursor", "is not a cursor of this list")]) from None
    if fingerprint != _fingerprint(wanted):
        raise InvalidInputError([FieldError("cursor", "belongs to a list with other filters")])
    return place


def _fingerprint(wanted: Sequence[str | None]) -> str:
    return hashlib.sha256(json.dumps(list(wanted)).encode()).hexdigest()[:16]


def _field_error(problem: Mapping[str, Any]) -> FieldError:
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return FieldError(field, "is unknown here")
    return FieldError(field, str(problem["msg"]).removeprefix("Value error, "))
