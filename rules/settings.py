"""The rules' settings: every threshold, window and least-data value, gathered from the rules' files."""

from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import Field, create_model, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from rules.registry import ALERT_RULES, THRESHOLDS
from rules.rule import Kind
from rules.thresholds import RECENT_SESSIONS, Origin, Thresholds, Unit

_TYPES: dict[Unit, Any] = {
    Unit.SHARE: Annotated[Decimal, Field(ge=0, le=1)],
    Unit.SCORE: Annotated[Decimal, Field(ge=0, le=10)],
    Unit.AVERAGE: Annotated[Decimal, Field(ge=0)],
    Unit.COUNT: Annotated[int, Field(ge=1, le=10_000)],
    Unit.DAYS: Annotated[int, Field(ge=1, le=3650)],
}


class _Rules(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TUTORWATCH_", frozen=True)

    def thresholds(self) -> Thresholds:
        """The thresholds of this installation, and which of them are settings'."""
        return Thresholds(self.model_dump(), dict.fromkeys(self.model_fields_set, Origin.SETTING))

    @model_validator(mode="after")
    def _recent_sessions_suffice(self) -> Self:
        values = self.model_dump()
        of_recent = [rule for rule in ALERT_RULES.values() if rule.evidence.source.kind is Kind.RECENT]
        least = max(values[each.name] for rule in of_recent for each in rule.thresholds if each.unit is Unit.COUNT)
        if values[RECENT_SESSIONS.name] < least:
            raise ValueError(
                f"TUTORWATCH_RECENT_SESSIONS ({values[RECENT_SESSIONS.name]}) must be at least the least data of the "
                f"alerts that use them ({least}), or they could never open"
            )
        return self


_FIELDS: dict[str, Any] = {
    threshold.name: (_TYPES[threshold.unit], Field(threshold.default, description=threshold.meaning))
    for threshold in THRESHOLDS
}
RuleSettings: type[_Rules] = create_model(
    "RuleSettings",
    __base__=_Rules,
    __doc__="""The rules' thresholds. Defaults are the platform's (specification, "Generation").

    Read from the environment, prefix TUTORWATCH_. Shares are fractions: 0.70 is 70 %.
    """,
    **_FIELDS,
)
"""A field for each threshold."""


def thresholds(**values: Any) -> Thresholds:
    """The thresholds as the environment sets them, but for these. Raises pydantic.ValidationError."""
    return RuleSettings(**values).thresholds()
