"""Every address of the dashboard, and who may use it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from web.auth import account, sign_in, sign_in_page
from web.auth.access import (
    RULES,
    Rule,
    Subject,
    tutor_in_path,
    tutor_of_session,
    tutor_of_text,
    whoever_asks,
)
from web.auth.identity import Access, Scope
from web.auth.openid import flow
from web.auth.openid.provider import CALLBACK
from web.keys import VERSION
from web.live import streams
from web.views import actions, operations, pages, texts, tutors
from web.views.api import endpoints as api
from web.views.api.openapi import Described, Operation, document
from web.views.audit import pages as audit_pages

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ALERT = "{id:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}}"
"""An alert's id in a path; whatever looks otherwise is an unknown address."""


ADMINS, SIGNED_IN, ANYONE = Rule(Access.ADMINS), Rule(Access.SIGNED_IN), Rule(Access.ANYONE)
ANYONE_UNASKED = Rule(Access.ANYONE_UNASKED)


@dataclass(frozen=True, slots=True)
class Route:
    """An address. GET routes answer HEAD, too."""

    method: str
    path: str
    handler: Handler
    rule: Rule = ADMINS
    """Who may use it: admins only, unless it says otherwise."""
    operation: Operation | None = None
    """What the OpenAPI document says of it; every route of JSON has one, but the document itself."""


def _for_the_tutor(subject: Subject, *, is_stream: bool = False) -> Rule:
    return Rule(Access.ADMINS_AND_THE_TUTOR, subject, is_stream=is_stream)


WHOLE = "/texts/{kind}/{id}/{field}"

ROUTES = [
    Route("GET", "/", pages.dashboard),
    Route("GET", "/alerts", pages.alerts),
    Route("GET", f"/alerts/{ALERT}", pages.alert),
    Route("GET", "/tutors", tutors.tutors),
    Route("GET", "/tutors/{id}", pages.tutor, _for_the_tutor(tutor_in_path)),
    Route("GET", "/sessions/{id}", pages.session, _for_the_tutor(tutor_of_session)),
    Route("GET", "/system", pages.system),
    Route("GET", "/audit", audit_pages.show),
    Route("GET", "/audit.csv", audit_pages.export, Rule(is_stream=True)),
    Route("GET", "/sign-in", sign_in_page.show, ANYONE),
    Route("POST", "/sign-in", sign_in.sign_in, ANYONE),
    Route("GET", "/sign-in/link", sign_in.show_link, ANYONE),
    Route("POST", "/sign-in/link", sign_in.use_link, ANYONE),
    Route("GET", "/sign-in/openid", flow.start, ANYONE),
    Route("GET", CALLBACK, flow.callback, ANYONE),
    Route("GET", "/password", sign_in.show_password_link, ANYONE),
    Route("POST", "/password", sign_in.use_password_link, ANYONE),
    Route("POST", "/sign-out", sign_in.sign_out, SIGNED_IN),
    Route("GET", "/account", account.show, SIGNED_IN),
    Route("POST", "/account/password", account.change_password, SIGNED_IN),
    Route("POST", "/account/sign-ins/end", account.end_sign_ins, SIGNED_IN),
    Route("POST", "/account/time-zone", account.choose_time_zone, SIGNED_IN),
    Route("POST", f"/alerts/{ALERT}/acknowledge", actions.acknowledge),
    Route("POST", f"/alerts/{ALERT}/resolve", actions.resolve),
    Route("POST", f"/alerts/{ALERT}/unacknowledge", actions.unacknowledge),
    Route("POST", f"/alerts/{ALERT}/reopen", actions.reopen),
    Route("POST", "/tutors/{id}/notes", actions.add_note),
    Route("POST", "/system/retry", actions.retry),
    Route("GET", WHOLE, texts.whole_text, _for_the_tutor(tutor_of_text, is_stream=True)),
    Route("GET", "/events", streams.events, _for_the_tutor(whoever_asks, is_stream=True)),
    Route("GET", "/api/critical-alerts", api.critical_alerts, Rule(scope=Scope.SUMMARY), operation=api.CRITICAL_ALERTS),
    Route("GET", "/api/alerts", api.alerts, operation=api.ALERTS),
    Route("GET", f"/api/alerts/{ALERT}", api.alert, operation=api.ALERT),
    Route("GET", "/api/tutors/{id}", api.tutor, _for_the_tutor(tutor_in_path), api.TUTOR),
    Route("GET", "/api" + WHOLE, texts.whole_text, _for_the_tutor(tutor_of_text, is_stream=True), texts.WHOLE_TEXT),
    Route("GET", "/api/audit", audit_pages.as_json, operation=audit_pages.AUDIT),
    Route("POST", f"/api/alerts/{ALERT}/acknowledge", api.acknowledge, operation=api.ACKNOWLEDGE),
    Route("POST", f"/api/alerts/{ALERT}/resolve", api.resolve, operation=api.RESOLVE),
    Route("POST", f"/api/alerts/{ALERT}/unacknowledge", api.unacknowledge, operation=api.UNACKNOWLEDGE),
    Route("POST", f"/api/alerts/{ALERT}/reopen", api.reopen, operation=api.REOPEN),
    Route("GET", "/api/openapi.json", api.openapi, ANYONE_UNASKED),
    Route("GET", "/healthz", operations.healthz, ANYONE_UNASKED),
    Route("GET", "/readyz", operations.readyz, ANYONE_UNASKED),
    Route("GET", "/metrics", operations.metrics, ANYONE_UNASKED),
]


def add_routes(app: web.Application) -> None:
    """Adds all routes, each with its rule, and the document that describes those of JSON."""
    described = [Described(r.method, r.path.replace(ALERT, "{id}"), r.operation) for r in ROUTES if r.operation]
    app[api.DOCUMENT] = document(described, version=app[VERSION])
    app[RULES] = {}
    for route in ROUTES:
        resource = app.router.add_resource(route.path)
        for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
            app[RULES][resource.add_route(method, route.handler)] = route.rule
