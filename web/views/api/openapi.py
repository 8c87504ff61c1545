"""The OpenAPI document, made from the models that validate and answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from web.auth.cookies import SIGN_IN
from web.http.inputs import LONGEST_ID
from web.queries.texts import SOURCES
from web.views.api.documents import Problem

_REFERENCE = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route of JSON does; `answer` is None where it answers with 204."""

    id: str
    summary: str
    answer: type[BaseModel] | None
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    problems: Sequence[int] = ()
    has_etag: bool = False
    answers_text: bool = False


@dataclass(frozen=True, slots=True)
class Described:
    """An operation and its address, in the document's spelling."""

    method: str
    path: str
    operation: Operation


def document(described: Iterable[Described], *, version: str) -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    described = list(described)
    paths: dict[str, dict[str, Any]] = {}
    for each in described:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tutorwatch", "version": version},
        "paths": paths,
        "components": {
            "schemas": _schemas(each.operation for each in described),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`tutorwatch token create NAME`"},
                "session": _session(SIGN_IN),
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


def with_cookie(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The document, with the sign-in's cookie under the name that it has for who asks."""
    components = document["components"]
    schemes = components["securitySchemes"] | {"session": _session(name)}
    return document | {"components": components | {"securitySchemes": schemes}}


def _session(cookie: str) -> dict[str, Any]:
    return {
        "type": "apiKey",
        "in": "cookie",
        "name": cookie,
        "description": "For pages of the site; a POST needs their form token in X-CSRF-Token, too",
    }


def _operation(each: Described) -> dict[str, Any]:
    operation = each.operation
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": _path_parameters(each.path) + _query_parameters(operation),
        "responses": _responses(operation),
    }
    if operation.body:
        described["requestBody"] = {"required": True, "content": _content("application/json", operation.body)}
    return described


def _responses(operation: Operation) -> dict[str, Any]:
    if operation.answers_text:
        content = {"text/plain": {"schema": {"type": "string"}}}
        responses: dict[str, Any] = {"200": {"description": "OK", "content": content}}
    elif operation.answer:
        responses = {"200": {"description": "OK", "content": _content("application/json", operation.answer)}}
    else:
        responses = {"204": {"description": "Done"}}
    if operation.has_etag:
        responses["304"] = {"description": "As at the ETag in If-None-Match"}
    for status in (401, 403, *operation.problems, 503):
        problem = _content("application/problem+json", Problem)
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    return responses


_USER_ID = {
    "type": "string",
    "maxLength": LONGEST_ID,
    "description": "An id of dots alone, which clients take for a folder, is written with a ~ before it: `~..`",
}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    if path.startswith("/api/texts/"):
        kinds, fields = ({each[part] for each in SOURCES} for part in (0, 1))
        return [
            _path_parameter("kind", {"type": "string", "enum": sorted(kinds)}),
            _path_parameter("id", _USER_ID),
            _path_parameter("field", {"type": "string", "enum": sorted(fields)}),
        ]
    if "{id}" not in path:
        return []
    return [_path_parameter("id", _USER_ID if "/tutors/" in path else {"type": "string", "format": "uuid"})]


def _path_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(ref_template=_REFERENCE)
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}
        for name, field in schema["properties"].items()
    ]


def _content(media_type: str, model: type[BaseModel]) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}}


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    answers: dict[type[BaseModel], None] = {Problem: None}
    asked: dict[type[BaseModel], None] = {}
    for operation in operations:
        answers |= {operation.answer: None} if operation.answer else {}
        asked |= {each: None for each in (operation.body, operation.query) if each}
    _, schema = models_json_schema(
        [(model, "serialization") for model in answers] + [(model, "validation") for model in asked],
        ref_template=_REFERENCE,
    )
    found: dict[str, Any] = schema["$defs"]
    return found
