"""Every address of the dashboard, and who may use it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from web.auth import account, sign_in
from web.auth.access import RULES, Rule
from web.auth.identity import Access, Scope
from web.auth.openid import flow
from web.auth.openid.provider import CALLBACK
from web.keys import VERSION
from web.live import hub
from web.views import actions, api, operations, pages, texts
from web.views.audit import pages as audit_pages
from web.views.openapi import Described, Operation, document

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ALERT = "{id:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}}"
"""An alert's id in a path; whatever looks otherwise is an unknown address."""


@dataclass(frozen=True, slots=True)
class Route:
    """An address. GET routes answer HEAD, too."""

    method: str
    path: str
    handler: Handler
    access: Access = Access.ADMINS
    operation: Operation | None = None
    """What the OpenAPI document says of it; every route of JSON has one, but the document itself."""


WHOLE = "/texts/{kind}/{id}/{field}"

ROUTES = [
    Route("GET", "/", pages.dashboard),
    Route("GET", "/alerts", pages.alerts),
    Route("GET", "/tutors", pages.tutors),
    Route("GET", "/tutors/{id}", pages.tutor, Access.ADMINS_AND_THE_TUTOR),
    Route("GET", "/sessions/{id}", pages.session, Access.ADMINS_AND_THE_TUTOR),
    Route("GET", "/system", pages.system),
    Route("GET", "/audit", audit_pages.show),
    Route("GET", "/audit.csv", audit_pages.export),
    Route("GET", "/sign-in", pages.sign_in, Access.ANYONE),
    Route("POST", "/sign-in", sign_in.sign_in, Access.ANYONE),
    Route("GET", "/sign-in/link", sign_in.show_link, Access.ANYONE),
    Route("POST", "/sign-in/link", sign_in.use_link, Access.ANYONE),
    Route("GET", "/sign-in/openid", flow.start, Access.ANYONE),
    Route("GET", CALLBACK, flow.callback, Access.ANYONE),
    Route("GET", "/password", sign_in.show_password_link, Access.ANYONE),
    Route("POST", "/password", sign_in.use_password_link, Access.ANYONE),
    Route("POST", "/sign-out", sign_in.sign_out, Access.SIGNED_IN),
    Route("GET", "/account", account.show, Access.SIGNED_IN),
    Route("POST", "/account/password", account.change_password, Access.SIGNED_IN),
    Route("POST", "/account/sign-ins/end", account.end_sign_ins, Access.SIGNED_IN),
    Route("POST", f"/alerts/{ALERT}/acknowledge", actions.acknowledge),
    Route("POST", f"/alerts/{ALERT}/resolve", actions.resolve),
    Route("POST", "/tutors/{id}/notes", actions.add_note),
    Route("POST", "/system/retry", actions.retry),
    Route("GET", WHOLE, texts.whole_text, Access.ADMINS_AND_THE_TUTOR),
    Route("GET", "/events", hub.events, Access.ADMINS_AND_THE_TUTOR),
    Route("GET", "/api/critical-alerts", api.critical_alerts, operation=api.CRITICAL_ALERTS),
    Route("GET", "/api/alerts", api.alerts, operation=api.ALERTS),
    Route("GET", "/api/tutors/{id}", api.tutor, Access.ADMINS_AND_THE_TUTOR, api.TUTOR),
    Route("GET", "/api" + WHOLE, texts.whole_text, Access.ADMINS_AND_THE_TUTOR, texts.WHOLE_TEXT),
    Route("GET", "/api/audit", audit_pages.as_json, operation=audit_pages.AUDIT),
    Route("POST", f"/api/alerts/{ALERT}/acknowledge", api.acknowledge, operation=api.ACKNOWLEDGE),
    Route("POST", f"/api/alerts/{ALERT}/resolve", api.resolve, operation=api.RESOLVE),
    Route("GET", "/api/openapi.json", api.openapi, Access.ANYONE),
    Route("GET", "/healthz", operations.healthz, Access.ANYONE),
    Route("GET", "/readyz", operations.readyz, Access.ANYONE),
    Route("GET", "/metrics", operations.metrics, Access.ANYONE),
]

_SUMMARIES = {"/api/critical-alerts"}
_ASKS_NOBODY = {"/healthz", "/readyz", "/metrics", "/api/openapi.json"}
_STREAMS = {"/events", "/audit.csv", WHOLE, "/api" + WHOLE}
_PROMPT = {"/", "/healthz"}


def add_routes(app: web.Application) -> None:
    """Adds all routes, each with its rule, and the document that describes those of JSON."""
    described = [Described(r.method, r.path.replace(ALERT, "{id}"), r.operation) for r in ROUTES if r.operation]
    app[api.DOCUMENT] = document(described, version=app[VERSION])
    app[RULES] = {}
    for route in ROUTES:
        resource = app.router.add_resource(route.path)
        rule = Rule(
            route.access,
            _scope(route),
            names_tutor="/tutors/{id}" in route.path,
            is_stream=route.path in _STREAMS,
            is_prompt=route.path in _PROMPT,
            asks_nobody=route.path in _ASKS_NOBODY,
        )
        for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
            app[RULES][resource.add_route(method, route.handler)] = rule


def _scope(route: Route) -> Scope:
    if route.method != "GET":
        return Scope.ACT
    return Scope.SUMMARY if route.path in _SUMMARIES else Scope.READ
