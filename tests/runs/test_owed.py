from __future__ import annotations

import pytest

from iscsiproxy.runs.owed import Owed
from iscsiproxy.session.events import Delivered, Noted, Received
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []


def passing(owed: Owed, pdu: Pdu, conn: int = 1) -> None:
    """Have a PDU come in at its sender's leg, and go out at the other."""
    owed.take(Received(n=1, at=0.0, conn=conn, leg=pdu.sender, pdu=pdu))
    owed.take(Delivered(n=2, at=0.0, conn=conn, leg=pdu.sender.other, pdu=pdu, of=1))


def owing(owed: Owed, conn: int = 1) -> list[End]:
    return [end for end in End if owed.by(conn, end)]


@pytest.mark.parametrize("opcode", [Opcode.LOGIN_REQUEST, Opcode.TEXT_REQUEST])
def test_a_target_that_was_asked_owes_an_answer_until_it_gives_one(opcode: Opcode) -> None:
    owed = Owed()
    assert owing(owed) == []
    passing(owed, Pdu.build(opcode))
    assert owing(owed) == [End.TARGET]
    assert owing(owed, conn=2) == []
    answer = {Opcode.LOGIN_REQUEST: Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST: Opcode.TEXT_RESPONSE}[opcode]
    owed.take(Received(n=3, at=0.0, conn=1, leg=End.TARGET, pdu=Pdu.build(answer)))
    assert owing(owed) == []


def test_a_request_that_never_goes_out_is_owed_by_nobody() -> None:
    owed = Owed()
    owed.take(Received(n=1, at=0.0, conn=1, leg=End.INITIATOR, pdu=Pdu.build(Opcode.LOGIN_REQUEST)))
    assert owing(owed) == []


@pytest.mark.parametrize(
    ("fields", "by"),
    [
        ({"T": 0}, [End.INITIATOR]),
        ({"T": 1, "NSG": 1}, [End.INITIATOR]),
        ({"T": 1, "NSG": 3}, []),
        ({"Status-Class": 2}, []),
    ],
)
def test_an_initiator_owes_the_next_request_of_a_login_but_not_behind_its_end(
    fields: dict[str, int], by: list[End]
) -> None:
    owed = Owed()
    passing(owed, Pdu.build(Opcode.LOGIN_RESPONSE).with_fields(fields))
    assert owing(owed) == by


def test_an_initiator_may_be_silent_behind_a_text() -> None:
    owed = Owed()
    passing(owed, Pdu.build(Opcode.TEXT_RESPONSE))
    assert owing(owed) == []


def test_nothing_else_says_who_owes_what() -> None:
    owed = Owed()
    passing(owed, Pdu.build(Opcode.LOGIN_REQUEST))
    passing(owed, Pdu.build(Opcode.NOP_OUT))
    owed.take(Noted(n=3, at=0.0, conn=1, rule="", of=None, text=""))
    assert owing(owed) == [End.TARGET]
    assert repr(owed) == "<Owed by the target on 1>"
