from __future__ import annotations

from iscsiproxy.engine.authored import Errand, Errands, advances, author_of, is_last
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.session.events import Delivered
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import (
    NO_TAG,
    Dialogue,
    data_in,
    data_out,
    nop_in,
    nop_out,
    r2t,
    read,
    reject,
    scsi_response,
    text_response,
    write,
)


class Bench:
    """Some errands, and what comes in."""

    def __init__(self) -> None:
        self.talk = Dialogue("rules:\n  - when: R2T as r")
        self.errands = Errands()
        self.answers: list[Pdu | None] = []

    def send(self, pdu: Pdu, *, borrowed: bool = False, gone: bool = True) -> Errand:
        """Send one on connection 1."""
        errand = Errand(self.errands.ticket(), 1, pdu.sender.other, pdu, "x/r", borrowed=borrowed)
        errand.answered = lambda look: self.answers.append(None if look is None else look.pdu)
        self.errands.begin(errand)
        if gone:
            event = Delivered(n=5, at=0.0, conn=1, leg=errand.to, pdu=pdu, of=None, author=errand.ticket)
            self.errands.delivered(event)
        return errand

    def comes(self, pdu: Pdu, conn: int = 1) -> bool:
        """Let a PDU come in; tell whether it was kept from the other end."""
        look = Look(conn, 0.0, pdu.sender, self.talk.state, self.talk.engine.rng, {}, pdu, 9)
        if not self.errands.wants(look):
            return False
        hand = Hand(look, 9, pdu, (False, False))
        self.errands.apply(hand)
        assert hand.dropped
        assert hand.hidden
        return True


def test_an_answer_is_known_by_its_tag() -> None:
    bench = Bench()
    bench.send(nop_out(0x500, 10))
    assert not bench.comes(nop_in(0x501, 101))
    assert not bench.comes(nop_in(0x500, 101), conn=2)
    assert not bench.comes(data_out(0x500, 0))  # of the initiator
    assert bench.comes(nop_in(0x500, 101))
    assert [pdu and pdu.label for pdu in bench.answers] == ["NOP-In"]
    assert not bench.comes(nop_in(0x500, 102))  # it is over


def test_before_it_has_gone_nothing_answers_it() -> None:
    bench = Bench()
    bench.send(nop_out(0x500, 10), gone=False)
    assert not bench.comes(nop_in(0x500, 101))


def test_all_of_an_answer_is_kept_back_up_to_its_last_pdu() -> None:
    bench = Bench()
    bench.send(read(0x500, 10))
    assert bench.comes(data_in(0x500, 0))
    assert bench.comes(data_in(0x500, 1, F=1))
    assert bench.answers == []
    assert bench.comes(scsi_response(0x500, 101))
    assert len(bench.answers) == 1


def test_a_reject_answers_by_the_header_in_it() -> None:
    bench = Bench()
    request, snack = nop_out(0x500, 10), data_out(7, 3)
    bench.send(request)
    bench.send(snack)
    assert not bench.comes(reject(nop_out(0x501, 10).bhs))
    assert not bench.comes(reject(data_out(7, 4).bhs))
    assert not bench.comes(reject(b"short"))
    assert bench.comes(reject(request.bhs))
    assert bench.comes(reject(snack.bhs))


def test_an_initiator_answers_a_ping_and_an_r2t_with_their_tag() -> None:
    bench = Bench()
    bench.send(nop_in(NO_TAG, 101, TTT=0x700))
    bench.send(r2t(5, 0x701))
    assert bench.comes(nop_out(NO_TAG, 10, I=1, TTT=0x700))
    assert bench.comes(data_out(5, 0, ttt=0x701))
    assert bench.comes(data_out(5, 1, ttt=0x701, F=1))
    assert not bench.comes(data_out(5, 0, ttt=0x702))


def test_a_borrowed_tag_has_no_answers() -> None:
    bench = Bench()
    bench.send(write(5, 10), borrowed=True)
    assert not bench.comes(scsi_response(5, 101))
    assert not bench.errands


def test_what_can_no_longer_be_answered_is_told() -> None:
    bench = Bench()
    bench.send(nop_out(0x500, 10))
    other = bench.send(nop_out(0x501, 10), gone=False)
    bench.errands.in_vain(other.ticket)
    assert bench.answers == [None]
    bench.errands.forget(1, End.TARGET)
    assert bench.answers == [None, None]
    assert repr(bench.errands) == "<Errands 0 open>"


def test_what_only_a_reject_answers_is_remembered_for_a_while() -> None:
    bench = Bench()
    for number in range(100):
        bench.send(data_out(7, number))
    assert not bench.comes(reject(data_out(7, 0).bhs))
    assert bench.comes(reject(data_out(7, 99).bhs))


def test_which_pdus_are_the_last_and_which_count() -> None:
    assert is_last(data_in(1, 0, S=1))
    assert not is_last(data_in(1, 0))
    assert not is_last(r2t(1, 2))
    assert is_last(text_response(1, 101))
    assert not is_last(text_response(1, 101, F=0))
    assert advances(scsi_response(1, 101))
    assert not advances(nop_in(NO_TAG, 101))
    assert advances(nop_in(1, 101))
    assert not advances(r2t(1, 2))


def test_the_command_says_where_it_goes() -> None:
    errand = Bench().send(nop_out(0x500, 10))
    author = author_of(errand, fill=frozenset({"CmdSN"}), patient=True)
    assert (author.conn, author.to, author.ticket, author.patient) == (1, End.TARGET, errand.ticket, True)
    assert author.rules == ("x/r",)
