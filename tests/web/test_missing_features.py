"""A platform without what Tutorwatch calls optional: every page works, and says what isn't there."""

from uuid import uuid4

import psycopg
import pytest
from aiohttp.test_utils import TestServer

from migrations import rights
from tests.support.browsers import ALERT, SESSION, Browser, SignIn, post, read_page
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from web.keys import CONDITION
from web.live.hub import HUB

PAGES = ("/", "/alerts", "/tutors", "/tutors/ann", f"/sessions/{SESSION}", "/system", "/api/alerts", "/api/tutors/ann")
RESOLVE = f"/alerts/{ALERT}/resolve"

NOTES = "DROP TABLE coaching_notes"
NO_NOTES = "In the platform's database table public.coaching_notes is missing: coaching notes are not kept."
WITHOUT = [
    pytest.param(NOTES, NO_NOTES, id="no coaching notes"),
    pytest.param(
        "ALTER TABLE coaching_notes DROP note_type",
        "column coaching_notes.note_type is missing (an enum or text): coaching notes are not kept.",
        id="coaching notes without a type",
    ),
    pytest.param(
        "ALTER TABLE coaching_notes ADD organisation text NOT NULL DEFAULT 'x'; "
        "ALTER TABLE coaching_notes ALTER organisation DROP DEFAULT",
        "Tutorwatch has no value for it: give it a default: coaching notes are not kept.",
        id="coaching notes with more",
    ),
    pytest.param(
        "DROP TABLE session_screen_metrics",
        "table public.session_screen_metrics is missing: what was on the screen is not shown.",
        id="no screen metrics",
    ),
    pytest.param(
        "DROP TABLE session_feedback",
        "table public.session_feedback is missing: students' ratings and feedback are not shown.",
        id="no feedback",
    ),
    pytest.param(
        "DROP TABLE subjects CASCADE", "table public.subjects is missing: subjects are not shown.", id="no subjects"
    ),
    pytest.param(
        "ALTER TABLE sessions DROP subject_id",
        "column sessions.subject_id is missing (a uuid): subjects are not shown.",
        id="sessions without a subject",
    ),
    pytest.param(
        "ALTER TABLE tutors DROP member_since",
        "column tutors.member_since is missing (a date): since when somebody has been a tutor is not shown.",
        id="no date of membership",
    ),
    pytest.param(
        "ALTER TABLE users DROP preferred_name",
        "column users.preferred_name is missing (text): people are shown by their official names.",
        id="no preferred names",
    ),
    pytest.param(
        "ALTER TABLE sessions DROP scheduled_duration, DROP actual_duration, DROP technical_issues, DROP ai_summary,"
        " DROP technical_issues_description, DROP homework_assigned, DROP follow_up_booked",
        "column sessions.scheduled_duration is missing (a whole number), ",
        id="no details of a session",
    ),
    pytest.param(
        "ALTER TABLE sessions ALTER ai_summary TYPE jsonb USING to_jsonb(ai_summary)",
        "column sessions.ai_summary is jsonb, not text: a session's page does without it.",
        id="a detail of another type",
    ),
    pytest.param(
        "ALTER TABLE session_audio_metrics DROP long_pauses_count; "
        "ALTER TABLE session_video_metrics DROP confusion_moments_count",
        "column session_audio_metrics.long_pauses_count is missing (a whole number), "
        "column session_video_metrics.confusion_moments_count is missing (a whole number): a session's page does",
        id="fewer metrics",
    ),
]


@pytest.fixture
async def everything(people: None, platform: Platform) -> None:  # noqa: ARG001 - whom it is about
    """A row of each kind that some page reads."""
    await platform.insert("session_audio_metrics", session_id=SESSION, student_engagement_score="7.5")
    await platform.insert("session_video_metrics", session_id=SESSION)
    await platform.insert("session_screen_metrics", session_id=SESSION)
    await platform.insert("session_feedback", session_id=SESSION, student_satisfaction_rating=2)
    await platform.insert("coaching_notes", tutor_id="ann", note_type="manual", content="Well done")
    await platform.insert(
        "tutor_insights",
        tutor_id="ann",
        insight_type="strength",
        category="high_engagement",
        display_text="Good",
        sample_sessions=[SESSION],
    )
    await platform.connection.execute("UPDATE alerts SET session_id = %s", [SESSION])


async def statuses(browser: Browser, server: TestServer) -> dict[str, int]:
    found = {}
    for path in PAGES:
        server.app[HUB].note_change()  # so that no page is kept
        async with browser.get(path) as response:
            found[path] = response.status
    return found


ALL_WELL = dict.fromkeys(PAGES, 200)


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(("change", "said"), WITHOUT)
async def test_every_page_goes_on_under_a_running_dashboard_and_says_what_is_missing(
    change: str, said: str, server: TestServer, platform: Platform, admin: Browser
) -> None:
    for _ in range(8):  # until the driver has the statements prepared
        assert await statuses(admin, server) == ALL_WELL

    await platform.connection.execute(change.encode())

    assert await statuses(admin, server) == ALL_WELL
    await server.app[CONDITION].get_anew(5)  # what no statement fails by is seen within seconds
    assert said in await read_page(admin, "/system")
    async with admin.get("/api/tutors/ann") as response:
        (told,) = (await response.json())["missing"]
    assert said in told
    async with await post(admin, RESOLVE, action_taken="Called", outcome="coached") as response:
        assert response.status == 303
    assert await platform.rows("SELECT resolved FROM alerts") == [True]
    assert await statuses(admin, server) == ALL_WELL


@pytest.mark.usefixtures("everything")
async def test_first_request_that_meets_the_change_may_be_an_act(platform: Platform, admin: Browser) -> None:
    await read_page(admin, "/tutors/ann")
    await platform.connection.execute(NOTES)

    async with await post(admin, RESOLVE, action_taken="Called", outcome="coached") as response:
        assert response.status == 303

    assert "Resolved." in await read_page(admin, "/alerts")
    assert await platform.rows("SELECT resolved, action_taken FROM alerts") == [(True, "Called")]
    assert await platform.rows("SELECT outcome FROM tutorwatch.alert_resolutions") == ["coached"]


@pytest.mark.usefixtures("everything")
async def test_notes_that_the_platform_does_not_keep_are_refused_in_words(platform: Platform, admin: Browser) -> None:
    await platform.connection.execute(NOTES)

    page = await read_page(admin, "/tutors/ann")
    assert NO_NOTES in page
    assert 'action="/tutors/ann/notes"' not in page
    for _ in range(2):
        async with await post(
            admin, "/tutors/ann/notes", headers={"Accept": "application/json"}, content="Well done"
        ) as response:
            assert (response.status, (await response.json())["detail"]) == (409, NO_NOTES)


@pytest.mark.usefixtures("everything")
async def test_tutors_see_their_pages_without_optional_tables(platform: Platform, sign_in: SignIn) -> None:
    ann = await sign_in("ann")
    await platform.connection.execute(
        "DROP TABLE coaching_notes, session_screen_metrics, session_feedback, subjects CASCADE;"
        "ALTER TABLE tutors DROP member_since"
    )

    tutor, session = await read_page(ann, "/tutors/ann"), await read_page(ann, f"/sessions/{SESSION}")

    assert "not kept by the platform" in tutor
    assert "Tutor since" not in tutor
    assert "Coaching Notes" not in tutor
    assert ">Session 2</a>" in tutor
    assert "<h1>Session 2</h1>" in session
    assert "<h2>Audio</h2>" in session
    assert "<h2>Screen</h2>" not in session
    assert "Student rating" not in session


@pytest.mark.usefixtures("everything")
async def test_what_comes_back_is_shown_again(server: TestServer, platform: Platform, admin: Browser) -> None:
    await platform.connection.execute("ALTER TABLE session_feedback RENAME TO feedback_before")
    assert await statuses(admin, server) == ALL_WELL
    assert "not kept by the platform" in await read_page(admin, "/tutors/ann")

    await platform.connection.execute("ALTER TABLE feedback_before RENAME TO session_feedback")
    await server.app[CONDITION].get_anew(5)

    assert await statuses(admin, server) == ALL_WELL
    assert "of 5, 0 ratings" in await read_page(admin, "/tutors/ann")


@pytest.mark.usefixtures("everything")
async def test_what_was_created_anew_is_missing_until_rights_are_given(
    server: TestServer, platform: Platform, admin: Browser, database_url: str
) -> None:
    await platform.connection.execute(
        "CREATE TABLE anew (LIKE session_feedback); DROP TABLE session_feedback;"
        "ALTER TABLE anew RENAME TO session_feedback;"
        "ALTER TABLE tutors DROP member_since; ALTER TABLE tutors ADD member_since date"
    )
    assert await statuses(admin, server) == ALL_WELL
    page = await read_page(admin, "/system")
    assert "table public.session_feedback may not be read: run <code>tutorwatch rights</code>: students'" in page
    assert "column tutors.member_since may not be read: run <code>tutorwatch rights</code>: since" in page

    with psycopg.connect(database_url, autocommit=True) as connection:
        rights.give(connection, listener=LISTENER.name, web=WEB.name)
    await server.app[CONDITION].get_anew(5)

    assert await statuses(admin, server) == ALL_WELL
    assert "tutorwatch rights" not in await read_page(admin, "/system")


@pytest.mark.usefixtures("everything")
async def test_no_subject_is_needed_for_a_session_to_be_shown(platform: Platform, admin: Browser) -> None:
    await platform.connection.execute("ALTER TABLE sessions ALTER subject_id DROP NOT NULL")
    await platform.connection.execute("UPDATE sessions SET subject_id = NULL")

    assert f'href="/sessions/{SESSION}">Session 2</a>' in await read_page(admin, "/")


async def test_an_error_that_is_not_about_missing_features_is_told(
    server: TestServer, platform: Platform, admin: Browser
) -> None:
    await platform.connection.execute("ALTER TABLE alerts RENAME description TO words")

    async with admin.get(f"/sessions/{uuid4()}") as response:
        assert response.status == 404
    async with admin.get("/tutors/ann") as response:
        assert response.status == 500
    assert server.app[CONDITION].missing.features == ()
