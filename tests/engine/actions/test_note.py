from __future__ import annotations

from tests.engine.dialogue import Dialogue, write


def test_the_text_is_left_and_the_pdu_goes_as_it_came() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: {note: seen it}")
    pdu = write(2, 10)
    assert talk.say(pdu) == [pdu]
    assert talk.told("noted") == ["#1: seen it"]
    assert talk.sent(pdu.sender.other)[-1].rules == ()


def test_an_event_can_be_noted() -> None:
    talk = Dialogue("rules:\n  - when: connect\n    do: {note: here}\n  - when: full-feature\n    do: {note: in}")
    assert talk.told("noted") == ["#1: here", "#2: in"]
