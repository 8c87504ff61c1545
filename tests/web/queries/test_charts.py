"""Charts of a tutor's trend: scales that fit, gaps, thresholds and alerts at their places."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import pytest

from rules.measures import Ratio
from web.views.charts import Chart, Guide, chart, scale_of

LOW = Guide(Decimal("6.5"), "low under 6.5")


def drawn(*values: str | None, average: str | None = None, guides: Sequence[Guide] = ()) -> Chart:
    """A chart of these days, its average that of the values unless another is given."""
    days = [
        (date(2026, 6, 1) + timedelta(days=index), Decimal(value) if value else None)
        for index, value in enumerate(values)
    ]
    present = [value for _, value in days if value is not None]
    ratio = Ratio(Decimal(average), 1) if average else Ratio(sum(present, Decimal(0)), len(present))
    return chart("score", "Score", days, average=ratio, guides=guides)


def test_chart_has_a_gap_where_a_day_has_no_data() -> None:
    found = drawn("5", "6", None, "7", None, "8", "9", "10")
    assert [len(line.split()) for line in found.lines] == [2, 3]
    assert len(found.marks) == 6
    assert (found.lowest.value, found.highest.value) == (Decimal(5), Decimal(10))


def test_chart_places_values_and_the_average_between_its_ticks() -> None:
    found = drawn("0", "4", "10", average="6")
    ticks = {tick.text: tick.at for tick in found.value_ticks}
    assert [mark.y for mark in found.marks] == [ticks["0"], ticks["4"], ticks["10"]]
    assert found.average_y == ticks["6"]
    assert (found.marks[0].y, found.marks[-1].y) == (found.bottom, found.top)
    assert (found.marks[0].x, found.marks[-1].x) == (found.left, found.right)


@pytest.mark.parametrize(
    ("values", "bounds", "expected"),
    [
        pytest.param(["6.7", "7.7"], (0, 10), "6.5 7 7.5 8", id="a week between 6.7 and 7.7"),
        pytest.param(["5.1", "8.2"], (0, 10), "4 5 6 7 8 9", id="some spread"),
        pytest.param(["0", "10"], (0, 10), "0 2 4 6 8 10", id="all there is"),
        pytest.param(["9.9"], (0, 10), "9.5 10", id="at the upper end"),
        pytest.param(["1"], (1, 5), "1 1.5", id="at the lower end"),
        pytest.param(["7"], (0, 10), "6.5 7 7.5", id="one value"),
        pytest.param(["-3", "42"], (0, 10), "0 2 4 6 8 10", id="beyond what there is"),
        pytest.param([], (1, 5), "1 2 3 4 5", id="none"),
    ],
)
def test_scale_fits_what_it_shows(values: list[str], bounds: tuple[int, int], expected: str) -> None:
    scale = scale_of([Decimal(value) for value in values], bounds)
    assert " ".join(f"{tick.normalize():f}" for tick in scale) == expected


def test_nearest_threshold_is_always_shown_others_where_the_scale_reaches() -> None:
    high = Guide(Decimal("9.0"), "high over 9.0")
    assert [line.text for line in drawn("7.0", "7.4", guides=[LOW, high]).guides] == ["low under 6.5"]
    assert [line.text for line in drawn("8.9", "8.8", guides=[LOW, high]).guides] == ["high over 9.0"]
    both = drawn("6.0", "9.5", guides=[LOW, high])
    assert [line.text for line in both.guides] == ["low under 6.5", "high over 9.0"]
    assert both.guides[0].y > both.guides[1].y


def test_text_of_a_threshold_is_where_fewer_values_are() -> None:
    calm, busy = [None, None, None, None, None], ["6.6", "6.7", "6.6", "6.7", "6.6"]
    assert drawn(*busy, *calm, guides=[LOW]).guides[0].anchor == "end"
    assert drawn(*calm, *busy, guides=[LOW]).guides[0].anchor == "start"


def test_chart_without_data() -> None:
    found = drawn(None, None, guides=[LOW])
    assert (found.marks, found.lines, found.average_y) == ((), (), None)
    assert [tick.text for tick in found.value_ticks] == ["0", "2", "4", "6", "8", "10"]
