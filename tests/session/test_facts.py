from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from iscsiproxy.session import facts
from iscsiproxy.session.facts import Fact, Violation
from iscsiproxy.wire.opcodes import End

__all__: list[str] = []

KINDS = [getattr(facts, name) for name in facts.__all__]


@pytest.mark.parametrize("kind", KINDS)
def test_every_fact_is_a_frozen_value_of_a_connection(kind: type) -> None:
    assert issubclass(kind, Fact)
    assert is_dataclass(kind)
    assert next(field.name for field in fields(kind)) == "conn"
    assert all(field.kw_only for field in fields(kind))
    assert not hasattr(kind(**dict.fromkeys((field.name for field in fields(kind)), 0)), "__dict__")


def test_facts_compare_by_value() -> None:
    one = Violation(conn=1, by=End.TARGET, text="x", section="RFC 7143 6.3")
    assert one == Violation(conn=1, by=End.TARGET, text="x", section="RFC 7143 6.3")
    assert one != Violation(conn=2, by=End.TARGET, text="x", section="RFC 7143 6.3")
    with pytest.raises(FrozenInstanceError):
        one.conn = 2  # type: ignore[misc]
