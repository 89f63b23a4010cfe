from __future__ import annotations

from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.standing import Standing
from iscsiproxy.engine.swapping import Swapped
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import Dialogue, data_in, nop_in, nop_out, reject, scsi_response


def apply(pdu: Pdu, old: Pdu) -> tuple[Hand | None, list[Standing]]:
    """Let a PDU come in while the answer to what stands for `old` is awaited."""
    talk, standing = Dialogue("rules:\n  - when: R2T as r"), list[Standing]()
    swapped = Swapped(standing, 1, talk.engine.session(1), old, old["ITT"])
    standing.append(swapped)
    look = Look(1, 0.0, pdu.sender, talk.state, talk.engine.rng, {}, pdu, 9)
    if not swapped.wants(look):
        return None, standing
    hand = Hand(look, 9, pdu, (False, False))
    swapped.apply(hand)
    return hand, standing


def test_only_what_has_its_tag_is_its_answer() -> None:
    old = nop_out(7, 10, b"ping")
    for pdu in (nop_in(8, 101), reject(nop_out(8, 10).bhs), reject(b"short"), nop_out(7, 10)):
        assert apply(pdu, old)[0] is None


def test_what_comes_before_the_last_part_goes_nowhere() -> None:
    hand, standing = apply(data_in(7, 0), nop_out(7, 10))
    assert hand is not None
    assert hand.hidden
    assert len(standing) == 1


def test_the_last_part_ends_it() -> None:
    hand, standing = apply(scsi_response(7, 101), nop_out(7, 10, b"ping"))
    assert hand is not None
    assert (hand.pdu.label, hand.pdu.data, hand.pdu["StatSN"]) == ("NOP-In", b"ping", 101)
    assert standing == []


def test_the_end_of_the_connection_ends_it() -> None:
    standing = list[Standing]()
    swapped = Swapped(standing, 1, 1, nop_out(7, 10), 7)
    standing.append(swapped)
    swapped.forget(2, End.TARGET)
    assert standing == [swapped]
    swapped.forget(1, End.TARGET)
    assert standing == []
    assert "0x7" in repr(swapped)
