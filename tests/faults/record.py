"""What became of the faults: one line each in the table at the end of `make soak`."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest

PROPERTY = "fault"
"""The property of a test's report that carries a record from pytest-xdist's workers to where the table is printed."""


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """A fault: how often it was injected, and what it cost.

    `lost` counts committed changes (or tutors) that no generation has seen, `doubled` second open alerts and second
    active insights. `recovery_seconds` is the longest time until all was generated again; None where nothing had
    to recover.
    """

    fault: str
    injected: int
    lost: int
    doubled: int
    recovery_seconds: float | None = None

    def __add__(self, other: "FaultRecord") -> "FaultRecord":
        times = [seconds for seconds in (self.recovery_seconds, other.recovery_seconds) if seconds is not None]
        return replace(
            self,
            injected=self.injected + other.injected,
            lost=self.lost + other.lost,
            doubled=self.doubled + other.doubled,
            recovery_seconds=max(times, default=None),
        )


class FaultRecorder:
    """Takes a test's records, and holds the test to the promise: nothing lost, nothing doubled."""

    def __init__(self, node: pytest.Item) -> None:
        self._node = node

    def __call__(
        self, fault: str, *, injected: int, lost: int = 0, doubled: int = 0, recovery_seconds: float | None = None
    ) -> None:
        """Records the fault, then fails the test if anything was lost or doubled, or nothing injected."""
        record = FaultRecord(fault, injected, lost, doubled, recovery_seconds)
        self._node.user_properties.append((PROPERTY, asdict(record)))
        assert injected > 0, f"{fault}: never injected"
        assert (lost, doubled) == (0, 0), f"{fault}: {lost} lost, {doubled} doubled"


def table(reports: Iterable[Any]) -> list[str]:
    """The records of all reports as lines of a Markdown table, a line per fault."""
    records: dict[str, FaultRecord] = {}
    for report in reports:
        for name, value in getattr(report, "user_properties", []):
            if name == PROPERTY:
                record = FaultRecord(**value)
                records[record.fault] = records[record.fault] + record if record.fault in records else record
    if not records:
        return []
    return [
        "| fault | injected | lost | doubled | longest recovery |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {r.fault} | {r.injected:,} | {r.lost} | {r.doubled} | "
            + ("|" if r.recovery_seconds is None else f"{r.recovery_seconds:.1f} s |")
            for r in sorted(records.values(), key=lambda record: record.fault)
        ),
    ]
