from __future__ import annotations

from collections.abc import Iterable

import pytest

from iscsiproxy.capture.flow import Data
from iscsiproxy.capture.side import Cut, Lapse, Mode, Side, Trust
from iscsiproxy.capture.survey import Way
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.capture.traffic import dialogue
from tests.journal.story import command, data_in, response

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET
READ = data_in(1, bytes(range(200)) * 2)


@pytest.fixture
def side() -> Side:
    side = Side(0, Way(source=(b"10.0.0.2", 3260), first=1, opened=True, missing=(), bytes=0))
    side.sender = TARGET
    return side


def cutting(
    side: Side, trust: Trust = Trust.WHOLE, *, header: bool = False, data: bool = False, offset: int = 0
) -> Side:
    side.start(offset, header, data, trust)
    return side


def cut(side: Side, *pieces: bytes) -> list[Cut | Lapse]:
    return [one for piece in pieces for one in side.cut(Data(piece))]


def raw(*pdus: Pdu) -> bytes:
    return b"".join(pdu.raw for pdu in pdus)


def test_PDUs_are_cut_whatever_the_pieces(side: Side) -> None:
    pdus = [response(1), READ, response(2)]
    whole = raw(*pdus)
    assert cut(cutting(side), whole) == [Cut(pdu) for pdu in pdus]
    assert cut(cutting(side), *(whole[at : at + 1] for at in range(len(whole)))) == [Cut(pdu) for pdu in pdus]


def test_the_place_where_it_starts_may_be_inside(side: Side) -> None:
    whole = b"tail" + raw(response(1), READ)
    assert cut(cutting(side, offset=4), whole[:2], whole[2:10], whole[10:]) == [Cut(response(1)), Cut(READ)]


def test_digests_are_cut_off(side: Side) -> None:
    pdus = [pdu.sealed(header=True, data=True) for pdu in (response(1), READ)]
    assert cut(cutting(side, header=True, data=True), raw(*pdus)) == [Cut(pdu) for pdu in pdus]


def test_whole_trust_takes_anything_for_a_PDU(side: Side) -> None:
    odd = [command(1), response(1).with_fields({"Opcode": 0x3B}), response(1).with_fields({"F": 0})]
    assert cut(cutting(side), raw(*odd)) == [Cut(pdu) for pdu in odd]


def test_a_login_that_makes_no_sense_is_garbage(side: Side) -> None:
    cutting(side).framer.strict = True
    [lapse] = cut(side, response(1).with_fields({"DataSegmentLength": 1 << 20}).raw)
    assert isinstance(lapse, Lapse)
    assert "during login" in lapse.reason


@pytest.mark.parametrize(
    "odd", [response(2).with_fields({"F": 0}), command(2), response(2).with_fields({"Opcode": 0x3B})]
)
def test_little_trust_ends_where_something_looks_odd(side: Side, odd: Pdu) -> None:
    whole = raw(response(1), odd, response(3))
    first, lapse = cut(cutting(side, Trust.LITTLE), whole)
    assert first == Cut(response(1))
    assert lapse == Lapse(whole[48:])


def test_trust_in_a_login_ends_with_it(side: Side) -> None:
    pdus = [pdu for pdu in dialogue(header=True, data=True) if pdu.sender is TARGET]
    first, turn = cut(cutting(side, Trust.LOGIN), raw(*pdus))
    assert first == Cut(pdus[0])
    assert turn == Lapse(raw(*pdus[1:]), turn=True)


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("length", [1, 100, 400])
def test_bytes_missing_inside_data_cost_the_data_only(side: Side, length: int, header: bool) -> None:
    pdu = READ.sealed(header=header, data=False)
    start = 48 + 4 * header
    cutting(side, header=header)
    assert cut(side, response(0).sealed(header=header, data=False).raw, pdu.raw[:start]) == [
        Cut(response(0).sealed(header=header, data=False))
    ]
    left = pdu.raw[start + length :]
    known = Cut(Pdu(pdu.bhs, header_digest=pdu.header_digest), partial=True)
    more = [Cut(response(2).sealed(header=header, data=False))]
    missed = list(side.miss(length))
    assert missed + cut(side, left + more[0].pdu.raw) == [known, *more]
    assert missed == ([] if left else [known])


def test_several_gaps_in_one_PDU(side: Side) -> None:
    cutting(side)
    found = cut(side, READ.raw[:60])
    found += side.miss(40)
    found += cut(side, READ.raw[100:200])
    found += side.miss(100)
    found += cut(side, READ.raw[300:] + response(2).raw)
    assert found == [Cut(Pdu(READ.bhs), partial=True), Cut(response(2))]


@pytest.mark.parametrize(("there", "length"), [(0, 48), (20, 100), (48, 401), (448, 1), (60, 500)], ids=str)
def test_bytes_missing_anywhere_else_cost_the_place_too(side: Side, there: int, length: int) -> None:
    cutting(side)
    assert cut(side, READ.raw[:there]) == ([Cut(READ)] if there == 448 else [])
    assert list(side.miss(length)) == [Lapse(b"")]


def test_a_gap_behind_a_gap_may_cost_the_place(side: Side) -> None:
    cutting(side)
    cut(side, READ.raw[:60])
    assert list(side.miss(40)) == []
    assert list(side.miss(1000)) == [Lapse(b"")]


def test_a_gap_is_not_passed_over_on_the_word_of_a_header_that_looks_odd(side: Side) -> None:
    odd = READ.with_fields({"Opcode": 0x3B})
    cutting(side)
    cut(side, odd.raw[:60])
    assert list(side.miss(10)) == [Lapse(b"")]


@pytest.fixture
def unknown(side: Side) -> Side:
    side.sender = None
    return side


def test_a_search_finds_the_place_and_the_sender(unknown: Side) -> None:
    found = unknown.search([Data(b"tail", whole=False), Data(READ.raw)], (None, None), trusted=True, final=True)
    assert found is not None
    assert (found.offset, unknown.sender, unknown.looked) == (4, TARGET, 4 + len(READ))


def test_a_search_in_vain_says_so(unknown: Side) -> None:
    assert unknown.search([Data(b"nothing" * 20)], (None, None), trusted=True, final=True) is None
    assert unknown.sender is None
    assert unknown.looked == 140


def pieces(side: Side, *told: tuple[bytes, str]) -> Iterable[Cut | Lapse]:
    for data, comment in told:
        yield from side.cut(Data(data, comments=(f"iscsiproxy: {comment}",) if comment else ()))


def test_a_PDU_in_two_parts_is_one(side: Side) -> None:
    whole = response(1).raw
    cutting(side)
    found = list(pieces(side, (whole[:10], "bytes 0 to 10 of 48"), (whole[10:], "bytes 10 to 48 of 48")))
    assert found == [Cut(response(1))]
    assert side.comments == ["iscsiproxy: bytes 0 to 10 of 48", "iscsiproxy: bytes 10 to 48 of 48"]


def test_a_PDU_that_a_fault_cut_short_does_not_spoil_the_next(side: Side) -> None:
    cutting(side)
    found = list(pieces(side, (READ.raw[:60], "bytes 0 to 70 of 448"), (READ.raw[60:70], ""), (response(1).raw, "")))
    assert found == [Cut(response(1))]
    assert side.comments == []


def test_its_repr_tells_its_state(side: Side) -> None:
    assert repr(side) == "<Side of the target searching <Flow at 0, 0 segments wait, 0 gaps to come>>"
    assert repr(cutting(side)).startswith("<Side of the target cutting ")
    side.stop(Mode.LOST)
    side.sender = None
    assert repr(side).startswith("<Side of the unknown lost ")
