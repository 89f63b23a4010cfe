from __future__ import annotations

import pytest

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.session.events import Change
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import Dialogue, data_out

CHANGE = [Change(what="DataSN", old="0", new="1")]


def hand(pdu: Pdu, digests: tuple[bool, bool]) -> Hand:
    talk = Dialogue("rules:\n  - when: R2T as r")
    look = Look(1, 0.0, End.INITIATOR, talk.state, talk.engine.rng, {}, pdu, 1)
    return Hand(look, 1, pdu, digests)


def test_what_nobody_has_changed_goes_as_it_came() -> None:
    wrong = data_out(2, 0).with_parts(header_digest=b"1234", data_digest=b"5678")
    assert hand(wrong, (True, True)).outgoing() is wrong


@pytest.mark.parametrize("digests", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("came", [(False, False), (True, True)])
def test_digests_are_those_of_the_leg_it_goes_to(came: tuple[bool, bool], digests: tuple[bool, bool]) -> None:
    pdu = data_out(2, 0, b"abc").sealed(header=came[0], data=came[1])
    assert hand(pdu, digests).outgoing() == pdu.sealed(header=digests[0], data=digests[1])


def test_what_a_peer_made_wrong_stays_wrong_by_the_same_bits() -> None:
    right = data_out(2, 0, b"abc").sealed(header=True, data=True)
    wrong = right.with_parts(header_digest=bytes([right.header_digest[0] ^ 1]) + right.header_digest[1:])
    one = hand(wrong, (True, True))
    changed = right.with_fields({"DataSN": 1})
    one.change(wrong.with_fields({"DataSN": 1}), CHANGE, "r")
    made = changed.sealed(header=True, data=True)
    assert one.outgoing() == made.with_parts(header_digest=bytes([made.header_digest[0] ^ 1]) + made.header_digest[1:])


def test_it_can_be_put_back_as_it_was() -> None:
    pdu = data_out(2, 0, b"abc")
    one = hand(pdu, (True, True))
    saved = one.save()
    one.change(pdu.with_fields({"DataSN": 1}), CHANGE, "r")
    one.keep_digests(pdu.with_parts(header_digest=b"1234"))
    one.dropped, one.fate = True, "r"
    one.restore(saved)
    assert (one.pdu, one.changes, one.rules, one.dropped, one.fate) == (pdu, [], [], False, "")
    assert one.outgoing() == pdu.sealed(header=True, data=True)
    assert "Data-Out" in repr(one)
