from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.errors import AhsError
from iscsiproxy.wire.ahs import Ahs, AhsType, encode_ahs, extended_cdb, parse_ahs, split_ahs

__all__: list[str] = []

CDB = bytes(range(0x80, 0xA0))


class Row(NamedTuple):
    """A segment told by its parts and by its bytes."""

    type: int
    specific: bytes
    pad: bytes
    label: str
    wire: bytes


ROWS = [
    Row(1, b"\0" + CDB[16:], b"", "ExtendedCDB", bytes.fromhex("0011 01 00 909192939495969798999a9b9c9d9e9f")),
    Row(1, b"\0\xaa", b"\0\0\0", "ExtendedCDB", bytes.fromhex("0002 01 00aa 000000")),
    Row(2, bytes.fromhex("0000001000"), b"", "BidirectionalReadEDTL", bytes.fromhex("0005 02 00 00001000")),
    Row(0x3F, b"ab", b"\0\0\0", "AHS-0x3f", bytes.fromhex("0002 3f 6162 000000")),
    Row(9, b"", b"\0", "AHS-0x09", bytes.fromhex("0000 09 00")),
]
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)


@rows
def test_segments_are_built(row: Row) -> None:
    assert Ahs.build(row.type, row.specific).raw == row.wire


@rows
def test_segments_are_read(row: Row) -> None:
    (segment,) = parse_ahs(row.wire)
    assert (segment.type, segment.specific, segment.pad, segment.label) == row[:4]
    assert segment.length == len(row.specific)
    assert segment.raw == encode_ahs([segment]) == row.wire


@rows
def test_truncated_at_every_offset(row: Row) -> None:
    before = bytes.fromhex("00000a00")
    for length in range(1, len(row.wire)):
        short = row.wire[:length]
        with pytest.raises(AhsError, match=r"^AHS at byte 4: (expected at least 3 bytes|AHSLength)"):
            parse_ahs(before + short)
        assert split_ahs(short) == ((), short)


def test_all_in_a_row() -> None:
    raw = b"".join(row.wire for row in ROWS)
    parsed = parse_ahs(raw)
    assert [segment.label for segment in parsed] == [row.label for row in ROWS]
    assert encode_ahs(parsed) == raw


def test_odd_padding_and_reserved_bits_stay() -> None:
    raw = bytes.fromhex("0002 c1 ff aa 010203")
    (segment,) = parse_ahs(raw)
    assert (segment.type, segment.cdb, segment.pad) == (AhsType.EXTENDED_CDB, b"\xaa", b"\1\2\3")
    assert encode_ahs([segment]) == raw


def test_the_two_assigned_types() -> None:
    assert Ahs.for_cdb(CDB).cdb == CDB[16:]
    assert Ahs.for_cdb(CDB).length == len(CDB) - 15
    assert Ahs.for_cdb(CDB).read_edtl is None
    assert Ahs.for_read_edtl(4096).raw == bytes.fromhex("0005 02 00 00001000")
    assert Ahs.for_read_edtl(4096).read_edtl == 4096
    assert Ahs.for_read_edtl(4096).cdb is None
    assert Ahs.build(2, b"abcd").read_edtl is None


def test_what_no_segment_can_hold() -> None:
    with pytest.raises(ValueError, match="longer than 16"):
        Ahs.for_cdb(bytes(16))
    with pytest.raises(ValueError, match=r"type of 0\.\.63"):
        Ahs.build(64, b"")
    with pytest.raises(ValueError, match="65535"):
        Ahs.build(1, bytes(65536))


def test_the_extended_cdb_is_found_among_others() -> None:
    other = Ahs.for_read_edtl(1).raw
    assert extended_cdb(other + Ahs.for_cdb(CDB).raw + other) == CDB[16:]
    assert extended_cdb(other) == extended_cdb(b"") == extended_cdb(b"\xff" * 8) == b""


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=80))
def test_any_bytes_give_segments_or_a_typed_error(raw: bytes) -> None:
    parts, rest = split_ahs(raw)
    assert encode_ahs(parts) + rest == raw
    for segment in parts:
        assert len(segment.raw) % 4 == 0
        assert segment.raw[:3] + segment.specific + segment.pad == segment.raw
        assert segment.label
        assert segment.read_edtl is None or segment.cdb is None
    assert isinstance(extended_cdb(raw), bytes)
    if rest:
        with pytest.raises(AhsError):
            parse_ahs(raw)
    else:
        assert parse_ahs(raw) == parts


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.builds(Ahs.build, st.integers(0, 63), st.binary(max_size=40)), max_size=5))
def test_built_segments_are_found_again(built: list[Ahs]) -> None:
    assert list(parse_ahs(encode_ahs(built))) == built
