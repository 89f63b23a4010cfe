from __future__ import annotations

from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from schemathesis import openapi

from iscsiproxy.api import operations
from iscsiproxy.api.models import Json, Problem
from iscsiproxy.api.operations import OPERATIONS, Operation
from iscsiproxy.api.server.openapi import make_openapi

__all__: list[str] = []

DOCUMENT = make_openapi(secured=True)
each = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)


def described(operation: Operation[Any]) -> Json:
    found: Json = DOCUMENT["paths"][operation.path][operation.method.lower()]
    return found


def resolved(schema: Json) -> Json:
    return {**schema, "components": DOCUMENT["components"]}


def test_programs_can_read_it() -> None:
    loaded = openapi.from_dict(msgspec.json.decode(msgspec.json.encode(DOCUMENT)))
    loaded.validate()
    assert loaded.statistic.operations.total == len(OPERATIONS)


@each
def test_every_operation_is_there_with_all_that_can_come_of_it(operation: Operation[Any]) -> None:
    there = described(operation)
    assert (there["operationId"], there["summary"]) == (operation.name, operation.help)
    assert set(map(int, there["responses"])) == {operation.status, 400, 401, 413, 500, *operation.refusals}
    problem = Problem(error="conflict", message="x", others=(Problem(error="bad_request", message="y"),))
    refused = msgspec.json.decode(msgspec.json.encode(problem))
    for status, response in there["responses"].items():
        (content,) = response["content"].items()
        if int(status) >= 400:
            assert content[0] == "application/json"
            Draft202012Validator(resolved(content[1]["schema"])).validate(refused)


@each
def test_what_stands_in_the_path_is_described(operation: Operation[Any]) -> None:
    there = [one for one in described(operation).get("parameters", ()) if one["in"] == "path"]
    assert tuple(one["name"] for one in there) == operation.arguments
    assert all(one["required"] for one in there)
    assert [one["schema"]["type"] for one in there] == [
        "integer" if Operation.is_number(one) else "string" for one in operation.arguments
    ]


@each
def test_queries_and_bodies_are_those_of_the_models(operation: Operation[Any]) -> None:
    there = described(operation)
    names = [one["name"] for one in there.get("parameters", ()) if one["in"] == "query"]
    assert names == [one.name for one in msgspec.structs.fields(operation.query)] if operation.query else not names
    assert ("requestBody" in there) == (operation.body is not None)
    if operation.body is not None:
        needed = any(one.required for one in msgspec.structs.fields(operation.body))
        schema = resolved(there["requestBody"]["content"]["application/json"]["schema"])
        assert there["requestBody"]["required"] == needed
        assert Draft202012Validator(schema).is_valid({}) != needed
        assert not Draft202012Validator(schema).is_valid({"who": 1})


def test_there_is_no_null_in_a_query() -> None:
    schemas = {one["name"]: one["schema"] for one in described(operations.EVENTS)["parameters"]}
    assert schemas["since"] == {"type": "integer", "minimum": 0, "exclusiveMaximum": 1 << 53}
    assert schemas["follow"] == {"type": "boolean", "default": True}


def test_events_are_lines() -> None:
    assert list(described(operations.EVENTS)["responses"]["200"]["content"]) == ["application/x-ndjson"]


def test_every_schema_is_used_and_reads_well() -> None:
    text = msgspec.json.encode(DOCUMENT).decode()
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert f'"#/components/schemas/{name}"' in text
        assert "\n  " not in schema["description"]


def test_a_token_is_only_wanted_where_there_is_one() -> None:
    assert DOCUMENT["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert DOCUMENT["security"] == [{"token": []}]
    open_ = make_openapi(secured=False)
    assert "security" not in open_
    assert "securitySchemes" not in open_["components"]
    assert "401" not in open_["paths"]["/v1/rules"]["get"]["responses"]
