"""Measuring in turns: what is compared is measured side by side, round after round, never one after the other."""

from collections.abc import Callable, Mapping

from benchmarks.samples import Samples


def in_turns(
    measurements: Mapping[str, Callable[[], float]], *, rounds: int, warm_up: Callable[[], object] | None = None
) -> dict[str, Samples]:
    """What each of them returned, by name, over so many rounds after one to warm up that doesn't count.

    `warm_up` does instead of that one, where a whole round would take long. Every other round goes in the opposite
    order: what follows upon what must not matter.
    """
    values: dict[str, list[float]] = {name: [] for name in measurements}
    if warm_up:
        warm_up()
    for number in range(0 if warm_up else -1, rounds):
        names = list(measurements)
        for name in names if number % 2 == 0 else reversed(names):
            value = measurements[name]()
            if number >= 0:
                values[name].append(value)
    return {name: Samples(found) for name, found in values.items()}
