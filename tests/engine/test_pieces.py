from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.engine.pieces import (
    MAX_PIECES,
    apart,
    differences,
    fold,
    join,
    lengths,
    split_data,
    split_r2t,
    without_status,
)
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import data_in, data_out, r2t, scsi_response

__all__: list[str] = []


@pytest.mark.parametrize(
    ("total", "size", "into", "first", "parts"),
    [
        (1024, 512, None, None, [512, 512]),
        (1025, 512, None, None, [512, 512, 1]),
        (300, 512, None, None, [300]),
        (0, 512, None, None, [0]),
        (1024, None, 2, None, [512, 512]),
        (1030, None, 3, None, [344, 344, 342]),
        (5, None, 2, None, [3, 2]),
        (10, None, 1, None, [10]),
        (10, None, None, 0, [0, 10]),
        (10, None, None, 10, [10, 0]),
        (1000, 400, None, 8, [8, 400, 400, 192]),
        (1000, None, 3, 0, [0, 500, 500]),
        (10, None, None, None, [10]),
    ],
)
def test_lengths(total: int, size: int | None, into: int | None, first: int | None, parts: list[int]) -> None:
    assert lengths(total, size=size, into=into, first=first) == parts


@pytest.mark.parametrize(
    ("total", "size", "into", "first", "why"),
    [
        (10, 0, None, None, "size is 0, expected 1 or more"),
        (10, 2, 2, None, "exclude each other"),
        (10, None, 11, None, "10 bytes are too few for 11 pieces"),
        (10, None, 0, None, "into is 0, expected 1 to 10000"),
        (10, None, 1, 4, "into is 1, expected 2 to 10000"),
        (10, None, None, 11, "first is 11, expected 0 to 10"),
        (10, None, None, -1, "first is -1"),
        (MAX_PIECES + 1, 1, None, None, "more than 10000"),
    ],
)
def test_what_cannot_be_cut_so(total: int, size: int | None, into: int | None, first: int | None, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        lengths(total, size=size, into=into, first=first)


@given(st.integers(0, 100_000), st.integers(1, 50), st.integers(0, 100))
def test_pieces_are_all_of_it_and_as_even_as_words_allow(total: int, into: int, first: int) -> None:
    first = min(first, total)
    if total - first < into and into > 1:
        return
    head, *shares = lengths(total, size=None, into=into + 1, first=first)
    assert (head, sum(shares)) == (first, total - first)
    assert len(shares) == into
    assert max(shares) - min(shares) <= 7
    if total - first >= 4 * into:
        assert not any(share % 4 for share in shares[:-1])


@given(st.binary(min_size=1, max_size=200), st.integers(1, 60), st.integers(0, 0xFFFFFFFF))
def test_what_was_cut_can_be_joined(data: bytes, size: int, offset: int) -> None:
    whole = data_in(2, 5, data, F=1, S=1, StatSN=101, BufferOffset=offset, U=1, ResidualCount=3)
    first, *others = split_data(whole, lengths(len(data), size=size, into=None, first=None))
    joined = first
    for other in others:
        one = join(joined, other)
        assert one is not None
        joined = one
    assert joined == whole


def test_only_the_last_data_out_has_f() -> None:
    pieces = split_data(data_out(2, 3, b"abcdefgh", ttt=7, F=1, BufferOffset=512), [3, 5])
    assert [(one.data, one.pad, one["F"], one["BufferOffset"]) for one in pieces] == [
        (b"abc", b"\0", 0, 512),
        (b"defgh", bytes(3), 1, 515),
    ]
    assert {(one["DataSN"], one["TTT"], one["ITT"], one["DataSegmentLength"] - len(one.data)) for one in pieces} == {
        (3, 7, 2, 0)
    }


def test_only_the_last_data_in_has_a_status_and_asks_for_an_acknowledgement() -> None:
    whole = data_in(2, 3, b"abcd", F=1, A=1, S=1, U=1, Status=0, StatSN=9, ResidualCount=5, TTT=4, LUN=1)
    first, last = split_data(whole, [2, 2])
    told = ("F", "A", "S", "U", "StatSN", "ResidualCount", "TTT", "LUN")
    assert [first[name] for name in told] == [0, 0, 0, 0, 0, 0, NO_TAG, 0]
    assert [last[name] for name in told] == [1, 1, 1, 1, 9, 5, 4, 1]
    assert (first["ExpCmdSN"], first["MaxCmdSN"]) == (whole["ExpCmdSN"], whole["MaxCmdSN"])


def test_a_status_apart_and_back_again() -> None:
    whole = data_in(2, 3, b"abcd", F=1, S=1, U=1, StatSN=9, ResidualCount=5)
    bare, response = without_status(whole), apart(whole)
    assert (bare["F"], bare["S"], bare["U"], bare["StatSN"], bare["ResidualCount"]) == (1, 0, 0, 0, 0)
    assert response.opcode == Opcode.SCSI_RESPONSE
    told = ("F", "ITT", "StatSN", "ExpDataSN", "U", "ResidualCount", "Status", "Response", "ExpCmdSN", "MaxCmdSN")
    assert [response[name] for name in told] == [1, 2, 9, 4, 1, 5, 0, 0, 10, 40]
    assert fold(bare, response) == whole


@pytest.mark.parametrize(
    "response",
    [
        scsi_response(2, 101, Status=2),
        scsi_response(2, 101, Response=1),
        scsi_response(2, 101, b"\0\0"),
        scsi_response(2, 101, o=1),
        scsi_response(2, 101, u=1),
    ],
    ids=["status", "response", "data", "o", "u"],
)
def test_a_status_that_a_data_in_cannot_carry(response: Pdu) -> None:
    bare = data_in(2, 3, F=1)
    assert fold(bare, response) is None
    assert fold(bare, scsi_response(2, 101)) is not None
    assert fold(bare.with_fields({"S": 1}), scsi_response(2, 101)) is None


def test_only_what_follows_is_joined() -> None:
    first = data_out(2, 0, b"abcd", BufferOffset=8)
    assert join(first, data_out(2, 1, b"ef", BufferOffset=13)) is None
    assert join(first, data_out(2, 1, b"ef", BufferOffset=12, F=1, ExpStatSN=105)) == data_out(
        2, 0, b"abcdef", BufferOffset=8, F=1, ExpStatSN=105
    )


def test_what_no_data_segment_holds_is_not_joined() -> None:
    big = data_out(2, 0, bytes(1 << 23))
    assert join(big, data_out(2, 1, bytes(1 << 23), BufferOffset=1 << 23)) is None


def test_an_r2t_in_pieces() -> None:
    whole = r2t(2, 7, 3, BufferOffset=512)
    pieces = split_r2t(whole, [100, 900, 24], [7, 8, 9])
    assert [(one["BufferOffset"], one["DesiredDataTransferLength"], one["TTT"]) for one in pieces] == [
        (512, 100, 7),
        (612, 900, 8),
        (1512, 24, 9),
    ]
    assert all(one["R2TSN"] == 3 for one in pieces)
    assert all(b["BufferOffset"] == a["BufferOffset"] + a["DesiredDataTransferLength"] for a, b in pairwise(pieces))


def test_what_differs_is_told_by_field() -> None:
    old = data_out(2, 0, b"abcd", F=1)
    new = old.with_data(b"ab").with_fields({"F": 0, "TTT": 5})
    assert list(map(str, differences(old, new))) == ["F 1 -> 0", "TTT none -> 0x00000005", "length 4 -> 2"]
    assert differences(old, old) == []
