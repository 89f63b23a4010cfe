from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.errors import ScsiError
from iscsiproxy.wire.cdb import _COMMANDS, _FAMILIES, CDB_NAMES, Cdb, changed_cdb, decode_cdb

__all__: list[str] = []

#: CDB, its name, its numbers: written down from the figures of SPC and SBC
CDBS: list[tuple[str, str, dict[str, Any]]] = [
    ("00 00 00 00 00 00", "TEST UNIT READY", {}),
    ("03 00 00 00 12 00", "REQUEST SENSE", {"allocation_length": 18}),
    ("04 10 00 00 00 00", "FORMAT UNIT", {}),
    ("08 e1 23 45 06 00", "READ(6)", {"LBA": 0x12345, "blocks": 6}),
    ("08 00 00 00 00 00", "READ(6)", {"LBA": 0, "blocks": 256}),
    ("0a 1f ff ff 00 00", "WRITE(6)", {"LBA": 0x1FFFFF, "blocks": 256}),
    ("12 01 83 01 00 00", "INQUIRY", {"allocation_length": 256}),
    ("15 10 00 00 18 00", "MODE SELECT(6)", {"parameter_length": 24}),
    ("16 00 00 00 00 00", "RESERVE(6)", {}),
    ("17 00 00 00 00 00", "RELEASE(6)", {}),
    ("1a 08 3f 00 ff 00", "MODE SENSE(6)", {"allocation_length": 255}),
    ("1b 00 00 00 01 00", "START STOP UNIT", {}),
    ("1c 01 00 01 00 00", "RECEIVE DIAGNOSTIC RESULTS", {"allocation_length": 256}),
    ("1d 04 00 00 08 00", "SEND DIAGNOSTIC", {"parameter_length": 8}),
    ("1e 00 00 00 01 00", "PREVENT ALLOW MEDIUM REMOVAL", {}),
    ("25 00 00000000 00 0000 00", "READ CAPACITY(10)", {"LBA": 0}),
    ("28 00 01020304 00 0506 00", "READ(10)", {"LBA": 0x01020304, "blocks": 0x0506}),
    ("28 00 00000000 00 0000 00", "READ(10)", {"LBA": 0, "blocks": 0}),
    ("2a 08 ffffffff 00 ffff 00", "WRITE(10)", {"LBA": 0xFFFFFFFF, "blocks": 0xFFFF}),
    ("2e 00 01020304 00 0506 00", "WRITE AND VERIFY(10)", {"LBA": 0x01020304, "blocks": 0x0506}),
    ("2f 02 01020304 00 0506 00", "VERIFY(10)", {"LBA": 0x01020304, "blocks": 0x0506}),
    ("34 00 01020304 00 0506 00", "PRE-FETCH(10)", {"LBA": 0x01020304, "blocks": 0x0506}),
    ("35 00 01020304 00 0506 00", "SYNCHRONIZE CACHE(10)", {"LBA": 0x01020304, "blocks": 0x0506}),
    ("37 00 1d 00000000 0800 00", "READ DEFECT DATA(10)", {"allocation_length": 0x0800}),
    ("3b 02 00 000000 010000 00", "WRITE BUFFER", {"parameter_length": 0x10000}),
    ("3c 02 00 000000 010000 00", "READ BUFFER(10)", {"allocation_length": 0x10000}),
    ("41 08 01020304 00 0506 00", "WRITE SAME(10)", {"LBA": 0x01020304, "blocks": 0x0506}),
    ("42 00 00000000 00 0018 00", "UNMAP", {"parameter_length": 24}),
    ("43 00 00000000 00 000c 00", "READ TOC/PMA/ATIP", {"allocation_length": 12}),
    ("48 82 00000000 00 0004 00", "SANITIZE", {"service_action": 2, "action": "BLOCK ERASE", "parameter_length": 4}),
    ("4c 02 00000000 00 0000 00", "LOG SELECT", {"parameter_length": 0}),
    ("4d 00 40000000 00 0200 00", "LOG SENSE", {"allocation_length": 512}),
    ("55 10 00000000 00 0018 00", "MODE SELECT(10)", {"parameter_length": 24}),
    ("56 00 00000000 00 0000 00", "RESERVE(10)", {"parameter_length": 0}),
    ("57 00 00000000 00 0000 00", "RELEASE(10)", {"parameter_length": 0}),
    ("5a 00 3f000000 00 00fc 00", "MODE SENSE(10)", {"allocation_length": 252}),
    ("5e 00 00000000 00 2000 00", "PERSISTENT RESERVE IN",
     {"service_action": 0, "action": "READ KEYS", "allocation_length": 0x2000}),
    ("5f 05 13 00 00 00000018 00", "PERSISTENT RESERVE OUT",
     {"service_action": 5, "action": "PREEMPT AND ABORT", "parameter_length": 24}),
    ("5f 1e 13 00 00 00000018 00", "PERSISTENT RESERVE OUT",
     {"service_action": 30, "action": "0x1e", "parameter_length": 24}),
    ("83 00 0000000000000000 00000014 00 00", "EXTENDED COPY(LID1)", {"service_action": 0, "parameter_length": 20}),
    ("83 11 0000000000000000 00000014 00 00", "WRITE USING TOKEN", {"service_action": 0x11, "parameter_length": 20}),
    ("84 03 0000000000000000 00000400 00 00", "RECEIVE COPY OPERATING PARAMETERS",
     {"service_action": 3, "allocation_length": 1024}),
    ("88 00 0102030405060708 090a0b0c 00 00", "READ(16)", {"LBA": 0x0102030405060708, "blocks": 0x090A0B0C}),
    ("89 00 0102030405060708 000000 0d 00 00", "COMPARE AND WRITE", {"LBA": 0x0102030405060708, "blocks": 13}),
    ("8a 00 0102030405060708 090a0b0c 00 00", "WRITE(16)", {"LBA": 0x0102030405060708, "blocks": 0x090A0B0C}),
    ("8b 00 0102030405060708 090a0b0c 00 00", "ORWRITE(16)", {"LBA": 0x0102030405060708, "blocks": 0x090A0B0C}),
    ("8e 00 0102030405060708 090a0b0c 00 00", "WRITE AND VERIFY(16)",
     {"LBA": 0x0102030405060708, "blocks": 0x090A0B0C}),
    ("8f 00 0102030405060708 090a0b0c 00 00", "VERIFY(16)", {"LBA": 0x0102030405060708, "blocks": 0x090A0B0C}),
    ("90 00 0102030405060708 090a0b0c 00 00", "PRE-FETCH(16)", {"LBA": 0x0102030405060708, "blocks": 0x090A0B0C}),
    ("91 00 0102030405060708 090a0b0c 00 00", "SYNCHRONIZE CACHE(16)",
     {"LBA": 0x0102030405060708, "blocks": 0x090A0B0C}),
    ("93 08 0102030405060708 090a0b0c 00 00", "WRITE SAME(16)", {"LBA": 0x0102030405060708, "blocks": 0x090A0B0C}),
    ("9c 00 0102030405060708 0001 0c0d 00 00", "WRITE ATOMIC(16)", {"LBA": 0x0102030405060708, "blocks": 0x0C0D}),
    ("9e 10 0000000000000000 00000020 00 00", "READ CAPACITY(16)",
     {"service_action": 0x10, "LBA": 0, "allocation_length": 32}),
    ("9e f2 0102030405060708 00000018 00 00", "GET LBA STATUS(16)",
     {"service_action": 0x12, "LBA": 0x0102030405060708, "allocation_length": 24}),
    ("a0 00 00 000000 00002000 00 00", "REPORT LUNS", {"allocation_length": 0x2000}),
    ("a2 00 0000 00 00 00000200 00 00", "SECURITY PROTOCOL IN", {"allocation_length": 512}),
    ("a3 0a 00000000 00000400 00 00", "REPORT TARGET PORT GROUPS", {"service_action": 10, "allocation_length": 1024}),
    ("a3 0c 82000000 00000400 00 00", "REPORT SUPPORTED OPERATION CODES",
     {"service_action": 12, "allocation_length": 1024}),
    ("a4 0a 00000000 00000008 00 00", "SET TARGET PORT GROUPS", {"service_action": 10, "parameter_length": 8}),
    ("a8 00 01020304 05060708 00 00", "READ(12)", {"LBA": 0x01020304, "blocks": 0x05060708}),
    ("aa 00 01020304 05060708 00 00", "WRITE(12)", {"LBA": 0x01020304, "blocks": 0x05060708}),
    ("ae 00 01020304 05060708 00 00", "WRITE AND VERIFY(12)", {"LBA": 0x01020304, "blocks": 0x05060708}),
    ("af 00 01020304 05060708 00 00", "VERIFY(12)", {"LBA": 0x01020304, "blocks": 0x05060708}),
    ("b5 00 0000 00 00 00000200 00 00", "SECURITY PROTOCOL OUT", {"parameter_length": 512}),
    ("b7 18 00000000 00000800 00 00", "READ DEFECT DATA(12)", {"allocation_length": 0x0800}),
]  # fmt: skip
#: What all 32 byte block commands look like, but for their service action
LONG = "7f 00 00000000 00 18 {:04x} 00 00 0102030405060708 00000000 0000 0000 090a0b0c"
CDBS += [
    (LONG.format(action), name, {"service_action": action, "LBA": 0x0102030405060708, "blocks": 0x090A0B0C})
    for action, name in {
        0x09: "READ(32)",
        0x0A: "VERIFY(32)",
        0x0B: "WRITE(32)",
        0x0C: "WRITE AND VERIFY(32)",
        0x0D: "WRITE SAME(32)",
        0x0E: "ORWRITE(32)",
        0x0F: "WRITE ATOMIC(32)",
    }.items()
]
commands = pytest.mark.parametrize(("cdb", "name", "numbers"), [(bytes.fromhex(row[0]), *row[1:]) for row in CDBS])


@commands
def test_a_cdb_is_read(cdb: bytes, name: str, numbers: dict[str, Any]) -> None:
    expected = Cdb(name=name, opcode=cdb[0], **numbers)
    assert decode_cdb(cdb) == expected
    assert decode_cdb(cdb.ljust(16, b"\0")) == decode_cdb(cdb.ljust(260, b"\xff")) == expected, (
        "what follows is ignored"
    )
    assert name in CDB_NAMES


@commands
def test_a_truncated_cdb_is_a_typed_error(cdb: bytes, name: str, numbers: dict[str, Any]) -> None:  # noqa: ARG001 - one table for all
    for length in range(len(cdb)):
        with pytest.raises(ScsiError, match=rf"expected \d+ bytes? of CDB, got {length}$|at least 1 byte"):
            decode_cdb(cdb[:length])


@pytest.mark.parametrize(
    ("cdb", "name", "action"),
    [
        ("c1", "CDB-0xc1", None),
        ("7e 00 00 20", "CDB-0x7e", None),
        ("9e 1f", "CDB-0x9e/0x1f", 0x1F),
        ("7f 00 00000000 00 18 1234", "CDB-0x7f/0x1234", 0x1234),
    ],
)
def test_an_unknown_command_is_its_number(cdb: str, name: str, action: int | None) -> None:
    decoded = decode_cdb(bytes.fromhex(cdb))
    assert (decoded.name, decoded.service_action) == (name, action)
    assert decoded.LBA is decoded.blocks is decoded.allocation_length is decoded.parameter_length is None


@commands
def test_an_address_or_a_number_of_blocks_is_changed_alone(cdb: bytes, name: str, numbers: dict[str, Any]) -> None:
    for number in ("LBA", "blocks"):
        if number not in numbers:
            with pytest.raises(ValueError, match=rf"^{re.escape(name)} has no {number}$"):
                changed_cdb(cdb, number, 1)
            continue
        for value in (1, 5):
            changed = changed_cdb(cdb, number, value)
            assert decode_cdb(changed) == Cdb(**{"name": name, "opcode": cdb[0], **numbers, number: value})
            assert changed_cdb(changed, number, numbers[number]) == cdb
            assert changed_cdb(cdb + b"\xff", number, value) == changed + b"\xff"


@pytest.mark.parametrize(
    ("cdb", "number", "least", "most"),
    [
        ("08 e1 23 45 06 00", "LBA", 0, 0x1FFFFF),
        ("08 e1 23 45 06 00", "blocks", 1, 256),
        ("28 00 01020304 00 0506 00", "LBA", 0, 0xFFFFFFFF),
        ("28 00 01020304 00 0506 00", "blocks", 0, 0xFFFF),
        ("8a 00 0102030405060708 00000001 00 00", "LBA", 0, (1 << 64) - 1),
    ],
)
def test_a_number_that_does_not_fit_is_refused(cdb: str, number: str, least: int, most: int) -> None:
    before = bytes.fromhex(cdb)
    for value in (least, most):
        assert getattr(decode_cdb(changed_cdb(before, number, value)), number) == value
    for value in (least - 1, most + 1):
        with pytest.raises(ValueError, match=rf"takes {least} to {most}, not {value}$"):
            changed_cdb(before, number, value)


def test_a_cdb_that_is_cut_off_or_unknown_is_not_changed() -> None:
    with pytest.raises(ScsiError):
        changed_cdb(bytes.fromhex("28000102"), "LBA", 1)
    with pytest.raises(ValueError, match="CDB-0xc1 has no LBA"):
        changed_cdb(bytes.fromhex("c1"), "LBA", 1)
    with pytest.raises(ValueError, match="has no name"):
        changed_cdb(bytes(10), "name", 1)


def test_the_line_people_read() -> None:
    assert str(decode_cdb(bytes.fromhex("2a000000000800000800"))) == "WRITE(10) LBA=8 blocks=8"
    assert str(decode_cdb(bytes.fromhex("5f051300000000001800"))) == (
        "PERSISTENT RESERVE OUT PREEMPT AND ABORT parameter_length=24"
    )
    assert str(decode_cdb(bytes(6))) == "TEST UNIT READY"


def test_every_number_lies_inside_its_cdb() -> None:
    rows = [*_COMMANDS.values(), *(row for family in _FAMILIES.values() for row in family.commands.values())]
    for name, shape in rows:
        for span in shape[1:]:
            assert span is None or 0 < span.offset < span.offset + span.size < shape.length + (shape.length == 32), name


def test_names_are_unique_and_agree_with_the_lengths() -> None:
    rows = [*_COMMANDS.values(), *(row for family in _FAMILIES.values() for row in family.commands.values())]
    assert sorted(name for name, _ in rows) == list(CDB_NAMES)
    assert not set(_COMMANDS) & set(_FAMILIES)
    for name, shape in rows:
        if size := re.search(r"\((\d+)\)$", name):
            assert shape.length == int(size[1]), name


def test_the_opcode_tells_the_length() -> None:
    """SPC: the three highest bits of an opcode are the group, and a group has one length."""
    groups = {0: 6, 1: 10, 2: 10, 4: 16, 5: 12}
    for opcode, (name, shape) in _COMMANDS.items():
        assert shape.length == groups[opcode >> 5], name
    for opcode, family in _FAMILIES.items():
        for name, shape in family.commands.values():
            assert shape.length == (32 if opcode == 0x7F else groups[opcode >> 5]), name


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 255), st.binary(max_size=40))
def test_any_bytes_give_a_command_or_a_typed_error(opcode: int, rest: bytes) -> None:
    cdb = bytes([opcode]) + rest
    try:
        decoded = decode_cdb(cdb)
    except ScsiError:
        assert len(cdb) < 32
    else:
        assert decoded.opcode == opcode
        assert decoded.name in CDB_NAMES or decoded.name.startswith(f"CDB-0x{opcode:02x}")
        assert str(decoded).startswith(decoded.name)
