"""What the sectors of all disks hold, as far as it is known and sure: eight bytes each, in pages.

Memory is bounded: the pages used least recently are forgotten, and what was known of their sectors is counted.
"""

from __future__ import annotations

from collections import OrderedDict

from iscsiproxy.journal.payload import HASH_LENGTH

__all__ = ["PAGE", "PAGES", "Pages"]

#: Sectors of a page: 64 KiB of disk in 1 KiB
PAGE = 128
#: Pages that are kept: 4 GiB of disk if it was used in full pages. With all that is around them they take 76 MiB.
PAGES = 65536

_BYTES = PAGE * HASH_LENGTH
_EMPTY = bytes(_BYTES)
#: Pages of several disks share one table: the number of the page, and behind it that of the disk.
_DISK_BITS = 24


class Pages:
    """The known contents of disks, each with a number of its own; unknown sectors have a hash of zeros.

    A page of 64 KiB of disk costs 1.2 KiB, however little of it is known.
    """

    def __init__(self, most: int = PAGES) -> None:
        self.most = most
        #: Sectors that were known and have been forgotten for want of room
        self.forgotten = 0
        self._disks = 0
        self._pages: OrderedDict[int, bytearray] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Pages: {len(self._pages)} of {self.most}, {self._disks} disks>"

    def __len__(self) -> int:
        return len(self._pages)

    def enlist(self) -> int:
        """Give a disk its number."""
        self._disks += 1
        return self._disks - 1

    def read(self, disk: int, first: int, end: int) -> bytes:
        """Give the hashes of sectors."""
        page, at = divmod(first, PAGE)
        stop = end - page * PAGE
        if stop <= PAGE:
            return bytes(self._page(disk, page)[at * HASH_LENGTH : stop * HASH_LENGTH])
        parts = [self._page(disk, page)[at * HASH_LENGTH :]]
        last, rest = divmod(end, PAGE)
        parts += [self._page(disk, number) for number in range(page + 1, last)]
        if rest:
            parts.append(self._page(disk, last)[: rest * HASH_LENGTH])
        return b"".join(parts)

    def _page(self, disk: int, page: int) -> bytearray | bytes:
        key = page << _DISK_BITS | disk
        found = self._pages.get(key)
        if found is None:
            return _EMPTY
        self._pages.move_to_end(key)
        return found

    def write(self, disk: int, first: int, hashes: bytes) -> None:
        """Set the hashes of sectors, also to unknown."""
        page, at = divmod(first, PAGE)
        at *= HASH_LENGTH
        if at + len(hashes) <= _BYTES:
            self._set(disk, page, at, hashes)
            return
        done = 0
        while done < len(hashes):
            part = hashes[done : done + _BYTES - at]
            self._set(disk, page, at, part)
            done += len(part)
            page, at = page + 1, 0

    def _set(self, disk: int, page: int, at: int, hashes: bytes) -> None:
        key = page << _DISK_BITS | disk
        found = self._pages.get(key)
        if found is not None:
            self._pages.move_to_end(key)
            found[at : at + len(hashes)] = hashes
            return
        if hashes == bytes(len(hashes)):
            return
        if len(self._pages) >= self.most:
            self.forgotten += known(self._pages.popitem(last=False)[1])
        if len(hashes) == _BYTES:
            self._pages[key] = bytearray(hashes)
        else:
            self._pages[key] = fresh = bytearray(_BYTES)
            fresh[at : at + len(hashes)] = hashes

    def clear(self, disk: int, first: int, end: int) -> int:
        """Forget sectors, however many; give how many had been known."""
        low, high = -(-first // PAGE), end // PAGE
        count = 0
        if high < low:  # inside one page
            return self._blank(disk, first, end)
        if low * PAGE > first:
            count += self._blank(disk, first, low * PAGE)
        if high * PAGE < end:
            count += self._blank(disk, high * PAGE, end)
        if high - low > len(self._pages):
            mask = (1 << _DISK_BITS) - 1
            keys = [key for key in self._pages if key & mask == disk and low <= key >> _DISK_BITS < high]
        else:
            keys = [page << _DISK_BITS | disk for page in range(low, high)]
        for key in keys:
            page = self._pages.pop(key, None)
            if page is not None:
                count += known(page)
        return count

    def _blank(self, disk: int, first: int, end: int) -> int:
        """Forget sectors of one page."""
        page, at = divmod(first, PAGE)
        found = self._pages.get(page << _DISK_BITS | disk)
        if found is None:
            return 0
        part = slice(at * HASH_LENGTH, (end - page * PAGE) * HASH_LENGTH)
        count = known(found[part])
        found[part] = bytes((end - first) * HASH_LENGTH)
        return count


def known(hashes: bytes | bytearray) -> int:
    """Count the sectors whose hash is known."""
    words = memoryview(hashes).cast("Q").tolist()
    return len(words) - words.count(0)
