"""What clients may send, validated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from rules.life import Outcome
from web.time_zones import known_zone

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 200
LONGEST_QUOTED = 60
"""Characters of what was sent that a message repeats."""
LONGEST_ID = 128
"""Characters of `users.id`."""
LONGEST_TEXT = 10_000
"""Characters of an action taken, of a message to a tutor, or of a coaching note."""


FIELD_LABELS = {
    "action_taken": "Action taken",
    "message_to_tutor": "Message to the tutor",
    "outcome": "Outcome",
    "content": "Note",
    "email": "E-mail",
}
"""What people read before the field of a form in which they write or choose."""
_WHEN_EMPTY = {
    "action_taken": "say what was done",
    "outcome": "choose one",
    "content": "write something",
    "email": "type your e-mail address",
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `field` is empty where it is about the whole."""

    field: str
    message: str

    @property
    def words(self) -> str:
        """The same for people, by the field's label: `Action taken: say what was done`."""
        label = FIELD_LABELS.get(self.field) or self.field.replace("_", " ").capitalize()
        return f"{label}: {self.message}" if label else self.message.rstrip(".")


class InvalidInputError(Exception):
    """What the client sent can't be accepted; names every field that is wrong. Answered with 400."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__(
            "; ".join(f"{error.field}: {error.message}" if error.field else error.message for error in errors)
        )
        self.errors = errors

    @property
    def words(self) -> str:
        """The same for people, by the fields' labels: `Action taken: say what was done.`"""
        return " ".join(f"{error.words}." for error in self.errors)


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


class Input(BaseModel):
    """What a client sends, with no field that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Resolution(Input):
    """What was done about an alert."""

    action_taken: RequiredText = Field(description="What was done, in words; only admins read it")
    outcome: Outcome
    message_to_tutor: OptionalText | None = Field(None, description="What the tutor reads of it on their page")
    only_if_not_met: bool = Field(False, description="Refuse (409) if the alert's condition is met by now")


class Note(Input):
    """A coaching note."""

    content: RequiredText


class SignIn(Input):
    """The sign-in form. The password's length is bounded because hashing it costs time."""

    email: Annotated[PlainText, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
    password: Annotated[str, Field(min_length=1, max_length=1024)]
    next: PlainText = ""
    unsent: str = ""


class _NewPassword(Input):
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


class EndedSignIns(Input):
    """Which sign-in of one's own to end; None: all others."""

    sign_in: UUID | None = None


class ChosenZone(Input):
    """The time zone that somebody chooses for themselves; None: whichever their browser has."""

    time_zone: Annotated[str, AfterValidator(known_zone), Field(max_length=100)] | None = None


class Retry(Input):
    """Which failing tutor to try again, or all of them."""

    tutor_id: Annotated[PlainText, Field(min_length=1, max_length=LONGEST_ID)] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _one_or_all(self) -> Self:
        if (self.tutor_id is not None) == self.all:
            raise ValueError("Give a tutor_id, or all")
        return self


class SignInLink(Input):
    """The form behind a link that signs in once."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


CursorText = Annotated[str, Field(max_length=500)]
"""A cursor, as it stands in a URL."""
AnyInput = TypeVar("AnyInput", bound=BaseModel)


def parse_input(model: type[AnyInput], values: Mapping[str, Any]) -> AnyInput:
    """The validated values. Raises InvalidInputError that names each wrong or unknown field."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise InvalidInputError([_field_error(dict(problem)) for problem in error.errors()]) from None


def parse_page_query(model: type[AnyInput], query: Mapping[str, str]) -> tuple[AnyInput, list[str]]:
    """The validated values of a page's query string, and a sentence about each that was left out.

    What is unknown here is ignored, since links pass through programs that add to them; a known one with a value that
    can't be used is left out, and the page says so. Programs, which get no sentence, use `parse_input`.
    """
    names = {field.alias or name for name, field in model.model_fields.items()}
    values = {name: value for name, value in without_empty(query).items() if name in names}
    try:
        return parse_input(model, values), []
    except InvalidInputError as error:
        wrong = {each.field for each in error.errors}
    kept = {name: value for name, value in values.items() if name not in wrong}
    return parse_input(model, kept), [left_out(name, values[name]) for name in values if name in wrong]


def left_out(field: str, value: str) -> str:
    """What a page says of a parameter in its address that it can't use."""
    if field == "cursor":
        return "That part of the list can't be found any more. This is its beginning."
    shown = value if len(value) <= LONGEST_QUOTED else value[:LONGEST_QUOTED] + "\N{HORIZONTAL ELLIPSIS}"
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in shown)
    name = field.replace("_", " ").capitalize()
    return f"{name}: \N{LEFT DOUBLE QUOTATION MARK}{shown}\N{RIGHT DOUBLE QUOTATION MARK} isn't known and was left out."


def without_empty(query: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a query string; one that is given empty (`?severity=`) is none."""
    return {name: value for name, value in query.items() if value != ""}


def _field_error(problem: Mapping[str, Any]) -> FieldError:
    field = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "extra_forbidden":
            return FieldError(field, "is unknown here")
        case "missing" | "string_too_short":
            return FieldError(field, _WHEN_EMPTY.get(field, "is missing"))
        case "string_too_long":
            return FieldError(field, f"is too long: at most {problem['ctx']['max_length']:,} characters")
        case "enum":
            return FieldError(field, f"must be one of {problem['ctx']['expected']}")
    return FieldError(field, str(problem["msg"]).removeprefix("Value error, "))
