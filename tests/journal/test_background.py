from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from iscsiproxy.journal.background import BackgroundFile

__all__: list[str] = []

PIPE = 1 << 16  # what a pipe holds before a write blocks


def missing(count: int) -> bytes:
    return b"<%d missing>" % count


def put(file: BackgroundFile, record: bytes) -> bool:
    return file.put((record,), len(record))


def read_exactly(fd: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += os.read(fd, count - len(data))
    return data


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def test_records_are_in_the_file_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = BackgroundFile(path, missing=missing)
    for number in range(5000):
        assert file.put((b"%d" % number, memoryview(b",")), len(b"%d," % number))
    assert file.close()
    assert path.read_bytes() == b"".join(b"%d," % number for number in range(5000))
    assert file.written == path.stat().st_size
    assert file.waiting == file.lost == 0


def test_flush_waits_for_what_was_put_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = BackgroundFile(path, missing=missing, linger=60.0)
    put(file, b"record")
    assert file.flush()
    assert path.read_bytes() == b"record"
    file.close()


def test_a_file_that_exists_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"something old")
    BackgroundFile(path, missing=missing).close()
    assert path.read_bytes() == b""


def test_the_mode_is_for_new_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    BackgroundFile(path, missing=missing, mode=0o600).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_descriptor_stays_the_callers(pipe: tuple[int, int]) -> None:
    file = BackgroundFile(pipe[1], missing=missing)
    put(file, b"record")
    assert file.close()
    assert os.write(pipe[1], b"!") == 1
    assert os.read(pipe[0], 100) == b"record!"


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = BackgroundFile(path, missing=missing)
    put(file, b"record")
    assert file.close(final=lambda lost: b"end %d" % lost)
    assert file.close(final=lambda lost: b"end %d" % lost)
    assert path.read_bytes() == b"recordend 0"


def test_what_comes_after_the_close_is_lost(tmp_path: Path) -> None:
    file = BackgroundFile(tmp_path / "file", missing=missing)
    file.close()
    assert not put(file, b"record")
    assert file.lost == 1


def test_a_record_beyond_the_limit_is_dropped_and_told_at_its_place(pipe: tuple[int, int]) -> None:
    first, third = bytes(3 * PIPE), b"third"
    file = BackgroundFile(pipe[1], missing=missing, limit=4 * PIPE)
    assert put(file, first)
    for _ in range(2):
        assert not put(file, bytes(2 * PIPE))
    assert file.lost == 2
    assert put(file, third)
    expected = first + b"<2 missing>" + third
    assert read_exactly(pipe[0], len(expected)) == expected
    assert not file.close()


def test_what_is_missing_is_told_when_there_is_room_though_nothing_follows(pipe: tuple[int, int]) -> None:
    file = BackgroundFile(pipe[1], missing=missing, limit=4 * PIPE)
    assert put(file, bytes(3 * PIPE))
    assert not put(file, bytes(2 * PIPE))
    expected = bytes(3 * PIPE) + b"<1 missing>"
    assert read_exactly(pipe[0], len(expected)) == expected
    file.close()


def test_what_is_missing_is_told_at_the_close(pipe: tuple[int, int]) -> None:
    file = BackgroundFile(pipe[1], missing=missing, limit=4 * PIPE)
    put(file, bytes(3 * PIPE))
    put(file, bytes(2 * PIPE))
    reader = threading.Thread(target=read_exactly, args=(pipe[0], 3 * PIPE))
    reader.start()
    assert not file.close(final=lambda lost: b"end %d" % lost)
    reader.join()
    assert os.read(pipe[0], 100) == b"<1 missing>end 1"


def test_a_stuck_disk_neither_blocks_a_put_nor_the_close(pipe: tuple[int, int]) -> None:
    file = BackgroundFile(pipe[1], missing=missing, linger=0.0)
    assert put(file, bytes(2 * PIPE))
    assert read_exactly(pipe[0], 1) == b"\0"  # the thread is inside its write now
    assert put(file, b"second")
    assert not file.close(timeout=0.0)
    assert file.lost == 2
    assert "closing" in repr(file)
    read_exactly(pipe[0], 2 * PIPE - 1)  # lets the thread end


def test_a_write_in_parts_goes_on_where_it_stopped(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    data = os.urandom(4 * PIPE)
    file = BackgroundFile(pipe[1], missing=missing)
    for at in range(0, len(data), 1000):
        assert put(file, data[at : at + 1000])
    assert read_exactly(pipe[0], len(data)) == data
    assert file.close()


def test_a_full_disk_is_told_and_what_could_not_be_written_counted() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        file = BackgroundFile(fd, missing=missing)
        for _ in range(3):
            assert put(file, b"record")
        assert not file.close(timeout=0.2)
        assert file.failure is not None
        assert file.failure.errno == errno.ENOSPC
        assert file.lost == 3
    finally:
        os.close(fd)


def test_settle_is_called_again_until_it_is_content(tmp_path: Path) -> None:
    calls: list[int] = []
    content = threading.Event()

    def settle() -> bool:
        calls.append(1)
        if len(calls) == 3:
            content.set()
        return len(calls) < 3

    file = BackgroundFile(tmp_path / "file", missing=missing, settle=settle, linger=0.0)
    file.nudge()
    assert content.wait(5.0)
    file.close()
    assert len(calls) == 3


def test_a_path_that_cannot_be_made_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        BackgroundFile(tmp_path / "no" / "file", missing=missing)


def test_its_repr_tells_its_state(tmp_path: Path) -> None:
    file = BackgroundFile(tmp_path / "file", missing=missing, name="journal")
    assert repr(file) == "<BackgroundFile journal open, 0 bytes wait, 0 records lost>"
    file.close()
    assert "closed" in repr(file)


def test_a_full_disk_is_not_waited_for_at_the_close() -> None:
    file = BackgroundFile("/dev/full", missing=missing, linger=0.0)
    put(file, b"record")
    with suppress(TimeoutError):
        file.flush(0.2)
    assert file.failure is not None
    begin = time.monotonic()
    assert not file.close(timeout=5.0)
    assert time.monotonic() - begin < 1.0
    assert file.lost == 1
    assert file.failure.errno == errno.ENOSPC


def test_a_slow_reader_is_waited_for_at_the_close(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    file = BackgroundFile(pipe[1], missing=missing, linger=0.0)
    put(file, bytes(2 * PIPE))
    file.flush(0.1)
    reader = threading.Timer(0.1, read_exactly, (pipe[0], 2 * PIPE))
    reader.start()
    assert file.close(timeout=5.0)
    reader.join()
