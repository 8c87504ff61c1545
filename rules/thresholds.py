"""Thresholds as data: those that rules declare, and the effective ones of a tutor with their origins."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Generic, TypeVar

Number = TypeVar("Number", int, Decimal)


class Unit(Enum):
    """The units of thresholds."""

    SHARE = "share"
    """A fraction from 0 to 1: 0.70 is 70%."""
    SCORE = "score"
    """From 0 to 10."""
    AVERAGE = "average"
    """Any average that isn't negative."""
    COUNT = "count"
    """A whole number of sessions, at least 1."""
    DAYS = "days"
    """The length of a window."""


@dataclass(frozen=True, slots=True)
class Threshold(Generic[Number]):
    """A number that rules compare with; its name is that of its setting, without the prefix."""

    name: str
    default: Number
    unit: Unit
    meaning: str

    def in_words(self, value: Decimal) -> str:
        """A value of the threshold's unit as people read it: `70%`, `6.5`, `2`."""
        return percent(value) if self.unit is Unit.SHARE else f"{value:f}"


def percent(share: Decimal) -> str:
    """A share as it is, in percent: `70%`, `12.5%`."""
    return f"{(share * 100).normalize():f}%"


class Origin(StrEnum):
    """The origins of an effective threshold; a later one replaces an earlier one."""

    DEFAULT = "default"
    SETTING = "setting"
    EVERYBODY = "override for everybody"
    TUTOR = "override for this tutor"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The effective thresholds: `thresholds[COUNT]`. Those of a tutor with overrides are in `by_tutor`."""

    values: Mapping[str, Decimal | int]
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Of those that aren't the default."""
    by_tutor: Mapping[str, "Thresholds"] = field(default_factory=dict)

    def __getitem__(self, threshold: Threshold[Number]) -> Number:
        value: Number = self.values[threshold.name]  # type: ignore[assignment]
        return value

    def origin(self, threshold: Threshold[Number]) -> Origin:
        """The threshold's origin."""
        return self.origins.get(threshold.name, Origin.DEFAULT)

    def of(self, tutor_id: str) -> "Thresholds":
        """The effective thresholds of the tutor."""
        return self.by_tutor.get(tutor_id, self)

    def differing(self, tutor_ids: Collection[str]) -> frozenset[str]:
        """The names of the thresholds that aren't the same for all of these tutors."""
        others = [self.by_tutor[tutor_id] for tutor_id in tutor_ids if tutor_id in self.by_tutor]
        return frozenset(name for other in others for name, value in other.values.items() if value != self.values[name])


WINDOW_DAYS = Threshold("window_days", 30, Unit.DAYS, "Window of all averages and shares, and of every insight")
RECENT_SESSIONS = Threshold("recent_sessions", 10, Unit.COUNT, 'How many latest sessions are "the recent ten"')
INSIGHT_LEAST_SESSIONS = Threshold("insight_least_sessions", 5, Unit.COUNT, "Least sessions for an insight")
SHARED = (WINDOW_DAYS, RECENT_SESSIONS, INSIGHT_LEAST_SESSIONS)
"""The thresholds that are no single rule's."""
