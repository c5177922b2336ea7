"""The description is made of the route table and of the models that judge: it says what they do."""

import jsonschema_rs
import pytest

from orchestrator.edges.http.bodies import TransitionBody, judge
from orchestrator.edges.http.described import DESCRIBED
from orchestrator.edges.http.openapi import codes_of, document
from orchestrator.edges.http.problems import PROBLEMS
from orchestrator.edges.http.routes import routes

from .conftest import Client
from .scripted_house import ScriptedHouse, member

TABLE = routes(ScriptedHouse())
DOCUMENT = document(TABLE)


def test_every_route_is_described_and_nothing_else_is() -> None:
    assert set(DESCRIBED) == {(route.method, route.path) for route in TABLE}
    for told in DESCRIBED.values():
        assert told.sense
        assert told.replies


def test_each_operation_has_a_name_of_its_own() -> None:
    names = [told.name for told in DESCRIBED.values()]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name in schemas:
        reference = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
        jsonschema_rs.Draft202012Validator(reference)
    jsonschema_rs.Draft202012Validator({"allOf": list(_schemas_in(DOCUMENT["paths"])), **DOCUMENT})


def _schemas_in(told: object) -> list[object]:
    if isinstance(told, list):
        return [schema for one in told for schema in _schemas_in(one)]
    if not isinstance(told, dict):
        return []
    own = [told["schema"]] if "schema" in told else []
    return own + [schema for one in told.values() for schema in _schemas_in(one)]


def test_every_problem_of_the_table_can_come_from_some_route() -> None:
    """An unknown path or method is no route's; the others are not for a caller on the VPN to reckon with."""
    told = {code for route in TABLE for code in codes_of(route, DESCRIBED[route.method, route.path])}
    never = {"method-not-allowed", "vpn-only", "internal"}
    assert told | never == set(PROBLEMS)
    assert not told & never


BODIES = [
    {"trigger": "close"},
    {"trigger": "close", "reason": "done"},
    {"trigger": "request"},
    {"trigger": "request", "reason": "aim"},
    {"trigger": "request", "reason": " "},
    {"trigger": "request", "reason": " aim\u00a0"},
    {"trigger": "request", "reason": "x" * 500},
    {"trigger": "request", "reason": "x" * 501},
    {"trigger": "request", "resume": "s"},
    {"trigger": "request", "reason": "aim", "duration_s": 0},
    {"trigger": "request", "reason": "aim", "duration_s": 86_400},
    {"trigger": "request", "reason": "aim", "duration_s": 86_401},
    {"trigger": "request", "reason": "aim", "duration_s": None},
    {"trigger": "request", "reason": "aim", "wait_s": 600},
    {"trigger": "request", "reason": "aim", "wait_s": "20"},
    {"trigger": "request", "reason": "aim", "ticket": ""},
    {"trigger": "request", "reason": "aim", "more": 1},
    {"trigger": "extend", "reason": "more"},
    {"trigger": "extend", "reason": "more", "duration_s": 1},
    {"trigger": "acknowledge"},
    {"trigger": "acknowledge", "reason": "mended"},
    {"trigger": "first_frame", "reason": "now"},
    {},
]


@pytest.mark.parametrize("body", BODIES)
async def test_a_body_is_taken_exactly_when_the_description_allows_it(
    client: Client, house: ScriptedHouse, body: dict[str, object]
) -> None:
    house.member = member("maintainer", "approver")
    schema = {"$ref": "#/components/schemas/TransitionBody", "components": DOCUMENT["components"]}
    allowed = jsonschema_rs.Draft202012Validator(schema).is_valid(body)
    reply = await client.ask("POST", "/api/v1/cameras/cam1/transitions", body=body)
    assert (reply.status == 202) is allowed, reply
    if not allowed:
        assert reply.code == "invalid-body"


def test_what_a_trigger_needs_is_said_once_and_judged_so() -> None:
    needs = DOCUMENT["components"]["schemas"]["TransitionBody"]["anyOf"]
    full = {"reason": "aim", "duration_s": 1, "resume": "s"}
    for need in needs:
        body = {name: full[name] for name in need["required"] if name != "trigger"}
        body["trigger"] = need["properties"]["trigger"]["const"]
        assert judge(TransitionBody, body).wish().trigger == body["trigger"]


async def test_it_is_served_as_it_is_made(client: Client) -> None:
    reply = await client.get("/api/v1/openapi.json")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json == DOCUMENT
    assert (await client.get("/api/v1/openapi.json?x=1")).code == "invalid-query"
