"""Who may use which route: every route of the dashboard has a row here."""

import re
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.browsers import ALERT, SESSION, Browser, Opener, SignIn, address, token_of
from web.auth.access import Rule
from web.auth.identity import Access
from web.routes import ROUTES, Route

PATTERN = re.compile(r"\{id:[^/]*\}(?=/|$)")
VISITORS = ("nobody", "student", "tutor: own", "tutor: other's", "admin")
USERS = {"student": "sam", "tutor: own": "ann", "tutor: other's": "bob", "admin": "dana"}

TO_SIGN_IN = "303 to /sign-in"
HOME = {"ann": "303 to /tutors/ann", "bob": "303 to /tutors/bob"}

# What nobody, a student, the tutor Ann (whose alert and session these are), the tutor Bob and an admin get.
EXPECTED: dict[tuple[str, str], tuple[Any, ...]] = {
    ("GET", "/"): (TO_SIGN_IN, 403, HOME["ann"], HOME["bob"], 200),
    ("GET", "/alerts"): (TO_SIGN_IN, 403, 403, 403, 200),
    ("GET", "/tutors"): (TO_SIGN_IN, 403, 403, 403, 200),
    ("GET", "/tutors/ann"): (TO_SIGN_IN, 403, 200, 404, 200),
    ("GET", f"/sessions/{SESSION}"): (TO_SIGN_IN, 403, 200, 404, 200),
    ("GET", "/system"): (TO_SIGN_IN, 403, 403, 403, 200),
    ("GET", "/audit"): (TO_SIGN_IN, 403, 403, 403, 200),
    ("GET", "/audit.csv"): (TO_SIGN_IN, 403, 403, 403, 200),
    ("GET", "/sign-in"): (200, "303 to /tutors/sam", HOME["ann"], HOME["bob"], "303 to /"),
    ("POST", "/sign-in"): (400, 400, 400, 400, 400),
    ("GET", "/sign-in/link"): (400, 400, 400, 400, 400),
    ("POST", "/sign-in/link"): (400, 400, 400, 400, 400),
    ("GET", "/sign-in/openid"): (404, 404, 404, 404, 404),  # as it is where no provider is set up
    ("GET", "/sign-in/openid/callback"): (404, 404, 404, 404, 404),
    ("GET", "/password"): (400, 400, 400, 400, 400),
    ("POST", "/password"): (400, 400, 400, 400, 400),
    ("GET", "/account"): (TO_SIGN_IN, 200, 200, 200, 200),
    ("POST", "/account/password"): (TO_SIGN_IN, 400, 400, 400, 400),
    ("POST", "/account/sign-ins/end"): (TO_SIGN_IN, *["303 to /account"] * 4),
    ("POST", "/account/time-zone"): (TO_SIGN_IN, *["303 to /account"] * 4),
    ("POST", "/sign-out"): (TO_SIGN_IN, TO_SIGN_IN, TO_SIGN_IN, TO_SIGN_IN, TO_SIGN_IN),
    ("GET", f"/alerts/{ALERT}"): (TO_SIGN_IN, 403, 403, 403, 200),
    ("POST", f"/alerts/{ALERT}/unacknowledge"): (TO_SIGN_IN, 403, 403, 403, "303 to /alerts"),
    ("POST", f"/alerts/{ALERT}/reopen"): (TO_SIGN_IN, 403, 403, 403, "303 to /alerts"),
    ("POST", f"/alerts/{ALERT}/acknowledge"): (TO_SIGN_IN, 403, 403, 403, "303 to /alerts"),
    ("POST", f"/alerts/{ALERT}/resolve"): (TO_SIGN_IN, 403, 403, 403, 400),
    ("POST", "/tutors/ann/notes"): (TO_SIGN_IN, 403, 403, 403, 400),
    ("POST", "/system/retry"): (TO_SIGN_IN, 403, 403, 403, "303 to /system"),
    ("GET", f"/texts/alert/{ALERT}/description"): (TO_SIGN_IN, 403, 200, 404, 200),
    ("GET", f"/api/texts/alert/{ALERT}/description"): (401, 403, 200, 404, 200),
    ("GET", "/events"): (401, 403, 200, 200, 200),
    ("GET", "/api/critical-alerts"): (401, 403, 403, 403, 200),
    ("GET", "/api/alerts"): (401, 403, 403, 403, 200),
    ("GET", f"/api/alerts/{ALERT}"): (401, 403, 403, 403, 200),
    ("GET", "/api/audit"): (401, 403, 403, 403, 200),
    ("GET", "/api/tutors/ann"): (401, 403, 200, 404, 200),
    ("POST", f"/api/alerts/{ALERT}/acknowledge"): (401, 403, 403, 403, 204),
    ("POST", f"/api/alerts/{ALERT}/resolve"): (401, 403, 403, 403, 400),
    ("POST", f"/api/alerts/{ALERT}/unacknowledge"): (401, 403, 403, 403, 409),
    ("POST", f"/api/alerts/{ALERT}/reopen"): (401, 403, 403, 403, 409),
    ("GET", "/api/openapi.json"): (200, 200, 200, 200, 200),
    ("GET", "/healthz"): (200, 200, 200, 200, 200),
    ("GET", "/readyz"): (200, 200, 200, 200, 200),
    ("GET", "/metrics"): (404, 404, 404, 404, 404),
}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path.split('{id:')[0]}")
async def test_route_admits_whom_the_table_says(route: Route, open_browser: Opener, sign_in: SignIn) -> None:
    asked = address(route)
    assert asked in EXPECTED, "a new route needs a row in this table"

    answers = {}
    for visitor in VISITORS:
        browser = await sign_in(USERS[visitor]) if visitor in USERS else await open_browser()
        answers[visitor] = await ask(browser, *asked)

    assert answers == dict(zip(VISITORS, EXPECTED[asked], strict=True))


def test_every_address_is_in_the_table_of_routes(server: TestServer) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in server.app.router.routes()
        if route.resource and route.method != "HEAD" and not route.resource.canonical.startswith("/static/")
    }

    assert served == {(route.method, PATTERN.sub("{id}", route.path)) for route in ROUTES}


FOR_TUTORS = [route for route in ROUTES if route.rule.access is Access.ADMINS_AND_THE_TUTOR]
SECRET = "about Ann"


async def tell_at_once(request: web.Request) -> web.StreamResponse:
    """Answers, as a stream may, before anything could look at what it answers."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(SECRET.encode())
    return response


@pytest.fixture
def streams_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every route answers as a stream whose handler asks for nobody's rights."""
    told = [replace(r, handler=tell_at_once, rule=replace(r.rule, is_stream=True)) for r in ROUTES]
    monkeypatch.setattr("web.routes.ROUTES", told)


@pytest.mark.usefixtures("streams_only")
@pytest.mark.parametrize("route", FOR_TUTORS, ids=lambda route: route.path)
async def test_other_tutors_get_nothing_even_of_a_handler_that_tells_everybody(route: Route, sign_in: SignIn) -> None:
    told = {}
    for user_id in ("ann", "bob"):
        browser = await sign_in(user_id)
        async with browser.get(address(route)[1]) as response:
            told[user_id] = SECRET in await response.text()
    is_about_whoever_asks = route.path == "/events"
    assert told == {"ann": True, "bob": is_about_whoever_asks}


@pytest.mark.usefixtures("streams_only")
async def test_a_student_gets_nothing_of_any_route_for_tutors(sign_in: SignIn) -> None:
    student = await sign_in("sam")
    for route in FOR_TUTORS:
        async with student.get(address(route)[1]) as response:
            assert response.status == 403


@pytest.mark.parametrize("is_stream", [False, True])
def test_route_for_a_tutor_has_to_say_whom_it_is_about(is_stream: bool) -> None:
    with pytest.raises(ValueError, match="how to find"):
        Rule(Access.ADMINS_AND_THE_TUTOR, is_stream=is_stream)


async def ask(browser: Browser, method: str, path: str) -> Any:
    """The status; of a redirect, where it leads."""
    sent: dict[str, Any] = {}
    if path == "/events":
        sent["headers"] = {"Accept": "text/event-stream"}
    elif path.startswith("/api/") and method == "POST":
        sent |= {"headers": {"X-CSRF-Token": await token_of(browser)}, "json": {}}
    elif method == "POST":
        sent["data"] = {"csrf_token": await token_of(browser)}
    async with browser.request(method, path, allow_redirects=False, **sent) as response:
        location = response.headers.get("Location", "").partition("?")[0]
        return f"{response.status} to {location}" if location else response.status


async def test_student_is_offered_no_page_of_their_own(sign_in: SignIn) -> None:
    student, tutor = await sign_in("sam"), await sign_in("ann")
    async with student.get("/alerts") as refused, tutor.get("/tutors/ann") as own:
        assert "My page" not in await refused.text()
        assert "My page" in await own.text()
