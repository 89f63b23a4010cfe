from __future__ import annotations

import pytest

from iscsiproxy.peers.initiator.errors import ProtocolError
from iscsiproxy.peers.initiator.texts import TextDialogue
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import TextPair, encode_text


def answer(data: bytes = b"", *, final: bool = True, more: bool = False, tag: int | None = None) -> Pdu:
    ttt = (NO_TAG if final else 9) if tag is None else tag
    return Pdu.build(Opcode.TEXT_RESPONSE, data=data, F=int(final), C=int(more), ITT=1, TTT=ttt, LUN=3)


def begin(*pairs: tuple[str, str], limit: int = 8192) -> tuple[TextDialogue, Pdu]:
    dialogue = TextDialogue(pairs, itt=1, limit=limit)
    request = dialogue.next_request(None)
    assert request is not None
    return dialogue, request


def test_one_request_one_response() -> None:
    dialogue, request = begin(("SendTargets", "All"))
    assert (request["F"], request["C"], request["TTT"], request.data) == (1, 0, NO_TAG, b"SendTargets=All\0")
    assert dialogue.next_request(answer(encode_text([("TargetName", "iqn.a")]))) is None
    assert dialogue.pairs == (TextPair("TargetName", "iqn.a"),)


def test_long_text_goes_in_parts_that_get_empty_answers() -> None:
    dialogue, request = begin(("X-a", "0123456789"), limit=10)
    assert (request["F"], request["C"], request.data) == (0, 1, b"X-a=012345")
    rest = dialogue.next_request(answer(final=False))
    assert rest is not None
    assert (rest["F"], rest["C"], rest["TTT"], rest["LUN"], rest.data) == (1, 0, 9, 3, b"6789\0")
    assert dialogue.next_request(answer()) is None


def test_a_target_that_has_more_to_say_gets_empty_requests() -> None:
    dialogue, _ = begin()
    for part in (b"A=", b"1\0"):
        request = dialogue.next_request(answer(part, final=False, more=part == b"A="))
        assert request is not None
        assert (request.data, request["F"], request["TTT"]) == (b"", 1, 9)
    assert dialogue.next_request(answer(b"B=2\0")) is None
    assert dialogue.pairs == (("A", "1"), ("B", "2"))


def test_with_F_the_tag_says_nothing() -> None:
    dialogue, _ = begin()
    assert dialogue.next_request(answer(b"A=1\0", tag=9)) is None
    assert dialogue.pairs == (("A", "1"),)


@pytest.mark.parametrize(
    "wrong",
    [
        answer(more=True),
        answer(final=False, tag=NO_TAG),
        answer(b"no pair\0"),
    ],
)
def test_a_response_that_cannot_be_ends_the_session(wrong: Pdu) -> None:
    dialogue, _ = begin()
    with pytest.raises(ProtocolError):
        dialogue.next_request(wrong)


@pytest.mark.parametrize("wrong", [answer(), answer(b"A=1\0", final=False)])
def test_a_target_may_not_speak_while_we_have_not_finished(wrong: Pdu) -> None:
    dialogue, _ = begin(("X-a", "0123456789"), limit=10)
    with pytest.raises(ProtocolError):
        dialogue.next_request(wrong)


def test_a_negotiation_without_end_is_given_up() -> None:
    dialogue, _ = begin()
    for _ in range(1023):
        dialogue.next_request(answer(final=False))
    with pytest.raises(ProtocolError, match="rounds"):
        dialogue.next_request(answer(final=False))


def test_text_without_end_is_given_up() -> None:
    dialogue, _ = begin()
    for _ in range(16):
        dialogue.next_request(answer(bytes(1 << 16), final=False, more=True))
    with pytest.raises(ProtocolError, match="at most"):
        dialogue.next_request(answer(b"x", final=False, more=True))


@pytest.mark.parametrize(
    ("said", "declared", "offered"),
    [("1024", 1024, 512), ("Reject", None, None), ("NotUnderstood", None, 512)],
)
def test_a_segment_length_is_declared_by_each_end(said: str, declared: int | None, offered: int | None) -> None:
    dialogue, _ = begin(("MaxRecvDataSegmentLength", "512"))
    dialogue.next_request(answer(encode_text([("MaxRecvDataSegmentLength", said)])))
    assert (dialogue.declared_segment, dialogue.offered_segment) == (declared, offered)


def test_a_segment_length_out_of_range_ends_the_session() -> None:
    dialogue, _ = begin()
    dialogue.next_request(answer(b"MaxRecvDataSegmentLength=511\0"))
    with pytest.raises(ProtocolError, match=r"13\.12"):
        _ = dialogue.declared_segment
