from __future__ import annotations

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language.captures import Captures
from iscsiproxy.language.moments import parse_moment
from iscsiproxy.language.patterns import Patterns, Victim, hand_of
from iscsiproxy.language.spec import Bound, FaultReached, Moment, Pattern
from iscsiproxy.wire.opcodes import End, Opcode
from tests.language.samples import NO_PARAMETERS, scalar

__all__: list[str] = []


def check(text: str, victim: Victim = "target") -> Moment:
    captures = Captures()
    captures.add_moments(
        parse_moment(scalar(other), NO_PARAMETERS) for other in ("SCSI-Command as n", "R2T as each many")
    )
    node = parse_moment(scalar(text), NO_PARAMETERS)
    captures.add_moments([node])
    return Patterns(captures, victim).moment(node)


def pattern(text: str, victim: Victim = "target") -> Pattern:
    step = check(text, victim).steps[0]
    assert isinstance(step, Pattern)
    return step


def test_all_parts_of_a_pattern_are_kept() -> None:
    found = pattern("Data-Out of n from initiator at target where DataSN > 1 nth 2 as m")
    assert (found.of, found.sender, found.leg) == ("n", "initiator", End.TARGET)
    assert found.where is not None
    assert found.picks.nth == (2, 2)
    assert found.capture is not None
    assert found.text == "Data-Out of n from initiator at target where DataSN > 1 nth 2 as m"
    assert found.position.line == 1


def test_the_victim_is_an_end() -> None:
    assert pattern("close from victim").sender == "target"
    assert pattern("close from victim", "initiator").sender == "initiator"
    assert pattern("close from victim", "both").sender is None
    assert pattern("close from proxy").sender == "proxy"


def test_steps_are_resolved() -> None:
    steps = check("fault then n then SCSI-Command").steps
    assert steps[:2] == (FaultReached(), Bound(name="n"))


def test_a_later_pattern_may_name_an_earlier_one() -> None:
    assert len(check("R2T as r then Data-Out of r where BufferOffset >= r.BufferOffset").steps) == 2


def test_what_is_in_hand_is_the_last_step() -> None:
    def hand(*texts: str) -> tuple[set[int], set[str]]:
        found = hand_of([parse_moment(scalar(text), NO_PARAMETERS) for text in texts])
        return set(found.opcodes), set(found.events)

    assert hand("SCSI-Command then R2T or close") == ({Opcode.R2T}, {"close"})
    assert hand("SCSI-Command then 5s") == (set(), set())
    assert hand("5s", "Data-Out") == ({Opcode.DATA_OUT}, set())


#: text, column, part of the message, part of the hint
WRONG = [
    ("Data-Out of x", 13, "nothing in the file binds the name `x`", ""),
    ("x", 1, "`x` is no PDU or event, and nothing in the file binds it", ""),
    ("connet", 1, "`connet` is no PDU or event", "`connect`"),
    ("Data-Out then m", 15, "`m` is no PDU or event", ""),
    ("Data-Out of many", 13, "`many` collects", ""),
    ("Data-Out from target", 15, "Data-Out is sent by the initiator", "leave `from` out"),
    ("Data-Out from victim", 15, "never by the target", ""),
    ("close or Data-In from initiator", 23, "Data-In is sent by the target", ""),
    ("Data-Out where CmdSN == 1", 16, "Data-Out has no field `CmdSN`", "it is a field of"),
    ("NOP-Out per task", 13, "NOP-Out belongs to no task", ""),
    ("close per task", 11, "close belongs to no task", ""),
    ("Data-Out or Login-Request nth 1 per task", 37, "Login-Request belongs to no task", ""),
]


@pytest.mark.parametrize(("text", "column", "message", "hint"), WRONG)
def test_what_cannot_be_meant(text: str, column: int, message: str, hint: str) -> None:
    with pytest.raises(FileError) as caught:
        check(text)
    assert message in caught.value.message
    assert caught.value.column == column
    assert hint in (caught.value.hint or "")


def test_groups_come_from_either_end() -> None:
    assert pattern("Any-PDU from target").sender == "target"
    assert pattern("Data-Out from proxy").sender == "proxy"
    assert pattern("Status-PDU per task").picks.per == "task"
