"""COMPARE AND WRITE, ORWRITE and WRITE ATOMIC: all or nothing."""

from __future__ import annotations

import pytest

from iscsiproxy.peers.scsi.handler import Footprint
from iscsiproxy.peers.scsi.medium import MemoryMedium
from tests.peers.scsi.bench import COMMANDS, Bench, block

__all__: list[str] = []

COMPARE_AND_WRITE, ORWRITE, WRITE_ATOMIC = 0x89, 0x8B, 0x9C
ALL = (COMPARE_AND_WRITE, ORWRITE, WRITE_ATOMIC)

commands = pytest.mark.parametrize("opcode", ALL)


def cdb(opcode: int, lba: int, count: int, flags: int = 0, boundary: int = 0) -> bytes:
    if opcode == COMPARE_AND_WRITE:
        tail = bytes([0, 0, 0, count])
    elif opcode == WRITE_ATOMIC:
        tail = boundary.to_bytes(2, "big") + count.to_bytes(2, "big")
    else:
        tail = count.to_bytes(4, "big")
    return bytes([opcode, flags]) + lba.to_bytes(8, "big") + tail + bytes(2)


def data_for(opcode: int, found: str, wanted: str, count: int = 1) -> bytes:
    return block(found, count) + block(wanted, count) if opcode == COMPARE_AND_WRITE else block(wanted, count)


# --- all of them ---------------------------------------------------------------------------------------------------


@commands
def test_the_data_they_want(opcode: int) -> None:
    bench = Bench(medium=MemoryMedium(1024))
    each = 1024 if opcode == COMPARE_AND_WRITE else 512
    assert [bench.wants(cdb(opcode, 0, count)) for count in (0, 1, 255)] == [0, each, 255 * each]


@commands
@pytest.mark.parametrize("flags", [0, 0x08, 0x10, 0x18, 0x07])
def test_they_write(opcode: int, flags: int) -> None:
    bench = Bench()
    bench.medium.fill(0, 64, block("a"))
    assert bench.run(cdb(opcode, 62, 2, flags), data_for(opcode, "a", "o", 2)) == b""
    assert bench.medium.read(61, 3) == block("a") + block("o", 2)


@commands
def test_no_blocks_are_nothing(opcode: int) -> None:
    bench = Bench()
    assert bench.run(cdb(opcode, 0, 0)) == b""
    assert bench.refusal(cdb(opcode, 65, 0)) == "5/21/00"
    assert bench.medium.mapped(0) == (False, 64)


@commands
@pytest.mark.parametrize(("lba", "count"), [(63, 2), (64, 1), (1 << 63, 1), ((1 << 64) - 1, 2)])
def test_going_beyond_the_end(opcode: int, lba: int, count: int) -> None:
    assert Bench().refusal(cdb(opcode, lba, count)) == "5/21/00"


@commands
def test_what_they_refuse(opcode: int) -> None:
    for protect in (0x20, 0xE0):
        assert Bench().refusal(cdb(opcode, 0, 1, flags=protect)) == "5/24/00"
    assert Bench(write_protected=True).refusal(cdb(opcode, 0, 1)) == "7/27/00"


@commands
def test_nothing_is_done_with_less_data(opcode: int) -> None:
    bench = Bench()
    bench.medium.fill(0, 64, block("a"))
    whole = data_for(opcode, "a", "o", 2)
    for short in (b"", whole[:512], whole[:-1]):
        assert bench.refusal(cdb(opcode, 0, 2), short) == "5/0E/03"
    assert bench.medium.read(0, 2) == block("a", 2)


@commands
def test_reach_and_footprint(opcode: int) -> None:
    handler = COMMANDS[opcode, None]
    assert handler.reach.writes
    assert handler.footprint is not None
    assert handler.footprint(cdb(opcode, 5, 3)) == Footprint(5, 3, writes=True)


# --- one by one ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 1, 511, 512, 1023])
def test_a_miscompare_says_where_and_writes_nothing(offset: int) -> None:
    bench = Bench()
    bench.medium.fill(0, 64, block("a"))
    compared = bytearray(block("a", 2))
    compared[offset] = ord("C")
    assert bench.refusal(cdb(COMPARE_AND_WRITE, 7, 2), bytes(compared) + block("b", 2)) == f"E/1D/00 at {offset}"
    assert bench.medium.read(0, 64) == block("a", 64)


def test_orwrite_sets_bits_and_clears_none() -> None:
    bench = Bench()
    bench.medium.write(0, b"\xa5\x00\xff\x01" * 256)
    bench.run(cdb(ORWRITE, 0, 2), b"\x5a\x00\x00\x80" * 256)
    assert bench.medium.read(0, 3) == b"\xff\x00\xff\x81" * 256 + bytes(512)


def test_write_atomic_has_no_boundaries() -> None:
    assert Bench().refusal(cdb(WRITE_ATOMIC, 0, 1, boundary=1)) == "5/24/00"


def test_a_long_orwrite_is_refused() -> None:
    assert Bench(medium=MemoryMedium(1 << 20)).refusal(cdb(ORWRITE, 0, 65537)) == "5/24/00"
