"""Write a file from a thread, so that a slow or full disk never stalls the wire.

The caller encodes, the thread only writes: a thread that ran Python code would take the interpreter lock from the
relay for milliseconds at a time, while one that sits in `writev` holds no lock at all. What is put is handed to the
kernel within `linger` seconds or so, record by record in one piece, and nothing stays in a buffer of ours after that:
who kills the process loses the last moment and nothing else.

What does not fit the queue is dropped and counted. The count goes into the file, at the place where the records are
missing, as soon as there is room again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

__all__ = ["BackgroundFile", "Buffer", "Target"]

Buffer: TypeAlias = bytes | bytearray | memoryview
#: A path to be created or emptied, or an open descriptor, which stays the caller's.
Target: TypeAlias = str | os.PathLike[str] | int

#: Records of this size or less are copied together, up to a chunk of that size, to be written at once
_SMALL = 1 << 12
_CHUNK = 1 << 16
#: How many buffers one writev takes; POSIX promises 16, Linux and the BSDs give 1024
_MOST_BUFFERS = 1000
#: How many bytes one writev is given: a kill in the middle of it can cut a record
_MOST_BYTES = 1 << 20
#: How long to wait after a write that failed, in seconds; doubled each time
_FIRST_RETRY = 0.05
_LAST_RETRY = 1.0


class BackgroundFile:
    """A file that is written by a daemon thread of its own.

    `put` is for one thread at a time. `limit` bounds the bytes that wait; `missing` makes the record that says how many
    records are not in the file. `settle` is called by the thread each time it wakes, and again after `linger` as long
    as it returns True. `mode` is for a new file.

    The owner calls `close`; a thread that is stuck in a write then is left behind, and with it the descriptor.
    """

    def __init__(
        self,
        target: Target,
        *,
        missing: Callable[[int], bytes],
        limit: int = 1 << 26,
        linger: float = 0.02,
        settle: Callable[[], bool] | None = None,
        mode: int = 0o666,
        name: str = "background file",
    ) -> None:
        self.name = name
        self.limit = limit
        #: What the last write met that failed, if it was not followed by one that succeeded
        self.failure: OSError | None = None
        self._owned = not isinstance(target, int)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._fd = target if isinstance(target, int) else os.open(target, flags, mode)
        self._missing = missing
        self._linger = linger
        self._settle = settle
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._closed = threading.Event()
        self._queue: deque[tuple[Sequence[Buffer], int, int]] = deque()  # buffers, their bytes, how many records
        self._chunk = bytearray()  # small records, behind those of the queue
        self._chunked = 0  # how many
        self._waiting = 0  # bytes put and not written
        self._lost = 0
        self._unsaid = 0  # lost and not yet told in the file
        self._written = 0
        self._closing = False
        self._deadline = float("inf")  # when to give up, once closing
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        state = "closed" if not self._thread.is_alive() else "closing" if self._closing else "open"
        return f"<BackgroundFile {self.name} {state}, {self._waiting} bytes wait, {self._lost} records lost>"

    @property
    def lost(self) -> int:
        """How many records are not in the file and will not be."""
        return self._lost

    @property
    def written(self) -> int:
        """How many bytes the kernel has taken."""
        return self._written

    @property
    def waiting(self) -> int:
        """How many bytes wait to be written."""
        return self._waiting

    def put(self, parts: Sequence[Buffer], size: int) -> bool:
        """Queue one record of `size` bytes, in as many parts as it has; large ones must not change any more.

        Never blocks. Returns False if the record was dropped, for want of room or because the file is closed.
        """
        with self._lock:
            if self._closing or self._waiting + size > self.limit:
                self._lost += 1
                self._unsaid += not self._closing
                return False
            if self._unsaid:
                self._say_missing()
            self._append(parts, size)
            hurry = self._waiting > self.limit >> 2
        if hurry:
            self._hurry.set()
        if not self._wake.is_set():
            self._wake.set()
        return True

    def nudge(self) -> None:
        """Have `settle` called soon, though nothing was put."""
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until the kernel has all that was put before, at most `timeout` seconds; blocks the calling thread."""
        self._hurry.set()
        self._wake.set()
        with self._idle:
            return self._idle.wait_for(lambda: not self._waiting or self._closing, timeout) and not self._waiting

    def close(self, *, final: Callable[[int], bytes] | None = None, timeout: float = 5.0) -> bool:
        """Write what waits, then `final(lost)`, and close; blocks for at most about `timeout` seconds.

        A disk that takes nothing, a full one, is tried once more and not waited for. Returns True if all that was put
        is in the file. What was not written by then counts as lost. Idempotent.
        """
        with self._lock:
            if not self._closing:
                self._closing = True
                self._deadline = time.monotonic() + timeout
                if self._unsaid:
                    self._say_missing()
                if final is not None:
                    self._append_one(final(self._lost))
        self._closed.set()
        self._hurry.set()
        self._wake.set()
        self._thread.join(timeout)
        with self._lock:
            self._seal()
            self._lost += sum(records for _, _, records in self._queue)  # none, unless the thread gave up or is stuck
            self._queue.clear()
            self._waiting = 0
        return not self._lost and not self._thread.is_alive()

    def _append(self, parts: Sequence[Buffer], size: int) -> None:
        """Queue a record; the lock is held."""
        self._waiting += size
        if size > _SMALL:
            self._seal()
            self._queue.append((parts, size, 1))
            return
        for part in parts:
            self._chunk += part
        self._chunked += 1
        if len(self._chunk) > _CHUNK:
            self._seal()

    def _append_one(self, record: bytes) -> None:
        """Queue a record of ours, limit or not; the lock is held."""
        self._append((record,), len(record))

    def _seal(self) -> None:
        """Queue the small records that were copied together; the lock is held."""
        if self._chunk:
            self._queue.append(((self._chunk,), len(self._chunk), self._chunked))
            self._chunk = bytearray()
            self._chunked = 0

    def _say_missing(self) -> None:
        self._append_one(self._missing(self._unsaid))
        self._unsaid = 0

    def _run(self) -> None:
        """Be the thread."""
        try:
            while self._turn():
                pass
        finally:
            if self._owned:
                os.close(self._fd)
            with self._idle:
                self._idle.notify_all()

    def _turn(self) -> bool:
        """Wait, write what waits, and tell whether there may be more."""
        self._wake.wait()
        if not self._closing:
            self._hurry.wait(self._linger)
        self._wake.clear()
        self._hurry.clear()
        closing = self._closing  # read before the queue: nothing is put after it is set
        if self._settle is not None and not closing and self._settle():
            self._wake.set()
        self._write()
        with self._idle:
            if self._unsaid and not self._closing:
                self._say_missing()
                self._wake.set()
            if not self._waiting:
                self._idle.notify_all()
        return not closing

    def _write(self) -> None:
        """Write all that waits; what is left then was given up, which happens only to a file that is being closed."""
        while True:
            buffers: list[Buffer] = []
            size = taken = 0
            with self._lock:
                self._seal()
                for parts, length, _ in self._queue:
                    if buffers and (len(buffers) + len(parts) > _MOST_BUFFERS or size + length > _MOST_BYTES):
                        break
                    buffers += parts
                    size += length
                    taken += 1
            if not taken or not self._write_out(buffers, size):
                return
            with self._lock:
                for _ in range(min(taken, len(self._queue))):  # a close that waited too long has counted them as lost
                    self._waiting -= self._queue.popleft()[1]

    def _write_out(self, buffers: list[Buffer], size: int) -> bool:
        """Write these buffers whole, however often it takes; False if that was given up.

        A record that was begun is never left, or the next one would be taken for its end.
        """
        pause = _FIRST_RETRY
        while size:
            closing = self._closing
            try:
                count = os.writev(self._fd, buffers[:_MOST_BUFFERS])
            except OSError as error:
                self.failure = error
                # Who is slow may be waited for; a disk that is full is given one last try, and nobody waits for it.
                late = not isinstance(error, BlockingIOError) and closing
                if late or time.monotonic() + pause >= self._deadline:
                    return False
                if self._closed.wait(pause):
                    time.sleep(_FIRST_RETRY)
                pause = min(2 * pause, _LAST_RETRY)
                continue
            self.failure = None
            self._written += count
            size -= count
            while size and count >= len(buffers[0]):
                count -= len(buffers.pop(0))
            if size:
                buffers[0] = memoryview(buffers[0])[count:]
        return True
