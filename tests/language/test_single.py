from __future__ import annotations

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.language.single import may_belong, picks_nothing, reserved, wrong_way
from iscsiproxy.language.spec import Pattern
from iscsiproxy.wire.opcodes import Opcode

__all__: list[str] = []


def pattern(text: str) -> Pattern:
    rule = f"scenario: x\nvictim: both\nrules:\n  - when: {text}\n    do: {{note: x}}\n"
    (step,) = load(rule, file="x.yaml", acts=SPECS).rules[0].when[0].steps
    assert isinstance(step, Pattern)
    return step


@pytest.mark.parametrize(
    ("picks", "none"), [("nth 2 every 2", True), ("nth 2..3 every 2", False), ("nth 1 mask 01", True), ("", False)]
)
def test_picks_that_let_nothing_through(picks: str, none: bool) -> None:
    assert (picks_nothing(pattern(f"R2T {picks}")) is not None) is none


@pytest.mark.parametrize(
    ("text", "wrong"), [("connect from target", True), ("connect at target", True), ("connect", False), ("R2T", False)]
)
def test_who_connects(text: str, wrong: bool) -> None:
    one = pattern(text)
    assert (wrong_way(one, one.items[0]) is not None) is wrong


def test_what_belongs_to_what() -> None:
    assert may_belong(Opcode.R2T, Opcode.SCSI_COMMAND)
    assert not may_belong(Opcode.R2T, Opcode.NOP_OUT)
    assert may_belong(Opcode.REJECT, Opcode.ASYNC)
    assert not may_belong(Opcode.ASYNC, Opcode.SCSI_COMMAND)
    assert may_belong(0x1C, Opcode.NOP_OUT), "nobody knows what that is"


def test_codes_that_no_standard_has() -> None:
    (one,) = reserved(pattern("SCSI-Response where Status in (0x7f, GOOD)"))
    assert (one.severity, one.message) == ("warning", "no standard gives `Status` a value 0x7f")
