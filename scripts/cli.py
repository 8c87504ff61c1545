"""`tutorwatch`: the command line. Each command imports what it needs, so that --help is quick."""

import re
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from database.one_line import one_line
from scripts import output
from scripts.channel_commands import channel
from scripts.errors import CommandError

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")

app = typer.Typer(
    name="tutorwatch",
    help="Watches a tutoring platform's sessions and keeps every tutor's alerts and insights right.\n\n"
    "The platform's database is TUTORWATCH_DATABASE_URL. Results go to stdout, logs to stderr. "
    "Exit code 0: done; 1: failed; 2: wrong arguments or settings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
automation = typer.Typer(no_args_is_help=True, help="The switch: whether changes of sessions are recorded at all.")
app.add_typer(automation, name="automation")
token = typer.Typer(no_args_is_help=True, help="Tokens with which programs read the dashboard's JSON.")
app.add_typer(token, name="token")
app.add_typer(channel, name="channel")

PENDING = 3
"""Exit code of `migrate --check` where `migrate` has something to do, and can."""

OF_TYPER_INTERRUPTED = 130
"""Typer's exit code at a KeyboardInterrupt, of which it says nothing."""

_NO_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""What no id, name or address has: control characters (no column holds NUL), and bytes that aren't UTF-8."""


def _checked_text(given: str | list[str] | None) -> str | list[str] | None:
    for each in [given] if isinstance(given, str) else given or []:
        if not each.strip() or _NO_TEXT.search(each):
            raise typer.BadParameter(f"{each!r} is empty, or has characters that no name has.")
    return given


Logs = Annotated[
    Literal["auto", "text", "json"],
    typer.Option("--log-format", envvar="TUTORWATCH_LOG_FORMAT", help="How logs are written."),
]
LeastLevel = Annotated[
    Literal["debug", "info", "warning", "error"],
    typer.Option("--log-level", envvar="TUTORWATCH_LOG_LEVEL", help="The least logged."),
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")]
PasswordLink = Annotated[
    bool, typer.Option("--link", help="Print a one-time link by which they choose it themselves, within 24 hours.")
]
TokenName = Annotated[str, typer.Argument(callback=_checked_text, help="The program's name.")]
AutomationOff = Annotated[
    bool, typer.Option("--automation-off", help="Create the triggers switched off (only where they don't exist yet).")
]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"tutorwatch {_version()}")
        raise typer.Exit


@app.callback()
def tutorwatch(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Stands in front of all commands; Typer's own help text stays."""


@app.command()
def run(
    demo: Annotated[bool, typer.Option(help="Fill an empty database with demo data and go on writing to it.")] = True,
    every: Annotated[float, typer.Option(min=0.01, help="Seconds between two sessions of the demo.")] = 4.0,
    log_format: Logs = "auto",
    log_level: LeastLevel = "info",
) -> None:
    """Everything in one process: schema, demo data where the database is empty, listener, dashboard.

    Without TUTORWATCH_DATABASE_URL it starts an embedded PostgreSQL, kept in .data/.
    """
    _configure_logs(log_format, log_level)
    from listener.settings import ListenerSettings
    from rules.settings import RuleSettings
    from scripts import environment
    from scripts.run import RunOptions, run_services
    from telling.sender import Telling
    from telling.settings import TellingSettings
    from web.settings import WebSettings

    read = environment.read
    telling, thresholds = Telling(read(TellingSettings), environment.dashboard_url()), read(RuleSettings).thresholds()
    run_services(RunOptions(read(ListenerSettings), read(WebSettings), telling, thresholds, _version(), demo, every))


@app.command()
def listen(log_format: Logs = "auto", log_level: LeastLevel = "info") -> None:
    """The listener alone. Start as many as you like, on as many machines: they share the work."""
    _configure_logs(log_format, log_level)
    import asyncio

    from listener.service import run_listener
    from listener.settings import ListenerSettings
    from rules.settings import RuleSettings
    from scripts import environment
    from scripts.signals import stop_on_signals
    from telling.sender import Telling
    from telling.settings import TellingSettings

    listener, thresholds = environment.read(ListenerSettings), environment.read(RuleSettings).thresholds()
    telling = Telling(environment.read(TellingSettings), environment.dashboard_url())
    url = environment.database_url()

    async def serve() -> None:
        stop = stop_on_signals()
        await run_listener(url, listener, thresholds, version=_version(), stop=stop, telling=telling)

    asyncio.run(serve())


@app.command("web")
def serve_web(log_format: Logs = "auto", log_level: LeastLevel = "info") -> None:
    """The dashboard alone. Start as many as you like, behind a proxy that terminates TLS."""
    _configure_logs(log_format, log_level)
    import asyncio

    from rules.settings import RuleSettings
    from scripts import environment
    from scripts.signals import stop_on_signals
    from web.service import run_web
    from web.settings import WebSettings

    web, thresholds = environment.read(WebSettings), environment.read(RuleSettings).thresholds()
    url = environment.database_url()

    async def serve() -> None:
        await run_web(url, web, thresholds, _version(), stop_on_signals())

    asyncio.run(serve())


@app.command()
def migrate(
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only say what would be done; exit 0: nothing, 3: something, 1: it can't be done."
        ),
    ] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")] = False,
    automation_off: AutomationOff = False,
    log_format: Logs = "auto",
    log_level: LeastLevel = "info",
) -> None:
    """Brings the database's schema up to date: creates it, adopts the platform's, or repairs what was damaged since.

    Safe beside running clients, safe to interrupt and run again; running it twice changes nothing.
    """
    _configure_logs(log_format, log_level)
    from migrations import upgrade
    from rules.registry import NAMES as RULE_NAMES
    from scripts import environment

    url = environment.direct_url()
    if check:
        found = upgrade.preview(url, RULE_NAMES)
        lines = [*found.pending, *[f"Note: {each}" for each in found.notes]]
        lines += [f"Problem: {each}" for each in found.problems]
        typer.echo("\n".join(lines if found.pending or found.problems else ["The schema is up to date.", *lines]))
        raise typer.Exit(1 if found.problems else PENDING if found.pending else 0)
    if sql:
        typer.echo(upgrade.to_sql(url, automation=not automation_off))
        return
    done = upgrade.migrate(url, automation=not automation_off)
    typer.echo(
        f"The schema is up to date (revision {done.after})."
        if done.before == done.after
        else f"Migrated from {done.before or 'nothing'} to revision {done.after}."
    )
    for repaired in done.repaired:
        typer.echo(f"Repaired: {repaired}")
    if done.freed:
        typer.echo(f"Failing tutors that are tried again: {done.freed}")


@app.command()
def rights(
    listener: Annotated[str, typer.Option(callback=_checked_text, help="The role of the listeners.")],
    web: Annotated[str, typer.Option(callback=_checked_text, help="The role of the dashboards.")],
    openid: Annotated[
        bool, typer.Option("--openid", help="Let the dashboards sign people in with OpenID Connect (docs/rights.md).")
    ] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")] = False,
) -> None:
    """Gives two roles the least rights with which the services run; to be run again after each `migrate`."""
    from database.platform import read_hidden_rows
    from migrations import rights as services

    if sql:
        typer.echo(services.to_sql(listener=listener, web=web, openid=openid))
        return
    try:
        with _connection() as connection:
            excess = services.give(connection, listener=listener, web=web, openid=openid)
            hidden = [each for role in (listener, web) for each in read_hidden_rows(connection, role)]
    except services.RightsError as error:
        raise CommandError(str(error)) from None
    also = ", and may sign people in with OpenID Connect" if openid else ""
    typer.echo(f"{listener} has the rights of a listener, {web} those of a dashboard{also}.")
    if hidden:
        raise CommandError("\n".join(f"But {each}" for each in hidden))
    if excess:
        raise CommandError("More than that may be done, by grants that aren't ours:\n" + "\n".join(excess))


@app.command()
def backfill(
    tutor: Annotated[
        list[str] | None, typer.Option(callback=_checked_text, help="Only this tutor's id; may be given again.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many tutors.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be created; write nothing.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, max=5000, help="Tutors per transaction.")] = 200,
    notify: Annotated[
        bool, typer.Option("--notify", help="Tell by the channels of alerts that it opens; else nobody is told.")
    ] = False,
    log_format: Logs = "auto",
    log_level: LeastLevel = "info",
) -> None:
    """Generates alerts and insights for every tutor, from history. Can be run again, and beside listeners."""
    _configure_logs(log_format, log_level)
    from rules.settings import RuleSettings
    from scripts import environment
    from scripts.backfill import Options
    from scripts.backfill import backfill as run_backfill

    thresholds = environment.read(RuleSettings).thresholds()
    options = Options(tuple(dict.fromkeys(tutor or ())), limit, dry_run, batch_size, notify)

    async def work(engine: "AsyncEngine") -> None:
        summary = await run_backfill(engine, thresholds, options, out=sys.stdout)
        if summary.failed:
            raise CommandError(f"Failed for {len(summary.failed)} tutors: {', '.join(map(one_line, summary.failed))}")

    _with_engine(work)


@app.command()
def explain(
    tutor: Annotated[str, typer.Argument(callback=_checked_text, help="The tutor's id.", metavar="TUTOR")],
    as_json: Json = False,
) -> None:
    """Prints how the rules see a tutor now: each rule's value, its threshold and where that comes from, the verdict."""
    from rules.settings import RuleSettings
    from scripts import environment
    from scripts.explain import print_explanation

    thresholds = environment.read(RuleSettings).thresholds()
    _with_engine(lambda engine: print_explanation(engine, tutor, thresholds, as_json=as_json))


@app.command()
def status(
    host: Annotated[
        str | None, typer.Option(callback=_checked_text, help="Ask for a listener on this host only.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Prints the condition and what isn't evaluated; exit 1 if anything or, with --host, if no listener is alive."""
    from scripts import operations

    is_well = _with_engine(lambda engine: operations.print_status(engine, host=host, as_json=as_json))
    raise typer.Exit(0 if is_well else 1)


@app.command()
def canary(
    only: Annotated[
        Literal["recording", "waking"] | None, typer.Option(help="Try this part alone: `recording` needs no listener.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds to wait for a listener's answer.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Tries it: a session that is never committed must be recorded, and a listener must answer a test change.

    A line for each with its time, `ok`, or `!!` and what is wrong; then exit 1. A listener that is behind answers late,
    and one that no notification reaches, after its next poll: that is shown, and no failure. Needs the role of the
    listener or the owner.
    """
    from database.canary import Part
    from scripts import canary as trial

    parts = tuple(Part) if only is None else (Part(only),)
    is_well = _with_engine(lambda engine: trial.print_canary(engine, parts, timeout_seconds=timeout, as_json=as_json))
    raise typer.Exit(0 if is_well else 1)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Checks everything that may need a person, a line each: `ok`, or `!!` and what to do; exit 1 if anything."""
    from listener.settings import ListenerSettings
    from scripts import environment
    from scripts.doctor.checks import print_checks
    from web.settings import WebSettings

    listener, url = environment.read(ListenerSettings), environment.direct_url()
    pooled_url = environment.database_url() if listener.listen_url else None
    openid = environment.read(WebSettings).web_openid_issuer is not None
    is_well = print_checks(url, listener, version=_version(), as_json=as_json, pooled_url=pooled_url, openid=openid)
    raise typer.Exit(0 if is_well else 1)


@app.command()
def failures(as_json: Json = False) -> None:
    """Lists the tutors whose generation fails: those waiting for another attempt, and those given up on."""
    from scripts import operations

    _with_engine(lambda engine: operations.print_failures(engine, as_json=as_json))


@app.command()
def retry(
    tutor: Annotated[
        list[str] | None, typer.Argument(callback=_checked_text, metavar="TUTOR...", help="Ids of tutors.")
    ] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="All tutors that `tutorwatch failures` lists.")] = False,
) -> None:
    """Gives failing tutors all their attempts again, beginning at once."""
    if bool(tutor) == all_of_them:
        raise typer.BadParameter("Give the ids of tutors, or --all.")
    from scripts import operations

    _with_engine(lambda engine: operations.retry(engine, tutor or None))


@automation.command("on")
def automation_on() -> None:
    """Starts recording changes, and re-evaluates all tutors, since nothing was recorded meanwhile."""
    _switch(on=True)


@automation.command("off")
def automation_off() -> None:
    """Stops recording, at once: from now on changes are left to the next sweep, or to switching on again."""
    _switch(on=False)


@automation.command("status")
def automation_status(as_json: Json = False) -> None:
    """Prints whether changes are recorded; exit 1 where Tutorwatch isn't installed."""
    import json

    from database.recording import Automation
    from migrations import automation as switch

    with _connection() as connection:
        state = switch.status(connection)
    is_missing = state is Automation.MISSING
    needs_migrate = is_missing or state is Automation.PARTLY
    message = f"Automation is {state}{': run `tutorwatch migrate`' if needs_migrate else ''}."
    typer.echo(json.dumps({"automation": state.value}) if as_json else message)
    raise typer.Exit(1 if is_missing else 0)


@app.command("create-admin")
def create_admin(
    email: Annotated[
        str,
        typer.Argument(
            callback=_checked_text, help="E-mail address of the admin; made a user if the platform has none."
        ),
    ],
    name: Annotated[str | None, typer.Option(callback=_checked_text, help="Name of a new user.")] = None,
    password_stdin: PasswordStdin = False,
    link: PasswordLink = False,
) -> None:
    """Gives an admin a password to sign in to the dashboard with, or with --link an invitation to choose one."""
    from scripts import accounts

    if link:
        _with_engine(lambda engine: accounts.invite_admin(engine, _dashboard_url(), email, name=name))
        return
    password = accounts.read_password(from_stdin=password_stdin)
    _with_engine(lambda engine: accounts.create_admin(engine, email, password, name=name))


@app.command("set-password")
def set_password(
    email: Annotated[str, typer.Argument(callback=_checked_text, help="E-mail address of an admin or tutor.")],
    password_stdin: PasswordStdin = False,
    link: PasswordLink = False,
) -> None:
    """Sets a user's password, and signs them out everywhere; with --link they choose it themselves."""
    from scripts import accounts

    if link:
        _with_engine(lambda engine: accounts.link_for_password(engine, _dashboard_url(), email))
        return
    password = accounts.read_password(from_stdin=password_stdin)
    _with_engine(lambda engine: accounts.set_password(engine, email, password))


@app.command()
def unlink(
    email: Annotated[str, typer.Argument(callback=_checked_text, help="E-mail address of an admin or tutor.")],
) -> None:
    """Unlinks a user from their account at a provider of OpenID Connect, and signs them out everywhere.

    Whoever signs in there next with their verified e-mail address is linked anew.
    """
    from scripts import accounts

    _with_engine(lambda engine: accounts.unlink(engine, email))


@token.command("create")
def create_token(
    name: TokenName,
    acts_for: Annotated[
        str | None,
        typer.Option(callback=_checked_text, help="E-mail address of the admin in whose name it acts."),
    ] = None,
    scope: Annotated[
        Literal["summary", "read", "act"] | None,
        typer.Option(help="How far it reaches; act, the default with --acts-for, includes read, that summary."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="It ends after so many days.")] = 90,
    forever: Annotated[bool, typer.Option("--forever", help="It has no end.")] = False,
) -> None:
    """Prints a new token, once. Without --acts-for it only reads."""
    from scripts import accounts
    from web.auth.identity import Scope

    reach = None if scope is None else Scope(scope)
    valid_days = None if forever else days
    _with_engine(lambda engine: accounts.create_token(engine, name, acts_for=acts_for, scope=reach, days=valid_days))


@token.command("list")
def list_tokens() -> None:
    """Lists the tokens, without their secrets."""
    from scripts import accounts

    _with_engine(accounts.list_tokens)


@token.command("revoke")
def revoke_token(name: TokenName) -> None:
    """Ends a token at once."""
    from scripts import accounts

    _with_engine(lambda engine: accounts.revoke_token(engine, name))


@app.command()
def demo(
    write: Annotated[bool, typer.Option("--write", help="Go on writing a new session every few seconds.")] = False,
    every: Annotated[float, typer.Option(min=0.01, help="Seconds between two sessions.")] = 4.0,
    log_format: Logs = "auto",
    log_level: LeastLevel = "info",
) -> None:
    """Fills an empty database with the demo data: 10 tutors, 40 students, about 200 sessions."""
    _configure_logs(log_format, log_level)
    import asyncio

    from scripts import environment
    from scripts.run import play_demo

    asyncio.run(play_demo(environment.database_url(), write=write, pause=every))


@app.command()
def settings() -> None:
    """Lists all settings (environment variables) with their defaults and meaning, as Markdown."""
    from scripts.settings_page import settings_page

    typer.echo(settings_page())


@app.command()
def uninstall(
    keep_data: Annotated[
        bool,
        typer.Option(
            "--keep-data",
            help="Only take our triggers and indexes off the platform's tables, until the next `tutorwatch migrate`.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    log_format: Logs = "auto",
    log_level: LeastLevel = "info",
) -> None:
    """Removes everything of Tutorwatch from the database. The platform's tables and their rows stay."""
    _configure_logs(log_format, log_level)
    from migrations.uninstall import step_aside
    from migrations.uninstall import uninstall as remove

    with _connection() as connection:
        what = "triggers and indexes" if keep_data else "triggers, indexes, evidence and history"
        if not yes:
            typer.confirm(f"Remove Tutorwatch's {what} from {connection.info.dbname!r}?", abort=True)
        (step_aside if keep_data else remove)(connection)
    typer.echo(
        "Nothing of Tutorwatch is on the platform's tables any more, and changes are not recorded. `tutorwatch "
        "migrate` brings all of it back, and has all tutors re-evaluated."
        if keep_data
        else "Tutorwatch is removed; the platform's tables are as they were, alerts and insights included."
    )


def main() -> None:
    """The console script: runs the command, and turns expected errors into one message and an exit code."""
    output.prepare()
    try:
        app()
    except CommandError as error:
        _fail(str(error), error.exit_code)
    except SystemExit as ended:
        if ended.code == OF_TYPER_INTERRUPTED:
            _fail("Interrupted; run the command again to go on", 1)
        raise
    except Exception as error:
        from scripts.explanations import explain_all

        messages = explain_all(error)
        if messages is None:
            raise
        _fail("\n".join(messages), 1)


def _fail(message: str, code: int) -> None:
    typer.echo(message, err=True)
    raise SystemExit(code)


def _version() -> str:
    return installed_version("tutorwatch")


def _configure_logs(log_format: str, log_level: str) -> None:
    from scripts.logs import configure

    configure(log_format, log_level)


def _with_engine(work: "Callable[[AsyncEngine], Awaitable[T]]") -> T:
    """Runs a command's work on the platform's database."""
    from scripts.with_engine import with_engine

    return with_engine(work)


def _dashboard_url() -> str:
    from scripts import environment

    return environment.dashboard_url()


def _connection() -> "psycopg.Connection":
    """A connection in autocommit mode, for what is done table by table."""
    from database.connections import connect
    from database.session_settings import UNHURRIED
    from scripts import environment

    return connect(environment.direct_url(), application_name="tutorwatch", settings=UNHURRIED)


def _switch(*, on: bool) -> None:
    from database.recording import Automation
    from migrations import automation as switch

    with _connection() as connection:
        if switch.status(connection) is Automation.MISSING:
            raise CommandError("Tutorwatch isn't installed in this database: run `tutorwatch migrate`")
        switch.switch(connection, on=on)
        typer.echo(f"Automation is {switch.status(connection)}.")
