"""What a client sends, read strictly: what is not known, or not of its kind, is refused with its place.

Bodies are JSON. A query parameter is the text itself where a text is wanted, else a number, `true` or `false`.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from iscsiproxy.api.operations import Operation
from iscsiproxy.api.server.refusal import Refusal
from iscsiproxy.errors import meant

__all__ = ["MOST_BYTES", "read_arguments", "read_body", "read_query"]

#: The longest body that is read; the longest scenario file has 256 Ki characters.
MOST_BYTES: Final = 1 << 19

_MOST_PARAMETERS = 32
_MOST_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII)
_LARGEST = (1 << 53) - 1
_SCALAR = re.compile(r"true|false|-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_PLACE = re.compile(r"(?P<said>.*?) - at `(?P<place>[^`]*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_CHOICE = re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL)


def read_arguments(operation: Operation[Any], given: dict[str, str]) -> tuple[int | str, ...]:
    """Read what stands in the path, in its order. Raises Refusal."""
    return tuple(_argument(name, given[name]) for name in operation.arguments)


def _argument(name: str, text: str) -> int | str:
    if not Operation.is_number(name):
        return text
    if not _MOST_DIGITS.fullmatch(text) or int(text) > _LARGEST:
        raise Refusal(400, f"`{name}` in the path: expected a number from 0 to {_LARGEST}, got {text[:40]!r}")
    return int(text)


def read_query(operation: Operation[Any], query: bytes) -> Any:
    """Read the query; None for an operation that has none. Raises Refusal."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError as error:
        raise Refusal(400, f"the query cannot be read: {error}") from error
    if operation.query is None:
        if pairs:
            raise Refusal(400, f"{operation.method} {operation.path} takes no query, got {pairs[0][0][:40]!r}")
        return None
    fields = {one.name: one for one in msgspec.structs.fields(operation.query)}
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name in values:
            raise Refusal(400, f"the query has {name[:40]!r} twice")
        literal = name in fields and not _takes_text(fields[name].type) and _SCALAR.fullmatch(text)
        values[name] = msgspec.json.decode(text) if literal else text
    try:
        return msgspec.convert(values, operation.query)
    except msgspec.ValidationError as error:
        raise _refused(error, operation.query, "query") from error


def _takes_text(kind: Any) -> bool:
    return kind is str or any(_takes_text(part) for part in get_args(kind))


def read_body(operation: Operation[Any], body: bytes) -> Any:
    """Read the body; None for an operation that has none. Without a body its members have their defaults.

    Raises Refusal.
    """
    if operation.body is None:
        if body:
            raise Refusal(400, f"{operation.method} {operation.path} takes no body, got {len(body)} bytes")
        return None
    try:
        return msgspec.json.decode(body or b"{}", type=operation.body)
    except msgspec.ValidationError as error:
        raise _refused(error, operation.body, "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the body is not JSON: {str(error).removeprefix('JSON is malformed: ')}") from error


def _refused(error: msgspec.ValidationError, model: type[Any], what: Literal["body", "query"]) -> Refusal:
    """Say it in our words: what, where, expected, got."""
    match = _PLACE.fullmatch(str(error))
    said, place = (match["said"], match["place"].removeprefix("$").lstrip(".")) if match else (str(error), "")
    where = f"`{place}` in the {what}" if place else f"the {what}"
    names = [one.name for one in msgspec.structs.fields(model)]
    if unknown := _UNKNOWN.fullmatch(said):
        return Refusal(400, f"{where} has no {unknown['name'][:40]!r}", hint=meant(unknown["name"], names))
    if missing := _MISSING.fullmatch(said):
        return Refusal(400, f"{where} lacks {missing['name']!r}")
    if choice := _CHOICE.fullmatch(said):
        return Refusal(400, f"{where}: expected {_choices(model, place)}, got {choice['value'][:40]}")
    said = said.replace(" | null", "") if what == "query" else said
    return Refusal(400, f"{where}: {said[:1].lower()}{said[1:]}")


def _choices(model: type[Any], name: str) -> str:
    """Name the words that a member may be."""
    kind = get_type_hints(model).get(name)
    literals = [part for part in (kind, *get_args(kind)) if get_origin(part) is Literal]
    return " or ".join(str(word) for literal in literals for word in get_args(literal)) or "another word"
