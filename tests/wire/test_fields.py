from __future__ import annotations

from itertools import combinations

import pytest

from iscsiproxy.wire.fields import (
    BHS_LENGTH,
    FIELDS,
    Field,
    FieldKind,
    fields_of,
    lun_number,
    lun_value,
)
from iscsiproxy.wire.opcodes import LABELS, Opcode

__all__: list[str] = []

TABLES = {**{LABELS[opcode]: table for opcode, table in FIELDS.items()}, "Opcode-0x1c": fields_of(0x1C)}
EACH = [pytest.param(field, id=f"{label}.{name}") for label, table in TABLES.items() for name, field in table.items()]


def bits(field: Field) -> int:
    """Give the field's bits as bits of the whole header."""
    return field.mask << 8 * (BHS_LENGTH - field.offset - field.size)


@pytest.mark.parametrize("field", EACH)
@pytest.mark.parametrize("filling", [0x00, 0xFF, 0xA5])
def test_a_field_is_put_and_got_and_touches_no_other_bit(field: Field, filling: int) -> None:
    before = bytes([filling]) * BHS_LENGTH
    for value in {0, 1, field.maximum, field.maximum // 3}:
        bhs = bytearray(before)
        field.put(bhs, value)
        assert len(bhs) == BHS_LENGTH
        assert field.get(bhs) == field.get(bytes(bhs)) == field.get(memoryview(bhs)) == value
        assert (int.from_bytes(bhs, "big") ^ int.from_bytes(before, "big")) & ~bits(field) == 0
        assert field.raw(bhs) == bhs[field.offset : field.offset + field.size]


@pytest.mark.parametrize("field", EACH)
def test_a_value_out_of_range_is_refused(field: Field) -> None:
    for value in (-1, field.maximum + 1):
        bhs = bytearray(BHS_LENGTH)
        with pytest.raises(ValueError, match=field.name):
            field.put(bhs, value)
        assert bhs == bytes(BHS_LENGTH)


@pytest.mark.parametrize("field", EACH)
def test_a_field_is_well_made(field: Field) -> None:
    assert 0 <= field.offset < field.offset + field.size <= BHS_LENGTH
    assert 0 < field.mask < 1 << 8 * field.size
    assert field.mask >> field.shift == field.maximum == (1 << field.mask.bit_count()) - 1, (
        "the bits are not in one piece"
    )
    assert (field.kind is FieldKind.CODE) == (field.codes is not None)
    assert (field.kind is FieldKind.FLAG) <= (field.maximum == 1)
    assert hash(field) == hash(field)


@pytest.mark.parametrize("label", TABLES)
def test_no_two_fields_overlap(label: str) -> None:
    table = TABLES[label]
    assert all(name == field.name for name, field in table.items())
    for one, other in combinations(table.values(), 2):
        assert not bits(one) & bits(other), f"{one.name} and {other.name}"


def test_every_assigned_opcode_has_its_table() -> None:
    assert set(FIELDS) == set(Opcode) == set(LABELS)


@pytest.mark.parametrize(
    ("opcode", "absent"),
    [
        (Opcode.DATA_OUT, {"I", "CmdSN"}),
        (Opcode.SNACK, {"I", "CmdSN"}),
        (Opcode.LOGOUT_REQUEST, {"LUN"}),
        (Opcode.LOGIN_REQUEST, {"F", "LUN"}),
        (Opcode.SCSI_RESPONSE, {"LUN", "I"}),
    ],
)
def test_what_a_pdu_does_not_have(opcode: Opcode, absent: set[str]) -> None:
    assert not absent & set(fields_of(opcode))


def test_a_field_of_several_bytes_may_have_some_of_their_bits() -> None:
    field = Field("middle", 1, 2, FieldKind.NUMBER, 0x0FF0)
    bhs = bytearray(b"\xff" * 4)
    field.put(bhs, 0x12)
    assert bhs == b"\xff\xf1\x2f\xff"
    assert field.get(bhs) == 0x12


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0x0000_0000_0000_0000, 0),
        (0x0001_0000_0000_0000, 1),
        (0x00FF_0000_0000_0000, 255),
        (0x4100_0000_0000_0000, 256),
        (0x7FFF_0000_0000_0000, 16383),
        (0x8001_0000_0000_0000, 0x8001_0000_0000_0000),
        (0xC101_0000_0000_0000, 0xC101_0000_0000_0000),
        (0x0100_0000_0000_0000, 0x0100_0000_0000_0000),
        (0x0001_0002_0000_0000, 0x0001_0002_0000_0000),
    ],
)
def test_a_lun_is_the_number_people_use(value: int, number: int) -> None:
    assert lun_number(value) == number
    assert lun_value(number) == value


def test_a_small_flat_lun_has_its_number_too() -> None:
    assert lun_number(0x4005_0000_0000_0000) == 5
