"""The checks of rights: the services' roles may do what `migrations.grants` grants them."""

from database.platform import read_comparison
from database.platform_needs import NEEDED
from migrations.grants import needed
from scripts.doctor.findings import DoctorContext, Finding, listed, ok, problem

SERVICES = ("listener", "web")


def rights(context: DoctorContext) -> Finding:
    """The roles that are on record, or that services run as now, have their services' rights.

    Where no service has either, our own role must do, and be good for one service at least.
    """
    (me,) = context.row("SELECT current_user::text")
    known = [(role, service) for service in SERVICES for role in sorted(_roles(context, service))]
    unknown = [(me, service) for service in SERVICES if service not in {each for _, each in known}]
    lacking = {who: _lacking(context, *who) for who in known + unknown}
    if not known and all(lacking[who] for who in unknown):
        known += unknown
    for role, service in known:
        if lacks := lacking[role, service]:
            return problem("rights", f"{role}, as {service}, lacks {listed(lacks)}: {_advice(context)}")
    able = [f"{role} as {service}" for (role, service), lacks in lacking.items() if not lacks]
    return ok("rights", f"enough for {' and '.join(able)}")


_MAY_SIGN_IN = """
    SELECT role, has_function_privilege(role::name, to_regproc('tutorwatch.sign_in_from_provider'), 'EXECUTE') IS TRUE
    FROM unnest(%s::text[]) AS roles (role)
"""


def openid(context: DoctorContext) -> Finding:
    """Return whether dashboards may sign people in with OpenID Connect, which only an operator can let them."""
    (me,) = context.row("SELECT current_user::text")
    roles = sorted(_roles(context, "web")) or [me]
    may = dict(context.rows(_MAY_SIGN_IN, roles))
    if refused := [role for role in roles if not may[role]]:
        advice = _advice(context, openid=True)
        return problem("openid", f"{', '.join(refused)} may not sign people in with OpenID Connect: {advice}")
    return ok("openid", f"{' and '.join(roles)} may sign people in with OpenID Connect")


def _advice(context: DoctorContext, *, openid: bool = False) -> str:
    recorded = dict(_recorded(context))
    also = " --openid" if openid or "openid" in recorded else ""
    if {"listener", "web"} <= recorded.keys():
        return f"run `tutorwatch rights --listener {recorded['listener']} --web {recorded['web']}{also}`"
    return f"give it what `tutorwatch rights{also}` gives (see docs/rights.md)"


def _recorded(context: DoctorContext) -> list[tuple[str, str]]:
    """Return the roles that `tutorwatch rights` has recorded and that exist; none where ours may not read them."""
    if context.row("SELECT has_table_privilege(to_regclass('tutorwatch.service_roles'), 'SELECT') IS NOT TRUE")[0]:
        return []
    rows = context.rows("SELECT service, role FROM tutorwatch.service_roles JOIN pg_roles ON rolname = role")
    return [(service, role) for service, role in rows]


def _roles(context: DoctorContext, service: str) -> set[str]:
    pattern = {"listener": "^tutorwatch-(listen|worker)", "web": "^tutorwatch-web"}[service]
    found = context.rows(
        "SELECT DISTINCT usename::text FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name ~ %s",
        pattern,
    )
    return {role for (role,) in found} | {role for each, role in _recorded(context) if each == service}


_LACKING = """
    SELECT privilege, object, column_name
    FROM unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY AS needed (privilege, object, column_name, place)
    WHERE CASE WHEN object LIKE 'public.%%' AND NOT EXISTS (
                   SELECT FROM pg_attribute WHERE attrelid = to_regclass(object) AND NOT attisdropped
                     AND attname = coalesce(column_name, attname))
                   THEN true  -- what the platform doesn't have, nobody needs a right on
               WHEN object LIKE 'SCHEMA %%' THEN has_schema_privilege(%s::name, substr(object, 8), privilege)
               WHEN object LIKE 'FUNCTION %%'
                   THEN has_function_privilege(%s::name, to_regproc(substr(object, 10)), privilege)
               WHEN column_name IS NOT NULL
                   THEN has_column_privilege(%s::name, to_regclass(object), column_name, privilege)
               ELSE has_table_privilege(%s::name, to_regclass(object), privilege) END IS NOT TRUE
    ORDER BY place
"""


def _unused_tables(context: DoctorContext) -> set[str]:
    """The platform's tables that only a missing feature needs."""
    missing = read_comparison(context.connection).missing
    return {
        f"public.{table}" for table, needs in NEEDED.items() if all(missing.lacks(table, column) for column in needs)
    }


def _lacking(context: DoctorContext, role: str, service: str) -> list[str]:
    unused = _unused_tables(context)
    asked = [right for right in needed(service) if right[1] not in unused]
    privileges, objects, columns = zip(("USAGE", "SCHEMA public", None), *asked, strict=True)
    rows = context.rows(_LACKING, list(privileges), list(objects), list(columns), role, role, role, role)
    return list(dict.fromkeys(f"{privilege} on {name.removeprefix('public.')}" for privilege, name, _ in rows))


DAYS_BEFORE = 14


def tokens(context: DoctorContext) -> Finding:
    """No token of a program that is in use ends soon."""
    if not context.row("SELECT has_table_privilege('tutorwatch.api_tokens', 'SELECT')")[0]:
        return ok("tokens", "not this role's to see")
    rows = context.rows(
        "SELECT name, expires_at < clock_timestamp(), to_char(expires_at, 'YYYY-MM-DD'),"
        " expires_at < clock_timestamp() + make_interval(days => %s)"
        "     AND last_used_at > expires_at - make_interval(days => 30)"
        " FROM tutorwatch.api_tokens WHERE revoked_at IS NULL ORDER BY expires_at, name",
        DAYS_BEFORE,
    )
    ending = [f"{name} {'ended' if is_over else 'ends'} on {day}" for name, is_over, day, matters in rows if matters]
    if ending:
        return problem("tokens", f"{listed(ending)}: make another, and revoke the old one")
    in_use = sum(not is_over for _, is_over, *_ in rows)
    return ok("tokens", f"{in_use} in use" if in_use else "none")
