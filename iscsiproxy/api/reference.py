"""The reference of the API, made from the operations and the models: Markdown for `README.md` beside."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from iscsiproxy.api import models
from iscsiproxy.api.operations import OPERATIONS, Operation

__all__ = ["reference"]

_HEAD = """\
## Operations

The name is the method of the Python clients. What stands in braces is a number or a name; what else is sent goes into
the query of a GET, and into the body of all others, as a JSON object. A star: it has to be there.

| name | request | sends | answer | |
|---|---|---|---|---|
"""
_SENT = "## What is sent\n"
_TOLD = "## What comes back\n"


def reference() -> str:
    """Write it, in Markdown."""
    rows = "\n".join(map(_row, OPERATIONS))
    sent = {kind: None for one in OPERATIONS for kind in (one.query, one.body) if kind is not None}
    told = {kind: None for one in OPERATIONS for kind in _models(one.answer)} | dict.fromkeys(_models(models.Problem))
    parts = [_HEAD + rows + "\n", _SENT, *map(_model, sent), _TOLD, *map(_model, told)]
    return "\n".join(parts)


def _row(one: Operation[Any]) -> str:
    model = one.query or one.body
    sends = "" if model is None else f"{model.__name__}: {_members(model, stars=True)}"
    more = f", status {one.status}" if one.status != 200 else ""
    return f"| `{one.name}` | `{one.method} {one.path}` | {sends} | {_answer(one)}{more} | {one.help} |"


def _answer(one: Operation[Any]) -> str:
    if one.stream:
        return f"{one.answer.__name__}, one a line"
    if get_origin(one.answer) is tuple:
        return f"list of {get_args(one.answer)[0].__name__}"
    return str(one.answer.__name__)


def _members(model: type[Any], *, stars: bool) -> str:
    fields = msgspec.structs.fields(model)
    return " ".join(f"`{one.name}`{'*' if stars and one.required else ''}" for one in fields)


def _model(model: type[Any]) -> str:
    about = " ".join(inspect.cleandoc(model.__doc__ or "").split())
    return f"- **{model.__name__}** {_members(model, stars=False)}\n  {about}\n"


def _models(kind: Any) -> Iterator[type[Any]]:
    """Give the models in a type: itself, and those of its members."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        for member in get_type_hints(kind).values():
            if kind not in get_args(member):
                yield from _models(member)
    else:
        for part in get_args(kind):
            yield from _models(part)
