from __future__ import annotations

from collections import Counter
from typing import Literal

import pytest

from iscsiproxy.engine.match import captures_in
from iscsiproxy.errors import FileError
from iscsiproxy.language.spec import Pattern
from iscsiproxy.session.events import IoDone
from iscsiproxy.wire.framing import Interest
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


@pytest.mark.parametrize("pattern", ["SCSI-Command at target", "SCSI-Response at initiator", "SCSI-Command from proxy"])
def test_an_act_that_needs_the_pdu_is_refused_where_it_has_gone(pattern: str) -> None:
    with pytest.raises(FileError, match="`drop` needs a PDU in hand, and this one is seen where it has gone to") as it:
        Dialogue(f"rules:\n  - when: {pattern}\n    do: drop")
    assert (it.value.line, it.value.column) == (5, 9)


def test_of_two_ways_one_may_lead_to_a_pdu_in_hand() -> None:
    talk = Dialogue("rules:\n  - when: [Any-PDU at target where ITT == 2, SCSI-Command at target]\n    do: drop")
    assert len(talk.say(write(2, 10))) == 1
    assert talk.told("failed") == ["#1: drop: no PDU is in hand"]


def test_what_the_proxy_made_is_seen_by_who_asks_for_it() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command nth 1
    do: [{inject: NOP-Out}, {duplicate: {ITT: fresh}}]
  - {name: plain, optional: yes, when: NOP-Out or SCSI-Command, do: {note: x}}
  - {name: there, optional: yes, when: NOP-Out or SCSI-Command at target, do: {note: x}}
  - {name: own, optional: yes, when: NOP-Out or SCSI-Command from proxy, do: {note: x}}
  - {name: own-there, optional: yes, when: NOP-Out or SCSI-Command from proxy at target, do: {note: x}}
  - {name: elsewhere, optional: yes, when: NOP-Out or SCSI-Command from proxy at initiator, do: {note: x}}
"""
    )
    assert [pdu.label for pdu in talk.say(write(2, 10))] == ["NOP-Out", "SCSI-Command", "SCSI-Command"]
    assert Counter(talk.told("noted")) == {
        "plain: x": 1,
        "there: x": 1,
        "own: x": 2,
        "own-there: x": 2,
    }


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


def escalations(victim: str, pattern: str = "escalation") -> Dialogue:
    return Dialogue(f"scenario: x\nvictim: {victim}\nrules:\n  - when: {pattern}\n    do: {{note: it}}\n")


def asynchronous(event: int) -> Pdu:
    return Pdu.build(Opcode.ASYNC).with_fields({"F": 1, "AsyncEvent": event, "StatSN": 101, "ExpCmdSN": 10})


@pytest.mark.parametrize(("victim", "seen"), [("target", (1, 0)), ("initiator", (0, 1)), ("both", (1, 1))])
def test_a_close_by_the_victim_is_an_escalation(victim: str, seen: tuple[int, int]) -> None:
    for leg, count in zip((End.TARGET, End.INITIATOR), seen, strict=True):
        talk = escalations(victim)
        talk.closed(leg)
        assert len(talk.told("noted")) == count
        talk.closed(leg.other, by="proxy")
        assert len(talk.told("noted")) == count, "what the proxy passes on is none"


@pytest.mark.parametrize(("event", "count"), [(0, 0), (1, 1), (2, 1), (3, 1), (4, 0), (255, 0)])
def test_an_async_that_asks_for_the_end_is_an_escalation(event: int, count: int) -> None:
    talk = escalations("target")
    assert len(talk.say(asynchronous(event))) == 1
    assert len(talk.told("noted")) == count
    other = escalations("initiator")
    other.say(asynchronous(event))
    assert other.told("noted") == []


def test_an_escalation_leaves_nothing_in_hand() -> None:
    talk = Dialogue("rules: [{when: escalation, do: [{delay: 5s}, {note: it}]}]")
    assert len(talk.say(asynchronous(2))) == 1
    talk.tick(5)
    assert talk.told("noted") == ["#1: it"]


def test_what_has_a_plainer_name_in_the_pattern_is_met_once() -> None:
    talk = escalations("target", "close or Async or escalation")
    talk.say(asynchronous(2))
    talk.closed(End.TARGET)
    assert len(talk.told("noted")) == 2


def test_an_escalation_that_is_waited_for_is_looked_for() -> None:
    talk = Dialogue("rules: [{when: SCSI-Command, do: {delay: {until: escalation, at_most: 50s}}}]")
    assert talk.say(write(2, 10)) == []
    assert Interest.WHOLE is talk.engine.interest(End.TARGET)[Opcode.ASYNC]
    assert [pdu.opcode for pdu in talk.say(asynchronous(3))] == [Opcode.SCSI_COMMAND, Opcode.ASYNC]


@pytest.mark.parametrize("what", ["good", "error", "mismatch"])
def test_what_the_application_saw_is_an_event(what: Literal["good", "error", "mismatch"]) -> None:
    talk = Dialogue("rules: [{when: io-error nth 1, do: {close: rst}}, {when: io-mismatch or io-good, do: {note: it}}]")
    talk.connect(2, ISID=0x800000000002)
    event = IoDone(n=talk.next_n(), at=0.0, conn=0, what=what, text="READ of 8 blocks")
    talk._carry_out(talk.engine.happened(event))
    closes = [one for one in talk.wire if isinstance(one, str)]
    assert (len(closes), len(talk.told("noted"))) == ((2, 0) if what == "error" else (0, 1))
