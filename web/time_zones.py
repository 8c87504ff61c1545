"""Time zones by name, and how an instant reads in one."""

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

COOKIE = "tutorwatch_zone"
"""In which the script says the browser's zone: no secret, and set by nobody else to any harm."""

_NOT_FOR_PEOPLE = {"Factory", "localtime"}
_RENAMED = {
    "Africa/Asmera": "Africa/Asmara",
    "America/Buenos_Aires": "America/Argentina/Buenos_Aires",
    "America/Catamarca": "America/Argentina/Catamarca",
    "America/Coral_Harbour": "America/Atikokan",
    "America/Cordoba": "America/Argentina/Cordoba",
    "America/Godthab": "America/Nuuk",
    "America/Indianapolis": "America/Indiana/Indianapolis",
    "America/Jujuy": "America/Argentina/Jujuy",
    "America/Louisville": "America/Kentucky/Louisville",
    "America/Mendoza": "America/Argentina/Mendoza",
    "Asia/Calcutta": "Asia/Kolkata",
    "Asia/Katmandu": "Asia/Kathmandu",
    "Asia/Rangoon": "Asia/Yangon",
    "Asia/Saigon": "Asia/Ho_Chi_Minh",
    "Atlantic/Faeroe": "Atlantic/Faroe",
    "Europe/Kiev": "Europe/Kyiv",
    "Pacific/Enderbury": "Pacific/Kanton",
    "Pacific/Ponape": "Pacific/Pohnpei",
    "Pacific/Truk": "Pacific/Chuuk",
}
"""Zones that some browsers still call by the name from before, and what people there call them."""


@cache
def zone_names() -> frozenset[str]:
    """The names of all zones that are known here."""
    return frozenset(available_timezones() - _NOT_FOR_PEOPLE)


@cache
def offered_zones() -> tuple[str, ...]:
    """The names that people choose from, sorted: of places, and UTC; no abbreviations, no countries."""
    places = {name for name in zone_names() if "/" in name and not name.startswith(("Etc/", "US/", "SystemV/"))}
    return (*sorted(places - _RENAMED.keys()), "UTC")


def zone_named(name: str) -> ZoneInfo | None:
    """The zone, by its present name; None for a name that is unknown here, whatever it looks like."""
    name = _RENAMED.get(name, name)
    return ZoneInfo(name) if name in zone_names() else None


def known_zone(name: str) -> str:
    """The name as it is. Raises ValueError for one that is unknown here."""
    if name not in zone_names():
        raise ValueError("must be the name of a time zone, such as Europe/Berlin")
    return name


def in_zone(instant: datetime, zone: ZoneInfo) -> datetime:
    """The instant by the clocks of the zone; in UTC where it is too far away for them."""
    try:
        return instant.astimezone(zone)
    except OverflowError:  # a client dates a session in the year 1 or 9999
        return instant.astimezone(UTC)


def abbreviation(local: datetime) -> str:
    """What people there call the time: `CET`; `UTC+5:45` where they have no name for it."""
    name, offset = local.tzname() or "", local.utcoffset()
    if name.isalpha() or offset is None:
        return name
    minutes = abs(offset).total_seconds() // 60
    hours, rest = divmod(int(minutes), 60)
    return f"UTC{'-' if offset.days < 0 else '+'}{hours}{f':{rest:02}' if rest else ''}"
