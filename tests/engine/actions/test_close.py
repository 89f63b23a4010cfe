from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import Dialogue, Sent, data_out, write


def rule(act: str, when: str = "SCSI-Command nth 1") -> str:
    return f"rules:\n  - when: {when}\n    do:\n      - close: {act}"


@pytest.mark.parametrize(
    ("at", "sent"),
    [("start", 0), ("header+1", 1), ("header+20", 20), ("data+0", 52), ("data+3", 55), ("pad", 58), ("end", 64)],
)
def test_just_that_much_of_the_pdu_goes_first(at: str, sent: int) -> None:
    talk = Dialogue(rule(f"{{how: rst, at: {at}}}"), connect=False)
    talk.connect(keys={"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"})
    before = len(talk.bytes_to(End.TARGET))
    pdu = write(2, 10, b"abcdef")
    talk.say(pdu)
    assert talk.bytes_to(End.TARGET)[before:] == pdu.sealed(header=True, data=True).raw[:sent]
    assert talk.wire[-1] == "rst both"
    assert talk.open_slots == []
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_the_close_comes_behind_what_was_held_before_it() -> None:
    talk = Dialogue(rule("fin", "SCSI-Command nth 2") + "\n  - when: SCSI-Command nth 1\n    do: {delay: 1s}")
    first, second = write(2, 10), write(3, 11)
    assert talk.say(first, second) == []
    assert talk.tick(1) == [first, second]
    assert talk.wire[-1] == "fin both"


def test_a_dropped_pdu_does_not_go_before_the_close() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do: [drop, close]")
    assert talk.say(write(2, 10)) == []
    assert talk.wire[-1] == "rst both"


def test_a_place_that_is_not_there_leaves_the_pdu_alone() -> None:
    talk = Dialogue(rule("{at: data+100}"))
    pdu = write(2, 10, b"abc")
    assert talk.say(pdu) == [pdu]
    assert talk.counts() == {"matched": 1, "failed": 1}


def test_a_timer_closes_every_connection() -> None:
    talk = Dialogue("rules:\n  - when: 3s\n    do: {close: {how: fin, end: target}}")
    talk.connect(2, ISID=0x800000000002)
    talk.tick(3)
    assert talk.wire[-2:] == ["fin target", "fin target"]


def test_a_sequence_followed_per_connection_closes_that_one() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command per connection then 1s\n    do: close")
    talk.connect(2, ISID=0x800000000002)
    talk.say(write(2, 10), conn=2)
    talk.tick(1)
    assert talk.wire[-1] == "rst both"
    assert not isinstance(talk.wire[-1], Sent)
    assert len([one for one in talk.wire if one == "rst both"]) == 1
    assert talk.engine.commands == []


def test_another_connection_may_be_closed_and_the_pdu_goes_on() -> None:
    talk = Dialogue(
        "rules:\n  - when: full-feature nth 1 as first\n"
        "  - when: Data-Out\n    do:\n      - close: {conn: first}\n      - set: {LUN: 1}"
    )
    talk.connect(2, ISID=0x800000000002)
    (pdu,) = talk.say(data_out(2, 0), conn=2)
    assert pdu["LUN"] >> 48 == 1
    assert "rst both" in talk.wire


def test_rules_behind_a_close_are_shadowed() -> None:
    talk = Dialogue(rule("rst") + "\n  - when: SCSI-Command\n    do: {set: {LUN: 1}}")
    talk.say(write(2, 10))
    assert talk.counts("#2") == {"matched": 1, "shadowed": 1}
    assert talk.told("shadowed") == ["#2: set: the connection was closed before"]


def test_an_unbound_connection_is_no_connection() -> None:
    talk = Dialogue(rule("{conn: late}") + "\n  - when: close as late")
    pdu = write(2, 10)
    assert talk.say(pdu) == [pdu]
    assert talk.told("failed") == ["#1: close: late is not bound"]
