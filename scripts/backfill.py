"""Catching up on history: the listener's generation, for every tutor."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.errors import TransientError, UnreachableError, first_line, translating_errors
from database.one_line import one_line
from database.platform import RuleNames
from database.tables import users
from database.transactions import in_transaction
from listener import failures
from listener.watch import explain, raise_if_common
from rules.generation import Generated, generate_each
from rules.rule import Severity
from rules.thresholds import Thresholds
from rules.tutors import every_tutor, load_names
from scripts.errors import CommandError
from scripts.explanations import explain_database

T = TypeVar("T")

_TELLS_NOBODY = text("SELECT set_config('tutorwatch.cause', 'backfill', true)")
"""For the transaction: see migrations/sql/functions/write_deliveries.sql."""

AT_ONCE = 2
"""Batches in flight: while the rules decide about one, the server reads the other. A third gains little."""

ATTEMPTS = 5
"""Attempts at a batch that meets a transient error: a deadlock, a lost connection."""


@dataclass(frozen=True)
class Options:
    """The options of `tutorwatch backfill`. No tutors named: all of them."""

    tutor_ids: Sequence[str] = ()
    limit: int | None = None
    dry_run: bool = False
    batch_size: int = 200
    notify: bool = False
    """Whether people are told of alerts that it opens."""


@dataclass
class Summary:
    """The results of the run so far, over all tutors."""

    tutors: int = 0
    alerts: int = 0
    insights: int = 0
    tutors_with: Counter[Severity] = field(default_factory=Counter)
    failed: dict[str, Exception] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The closing lines."""
        return [
            "Summary:",
            f"- Total alerts created: {self.alerts}",
            f"- Total insights created: {self.insights}",
            f"- Tutors with critical alerts: {self.tutors_with[Severity.CRITICAL]}",
            f"- Tutors with warnings: {self.tutors_with[Severity.WARNING]}",
        ]


async def backfill(engine: AsyncEngine, thresholds: Thresholds, options: Options, *, out: TextIO) -> Summary:
    """Generates tutor by tutor in the order of their names, a line each; goes on when one fails.

    Each batch is a transaction of its own, AT_ONCE of them in flight: it can be stopped at any time and run again, and
    can run beside a live listener. Raises CommandError for who is no tutor and an unreachable database,
    SchemaMismatchError and CannotEvaluateError where nobody can be evaluated.
    """
    names, off = await _choose_tutors(engine, options)
    if options.dry_run:
        print("Dry run: nothing is written; the counts say what would be created.", file=out)
    print(f"Processing {len(names)} tutors...", file=out, flush=True)
    summary = Summary()
    ids = list(names)
    batches = [ids[start : start + options.batch_size] for start in range(0, len(ids), options.batch_size)]
    with _progress(len(ids), out) as (say, advance):
        generating = _ahead(batches, lambda batch: _generate(engine, thresholds, off, batch, summary, options))
        async with aclosing(generating):
            async for batch, (generated, failed) in generating:
                for line in _report(batch, names, generated, failed, summary):
                    say(line)
                advance(len(batch))
    print("\n".join(summary.lines()), file=out, flush=True)
    return summary


async def _choose_tutors(engine: AsyncEngine, options: Options) -> tuple[dict[str, str], RuleNames]:
    try:
        with translating_errors():
            async with engine.connect() as conn:
                reason, comparison = await explain(conn)
                if reason:
                    raise CommandError(f"Nothing can be evaluated: {reason}")
                names = await load_names(conn, options.tutor_ids or None)
                chosen = every_tutor().where(users.c.id.in_(options.tutor_ids))
                tutors = set(await conn.scalars(chosen)) if options.tutor_ids else set(names)
    except TransientError as error:
        raise CommandError(explain_database(error) or f"The database can't be reached: {error}") from error
    unknown = [tutor_id for tutor_id in options.tutor_ids if tutor_id not in names]
    if unknown:
        raise CommandError("No such tutor: " + ", ".join(map(one_line, unknown)))
    if others := [f"{name} ({user_id})" for user_id, name in names.items() if user_id not in tutors]:
        raise CommandError("No tutor, by role, profile or session: " + ", ".join(map(one_line, others)))
    return dict(list(names.items())[: options.limit]), comparison.off


async def _ahead(
    batches: Sequence[Sequence[str]], generate: Callable[[Sequence[str]], Coroutine[Any, Any, T]]
) -> AsyncGenerator[tuple[Sequence[str], T], None]:
    """Each batch with its result, in their order; those after it are begun meanwhile, and ended if it fails."""
    begun: list[asyncio.Task[T]] = []
    try:
        for number, batch in enumerate(batches):
            begun += [asyncio.create_task(generate(each)) for each in batches[len(begun) : number + AT_ONCE]]
            yield batch, await begun[number]
    finally:
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)


async def _generate(
    engine: AsyncEngine,
    thresholds: Thresholds,
    off: RuleNames,
    tutor_ids: Sequence[str],
    done: Summary,
    options: Options,
) -> tuple[Generated, dict[str, Exception]]:
    async def work(conn: AsyncConnection, is_last_attempt: bool) -> tuple[Generated, dict[str, Exception]]:
        async with conn.begin_nested() as all_of_it:
            if not options.notify:
                await conn.execute(_TELLS_NOBODY)
            now = datetime.now(UTC)
            generated, failed = await generate_each(
                conn, tutor_ids, now, thresholds, last_attempt=is_last_attempt, off=off
            )
            raise_if_common(failed, len(tutor_ids))
            await failures.succeeded(conn, [tutor_id for tutor_id in tutor_ids if tutor_id not in failed])
            if options.dry_run:
                await all_of_it.rollback()
        return generated, failed

    try:
        return await in_transaction(engine, work, attempts=ATTEMPTS)
    except TransientError as error:
        if message := explain_database(error):
            raise CommandError(message) from error
        what = "went away" if isinstance(error, UnreachableError) else "couldn't go on"
        raise CommandError(
            f"The database {what} after {done.tutors} tutors ({first_line(error)}); run the backfill again to go on"
        ) from error


def _report(
    batch: Sequence[str],
    names: Mapping[str, str],
    generated: Generated,
    failed: Mapping[str, Exception],
    summary: Summary,
) -> Iterator[str]:
    """Adds the batch to the summary, and yields a line for each of its tutors."""
    alerts = Counter(alert.tutor_id for alert in generated.alerts)
    insights = Counter(insight.tutor_id for insight in generated.insights)
    for severity in Severity:
        summary.tutors_with[severity] += len({a.tutor_id for a in generated.alerts if a.severity is severity})
    summary.alerts += len(generated.alerts)
    summary.insights += len(generated.insights)
    summary.failed |= failed
    for tutor_id in batch:
        summary.tutors += 1
        head = f"Tutor {summary.tutors}/{len(names)}: {one_line(names[tutor_id])} - "
        if tutor_id in failed:
            yield f"{head}failed: {one_line(failures.describe(failed[tutor_id]).splitlines()[0])}"
        else:
            yield f"{head}{alerts[tutor_id]} alerts, {insights[tutor_id]} insights generated"


@contextmanager
def _progress(total: int, out: TextIO) -> Iterator[tuple[Callable[[str], None], Callable[[int], None]]]:
    """A progress bar on stderr, where that is a terminal; yields how to write a line, and how to advance."""

    def write(line: str) -> None:
        print(line, file=out, flush=True)

    if not sys.stderr.isatty():
        yield write, lambda _steps: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as progress:
        bar = progress.add_task("Backfill", total=total)

        def write_above_the_bar(line: str) -> None:
            progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

        # Lines for the same terminal must pass through the bar; lines to a file must not.
        yield write_above_the_bar if out.isatty() else write, lambda steps: progress.advance(bar, steps)
