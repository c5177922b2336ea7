"""The API's description (OpenAPI 3.1), made of the route table and of the models that judge the bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from orchestrator import __version__
from orchestrator.edges.http.answers import JSON, NDJSON
from orchestrator.edges.http.described import DESCRIBED, PATH, Media, Parameter, Reply, Route, Schema
from orchestrator.edges.http.problems import PROBLEMS, TYPE_PREFIX

SCHEMAS = "#/components/schemas/"
EVERYWHERE = ("wrong-host", "unknown-device", "own-address", "cross-site", "bad-request")
WITH_A_BODY = ("too-large", "not-json", "invalid-body", "too-slow")
ABOUT = (
    "Every GET answers HEAD. The caller is known by the VPN alone: no passwords, cookies or tokens. "
    "Errors are RFC 9457 problems; `type` tells them apart. Times are RFC 3339 in UTC."
)


class Served(Protocol):
    """A row of the route table, as far as it is described."""

    @property
    def method(self) -> str:
        """GET, POST, PATCH or DELETE."""

    @property
    def path(self) -> str:
        """With `{parameter}`s, which may hold a pattern of their own."""

    @property
    def act(self) -> str | None:
        """What the caller is admitted to before the handler runs."""


def document(table: Iterable[Served]) -> dict[str, Any]:
    """The description of those rows that are built, as a JSON object."""
    told = [(row, DESCRIBED[row.method, row.path]) for row in table if (row.method, row.path) in DESCRIBED]
    schemas = _schemas([route for _, route in told])
    paths: dict[str, dict[str, Any]] = {}
    for row, route in told:
        path = re.sub(r"\{(\w+):(?:[^{}]|\{[^{}]*\})*\}", r"{\1}", row.path)
        paths.setdefault(path, {})[row.method.lower()] = _operation(row, route, path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "volet",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(row: Served, route: Route, path: str) -> dict[str, Any]:
    inside = [PATH[name] for name in re.findall(r"\{(\w+)\}", path)]
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.sense,
        "parameters": [_parameter(one) for one in (*inside, *route.query, *route.headers)],
        "responses": {str(status): _reply(reply) for status, reply in route.replies.items()},
    }
    if route.body is not None:
        content = {JSON: {"schema": {"$ref": SCHEMAS + route.body.__name__}}}
        # A DELETE may come without any.
        operation["requestBody"] = {"required": row.method != "DELETE", "content": content}
    if route.endless:
        operation["x-endless"] = True
    for status, codes in _by_status(codes_of(row, route)):
        responses = operation["responses"]
        # readyz answers 503 with a document of its own.
        responses.setdefault(str(status), _problems(codes))
    return operation


def codes_of(row: Served, route: Route) -> list[str]:
    """The problem codes that this route can answer, in the order they are looked for (CONTRACT 8)."""
    codes = {*EVERYWHERE, *route.problems}
    if row.act is not None:
        codes |= {"role-required"}
    if "{camera}" in row.path:
        codes |= {"unknown-camera"}
    if route.body is not None:
        codes |= set(WITH_A_BODY)
    if route.query or route.headers or (row.path.startswith("/api") and row.method == "GET"):
        codes |= {"invalid-query"}
    return [code for code in PROBLEMS if code in codes]


def _by_status(codes: Iterable[str]) -> list[tuple[int, list[str]]]:
    ordered = sorted(codes, key=lambda code: PROBLEMS[code].status)
    return [
        (status, list(group)) for status, group in groupby(ordered, key=lambda code: PROBLEMS[code].status)
    ]


def _problems(codes: Sequence[str]) -> dict[str, Any]:
    refs = [{"$ref": SCHEMAS + _problem_name(code)} for code in codes]
    schema = refs[0] if len(refs) == 1 else {"oneOf": refs}
    response: dict[str, Any] = {
        "description": " · ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
        "content": {"application/problem+json": {"schema": schema}},
    }
    if any(PROBLEMS[code].retry_after_s is not None for code in codes):
        always = all(PROBLEMS[code].retry_after_s is not None for code in codes)
        seconds = {"type": "integer", "minimum": 1}
        response["headers"] = {"Retry-After": {"required": always, "schema": seconds}}
    return response


def _reply(reply: Reply) -> dict[str, Any]:
    told: dict[str, Any] = {"description": reply.sense}
    if isinstance(reply.model, Media):
        told["content"] = {kind: {} for kind in reply.model.kinds}
    elif reply.model is not None:
        schema = {"$ref": SCHEMAS + _name_of(reply.model)}
        told["content"] = {JSON: {"schema": schema}}
        if reply.lines:
            item = {"$ref": f"{SCHEMAS}{_name_of(reply.model)}/properties/items/items"}
            # OpenAPI 3.1 has no word for a sequence: each line is one of these.
            told["content"][NDJSON] = {"schema": {"type": "string"}, "x-line": item}
            next_page = {"schema": {"type": "string"}, "description": "The next page (RFC 8288)"}
            told["headers"] = {"Link": next_page}
    for name, header in reply.headers.items():
        told.setdefault("headers", {})[name] = {"required": True, "schema": header.schema}
    if reply.link:
        told["links"] = {name: _link(*link) for name, link in reply.link.items()}
    return told


def _link(operation: str, members: Mapping[str, str]) -> dict[str, Any]:
    values = {parameter: f"$response.body#/{member}" for parameter, member in members.items()}
    return {"operationId": operation, "parameters": values}


def _parameter(one: Parameter) -> dict[str, Any]:
    told = {"name": one.name, "in": one.place, "description": one.sense, "schema": dict(one.schema)}
    return told | ({"required": True} if one.place == "path" else {})


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    answers = [reply.model for route in routes for reply in route.replies.values()]
    shown = [model for model in answers if model is not None and not isinstance(model, Media)]
    asked = [route.body for route in routes if route.body is not None]
    wanted = [(model, "validation") for model in dict.fromkeys((*shown, *asked))]
    _, made = models_json_schema(wanted, ref_template=SCHEMAS + "{model}")  # type: ignore[arg-type]
    schemas: dict[str, Any] = made["$defs"]
    for body in asked:
        schemas[body.__name__] = _without_null(schemas[body.__name__])
    return schemas | {_problem_name(code): _problem(code) for code in PROBLEMS}


def _name_of(model: type[BaseModel]) -> str:
    return re.sub(r"[^A-Za-z0-9.\-_]", "_", model.__name__)


def _without_null(schema: Any) -> Any:
    """A body's member is absent or has a value: None is how a model says that it is absent."""
    if isinstance(schema, list):
        return [_without_null(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: _without_null(value) for key, value in schema.items() if not (key == "default" and value is None)
    }
    choices = [one for one in kept.get("anyOf", ()) if one != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        return kept | choices[0]
    return kept


def _problem_name(code: str) -> str:
    return "Problem." + code


def _problem(code: str) -> dict[str, Any]:
    told = PROBLEMS[code]
    members = {name: _of_type(kind) for name, kind in {**told.members, **told.may_have}.items()}
    fixed = {"type": TYPE_PREFIX + code, "title": told.title, "status": told.status}
    properties: dict[str, Schema] = {name: {"const": value} for name, value in fixed.items()}
    return {
        "type": "object",
        "properties": properties | {"detail": {"type": "string"}} | members,
        "required": [*fixed, "detail", *told.members],
        "additionalProperties": False,
    }


def _of_type(kind: Any) -> dict[str, Any]:
    return TypeAdapter(kind).json_schema()
