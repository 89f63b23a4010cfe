"""READ, WRITE, VERIFY and their kin in every size: what they do, how far they go, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.peers.scsi import blocks
from iscsiproxy.peers.scsi.handler import Footprint
from iscsiproxy.peers.scsi.medium import FileMedium, MemoryMedium
from tests.peers.scsi.bench import COMMANDS, NEXUS, Bench, Flushes, block

__all__: list[str] = []

READS = (0x08, 0x28, 0xA8, 0x88)
WRITES = (0x0A, 0x2A, 0xAA, 0x8A)
VERIFIES = (0x2F, 0xAF, 0x8F)
WRITES_AND_VERIFIES = (0x2E, 0xAE, 0x8E)
PREFETCHES = (0x34, 0x90)
SYNCHRONIZES = (0x35, 0x91)
ALL = READS + WRITES + VERIFIES + WRITES_AND_VERIFIES + PREFETCHES + SYNCHRONIZES

reads = pytest.mark.parametrize("opcode", READS)
writes = pytest.mark.parametrize("opcode", WRITES)
verifies = pytest.mark.parametrize("opcode", VERIFIES)
writes_and_verifies = pytest.mark.parametrize("opcode", WRITES_AND_VERIFIES)

#: BYTCHK of VERIFY
ALL_BLOCKS, RESERVED, ONE_BLOCK = 0x02, 0x04, 0x06


def cdb(opcode: int, lba: int, count: int, flags: int = 0) -> bytes:
    """Make a CDB of this size, in the 16 bytes it comes in."""
    group = opcode >> 5
    if group == 0:
        return bytes([opcode]) + lba.to_bytes(3, "big") + bytes([count & 0xFF]) + bytes(11)
    head = bytes([opcode, flags])
    if group == 4:
        return head + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(2)
    if group == 5:
        return head + lba.to_bytes(4, "big") + count.to_bytes(4, "big") + bytes(6)
    return head + lba.to_bytes(4, "big") + bytes(1) + count.to_bytes(2, "big") + bytes(7)


def filled() -> Bench:
    """Give a unit whose first blocks are a, b, c, and so on."""
    bench = Bench()
    for lba in range(26):
        bench.medium.write(lba, block(chr(ord("a") + lba)))
    return bench


# --- READ ----------------------------------------------------------------------------------------------------------


@reads
def test_read(opcode: int) -> None:
    assert filled().run(cdb(opcode, 1, 2)) == block("b") + block("c")
    assert filled().run(cdb(opcode, 63, 1)) == bytes(512)


@pytest.mark.parametrize("opcode", READS[1:])
def test_read_no_blocks(opcode: int) -> None:
    assert filled().run(cdb(opcode, 1, 0)) == b""
    assert filled().run(cdb(opcode, 64, 0)) == b""
    assert filled().refusal(cdb(opcode, 65, 0)) == "5/21/00"


def test_read_6_of_no_blocks_is_256() -> None:
    bench = Bench(medium=MemoryMedium(256))
    assert len(bench.run(cdb(0x08, 0, 0))) == 256 * 512
    assert bench.refusal(cdb(0x08, 1, 0)) == "5/21/00"


@pytest.mark.parametrize("opcode", READS[1:] + VERIFIES)
def test_reading_ignores_dpo_fua_and_reserved_bits(opcode: int) -> None:
    plain = filled().run(cdb(opcode, 1, 1))
    assert filled().run(cdb(opcode, 1, 1, flags=0x19)) == plain


@pytest.mark.parametrize("opcode", ALL)
def test_going_beyond_the_end(opcode: int) -> None:
    bench = Bench()
    for lba, count in ((63, 2), (64, 1), (65, 1), (0, 65), (0x1FFFFF, 1)):
        assert bench.refusal(cdb(opcode, lba, count)) == "5/21/00"


@pytest.mark.parametrize("opcode", [opcode for opcode in ALL if opcode >> 5 == 4])
@pytest.mark.parametrize("lba", [1 << 63, (1 << 64) - 1])
def test_going_beyond_any_end(opcode: int, lba: int) -> None:
    assert Bench().refusal(cdb(opcode, lba, 1)) == "5/21/00"
    assert Bench().refusal(cdb(opcode, lba, 0xFFFFFFFF)) == "5/21/00"


@pytest.mark.parametrize("opcode", [*READS[1:], *WRITES[1:], *VERIFIES, *WRITES_AND_VERIFIES])
@pytest.mark.parametrize("protect", [0x20, 0x80, 0xE0])
def test_protection_information_is_refused(opcode: int, protect: int) -> None:
    assert Bench().refusal(cdb(opcode, 0, 1, flags=protect)) == "5/24/00"


@pytest.mark.parametrize("opcode", [0x88, 0xA8, 0x8A, 0xAA, 0x8F, 0xAF, 0x8E, 0xAE])
def test_a_transfer_longer_than_the_limit_is_refused(opcode: int) -> None:
    bench = Bench(medium=MemoryMedium(1 << 20))
    assert bench.refusal(cdb(opcode, 0, 65537)) == "5/24/00"
    assert bench.wants(cdb(opcode, 0, 65536)) in {0, 32 << 20}


def test_a_read_is_a_snapshot() -> None:
    bench = filled()
    handler = COMMANDS[0x28, None]
    before = handler.perform(bench.unit, NEXUS, cdb(0x28, 0, 1), memoryview(b""))
    bench.run(cdb(0x2A, 0, 1), block("z"))
    assert before == block("a")


# --- WRITE ---------------------------------------------------------------------------------------------------------


@writes
def test_write(opcode: int) -> None:
    bench = filled()
    assert bench.wants(cdb(opcode, 1, 2)) == 1024
    assert bench.run(cdb(opcode, 1, 2), block("Z", 2)) == b""
    assert bench.medium.read(0, 4) == block("a") + block("Z", 2) + block("d")


@pytest.mark.parametrize("opcode", WRITES[1:] + WRITES_AND_VERIFIES)
def test_write_no_blocks(opcode: int) -> None:
    bench = filled()
    assert bench.wants(cdb(opcode, 0, 0)) == 0
    assert bench.run(cdb(opcode, 0, 0)) == b""
    assert bench.refusal(cdb(opcode, 65, 0)) == "5/21/00"
    assert bench.medium.read(0, 1) == block("a")


def test_write_6_of_no_blocks_is_256() -> None:
    bench = Bench(medium=MemoryMedium(256))
    assert bench.wants(cdb(0x0A, 0, 0)) == 256 * 512


@writes
def test_a_shorter_buffer_writes_the_blocks_there_are(opcode: int) -> None:
    bench = filled()
    bench.run(cdb(opcode, 0, 2), block("Z"))
    bench.run(cdb(opcode, 0, 2), b"")
    assert bench.medium.read(0, 2) == block("Z") + block("b")


@writes
def test_a_part_of_a_block_is_not_written(opcode: int) -> None:
    bench = filled()
    assert bench.refusal(cdb(opcode, 0, 2), bytes(200)) == "5/0E/03"
    assert bench.refusal(cdb(opcode, 0, 2), bytes(712)) == "5/0E/03"
    assert bench.medium.read(0, 2) == block("a") + block("b")


@pytest.mark.parametrize("opcode", WRITES + WRITES_AND_VERIFIES)
def test_write_protection(opcode: int) -> None:
    bench = Bench(write_protected=True)
    assert bench.refusal(cdb(opcode, 0, 1)) == "7/27/00"
    assert bench.refusal(cdb(opcode, 64, 1)) == "5/21/00"


def test_fua_writes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = Flushes().watch(monkeypatch)
    bench = Bench()
    bench.run(cdb(0x2A, 0, 1, flags=0x10), block("a"))
    bench.run(cdb(0x0A, 0x080000 & 0x1F, 1), block("a"))
    assert flushes.count == 0
    for opcode in WRITES[1:]:
        bench.run(cdb(opcode, 0, 1, flags=0x18), block("a"))
    assert flushes.count == 3


def test_bits_of_a_long_lba_are_no_flags_in_the_short_cdb(monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = Flushes().watch(monkeypatch)
    bench = Bench(medium=MemoryMedium(0x200000))
    bench.run(cdb(0x0A, 0x180000, 1), block("a"))
    assert bench.run(cdb(0x08, 0x180000, 1)) == block("a")
    assert flushes.count == 0


# --- VERIFY --------------------------------------------------------------------------------------------------------


@verifies
def test_verify_reads_without_comparing(opcode: int) -> None:
    bench = filled()
    assert bench.wants(cdb(opcode, 0, 2)) == 0
    assert bench.run(cdb(opcode, 0, 2)) == b""
    assert bench.run(cdb(opcode, 0, 2, flags=0x10)) == b""


@verifies
def test_verify_compares_all_blocks(opcode: int) -> None:
    bench = filled()
    assert bench.wants(cdb(opcode, 0, 2, ALL_BLOCKS)) == 1024
    assert bench.run(cdb(opcode, 0, 2, ALL_BLOCKS), block("a") + block("b")) == b""
    wrong = block("a") + block("b")[:-1] + b"c"
    assert bench.refusal(cdb(opcode, 0, 2, ALL_BLOCKS), wrong) == "E/1D/00 at 1"


@verifies
def test_verify_compares_each_block_with_one(opcode: int) -> None:
    bench = Bench()
    bench.medium.fill(0, 4, block("x"))
    assert bench.wants(cdb(opcode, 0, 4, ONE_BLOCK)) == 512
    assert bench.run(cdb(opcode, 0, 4, ONE_BLOCK), block("x")) == b""
    bench.medium.write(3, block("y"))
    assert bench.refusal(cdb(opcode, 0, 4, ONE_BLOCK), block("x")) == "E/1D/00 at 3"


@verifies
def test_verify_no_blocks(opcode: int) -> None:
    bench = Bench()
    for check in (0, ALL_BLOCKS, ONE_BLOCK):
        assert bench.wants(cdb(opcode, 0, 0, check)) == 0
        assert bench.run(cdb(opcode, 0, 0, check)) == b""
        assert bench.refusal(cdb(opcode, 65, 0, check)) == "5/21/00"


@verifies
def test_verify_refuses_what_it_cannot(opcode: int) -> None:
    bench = filled()
    assert bench.refusal(cdb(opcode, 0, 1, RESERVED)) == "5/24/00"
    assert bench.refusal(cdb(opcode, 0, 2, ALL_BLOCKS), block("a")) == "5/0E/03"
    assert bench.refusal(cdb(opcode, 0, 2, ONE_BLOCK), bytes(100)) == "5/0E/03"


def test_comparing() -> None:
    assert blocks.compare(b"abcd", b"abcd", 2) is None
    assert [blocks.compare(b"abcd", found, 2) for found in (b"xbcd", b"axcd", b"abxd", b"abcx")] == [0, 1, 2, 3]


# --- WRITE AND VERIFY ----------------------------------------------------------------------------------------------


@writes_and_verifies
@pytest.mark.parametrize("check", [0, ALL_BLOCKS])
def test_write_and_verify(opcode: int, check: int, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = Flushes().watch(monkeypatch)
    bench = filled()
    assert bench.wants(cdb(opcode, 0, 2, check)) == 1024
    assert bench.run(cdb(opcode, 0, 2, check | 0x10), block("Z", 2)) == b""
    assert bench.run(cdb(opcode, 2, 2, check), block("Y")) == b""
    assert bench.medium.read(0, 4) == block("Z", 2) + block("Y") + block("d")
    assert flushes.count == 2


@writes_and_verifies
def test_write_and_verify_refuses_what_it_cannot(opcode: int) -> None:
    bench = filled()
    assert bench.refusal(cdb(opcode, 0, 1, RESERVED)) == "5/24/00"
    assert bench.refusal(cdb(opcode, 0, 1, ONE_BLOCK)) == "5/24/00"
    assert bench.refusal(cdb(opcode, 0, 1), bytes(100)) == "5/0E/03"
    assert bench.medium.read(0, 1) == block("a")


@writes_and_verifies
def test_a_medium_that_keeps_nothing_is_found_out(opcode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryMedium, "write", lambda *_: None)
    bench = Bench()
    assert bench.refusal(cdb(opcode, 4, 2, ALL_BLOCKS), bytes(512) + block("Z")) == "E/1D/00 at 5"
    assert bench.run(cdb(opcode, 4, 1), block("Z")) == b""


# --- the cache -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", PREFETCHES)
def test_prefetch(opcode: int) -> None:
    bench = Bench()
    assert bench.run(cdb(opcode, 0, 64)) == b""
    assert bench.run(cdb(opcode, 0, 1, flags=0x02)) == b""
    assert bench.run(cdb(opcode, 0, 0)) == b""
    assert bench.refusal(cdb(opcode, 65, 0)) == "5/21/00"


@pytest.mark.parametrize("opcode", SYNCHRONIZES)
def test_synchronize_cache(opcode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = Flushes().watch(monkeypatch)
    bench = Bench()
    for lba, count, flags in ((0, 0, 0), (8, 8, 0), (0, 1, 0x06)):
        assert bench.run(cdb(opcode, lba, count, flags)) == b""
    assert flushes.count == 3
    assert bench.refusal(cdb(opcode, 65, 0)) == "5/21/00"


def test_synchronize_cache_tells_of_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    medium = FileMedium(tmp_path / "disk", 64 * 512)

    def fsync(_: int) -> None:
        raise OSError

    monkeypatch.setattr("os.fsync", fsync)
    assert Bench(medium=medium).refusal(cdb(0x35, 0, 0)) == "3/0C/00"
    monkeypatch.undo()
    medium.close()


# --- what others are told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", ALL)
def test_reach_and_footprint(opcode: int) -> None:
    handler = COMMANDS[opcode, None]
    changes = opcode in WRITES + WRITES_AND_VERIFIES + SYNCHRONIZES
    assert (handler.reach.reads, handler.reach.writes, handler.reach.always) == (not changes, changes, False)
    assert handler.footprint is not None
    assert handler.footprint(cdb(opcode, 5, 3)) == Footprint(5, 3, writes=changes)


def test_synchronizing_to_the_end_waits_for_every_write_behind() -> None:
    handler = COMMANDS[0x35, None]
    assert handler.footprint is not None
    assert handler.footprint(cdb(0x35, 5, 0)).conflicts(Footprint(1 << 40, 1, writes=True))
    assert not handler.footprint(cdb(0x35, 5, 0)).conflicts(Footprint(4, 1, writes=True))
