from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import GROUPS, LABELS, End, Opcode, label_of, opcode_of, sender_of

__all__: list[str] = []


def test_every_opcode_has_a_label_and_back() -> None:
    labels = [label_of(opcode) for opcode in range(64)]
    assert len(set(labels)) == 64
    assert [opcode_of(label) for label in labels] == list(range(64))
    assert label_of(0x1C) == "Opcode-0x1c"
    assert label_of(Opcode.R2T) == "R2T"


@pytest.mark.parametrize(
    "label",
    ["", "r2t", "SCSI Command", "Opcode-0x01", "Opcode-0x40", "Opcode-0x1C", "Opcode-0x+1", "Opcode-0xzz", "Opcode-28"],
)
def test_what_is_no_label(label: str) -> None:
    assert opcode_of(label) is None


def test_bit_0x20_tells_the_sender() -> None:
    assert {sender_of(opcode) for opcode in range(0x20)} == {End.INITIATOR}
    assert {sender_of(opcode) for opcode in range(0x20, 0x40)} == {End.TARGET}
    assert End.TARGET.other is End.INITIATOR
    assert End.INITIATOR.other is End.TARGET
    assert str(End.TARGET) == "target"


def test_groups() -> None:
    assert GROUPS["Any-PDU"] == GROUPS["Initiator-PDU"] | GROUPS["Target-PDU"] == set(range(64))
    assert not GROUPS["Initiator-PDU"] & GROUPS["Target-PDU"]
    assert GROUPS["Status-PDU"] < GROUPS["Target-PDU"]
    assert {LABELS[opcode] for opcode in GROUPS["Target-PDU"] & set(LABELS)} - {
        label_of(opcode) for opcode in GROUPS["Status-PDU"]
    } == {"R2T"}
