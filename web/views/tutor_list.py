"""Lists of tutors: who is in them, in which order, page by page. Who is in is decided by what the dashboard counts."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal

from rules.measures import Ratio
from web.queries.dashboard import NO_ALERTS, AlertCounts
from web.queries.paging import Cursor, Page
from web.queries.platform import TutorMonth
from web.queries.tutors import KnownOfTutors, TutorEntry, TutorFacts, TutorFilter, TutorSort, TutorsWanted, folded


@dataclass(frozen=True, slots=True)
class TutorListRow:
    """A tutor in the list of all, with the last 30 days."""

    tutor_id: str
    name: str
    month: TutorMonth
    alerts: AlertCounts

    @property
    def average(self) -> Decimal | None:
        """The average score; None without a scored session."""
        return _quotient(self.month.score)


TutorPosition = tuple[str, str, str]
"""By what a tutor is sorted, their folded name, and their id."""


@dataclass(frozen=True)
class TutorsPage(Page[TutorListRow, TutorPosition]):
    """Some tutors; `first` is the number of the first one of them, of `total`."""

    total: int = 0
    first: int = 0


def is_found(searched: str, words: str) -> bool:
    """Whether each of the words, in whatever order, is part of the folded text."""
    return all(word in searched for word in folded(words).split())


def needs_months(wanted: TutorsWanted) -> bool:
    """Whether the list can't be made without the statistics of 30 days."""
    return wanted.filter in _OF_MONTHS or wanted.sort not in (TutorSort.NAME, TutorSort.ALERTS)


def tutors_page(
    entries: Mapping[str, TutorEntry],
    facts: TutorFacts,
    wanted: TutorsWanted,
    cursor: Cursor[TutorPosition] | None = None,
    *,
    limit: int = 50,
) -> TutorsPage:
    """The tutors that are wanted: the first ones, or those beside the cursor."""
    members = _members(facts, wanted.filter)
    found = [
        entry
        for tutor_id, entry in entries.items()
        if (members is None or tutor_id in members) and is_found(entry.searched, wanted.search)
    ]
    keyed = sorted(((_key(entry, facts, wanted), entry) for entry in found), key=lambda each: each[0])
    if wanted.sort is TutorSort.NAME and wanted.is_descending:
        keyed.reverse()
    start = _start([key for key, _ in keyed], cursor, wanted, limit)
    shown = keyed[start : start + limit]
    return TutorsPage(
        rows=tuple(_row(entry, facts) for _, entry in shown),
        next=Cursor(_position(shown[-1][0])) if shown and start + limit < len(keyed) else None,
        previous=Cursor(_position(shown[0][0]), is_backwards=True) if shown and start > 0 else None,
        total=len(keyed),
        first=start + 1,
    )


Key = tuple[bool, Decimal, str, str]
"""What the list is sorted by: those without a value last, the value, the folded name, the id."""
_LAST = (True, Decimal(0))


def _key(entry: TutorEntry, facts: TutorFacts, wanted: TutorsWanted) -> Key:
    value = _value(entry.tutor_id, facts, wanted.sort)
    if value is None:
        return *_LAST, entry.folded_name, entry.tutor_id
    return False, -value if wanted.is_descending else value, entry.folded_name, entry.tutor_id


def _value(tutor_id: str, facts: TutorFacts, sort: TutorSort) -> Decimal | None:
    month = facts.month(tutor_id)
    match sort:
        case TutorSort.AVERAGE:
            return _quotient(month.score)
        case TutorSort.SESSIONS:
            return Decimal(month.completed)
        case TutorSort.ALERTS:
            counts = facts.alerts.get(tutor_id, NO_ALERTS)
            return Decimal(counts.critical * _MANY**2 + counts.warning * _MANY + counts.info)
        case TutorSort.NO_SHOWS:
            return Decimal(month.no_shows)
        case TutorSort.RESCHEDULES:
            return Decimal(month.reschedules)
        case TutorSort.CONVERSION:
            return _quotient(month.conversion)
        case TutorSort.NO_SHOW_RATE:
            return _quotient(Ratio(Decimal(month.no_shows), month.due))
    return Decimal(0)  # by name


_MANY = 1_000_000
"""More than anybody's alerts of a severity: one critical alert comes before any number of warnings."""


def _position(key: Key) -> TutorPosition:
    is_last, value, folded_name, tutor_id = key
    return "" if is_last else str(value), folded_name, tutor_id


def _start(keys: Sequence[Key], cursor: Cursor[TutorPosition] | None, wanted: TutorsWanted, limit: int) -> int:
    """Where in the list the page begins."""
    if cursor is None:
        return 0
    value, folded_name, tutor_id = cursor.at
    at: Key = (*((False, Decimal(value)) if value else _LAST), folded_name, tutor_id)
    is_reversed = wanted.sort is TutorSort.NAME and wanted.is_descending
    before = sum(key > at if is_reversed else key < at for key in keys)
    if cursor.is_backwards:
        return max(0, before - limit)
    return before + (at in keys[before : before + 1])


def _row(entry: TutorEntry, facts: TutorFacts) -> TutorListRow:
    return TutorListRow(
        tutor_id=entry.tutor_id,
        name=entry.name,
        month=facts.month(entry.tutor_id),
        alerts=facts.alerts.get(entry.tutor_id, NO_ALERTS),
    )


def _quotient(ratio: Ratio) -> Decimal | None:
    return ratio.total / ratio.count if ratio.count else None


_OF_MONTHS = {
    TutorFilter.ATTENTION,
    TutorFilter.CHURN_RISK,
    TutorFilter.LOW_AVERAGE,
    TutorFilter.TOP_PERFORMERS,
    TutorFilter.NO_SHOWS,
    TutorFilter.RESCHEDULES,
    TutorFilter.FIRST_SESSIONS,
    TutorFilter.SCORED,
}


def _members(facts: TutorFacts, wanted: TutorFilter) -> AbstractSet[str] | None:
    """The ids of those who pass the filter, by the sets that the dashboard's numbers count; None: all do."""
    if wanted in _OF_MONTHS:
        return _members_by_month(facts.known, facts.alerts, wanted) if facts.known else frozenset()
    match wanted:
        case TutorFilter.CRITICAL:
            return {tutor_id for tutor_id, counts in facts.alerts.items() if counts.critical}
        case TutorFilter.OPEN_ALERTS:
            return facts.alerts.keys()
        case TutorFilter.UNATTENDED | TutorFilter.NO_INSIGHT:
            return facts.chosen
    return None


def _members_by_month(known: KnownOfTutors, counts: Mapping[str, AlertCounts], wanted: TutorFilter) -> AbstractSet[str]:
    match wanted:
        case TutorFilter.ATTENTION:
            return known.ranking.needing_attention(counts)
        case TutorFilter.CHURN_RISK:
            return known.statistics.at_risk
        case TutorFilter.LOW_AVERAGE:
            return known.ranking.low
        case TutorFilter.TOP_PERFORMERS:
            return frozenset(known.ranking.top(counts))
    return {tutor_id for tutor_id, month in known.months.items() if _COUNTED[wanted](month)}


_COUNTED: Mapping[TutorFilter, Callable[[TutorMonth], int]] = {
    TutorFilter.NO_SHOWS: lambda month: month.no_shows,
    TutorFilter.RESCHEDULES: lambda month: month.reschedules,
    TutorFilter.FIRST_SESSIONS: lambda month: month.conversion.count,
    TutorFilter.SCORED: lambda month: month.score.count,
}
