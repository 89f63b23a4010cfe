from __future__ import annotations

import pytest

from iscsiproxy.wire.fields import BHS_LENGTH, FIELDS, Field
from iscsiproxy.wire.opcodes import LABELS, Opcode
from iscsiproxy.wire.reserved import RESERVED_MASKS, reserved_bits

__all__: list[str] = []

#: Bits that are neither a field nor reserved: the I bit of a Login Request is one of its fields, so there are none.
FIXED: dict[int, int] = {}


def bits(field: Field) -> int:
    return field.mask << 8 * (BHS_LENGTH - field.offset - field.size)


@pytest.mark.parametrize("opcode", FIELDS, ids=lambda opcode: LABELS[opcode])
def test_a_bit_is_reserved_or_a_fields_and_never_both(opcode: int) -> None:
    covered = sum(bits(field) for field in FIELDS[opcode].values()) | FIXED.get(opcode, 0)
    reserved = int.from_bytes(bytes(RESERVED_MASKS[opcode].get(byte, 0) for byte in range(BHS_LENGTH)), "big")
    assert f"{reserved:096x}" == f"{~covered & (1 << 8 * BHS_LENGTH) - 1:096x}"


@pytest.mark.parametrize("opcode", FIELDS, ids=lambda opcode: LABELS[opcode])
def test_addresses_and_masks_say_the_same(opcode: int) -> None:
    masks: dict[int, int] = {}
    for address in reserved_bits(opcode):
        word, byte, bit = address.split(".")
        assert word == "BHS"
        masks[int(byte)] = masks.get(int(byte), 0) | 0x80 >> int(bit)
    assert masks == RESERVED_MASKS[opcode]


def test_bit_0_is_the_highest() -> None:
    assert reserved_bits(Opcode.SCSI_COMMAND) == (
        *("BHS.0.0", "BHS.1.3", "BHS.1.4", "BHS.2.4", "BHS.2.5", "BHS.2.6", "BHS.2.7"),
        *(f"BHS.3.{bit}" for bit in range(8)),
    )


def test_nothing_is_known_of_an_unassigned_opcode() -> None:
    assert reserved_bits(0x1C) == ()
