from __future__ import annotations

import pytest

from iscsiproxy.engine.match import captures_in
from iscsiproxy.language.spec import Pattern
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import NO_TAG, Dialogue, data_in, nop_in, nop_out, r2t, scsi_response, write


def noted(pattern: str, *pdus: Pdu) -> int:
    talk = Dialogue(f"rules:\n  - when: {pattern}\n    do: {{note: here}}")
    before = len(talk.told("noted"))
    talk.say(*pdus)
    return len(talk.told("noted")) - before


@pytest.mark.parametrize(
    ("pdu", "is_status"),
    [
        (scsi_response(2, 101), True),
        (data_in(2, 0), False),
        (data_in(2, 0, S=1, F=1), True),
        (nop_in(9, 101), True),
        (nop_in(NO_TAG, 101, TTT=5), False),
        (r2t(2, 5), False),
        (Pdu.build(Opcode.ASYNC, F=1), True),
    ],
)
def test_a_status_pdu_advances_StatSN(pdu: Pdu, is_status: bool) -> None:
    assert noted("Status-PDU", pdu) == is_status
    assert noted("Target-PDU", pdu) == 1
    assert noted("Initiator-PDU", pdu) == 0


def test_items_are_alternatives() -> None:
    assert noted("SCSI-Command or NOP-Out", write(2, 10), nop_out(3, 11)) == 2
    assert noted("Opcode-0x1c", Pdu.build(0x1C)) == 1


@pytest.mark.parametrize(("sender", "count"), [("initiator", 1), ("target", 0), ("victim", 0), ("proxy", 0)])
def test_from_says_who_closed(sender: str, count: int) -> None:
    talk = Dialogue(f"rules:\n  - when: close from {sender}\n    do: {{note: closed}}")
    talk.closed(End.INITIATOR)
    assert len(talk.told("noted")) == count


def test_what_the_proxy_closes_is_from_the_proxy_only() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command nth 1
    do: close
  - when: close
    do: {note: somebody}
  - when: close from proxy where how == rst
    do: {note: proxy}
"""
    )
    talk.say(write(2, 10))
    assert talk.told("noted") == ["#3: proxy", "#3: proxy"]


def test_at_a_leg_says_where_it_is_seen() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command nth 1
    do: [set: {LUN: 3}, delay: 1s]
  - when: SCSI-Command at target where LUN == 3
    do: {note: at the target}
  - when: SCSI-Command at initiator where LUN == 0
    do: {note: at the initiator}
  - when: SCSI-Command nth 2
    do: drop
"""
    )
    talk.say(write(2, 10))
    assert talk.told("noted") == []  # rule by rule: the delay comes first
    talk.tick(1)
    assert talk.told("noted") == ["#3: at the initiator", "#2: at the target"]
    talk.say(write(3, 11, LUN=3 << 48))  # what is dropped is never seen at the target
    assert len(talk.told("noted")) == 2


def test_what_is_delivered_in_two_parts_is_seen_once_and_what_is_cut_not_at_all() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command nth 1
    do:
      - stall: {until: 1s, at: header+8}
  - when: SCSI-Command nth 2
    do:
      - close: {at: header+8}
  - when: SCSI-Command at target
    do: {note: whole}
"""
    )
    talk.say(write(2, 10))
    assert talk.told("noted") == []
    talk.tick(1)
    assert len(talk.told("noted")) == 1
    talk.say(write(3, 11))
    assert len(talk.told("noted")) == 1


def test_an_act_that_needs_the_pdu_fails_where_it_has_gone() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command at target\n    do: drop")
    assert len(talk.say(write(2, 10))) == 1
    assert talk.told("failed") == ["#1: drop: no PDU is in hand"]


def test_every_capture_that_a_test_speaks_of_is_found() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command as a
  - when: SCSI-Command as b
  - when: NOP-Out where not (CmdSN in (a.CmdSN .. a.CmdSN) or max(a.EDTL, -b.EDTL) == 0) and CmdSN in (b.CmdSN, 1)
    do: {note: found}
"""
    )
    pattern = talk.scenario.rules[2].when[0].steps[0]
    assert isinstance(pattern, Pattern)
    assert pattern.where is not None
    assert set(captures_in(pattern.where)) == {"a", "b"}
