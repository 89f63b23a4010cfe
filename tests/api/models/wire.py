"""Values of the API as they go over the wire."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

__all__ = ["read", "refused", "said"]

A = TypeVar("A")


def read(kind: type[A], **members: Any) -> A:
    """Read an object with those members."""
    return msgspec.json.decode(json.dumps(members), type=kind)


def refused(kind: type[Any], **members: Any) -> str:
    """Say why an object with those members is not read; empty: it is."""
    try:
        read(kind, **members)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def said(value: msgspec.Struct) -> Any:
    """Give it as a client reads it."""
    return json.loads(msgspec.json.encode(value))
