"""How commands end, and what disks tell of themselves."""

from __future__ import annotations

import pytest

from iscsiproxy.checks.disk.answers import Outcome, block_size_of, outcome_of, restricted_of
from iscsiproxy.checks.disk.commands import Action, Effect
from iscsiproxy.wire.sense import Sense, SenseCode, decode_sense, encode_sense

WRITE = Effect(action=Action.WRITE, name="WRITE(10)")
COMPARE = Effect(action=Action.COMPARE_AND_WRITE, name="COMPARE AND WRITE")


def sense(key: int, asc: int, ascq: int = 0, *, deferred: bool = False) -> Sense:
    raw = encode_sense(SenseCode(key, asc, ascq))
    return decode_sense(bytes([0x71]) + raw[1:] if deferred else raw)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0x00, Outcome.GOOD),
        (0x04, Outcome.GOOD),
        (0x10, Outcome.GOOD),
        (0x14, Outcome.GOOD),
        (0x08, Outcome.VOID),
        (0x18, Outcome.VOID),
        (0x28, Outcome.VOID),
        (0x30, Outcome.VOID),
        (0x02, Outcome.MAYBE),  # CHECK CONDITION without sense data
        (0x40, Outcome.MAYBE),
        (0x55, Outcome.MAYBE),
    ],
)
def test_statuses(status: int, outcome: Outcome) -> None:
    assert outcome_of(WRITE, status) is outcome


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (sense(0x0, 0x00), Outcome.MAYBE),
        (sense(0x1, 0x0C), Outcome.GOOD),
        (sense(0x2, 0x04, 0x01), Outcome.VOID),
        (sense(0x2, 0x04, 0x0B), Outcome.VOID),
        (sense(0x2, 0x04, 0x00), Outcome.MAYBE),
        (sense(0x2, 0x3A), Outcome.VOID),
        (sense(0x2, 0x08), Outcome.MAYBE),
        (sense(0x3, 0x0C), Outcome.MAYBE),
        (sense(0x4, 0x44), Outcome.MAYBE),
        (sense(0x5, 0x21), Outcome.VOID),
        (sense(0x6, 0x29), Outcome.VOID),
        (sense(0x7, 0x27), Outcome.VOID),
        (sense(0x7, 0x27, 0x07), Outcome.MAYBE),
        (sense(0x7, 0x20, 0x02), Outcome.MAYBE),
        (sense(0xB, 0x0C, 0x0D), Outcome.MAYBE),
        (sense(0xE, 0x1D), Outcome.MAYBE),
        (sense(0x3, 0x0C, deferred=True), Outcome.VOID),
    ],
    ids=str,
)
def test_sense_data(found: Sense, outcome: Outcome) -> None:
    assert outcome_of(WRITE, 0x02, sense=found) is outcome


def test_a_compare_that_was_not_equal_has_written_nothing() -> None:
    assert outcome_of(COMPARE, 0x02, sense=sense(0xE, 0x1D)) is Outcome.VOID


def test_a_target_failure_tells_nothing() -> None:
    assert outcome_of(WRITE, 0x00, response=1) is Outcome.MAYBE


CAPACITY_10 = bytes.fromhex("25000000000000000000")
CAPACITY_16 = bytes.fromhex("9e10000000000000000000000020 0000")


def test_the_block_size_is_in_the_capacity() -> None:
    assert block_size_of(CAPACITY_10, bytes.fromhex("000fffff00000200")) == 512
    assert block_size_of(CAPACITY_16, bytes.fromhex("00000000000fffff00001000") + bytes(20)) == 4096


@pytest.mark.parametrize(
    ("cdb", "data"),
    [
        (CAPACITY_10, bytes(7)),
        (CAPACITY_10, bytes(8)),
        (CAPACITY_16, bytes.fromhex("00000000000fffff0000")),
        (bytes.fromhex("120000002400"), bytes.fromhex("000fffff00000200")),
        (bytes.fromhex("9e12000000000000000000000020 0000"), bytes.fromhex("00000000000fffff00001000")),
        (b"\x25", bytes.fromhex("000fffff00000200")),
    ],
)
def test_what_is_no_capacity(cdb: bytes, data: bytes) -> None:
    assert block_size_of(cdb, data) is None


SENSE_6 = bytes.fromhex("1a000a00ff00")
SENSE_10 = bytes.fromhex("5a000a0000000000ff00")
CONTROL = "0a0a 00 {} 00000000 0000 0000"


def page(modifier: str) -> str:
    return CONTROL.format(modifier)


@pytest.mark.parametrize(
    ("cdb", "data", "restricted"),
    [
        (SENSE_6, "0f000000" + page("00"), True),
        (SENSE_6, "0f000000" + page("10"), False),
        (SENSE_6, "17000008" + "00" * 8 + page("02"), True),
        (SENSE_6, "00000000" + "0802" + "0000" + page("10"), False),
        (SENSE_6, "00000000" + "4a01 0004 00000000" + page("10"), False),
        (SENSE_10, "0012000000000000" + page("10"), False),
        (SENSE_10, "001a000000000008" + "00" * 8 + page("00"), True),
        (SENSE_6, "0f000000" + "0a0a", None),
        (SENSE_6, "0f0000", None),
        (SENSE_6, "00000000" + "0802" + "0000", None),
        (bytes.fromhex("1a004a00ff00"), "0f000000" + page("10"), None),  # changeable values
        (bytes.fromhex("120000002400"), "0f000000" + page("10"), None),
        (b"\x1a", "0f000000" + page("10"), None),
    ],
)
def test_the_control_mode_page_tells_how_commands_are_reordered(cdb: bytes, data: str, restricted: bool | None) -> None:
    assert restricted_of(cdb, bytes.fromhex(data)) is restricted
