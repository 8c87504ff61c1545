"""The small pieces of HTML that lists repeat: what clients wrote stays text in them."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from web.queries.expressions import marked
from web.queries.sessions import SessionRow
from web.views.markup import severity_badge, subject, tutor_link, whole

HOSTILE = "<i>'\"&"
ESCAPED = "&lt;i&gt;&#39;&#34;&amp;"


def session(text: str | None) -> SessionRow:
    return SessionRow(
        id=UUID(int=1),
        tutor_id="ann",
        tutor_name="Ann",
        student_name="Sam",
        subject=text,
        session_number=3,
        held_at=datetime(2026, 11, 2, 9, tzinfo=UTC),
        status="completed",
        rescheduled_by=None,
        score=None,
        engagement=None,
        talk_ratio=None,
        checks=None,
        rating=None,
    )


def test_tutor_link_escapes_name_and_id() -> None:
    link = '<a class="who" href="/tutors/%3Ci%3E%27%22%26"><bdi>{}</bdi></a>'
    assert tutor_link(HOSTILE, HOSTILE) == link.format(ESCAPED)


def test_name_that_was_cut_leads_to_the_whole_of_it() -> None:
    assert tutor_link("a/b", marked("long", most=1)).endswith('href="/texts/user/a%2Fb/name">Whole text</a>')


@pytest.mark.parametrize(
    ("text", "shown"), [(HOSTILE, f"<bdi>{ESCAPED}</bdi>"), (None, "Session 3"), ("", "Session 3")]
)
def test_subject_is_escaped_or_the_sessions_number(text: str | None, shown: str) -> None:
    assert subject(session(text)) == shown


def test_unknown_severity_is_escaped() -> None:
    assert severity_badge(HOSTILE).count(ESCAPED) == 2


def test_whole_text_is_offered_of_what_was_cut_only() -> None:
    assert whole(session("short"), "subject") == ""
    assert whole(session(marked("long", most=1)), "subject") == (
        f' <a class="whole" href="/texts/session/{UUID(int=1)}/subject">Whole text</a>'
    )
