"""The checks of what Tutorwatch has in the database: its revision, and that all of it is there and whole."""

from database.platform import read_comparison
from database.schema_version import explain_revision
from migrations import automation as switch
from migrations.installed import Damage, Kind, find_damage
from scripts.doctor.findings import DoctorContext, Finding, ok, problem


def schema(context: DoctorContext) -> Finding:
    """Return whether the database's revision is this program's."""
    found = None
    if context.row("SELECT to_regclass('tutorwatch.alembic_version') IS NOT NULL")[0]:
        (found,) = context.row("SELECT max(version_num) FROM tutorwatch.alembic_version")
    if message := explain_revision(found):
        return problem("schema", message)
    return ok("schema", f"revision {found}, program {context.version}")


def tables(context: DoctorContext) -> Finding:
    """Our own tables are there."""
    lost = _damage(context, Kind.TABLE)
    if lost:
        names = ", ".join(each.name for each in lost)
        return problem(
            "tables", f"gone: {names}; restore them from a backup, or `tutorwatch uninstall` and `tutorwatch migrate`"
        )
    return ok("tables", "all there")


def functions(context: DoctorContext) -> Finding:
    """The triggers' functions, and what those use, are as installed, and their owner may do what they do."""
    if damage := [each for kind in (Kind.SEQUENCE, Kind.VIEW, Kind.FUNCTION) for each in _damage(context, kind)]:
        return _repaired_by_migrate("functions", damage)
    powerless = context.rows(
        "SELECT DISTINCT proowner::regrole::text, (SELECT relowner::regrole::text FROM pg_class"
        " WHERE oid = 'tutorwatch.outbox'::regclass)"
        " FROM pg_proc WHERE pronamespace = 'tutorwatch'::regnamespace AND prosecdef"
        " AND NOT (has_table_privilege(proowner, 'tutorwatch.outbox', 'INSERT')"
        "          AND has_table_privilege(proowner, 'public.sessions', 'SELECT'))"
    )
    for owner, rightful in powerless:
        return problem(
            "functions", f"their owner {owner} may not write the outbox: REASSIGN OWNED BY {owner} TO {rightful}"
        )
    return ok("functions", "as installed")


def triggers(context: DoctorContext) -> Finding:
    """Every trigger is there and calls what it should."""
    if damage := _damage(context, Kind.TRIGGER):
        return _repaired_by_migrate("triggers", damage)
    return ok("triggers", "all there")


def automation(context: DoctorContext) -> Finding:
    """The switch: whether changes are recorded."""
    since = switch.off_since(context.connection)
    if since is None:
        return ok("automation", "on")
    return problem(
        "automation",
        f"off since {since:%Y-%m-%d %H:%M} UTC: changes wait for the daily sweep; run `tutorwatch automation on`",
    )


def indexes(context: DoctorContext) -> Finding:
    """Our indexes are there and valid. Without them all is right, but slower."""
    damage = _damage(context, Kind.INDEX)
    if damage and not read_comparison(context.connection).differences:  # else the platform is to be put right first
        return _repaired_by_migrate("indexes", damage)
    return ok("indexes", "all there and valid")


def _damage(context: DoctorContext, kind: Kind) -> list[Damage]:
    return [each for each in find_damage(context.connection) if each.kind is kind]


def _repaired_by_migrate(check: str, damage: list[Damage]) -> Finding:
    first, *others = [str(each) for each in damage]
    more = f" (and {len(others)} more: `tutorwatch migrate --check`)" if others else ""
    return problem(check, f"{first}{more}: run `tutorwatch migrate`")
