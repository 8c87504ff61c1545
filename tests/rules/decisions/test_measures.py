"""Averages and shares are compared exactly and rounded half up."""

from decimal import Decimal

import pytest

from rules.measures import Ratio, round_half_up
from tests.rules.decisions.measured import of


@pytest.mark.parametrize(
    ("measured", "limit", "holding"),
    [
        pytest.param(of(79, 10), "8", "below", id="under"),
        pytest.param(of(80, 10), "8", "at least", id="exactly"),
        pytest.param(of(81, 10), "8", "above at least", id="over"),
        pytest.param(of(2, 3), "0.66666666666666666667", "below", id="two thirds, under their rounded decimal"),
        pytest.param(of(0, 5), "0", "at least", id="zero"),
        pytest.param(of(0, 0), "0", "", id="of nothing"),
    ],
)
def test_comparisons_are_exact_and_none_holds_for_nothing(measured: Ratio, limit: str, holding: str) -> None:
    held = {
        "above": measured.above(Decimal(limit)),
        "below": measured.below(Decimal(limit)),
        "at least": measured.at_least(Decimal(limit)),
    }
    assert " ".join(name for name, holds in held.items() if holds) == holding


@pytest.mark.parametrize(
    ("number", "places", "rounded"),
    [
        pytest.param("8.25", 1, "8.3", id="half after an even digit"),
        pytest.param("8.35", 1, "8.4", id="half after an odd digit"),
        pytest.param("8.2499", 1, "8.2", id="under a half"),
        pytest.param("0.5", 0, "1", id="to a whole number"),
        pytest.param("-0.5", 0, "-1", id="away from zero"),
        pytest.param("7", 2, "7.00", id="places are filled"),
    ],
)
def test_half_goes_up(number: str, places: int, rounded: str) -> None:
    assert str(round_half_up(Decimal(number), places)) == rounded


def test_quotient_and_percent_are_rounded_once() -> None:
    assert of(2, 3).rounded(4) == Decimal("0.6667")
    assert of(2, 3).percent() == 67
    assert of(1, 200).percent() == 1
