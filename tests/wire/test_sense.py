from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.errors import ScsiError
from iscsiproxy.wire.sense import (
    ASC_NAMES,
    SENSE_KEY,
    Sense,
    SenseCode,
    decode_sense,
    encode_sense,
    parse_sense_text,
    sense_of_segment,
)

__all__: list[str] = []

FIXED = bytes.fromhex("f0 00 0b 00000000 0a 00000000 0c 0d 00 000000")
DESCRIPTOR = bytes.fromhex("72 06 29 07 00000000")


def sense(raw: bytes, code: tuple[int, int, int], *, deferred: bool = False, descriptor: bool = False) -> Sense:
    key, asc, ascq = code
    return Sense(key=key, asc=asc, ascq=ascq, deferred=deferred, descriptor=descriptor, raw=raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (FIXED, sense(FIXED, (0xB, 0x0C, 0x0D))),
        (FIXED[:14], sense(FIXED[:14], (0xB, 0x0C, 0x0D))),
        (b"\x71" + FIXED[1:], sense(b"\x71" + FIXED[1:], (0xB, 0x0C, 0x0D), deferred=True)),
        (b"\x70\0\xe5" + FIXED[3:], sense(b"\x70\0\xe5" + FIXED[3:], (0x5, 0x0C, 0x0D))),
        (DESCRIPTOR, sense(DESCRIPTOR, (6, 0x29, 0x07), descriptor=True)),
        (b"\x73" + DESCRIPTOR[1:], sense(b"\x73" + DESCRIPTOR[1:], (6, 0x29, 0x07), descriptor=True, deferred=True)),
        (b"\x72\xf6\x29\x07", sense(b"\x72\xf6\x29\x07", (6, 0x29, 0x07), descriptor=True)),
    ],
)
def test_sense_is_read(raw: bytes, expected: Sense) -> None:
    assert decode_sense(raw) == expected
    assert sense_of_segment(len(raw).to_bytes(2, "big") + raw) == expected
    assert sense_of_segment(len(raw).to_bytes(2, "big") + raw + b"response data") == expected


@pytest.mark.parametrize(("raw", "needed"), [(FIXED, 14), (DESCRIPTOR, 4)])
def test_truncated_at_every_offset(raw: bytes, needed: int) -> None:
    for length in range(needed):
        with pytest.raises(ScsiError, match="expected"):
            decode_sense(raw[:length])
    segment = len(raw).to_bytes(2, "big") + raw
    for length in range(1, len(segment)):
        with pytest.raises(ScsiError, match="SenseLength"):
            sense_of_segment(segment[:length])


def test_what_is_no_sense() -> None:
    for first in (0x00, 0x6F, 0x74, 0x7F, 0xFF):
        with pytest.raises(ScsiError, match=f"got {first & 0x7F:02x}h"):
            decode_sense(bytes([first]) + bytes(17))


def test_no_sense_at_all() -> None:
    assert sense_of_segment(b"") is None
    assert sense_of_segment(b"\0\0") is None
    assert sense_of_segment(b"\0\0response data") is None


@pytest.mark.parametrize(
    ("code", "text", "label"),
    [
        (SenseCode(0xB, 0x0C, 0x0D), "B/0C/0D", "ABORTED_COMMAND, write error, not enough unsolicited data"),
        (SenseCode(0xB, 0x0C, 0x0C), "B/0C/0C", "ABORTED_COMMAND, write error, unexpected unsolicited data"),
        (SenseCode(0xB, 0x47, 0x05), "B/47/05", "ABORTED_COMMAND, protocol service CRC error"),
        (SenseCode(0xB, 0x11, 0x13), "B/11/13", "ABORTED_COMMAND, read error, failed retransmission request"),
        (SenseCode(6, 0x47, 0x7F), "6/47/7F", "UNIT_ATTENTION, some commands cleared by iSCSI protocol event"),
        (SenseCode(6, 0x29, 0x00), "6/29/00", "UNIT_ATTENTION, power on, reset, or bus device reset occurred"),
        (SenseCode(5, 0xAA, 0xBB), "5/AA/BB", "ILLEGAL_REQUEST"),
        (SenseCode(0xC, 0x00, 0x00), "C/00/00", "0xc, no additional sense information"),
    ],
)
def test_codes_have_a_text_and_a_meaning(code: SenseCode, text: str, label: str) -> None:
    assert str(code) == text
    assert parse_sense_text(text) == parse_sense_text(text.lower()) == code
    assert code.label == label


def test_a_block_of_sense_has_them_too() -> None:
    found = decode_sense(b"\x71" + FIXED[1:])
    assert str(found) == "B/0C/0D"
    assert found.code == (0xB, 0x0C, 0x0D)
    assert found.label == "ABORTED_COMMAND, write error, not enough unsolicited data, deferred"


@pytest.mark.parametrize(
    "text", ["", "B", "B/0C", "B/0C/0D/00", "0B/0C/0D", "B/C/D", "G/00/00", "B/0C/0D ", "B/0x0C/0D"]
)
def test_what_is_no_sense_text(text: str) -> None:
    with pytest.raises(ValueError, match="key/ASC/ASCQ like B/0C/0D"):
        parse_sense_text(text)


def test_the_names() -> None:
    assert SENSE_KEY.value("ILLEGAL_REQUEST") == 5
    assert len(set(ASC_NAMES.values())) == len(ASC_NAMES)
    assert all(0 <= asc <= 0xFF and 0 <= ascq <= 0xFF for asc, ascq in ASC_NAMES)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from([b"", b"\0\x12", b"\x70", b"\0\x04\x72"]), st.binary(max_size=30))
def test_any_bytes_give_sense_or_a_typed_error(prefix: bytes, rest: bytes) -> None:
    raw = prefix + rest
    try:
        found = decode_sense(raw)
    except ScsiError:
        pass
    else:
        assert found.raw == raw
        assert parse_sense_text(str(found)) == found.code
    try:
        inside = sense_of_segment(raw)
    except ScsiError:
        pass
    else:
        assert inside is None or inside.raw in raw


@pytest.mark.parametrize(
    ("descriptor", "information", "raw"),
    [
        (False, None, "70 00 0e 00000000 0a 00000000 1d 00 00 000000"),
        (False, 0, "f0 00 0e 00000000 0a 00000000 1d 00 00 000000"),
        (False, 0xFFFFFFFF, "f0 00 0e ffffffff 0a 00000000 1d 00 00 000000"),
        (False, 1 << 32, "70 00 0e 00000000 0a 00000000 1d 00 00 000000"),
        (True, None, "72 0e 1d 00 000000 00"),
        (True, 0, "72 0e 1d 00 000000 0c 00 0a 80 00 0000000000000000"),
        (True, (1 << 64) - 1, "72 0e 1d 00 000000 0c 00 0a 80 00 ffffffffffffffff"),
    ],
)
def test_sense_is_made(descriptor: bool, information: int | None, raw: str) -> None:
    made = encode_sense(SenseCode(0xE, 0x1D, 0x00), descriptor=descriptor, information=information)
    assert made == bytes.fromhex(raw)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.builds(SenseCode, st.integers(0, 15), st.integers(0, 255), st.integers(0, 255)),
    st.booleans(),
    st.none() | st.integers(0, (1 << 64) - 1),
)
def test_what_is_made_is_read_again(code: SenseCode, descriptor: bool, information: int | None) -> None:
    found = decode_sense(encode_sense(code, descriptor=descriptor, information=information))
    assert (found.code, found.descriptor, found.deferred) == (code, descriptor, False)
