from __future__ import annotations

from tests.engine.dialogue import Dialogue, Sent, write


def test_the_pdu_goes_and_the_list_goes_on() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do: [pass, note: gone]")
    pdu = write(2, 10)
    assert talk.say(pdu) == [pdu]
    assert talk.told("noted") == ["#1: gone"]
    assert talk.open_slots == []


def test_a_close_comes_behind_what_was_passed() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do: [pass, close: rst]")
    pdu = write(2, 10)
    talk.say(pdu)
    assert isinstance(talk.wire[-2], Sent)
    assert talk.wire[-2].pdu == pdu
    assert talk.wire[-1] == "rst both"
    assert talk.open_slots == []


def test_what_follows_a_passed_pdu_does_not_wait() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do: [pass, delay: 20s, close: fin]")
    first, second = write(2, 10), write(3, 11)
    assert talk.say(first, second) == [first, second]
    assert talk.open_slots == []
    assert talk.wire[-1] != "fin both"
    talk.tick(20)
    assert talk.wire[-1] == "fin both"
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_a_pdu_goes_only_once() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: pass\n  - when: SCSI-Command\n    do: pass")
    pdu = write(2, 10)
    assert talk.say(pdu) == [pdu]
    assert talk.counts("#2") == {"matched": 1, "shadowed": 1}
