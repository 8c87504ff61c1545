"""strong_questioning: the tutor asks open questions."""

from decimal import Decimal

from rules.measures import plural
from rules.rule import COMPLETED, Compared, Holding, InsightKind, InsightRule, Quotient, Session, Statistics
from rules.thresholds import INSIGHT_LEAST_SESSIONS, WINDOW_DAYS, Threshold, Thresholds, Unit
from rules.verdicts import Verdict, comparing, rounded

SHARE = Threshold("insight_open_questions_share", Decimal("0.60"), Unit.SHARE, "strong_questioning: share above")
QUESTIONS = Quotient("open_questions", COMPLETED, of="open_ended_questions", over="questions")
SESSIONS = Holding("questioned_sessions", COMPLETED, metric="questions")


def shows(session: Session, thresholds: Compared) -> object:
    """Return whether open questions prevail in the session itself."""
    return session.open_ended_questions > thresholds[SHARE] * session.questions


def decide(tutor: Statistics, thresholds: Thresholds) -> Verdict:
    """Open-ended > 60% of all open and closed questions asked, in at least 5 sessions."""
    questions, sessions, days = tutor[QUESTIONS], tutor[SESSIONS], thresholds[WINDOW_DAYS]
    over = f"over {plural(sessions, 'session')} in {days} days"
    measured = f"{questions.percent()}% of {questions.count} {over}" if questions.count else f"no questions {over}"
    return comparing(
        rounded(questions),
        thresholds[SHARE],
        holds=questions.above(thresholds[SHARE]),
        sessions=sessions,
        least=thresholds[INSIGHT_LEAST_SESSIONS],
        measured=measured,
        text=f"Asks open questions: {measured}",
    )


RULE = InsightRule(
    name="strong_questioning",
    label="Strong questioning",
    kind=InsightKind.STRENGTH,
    compares_with=SHARE,
    thresholds=(SHARE,),
    statistics=(QUESTIONS, SESSIONS),
    shows=shows,
    decide=decide,
)
