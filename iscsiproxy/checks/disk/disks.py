"""All logical units of a run: one memory, one count, and what a session or a copy does to several of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from iscsiproxy.checks.disk.answers import Outcome
from iscsiproxy.checks.disk.counts import Counts
from iscsiproxy.checks.disk.ops import Op
from iscsiproxy.checks.disk.pages import PAGES, Pages
from iscsiproxy.checks.disk.shadow import Disk
from iscsiproxy.checks.disk.wrongs import Wrong

__all__ = ["Disks"]


class Disks:
    """The disks by their keys, which are the callers' own: what is the same logical unit has to have the same.

    They share `pages` pages of 64 KiB, 1.2 KiB of memory each.
    """

    def __init__(self, pages: int = PAGES) -> None:
        self._pages = Pages(pages)
        self._disks: dict[Hashable, Disk] = {}
        #: What a copy in flight may do to the other disks
        self._copies: dict[Op, list[tuple[Disk, Op]]] = {}

    def __repr__(self) -> str:
        return f"<Disks: {len(self._disks)}, {self._pages!r}>"

    def __iter__(self) -> Iterator[Disk]:
        return iter(self._disks.values())

    def __getitem__(self, key: Hashable) -> Disk:
        """Give the disk of a key; a new key is a new disk."""
        disk = self._disks.get(key)
        if disk is None:
            disk = self._disks[key] = Disk(key, pages=self._pages)
        return disk

    def command(
        self,
        key: Hashable,
        cdb: bytes,
        edtl: int,
        *,
        data: bytes = b"",
        sends: bool = False,
        session: Hashable = None,
        order: int | None = None,
        attribute: int = 0,
        ref: Hashable = None,
    ) -> Op | None:
        """Begin a command to one disk, as `Disk.command` does; what EXTENDED COPY does to others is begun there too."""
        disk = self[key]
        op = disk.command(cdb, edtl, data=data, sends=sends, session=session, order=order, attribute=attribute, ref=ref)
        if op is not None and op.effect.elsewhere:
            self._copies[op] = [
                (other, other.begin(op.effect, session=session, order=order, attribute=attribute, ref=ref))
                for other in self
                if other is not disk
            ]
        return op

    def end(self, key: Hashable, op: Op, outcome: Outcome, *, residual: int = 0) -> tuple[Wrong, ...]:
        """End a command that was begun here, as `Disk.end` does."""
        for other, twin in self._copies.pop(op, ()):
            other.end(twin, outcome)
        return self[key].end(op, outcome, residual=residual)

    def session_gone(self, session: Hashable) -> None:
        """Take note, for all disks, that nothing of a session can be done any more."""
        for disk in self:
            disk.session_gone(session)

    def gap(self) -> None:
        """Take note, for all disks, that something may have happened that did not pass here."""
        for disk in self:
            disk.gap()

    def counts(self) -> Counts:
        """Add up what was judged and what was not."""
        total = Counts()
        for disk in self:
            total.add(disk.counts)
        total.forgotten += self._pages.forgotten
        return total
