from __future__ import annotations

from dataclasses import fields
from typing import get_args

import pytest

from iscsiproxy.journal import lines
from iscsiproxy.session import events

__all__: list[str] = []

KINDS = [getattr(events, name) for name in events.__all__ if isinstance(getattr(events, name), type)]
EVENTS = [kind for kind in KINDS if issubclass(kind, events.Event) and kind is not events.Event]


@pytest.mark.parametrize("kind", EVENTS, ids=[kind.__name__ for kind in EVENTS])
def test_every_event_has_a_line_with_its_members(kind: type[events.Event]) -> None:
    line = lines.LINES[kind]
    expected = {field.name for field in fields(kind)} - {"at"} | {"t"}
    if issubclass(line, lines.PduLine):
        expected -= {"header_digest_ok", "data_digest_ok"}
    assert expected <= set(line.__struct_fields__)


def test_every_line_says_its_kind() -> None:
    assert sorted(str(kind.__struct_config__.tag) for kind in get_args(lines.Line)) == [
        "bound",
        "closed",
        "connect-failed",
        "connected",
        "decided",
        "delivered",
        "drawn",
        "end",
        "fired",
        "full-feature",
        "io",
        "lost",
        "noted",
        "pinged",
        "received",
        "refused",
        "staged",
        "unframed",
        "violated",
    ]
    assert set(lines.LINES.values()) <= set(get_args(lines.Line))
