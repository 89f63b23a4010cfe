"""Both media against a model that is a list of blocks, and each for what it alone does."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.peers.scsi.medium import CHUNK, FileMedium, Medium, MemoryMedium, Runs
from tests.peers.scsi.bench import block, refusal

__all__: list[str] = []

#: Two chunks and a bit of a medium in memory
BLOCKS = 2 * CHUNK // 512 + 5


@pytest.fixture(params=["memory", "file"])
def medium(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Medium]:
    """Give an empty medium of each kind."""
    if request.param == "memory":
        yield MemoryMedium(BLOCKS)
        return
    file = FileMedium(tmp_path / "disk", BLOCKS * 512)
    yield file
    file.close()


# --- a set of numbers ----------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(0, 20))))
def test_runs_are_a_set_of_numbers(changes: list[tuple[bool, int, int]]) -> None:
    runs, model = Runs(), set[int]()
    for adds, start, stop in changes:
        if adds:
            runs.add(start, stop)
            model |= set(range(start, stop))
        else:
            runs.remove(start, stop)
            model -= set(range(start, stop))
    numbers = list(range(22))
    for number in numbers:
        there, length = runs.at(number, 22)
        assert there == (number in model)
        assert length >= 1
        assert all((other in model) == there for other in range(number, number + length))
        assert number + length == 22 or (number + length in model) != there
    assert {number for start, stop in runs.within(0, 22) for number in range(start, stop)} == model
    assert {number for start, stop in runs.within(5, 9) for number in range(start, stop)} == model & set(range(5, 9))


def test_runs_say_what_is_in_them() -> None:
    runs = Runs()
    assert repr(runs) == "<Runs empty>"
    runs.add(2, 4)
    runs.add(7, 9)
    assert repr(runs) == "<Runs 2..4 7..9>"
    runs.add(4, 7)
    assert repr(runs) == "<Runs 2..9>"


# --- both alike ----------------------------------------------------------------------------------------------------

spans = st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, BLOCKS)).map(lambda s: (s[0], min(s[1], BLOCKS - s[0])))
steps = st.lists(st.tuples(st.sampled_from(["write", "fill", "discard"]), spans, st.sampled_from("\0AB")), max_size=12)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_media_are_what_was_written_last(changes: list[tuple[str, tuple[int, int], str]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = FileMedium(Path(directory) / "disk", BLOCKS * 512)
        media: tuple[Medium, ...] = (MemoryMedium(BLOCKS), file)
        model: list[str | None] = [None] * BLOCKS
        for what, (lba, count), letter in changes:
            model[lba : lba + count] = [None if what == "discard" else letter] * count
            for medium in media:
                if what == "write":
                    medium.write(lba, memoryview(block(letter, count)))
                elif what == "fill":
                    medium.fill(lba, count, block(letter))
                else:
                    medium.discard(lba, count)
        for medium in media:
            assert bytes(medium.read(0, BLOCKS)) == b"".join(block(letter or "\0") for letter in model)
            lba = 0
            while lba < BLOCKS:
                mapped, length = medium.mapped(lba)
                assert {letter is not None for letter in model[lba : lba + length]} == {mapped}
                lba += length
            assert lba == BLOCKS
        file.close()


def test_a_new_medium_reads_as_zeros_and_is_unmapped(medium: Medium) -> None:
    assert medium.read(0, BLOCKS) == bytes(BLOCKS * 512)
    assert medium.mapped(0) == (False, BLOCKS)
    assert medium.mapped(7) == (False, BLOCKS - 7)


def test_what_was_read_stays_as_it_was(medium: Medium) -> None:
    medium.write(3, block("a", 2))
    before = medium.read(3, 2)
    medium.write(3, block("b"))
    medium.discard(4, 1)
    assert bytes(before) == block("a", 2)
    assert medium.read(3, 2) == block("b") + bytes(512)


def test_what_was_written_is_not_the_writers_any_more(medium: Medium) -> None:
    buffer = bytearray(block("a", BLOCKS))
    medium.write(0, memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert medium.read(0, BLOCKS) == block("a", BLOCKS)


def test_a_single_block_is_unmapped_exactly(medium: Medium) -> None:
    medium.fill(0, 10, block("a"))
    medium.discard(4, 1)
    assert [medium.mapped(lba) for lba in (0, 4, 5, 10)] == [(True, 4), (False, 1), (True, 5), (False, BLOCKS - 10)]
    assert medium.read(3, 3) == block("a") + bytes(512) + block("a")


def test_flush_and_close_of_a_medium(medium: Medium) -> None:
    medium.flush()
    medium.close()
    medium.close()


def test_nothing_is_read_only_unless_it_was_asked_for(medium: Medium) -> None:
    assert not medium.read_only


@pytest.mark.parametrize(("blocks", "size", "exponent"), [(8, 1024, 0), (0, 512, 0), (8, 512, 16), (8, 512, -1)])
def test_an_impossible_medium_is_refused(blocks: int, size: int, exponent: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        MemoryMedium(blocks, size, physical_exponent=exponent)


# --- in memory -----------------------------------------------------------------------------------------------------


def test_memory_takes_room_only_for_what_was_written() -> None:
    medium = MemoryMedium(1 << 40)
    assert repr(medium) == f"<MemoryMedium {1 << 40} x 512 bytes, 0 chunks in use>"
    medium.write(1 << 39, block("a"))
    assert "1 chunks in use" in repr(medium)
    medium.discard(0, 1 << 40)
    assert "0 chunks in use" in repr(medium)
    assert medium.mapped(0) == (False, 1 << 40)


def test_a_filled_chunk_is_shared_until_one_is_written() -> None:
    medium = MemoryMedium(BLOCKS)
    medium.fill(0, BLOCKS, block("a"))
    first, second = medium._chunks[0], medium._chunks[1]
    assert first is second
    medium.write(0, block("b"))
    assert medium.read(0, 2) == block("b") + block("a")
    assert medium.read(CHUNK // 512, 1) == block("a")


def test_a_chunk_with_one_block_left_stays() -> None:
    medium = MemoryMedium(BLOCKS)
    medium.write(0, block("a", BLOCKS))
    medium.discard(1, BLOCKS - 1)
    assert "1 chunks in use" in repr(medium)
    assert medium.read(0, 2) == block("a") + bytes(512)


def test_large_blocks() -> None:
    medium = MemoryMedium(200, 4096, physical_exponent=3)
    medium.write(63, block("a", 2, 4096))
    assert medium.read(62, 4) == bytes(4096) + block("a", 2, 4096) + bytes(4096)
    assert (medium.block_size, medium.physical_exponent) == (4096, 3)


# --- in a file -----------------------------------------------------------------------------------------------------


def test_a_file_is_made_as_long_as_asked(tmp_path: Path) -> None:
    medium = FileMedium(tmp_path / "disk", 10_000)
    assert (tmp_path / "disk").stat().st_size == 10_000
    assert medium.blocks == 19
    assert repr(medium) == f"<FileMedium {tmp_path / 'disk'} 19 x 512 bytes>"
    medium.close()


def test_a_file_that_is_there_keeps_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(block("a", 4))
    medium = FileMedium(path, 2 * 512)
    assert (medium.blocks, medium.read(0, 2)) == (2, block("a", 2))
    medium.close()
    assert path.read_bytes() == block("a", 4)
    longer = FileMedium(path, 64 * 512)
    assert longer.read(0, 64) == block("a", 4) + bytes(60 * 512)
    assert longer.mapped(0)[0]
    longer.close()


def test_a_file_brings_what_was_written_to_others(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(64 * 512))
    medium = FileMedium(path)
    medium.write(1, block("a"))
    medium.fill(3, 2, block("b"))
    medium.flush()
    assert path.read_bytes()[: 6 * 512] == bytes(512) + block("a") + bytes(512) + block("b", 2) + bytes(512)
    medium.close()


def test_holes_of_a_file_begin_as_unmapped(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.seek(8 << 20)
        file.write(block("a", 4096))
        file.truncate(64 << 20)
        if os.lseek(file.fileno(), 0, os.SEEK_DATA) == 0:
            pytest.skip("no holes in files here")
    medium = FileMedium(path)
    mapped, length = medium.mapped(0)
    assert not mapped
    assert length <= (8 << 20) // 512
    assert medium.mapped((8 << 20) // 512)[0]
    assert not medium.mapped(medium.blocks - 1)[0]
    medium.close()


def test_a_file_that_cannot_tell_its_holes_is_all_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.lseek

    def lseek(file: int, offset: int, how: int) -> int:
        if how == os.SEEK_DATA:
            raise OSError(errno.EINVAL, "no such thing")
        return real(file, offset, how)

    monkeypatch.setattr(os, "lseek", lseek)
    medium = FileMedium(tmp_path / "disk", 64 * 512)
    assert medium.mapped(0) == (True, 64)
    medium.close()


def test_a_read_only_file(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(block("a", 8))
    path.chmod(0o400)
    medium = FileMedium(path, read_only=True)
    assert medium.read_only
    assert medium.read(7, 1) == block("a")
    assert repr(medium) == f"<FileMedium {path} 8 x 512 bytes read-only>"
    assert refusal(lambda: medium.write(0, block("b"))) == "3/0C/00 at 0"
    medium.close()


def test_a_missing_or_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileMedium(tmp_path / "none", 512, read_only=True)
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="at least one block"):
        FileMedium(tmp_path / "empty")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_errors_of_the_file_are_medium_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    medium = FileMedium(tmp_path / "disk", 64 * 512)
    medium.write(5, block("a"))

    def fail(*_: object) -> int:
        raise OSError(number, "as the test wants it")

    for name in ("pread", "pwrite", "fsync"):
        monkeypatch.setattr(os, name, fail)
    assert refusal(lambda: medium.read(5, 1)) == "3/11/00 at 5"
    assert refusal(lambda: medium.write(5, block("b"))) == "3/0C/00 at 5"
    assert refusal(lambda: medium.fill(6, 1, block("b"))) == "3/0C/00 at 6"
    assert refusal(lambda: medium.discard(5, 1)) == "3/0C/00 at 5"
    assert refusal(medium.flush) == "3/0C/00"
    monkeypatch.undo()
    assert medium.read(5, 1) == block("a")
    assert medium.mapped(5) == (True, 1)
    medium.close()


def test_a_file_that_was_cut_is_a_read_error(tmp_path: Path) -> None:
    medium = FileMedium(tmp_path / "disk", 64 * 512)
    os.truncate(tmp_path / "disk", 10 * 512)
    assert medium.read(0, 10) == bytes(10 * 512)
    assert refusal(lambda: medium.read(8, 4)) == "3/11/00 at 10"
    medium.close()


def test_short_writes_of_the_system_are_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    medium = FileMedium(tmp_path / "disk", 64 * 512)
    write, read = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: write(file, data[:700], offset))
    monkeypatch.setattr(os, "pread", lambda file, length, offset: read(file, min(length, 700), offset))
    medium.write(0, block("a", 10))
    assert medium.read(0, 11) == block("a", 10) + bytes(512)
    medium.close()


def test_a_file_that_cannot_be_synced_says_so_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium = FileMedium(tmp_path / "disk", 64 * 512)

    def fail(_file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        medium.close()
    medium.close()
