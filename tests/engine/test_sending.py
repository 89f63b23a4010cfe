from __future__ import annotations

import pytest

from tests.engine.dialogue import Dialogue, nop_in, r2t, read, scsi_response, write


def test_the_same_way_it_stands_before_what_is_in_hand_and_the_other_way_out_of_line() -> None:
    text = "rules:\n  - when: R2T\n    do:\n      - inject: NOP-Out\n      - inject: NOP-In\n"
    talk = Dialogue(text)
    talk.say(write(1, 10))
    assert [pdu.label for pdu in talk.say(r2t(1, 5))] == ["NOP-Out", "NOP-In", "R2T"]


def test_behind_pass_it_comes_behind() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do:\n      - pass\n      - inject: NOP-Out\n")
    assert [pdu.label for pdu in talk.say(read(1, 10))] == ["SCSI-Command", "NOP-Out"]


def test_a_name_needs_one_connection() -> None:
    text = "rules:\n  - when: 1s\n    do:\n      - inject: {pdu: NOP-Out, as: mine}\n"
    talk = Dialogue(text, connect=False)
    talk.connect(1)
    talk.connect(2, ISID=0x800000000002)
    assert talk.tick(2) == []
    assert talk.told("failed") == ["#1: inject: there are several connections"]


def test_without_a_connection_there_is_nowhere_to_send_to() -> None:
    talk = Dialogue("rules:\n  - when: 1s\n    do:\n      - inject: NOP-Out\n", connect=False)
    talk.tick(2)
    assert talk.told("failed") == ["#1: inject: there is no connection to send on"]


@pytest.mark.parametrize(("fields", "reaches"), [("{ITT: fresh, as: copy}", False), ("{as: copy}", True)])
def test_a_copy_with_a_tag_of_its_own_is_answered_to_nobody(fields: str, reaches: bool) -> None:
    text = (
        f"rules:\n  - when: SCSI-Command\n    do:\n      - duplicate: {fields}\n"
        "  - when: NOP-In of copy\n    do: drop\n"
    )
    talk = Dialogue(text)
    _, copy = talk.say(read(1, 10))
    assert bool(talk.say(scsi_response(copy["ITT"], 101))) is reaches
    assert talk.say(nop_in(99, 102)) != []
