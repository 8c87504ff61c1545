"""How instants and figures read."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from rules.measures import Ratio, plural
from tests.support.platform import NOW
from web.queries.platform import Compared
from web.views.labels import label
from web.views.presentation import ago, amount, average, day, moment, percent, score_trend, share_trend

UTC_ZONE = ZoneInfo("UTC")
NOTHING = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        pytest.param(timedelta(seconds=9), "just now", id="nine seconds"),
        pytest.param(timedelta(seconds=10), "10 seconds ago", id="ten seconds"),
        pytest.param(timedelta(seconds=60), "1 minute ago", id="a minute"),
        pytest.param(timedelta(minutes=59, seconds=59), "59 minutes ago", id="almost an hour"),
        pytest.param(timedelta(hours=1), "1 hour ago", id="an hour"),
        pytest.param(timedelta(hours=24), "1 day ago", id="a day"),
        pytest.param(timedelta(days=30), "30 days ago", id="thirty days"),
        pytest.param(timedelta(days=31), "15 May", id="longer ago: the day"),
        pytest.param(timedelta(days=365), "15 Jun 2025", id="another year"),
        pytest.param(timedelta(seconds=-59), "just now", id="clocks differ a little"),
        pytest.param(timedelta(hours=-3), "15 Jun", id="ahead of now"),
    ],
)
def test_ago(passed: timedelta, expected: str) -> None:
    assert ago(UTC_ZONE, NOW - passed, NOW) == expected


def test_days_and_moments() -> None:
    assert day(UTC_ZONE, date(2026, 1, 2), NOW) == "2 Jan"
    assert moment(UTC_ZONE, datetime(2026, 1, 2, 3, 4, tzinfo=UTC)) == "2 Jan 2026, 03:04 UTC"


@pytest.mark.parametrize(
    ("zone", "instant", "expected"),
    [
        pytest.param("Europe/Berlin", (2026, 1, 2, 23, 4), "3 Jan 2026, 00:04 CET", id="tomorrow there"),
        pytest.param("Europe/Berlin", (2026, 3, 29, 0, 59), "29 Mar 2026, 01:59 CET", id="before clocks go forward"),
        pytest.param("Europe/Berlin", (2026, 3, 29, 1, 0), "29 Mar 2026, 03:00 CEST", id="after clocks went forward"),
        pytest.param("Europe/Berlin", (2026, 10, 25, 0, 30), "25 Oct 2026, 02:30 CEST", id="half past two"),
        pytest.param("Europe/Berlin", (2026, 10, 25, 1, 30), "25 Oct 2026, 02:30 CET", id="half past two again"),
        pytest.param("Asia/Kathmandu", (2025, 12, 31, 18, 15), "1 Jan 2026, 00:00 UTC+5:45", id="next year there"),
        pytest.param("America/Sao_Paulo", (2026, 1, 2, 2, 0), "1 Jan 2026, 23:00 UTC-3", id="yesterday there"),
        pytest.param("America/Sao_Paulo", (1, 1, 1, 0, 0), "1 Jan 1, 00:00 UTC", id="before all clocks there"),
        pytest.param("Pacific/Kiritimati", (9999, 12, 31, 12, 0), "31 Dec 9999, 12:00 UTC", id="after them"),
    ],
)
def test_moments_are_those_of_the_zone(zone: str, instant: tuple[int, int, int, int, int], expected: str) -> None:
    assert moment(ZoneInfo(zone), datetime(*instant, tzinfo=UTC)) == expected


def test_whether_a_year_is_this_one_is_a_matter_of_the_zone() -> None:
    new_year = datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
    now = datetime(2025, 12, 31, 23, 45, tzinfo=UTC)
    assert day(ZoneInfo("Europe/Berlin"), new_year, now) == "1 Jan"
    assert day(ZoneInfo("Europe/Berlin"), new_year - timedelta(hours=1), now) == "31 Dec 2025"
    assert day(UTC_ZONE, new_year - timedelta(hours=1), now) == "31 Dec"


def test_figures_round_half_up() -> None:
    assert amount(Decimal("6.25")) == "6.3"
    assert amount(None) == NOTHING
    assert percent(Decimal("0.445")) == "45%"
    assert average(Ratio(Decimal("12.5"), 2), 2) == "6.25"
    assert average(Ratio(Decimal(0), 0)) == NOTHING


def test_words() -> None:
    assert [plural(count, "alert") for count in (0, 1, 1200)] == ["0 alerts", "1 alert", "1,200 alerts"]
    assert label("no_show_pattern") == "Tutor no-shows"
    assert label("a_type_of_tomorrow") == "A type of tomorrow"


def test_trend_is_the_difference_of_what_is_shown() -> None:
    moved = score_trend(Compared(Ratio(Decimal("7.84"), 1), Ratio(Decimal("7.76"), 1)))
    assert moved is not None
    assert (moved.direction, moved.is_better) == ("level", None)


def test_fewer_no_shows_are_better() -> None:
    moved = share_trend(Compared(Ratio(Decimal(1), 100), Ratio(Decimal(2), 100)), more_is_better=False, places=1)
    assert moved is not None
    assert (moved.direction, moved.change, moved.before, moved.is_better) == ("down", "1.0 points", "2.0%", True)


def test_no_trend_without_a_figure_before() -> None:
    assert score_trend(Compared(Ratio(Decimal(7), 1), Ratio(Decimal(0), 0))) is None
