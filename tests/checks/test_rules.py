from __future__ import annotations

from iscsiproxy.checks.rules import ANY, FROM_INITIATOR, FROM_TARGET, Severity
from iscsiproxy.wire.opcodes import End, Opcode
from tests.checks.watching import rule

__all__: list[str] = []


def test_the_name_of_a_rule_tells_whom_it_judges() -> None:
    assert rule(print).blame is End.TARGET
    assert rule(print, "I-007").blame is End.INITIATOR


def test_opcodes_of_both_ends() -> None:
    assert FROM_INITIATOR.isdisjoint(FROM_TARGET)
    assert set(Opcode) == FROM_INITIATOR | FROM_TARGET
    assert len(ANY) == 64


def test_severities_are_written_as_the_standards_do() -> None:
    assert [str(one) for one in Severity] == ["MUST", "SHOULD", "heuristic"]
