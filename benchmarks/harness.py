"""What every benchmark is made of: samples, interleaved measurements, results with a baseline and a goal, reports."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_STARTED = time.monotonic()


def say(what: str) -> None:
    """Writes what comes next to stderr, with the time so far: stdout has the results only."""
    minutes, seconds = divmod(int(time.monotonic() - _STARTED), 60)
    print(f"{minutes:02}:{seconds:02}  {what} ...", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Samples:
    """Repeated measurements of one thing in any one unit; at least one. Medians and quartiles, never means."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The interquartile range: half of the values lie between these two."""
        return self.percentile(25), self.percentile(75)

    def percentile(self, percent: int) -> float:
        """The value that so many percent of the values don't exceed."""
        if len(self.values) == 1:
            return self.values[0]
        return statistics.quantiles(self.values, n=100, method="inclusive")[percent - 1]

    def per(self, count: float) -> "Samples":
        """A rate: `count` things in what was measured, which is seconds."""
        return Samples([count / value for value in self.values])


def interleaved(
    measurements: Mapping[str, Callable[[], float]], *, rounds: int, warm_up: int = 1
) -> dict[str, Samples]:
    """The values that each measurement returned, by its name: all of them in each round, after rounds to warm up.

    Every other round has the opposite order, so that what follows upon what doesn't matter.
    """
    values: dict[str, list[float]] = {name: [] for name in measurements}
    for number in range(-warm_up, rounds):
        names = list(measurements)
        for name in names if number % 2 == 0 else reversed(names):
            value = measurements[name]()
            if number >= 0:
                values[name].append(value)
    return {name: Samples(found) for name, found in values.items()}


def timed(work: Callable[[], object]) -> float:
    """The seconds that the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclass(frozen=True)
class Goal:
    """The most or the least that a result should be: its ratio to the baseline where it has one, else its value."""

    words: str
    most: float | None = None
    least: float | None = None

    def is_met(self, found: float) -> bool:
        """Whether that is good enough."""
        return (self.most is None or found <= self.most) and (self.least is None or found >= self.least)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One line of a report: `name` is for programs and stays the same, `what` is for people."""

    name: str
    what: str
    value: float
    unit: str = ""
    spread: tuple[float, float] | None = None
    """The interquartile range of the value's samples."""
    ratio: float | None = None
    """To the baseline's value."""
    ratio_spread: tuple[float, float] | None = None
    """The interquartile range of the ratios of neighbours."""
    baseline: str | None = None
    goal: Goal | None = None

    @property
    def meets_goal(self) -> bool | None:
        """Whether it does; None without a goal."""
        return None if self.goal is None else self.goal.is_met(self.value if self.ratio is None else self.ratio)


@dataclass(frozen=True)
class Report:
    """What one benchmark found, at which sizes, and what a reader should know."""

    benchmark: str
    sizes: Mapping[str, object]
    results: Sequence[Result]
    notes: Sequence[str] = ()


def measured(name: str, what: str, unit: str, samples: Samples, *, goal: Goal | None = None) -> Result:
    """The median of the samples, without a baseline."""
    return Result(name=name, what=what, unit=unit, value=samples.median, spread=samples.quartiles, goal=goal)


def compared(
    name: str, what: str, unit: str, samples: Samples, baseline: Samples, *, to: str, goal: Goal | None = None
) -> Result:
    """The median of the samples, and its ratio to a baseline that was interleaved with it.

    The ratio is the median of the ratios of neighbours, not the ratio of the medians: over minutes the machine gets
    slower and faster, which neighbours share.
    """
    ratios = Samples([value / other for value, other in zip(samples.values, baseline.values, strict=True)])
    return Result(
        name=name,
        what=what,
        unit=unit,
        value=samples.median,
        spread=samples.quartiles,
        ratio=ratios.median,
        ratio_spread=ratios.quartiles,
        baseline=to,
        goal=goal,
    )


def against(
    name: str, what: str, unit: str, value: float, baseline: float, *, to: str, goal: Goal | None = None
) -> Result:
    """A single value, and its ratio to that of a baseline: for percentiles, which have no neighbours."""
    return Result(name=name, what=what, unit=unit, value=value, ratio=value / baseline, baseline=to, goal=goal)
