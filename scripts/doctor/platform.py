"""The checks of the platform: its schema fits, and our roles see all of its rows."""

from database.platform import read_comparison, read_hidden_rows
from rules.registry import NAMES as RULE_NAMES
from scripts.doctor.findings import DoctorContext, Finding, ok, problem


def platform(context: DoctorContext) -> Finding:
    """Its schema is as rules, triggers and pages need it; what is off without a table or label is named."""
    found = read_comparison(context.connection, RULE_NAMES)
    if found.differences:
        named = "; ".join(map(str, found.differences))
        return problem("platform", f"{named}: change it back, or install a version that knows it")
    without = [*map(str, found.missing_features), *map(str, found.missing_labels)]
    return ok("platform", "; ".join(["its schema fits", *without]))


def rows(context: DoctorContext) -> Finding:
    """No row-level security hides rows from us or from the services."""
    hidden = read_hidden_rows(context.connection)
    if hidden:
        return problem("rows", "; ".join(map(str, hidden)))
    return ok("rows", "none is hidden from a service")
