"""An open alert whose condition is no longer met stays open, and says so: since when, and what is measured now."""

from datetime import timedelta

import pytest

from tests.rules.generating import Generation
from tests.rules.just_enough import ALERTS, Kind
from tests.support.platform import NOW, Platform


async def told(platform: Platform, alert_type: str = "no_show_pattern") -> tuple[str, bool]:
    """What the open alert of that type says, and whether it is known to be met."""
    [(description, is_met)] = await platform.rows(
        "SELECT a.description, e.not_met_since IS NULL FROM alerts AS a"
        " JOIN tutorwatch.alert_evidence AS e ON e.alert_id = a.id WHERE NOT a.resolved"
        " AND a.alert_type = %s::alert_type",
        alert_type,
    )
    return description, is_met


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.rule) for kind in ALERTS])
async def test_every_alert_says_so_and_takes_it_back(platform: Platform, generation: Generation, kind: Kind) -> None:
    ids = await kind.write(platform, "tutor", [NOW - timedelta(hours=hours) for hours in range(kind.least)])
    await generation()
    opened, is_met = await told(platform, kind.rule)
    assert is_met
    evidence = await generation.evidence(kind.rule)

    await platform.connection.execute("CREATE TABLE kept AS SELECT * FROM sessions WHERE id = ANY(%s)", [ids])
    await platform.connection.execute("UPDATE sessions SET status = 'scheduled' WHERE id = ANY(%s)", [ids])
    generated = await generation(now=NOW + timedelta(hours=1))

    description, is_met = await told(platform, kind.rule)
    assert description.startswith("No longer met since 15 Jun: ")
    assert description != opened
    assert not is_met
    assert generated.alerts == []
    assert await generation.evidence(kind.rule) == evidence, "what it was based on"

    await generation(now=NOW + timedelta(days=2))
    assert (await told(platform, kind.rule))[0].startswith("No longer met since 15 Jun: "), "not since the latest look"

    await platform.connection.execute(
        "UPDATE sessions SET status = kept.status FROM kept WHERE kept.id = sessions.id; DROP TABLE kept"
    )
    await generation()
    assert await told(platform, kind.rule) == (opened, True)


async def test_present_value_is_told(platform: Platform, generation: Generation) -> None:
    first, _ = [await platform.session(status="no_show_tutor", days_ago=days) for days in (1, 2)]
    await generation()
    await platform.connection.execute("UPDATE sessions SET status = 'completed' WHERE id = %s", [first])

    await generation()
    assert await told(platform) == ("No longer met since 15 Jun: 1 no-show in 30 days", False)

    await generation(now=NOW + timedelta(days=31))
    assert await told(platform) == ("No longer met since 15 Jun: 0 no-shows in 30 days", False)


async def test_time_alone_ends_a_condition(platform: Platform, generation: Generation) -> None:
    for days in (1, 2):
        await platform.session(status="no_show_tutor", days_ago=days)
    await generation()

    await generation(now=NOW + timedelta(days=60))

    assert await told(platform) == ("No longer met since 14 Aug: 0 no-shows in 30 days", False)


async def test_sessions_of_an_alert_that_is_no_longer_met_open_no_other(
    platform: Platform, generation: Generation
) -> None:
    first, _ = [await platform.session(status="no_show_tutor", days_ago=days) for days in (1, 2)]
    await generation()
    await platform.connection.execute("UPDATE sessions SET status = 'completed' WHERE id = %s", [first])
    await generation()
    await generation.resolve("no_show_pattern")
    await platform.connection.execute("UPDATE sessions SET status = 'no_show_tutor' WHERE id = %s", [first])

    generated = await generation()

    assert generated.alerts == []


async def test_alert_of_another_client_that_was_never_met_is_left_as_it_is(
    platform: Platform, generation: Generation
) -> None:
    await platform.user("tutor")
    await platform.insert(
        "alerts", tutor_id="tutor", alert_type="no_show_pattern", severity="critical", title="T", description="Theirs"
    )

    await generation()

    assert await platform.rows("SELECT description FROM alerts") == ["Theirs"]
