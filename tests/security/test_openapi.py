"""Whatever a program sends to the JSON addresses, the answer is one that the OpenAPI document describes."""

import asyncio
from typing import Any

import hypothesis
import pytest
import schemathesis
from aiohttp.test_utils import TestServer
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from scripts import accounts
from tests.support.browsers import ALERT
from web.views.api.endpoints import DOCUMENT

SETTINGS: dict[str, Any] = {
    "max_examples": 20,  # for each operation; half of them about an alert and a tutor that exist
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(hypothesis.HealthCheck),
    "phases": [hypothesis.Phase.generate],
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
KNOWN = {
    "/api/tutors/{id}": {"id": "ann"},
    "/api/texts/{kind}/{id}/{field}": {"kind": "alert", "id": str(ALERT), "field": "description"},
}
SEEN_OF_EACH = {
    "getCriticalAlerts": {200},
    "listAlerts": {200, 400},
    "getAlert": {200, 404},
    "getTutor": {200, 404},
    "listAuditTrail": {200, 400},
    "getWholeText": {200, 404},
    "acknowledgeAlert": {204, 404, 409},
    "resolveAlert": {204, 400, 404, 409},
    "unacknowledgeAlert": {404, 409},
    "reopenAlert": {404, 409},
}
"""Answers that the examples must have met, or they prove little."""


@pytest.mark.usefixtures("people")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:schemathesis")
async def test_answers_are_those_of_the_document(
    server: TestServer, engine: AsyncEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    await accounts.create_token(engine, "program", acts_for="dana@example.test")
    token = {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}
    schema = schemathesis.openapi.from_dict(server.app[DOCUMENT])

    seen = {}
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        statuses = await asyncio.to_thread(_try_out, operation, str(server.make_url("/")).rstrip("/"), token)
        seen[operation.definition.raw["operationId"]] = statuses

    assert {name: statuses & SEEN_OF_EACH[name] for name, statuses in seen.items()} == SEEN_OF_EACH
    assert 401 not in set().union(*seen.values())


def _try_out(operation: Any, url: str, headers: dict[str, str]) -> set[int]:
    """Sends right examples and wrong ones; returns the statuses of the answers. Raises what a check found."""
    statuses: list[int] = []

    def send(case: Any) -> None:
        if "{id}" in operation.path and len(statuses) % 2:
            case.path_parameters = dict(KNOWN.get(operation.path, {"id": str(ALERT)}))
        response = case.call(base_url=url, headers=headers, timeout=30)
        statuses.append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    for mode in GenerationMode:
        if mode is GenerationMode.POSITIVE or operation.query or operation.body:
            case = operation.as_strategy(generation_mode=mode)
            hypothesis.settings(**SETTINGS)(hypothesis.given(case=case)(send))()
    return set(statuses)
