from __future__ import annotations

from dataclasses import fields, is_dataclass

import pytest

from iscsiproxy.session import events
from iscsiproxy.session.events import Change, Event

__all__: list[str] = []

KINDS = [getattr(events, name) for name in events.__all__ if name not in ("Change", "How")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_is_a_small_frozen_value_with_number_time_and_connection(kind: type) -> None:
    assert issubclass(kind, Event)
    assert is_dataclass(kind)
    assert [field.name for field in fields(kind)][:3] == ["n", "at", "conn"]
    made = kind(**dict.fromkeys((field.name for field in fields(kind)), 1))
    assert not hasattr(made, "__dict__")
    assert hash(made) == hash(kind(**dict.fromkeys((field.name for field in fields(kind)), 1)))


def test_a_change_reads_as_one_line() -> None:
    assert str(Change(what="CmdSN", old="0x10", new="0x11")) == "CmdSN 0x10 -> 0x11"
