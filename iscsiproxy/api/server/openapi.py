"""The description of the API for programs, OpenAPI 3.1, made from the operations and the models."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec

from iscsiproxy import __version__
from iscsiproxy.api.models import Json, Problem
from iscsiproxy.api.operations import OPERATIONS, Operation
from iscsiproxy.api.server.following import LINES

__all__ = ["make_openapi"]

_JSON = "application/json"
_ABOUT = """\
What a running iSCSI proxy can be asked, and told to do. Times are seconds since the run began; fields of the protocol \
have the names of RFC 7143. What is refused has changed nothing.\
"""


def make_openapi(*, secured: bool) -> Json:
    """Describe the API; `secured`: it wants a token."""
    types = [kind for one in OPERATIONS for kind in (one.query, one.body, one.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components((Problem, *types), ref_template="#/components/schemas/{name}")
    by_type = dict(zip(map(str, (Problem, *types)), schemas, strict=True))
    for schema in components.values():
        schema["description"] = inspect.cleandoc(schema.get("description", ""))
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(
            operation, by_type, components, secured=secured
        )
    # What is sent in a query is not an object of its own.
    for query in {one.query.__name__ for one in OPERATIONS if one.query is not None}:
        del components[query]
    document: Json = {
        "openapi": "3.1.0",
        "info": {"title": "iscsiproxy", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {"schemas": components},
    }
    if secured:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _described(operation: Operation[Any], schemas: Json, components: Json, *, secured: bool) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.help,
        "responses": {
            str(operation.status): {
                "description": HTTPStatus(operation.status).phrase,
                "content": {LINES if operation.stream else _JSON: {"schema": schemas[str(operation.answer)]}},
            },
            **{
                str(status): {
                    "description": HTTPStatus(status).phrase,
                    "content": {_JSON: {"schema": schemas[str(Problem)]}},
                }
                for status in _refusals(operation, secured=secured)
            },
        },
    }
    if parameters := [*_arguments(operation), *_query(operation, components)]:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": any(one.required for one in msgspec.structs.fields(operation.body)),
            "content": {_JSON: {"schema": schemas[str(operation.body)]}},
        }
    return described


def _refusals(operation: Operation[Any], *, secured: bool) -> list[int]:
    return sorted({400, 413, 500, *operation.refusals, *([401] if secured else [])})


def _arguments(operation: Operation[Any]) -> Iterator[Json]:
    for name in operation.arguments:
        schema = (
            {"type": "integer", "minimum": 0, "exclusiveMaximum": 1 << 53}
            if Operation.is_number(name)
            else {"type": "string", "minLength": 1}
        )
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query(operation: Operation[Any], components: Json) -> Iterator[Json]:
    if operation.query is None:
        return
    model = components[operation.query.__name__]
    for name, schema in model["properties"].items():
        kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
        # There is no null in a query: what is not given is left out.
        plain = kinds[0] if len(kinds) == 1 else {**schema, "anyOf": kinds} if kinds else schema
        yield {"name": name, "in": "query", "required": name in model["required"], "schema": plain}
