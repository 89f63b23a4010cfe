"""Events as they come, for a prompt: gathered, and shown a few times a second.

Two streams are read: one of what is always told (faults, connections, findings), and, while PDUs are watched, one of
those. The proxy waits for neither: what this console is too slow for is left out there and counted here, with what does
not fit on the screen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from iscsiproxy.api.client import AsyncClient, AsyncEvents, Unreachable
from iscsiproxy.api.models import Event
from iscsiproxy.console.desk import Paper
from iscsiproxy.console.lines import line
from iscsiproxy.console.views.events import PDU_EVENTS, is_shown

__all__ = ["Live"]

#: The least time between two pieces of what is shown, in seconds
_PAUSE: Final = 0.05
#: How long a command waits until what came of it was shown
_PATIENCE: Final = 0.5
#: Of more events than this that wait to be shown, the oldest PDUs are left out
_WAITING: Final = 2000


class Live:
    """Shows events on `paper`, those behind `since`; at most `rows()` at a time, and counts what is `left_out`."""

    def __init__(self, api: AsyncClient, paper: Paper, *, since: int, rows: Callable[[], int] = lambda: 50) -> None:
        self.quiet = False
        self.pattern: str | None = None
        self.left_out = 0
        self._api = api
        self._paper = paper
        self._rows = rows
        self._read = since  #: the last event that was read
        self._shown = since
        self._waiting: list[Event] = []
        self._news = asyncio.Event()
        self._flushed = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._watcher: tuple[asyncio.Task[None], AsyncEvents] | None = None

    def __repr__(self) -> str:
        watched = "" if self.pattern is None else f", watches {self.pattern or 'all'}"
        return f"<Live at event {self._shown}{watched}>"

    async def run(self) -> None:
        """Read and show until cancelled. Raises Unreachable when the proxy ends."""
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self._show())
            while True:
                async with self._api.events(since=self._read) as events:
                    await self._gather(events, pdus=False)
                await self._api.proxy()  # it raises Unreachable if this was the end
                await asyncio.sleep(_PAUSE)

    async def watch(self, pattern: str | None, *, both: bool = False) -> None:
        """Show PDUs of a pattern from now on, with None of none.

        Raises ApiError if the pattern is wrong; then nothing changes.
        """
        events: AsyncEvents | None = None
        if pattern is not None:
            events = self._api.events(pdus=True, deliveries=both, where=pattern or None)
            await events.__aenter__()
        before, self._watcher = self._watcher, None
        if before is not None:
            task, old = before
            task.cancel()
            await asyncio.wait([task])
            await old.aclose()
            self._waiting = [event for event in self._waiting if event.event not in PDU_EVENTS]
        self.pattern = pattern
        if events is not None and self._group is not None:
            self._watcher = self._group.create_task(self._watch(events)), events

    async def reach(self, n: int) -> None:
        """Wait until event `n` was shown, but not for long."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while self._shown < n:
                    await self._flushed.wait()
        except TimeoutError:
            pass

    async def _watch(self, events: AsyncEvents) -> None:
        try:
            await self._gather(events, pdus=True)
        except Unreachable:
            pass  # the other stream tells
        finally:
            await events.aclose()

    async def _gather(self, events: AsyncEvents, *, pdus: bool) -> None:
        async for event in events:
            if event.event == "left-out":
                self.left_out += event.count
            elif (event.event in PDU_EVENTS) is not pdus:
                continue
            if not pdus:
                self._read = max(self._read, event.n)
            if is_shown(event):
                self._waiting.append(event)
                self._news.set()
            if len(self._waiting) > _WAITING:
                self._waiting = self._thinned(self._waiting, _WAITING // 2)

    async def _show(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            self._flush()
            await asyncio.sleep(_PAUSE)

    def _flush(self) -> None:
        """Show what waits, the last of it if it is more than a screen has room for."""
        waiting = sorted(self._waiting, key=lambda event: event.n)
        self._waiting = []
        last = max((event.n for event in waiting), default=self._shown)
        if self.quiet:
            waiting = [event for event in waiting if event.event in PDU_EVENTS]
        before = self.left_out
        shown = self._thinned(waiting, max(self._rows(), 1))
        if self.left_out > before:
            self._paper.lines([line(("bad", f"… {self.left_out - before} left out"))])
        if shown:
            self._paper.events(shown)
        self._shown = max(self._shown, last)
        self._flushed.set()
        self._flushed = asyncio.Event()

    def _thinned(self, events: Sequence[Event], room: int) -> list[Event]:
        """Leave the oldest out, PDUs first, until the rest fits; and count them."""
        surplus = len(events) - room
        if surplus <= 0:
            return list(events)
        self.left_out += surplus
        pdus = sum(event.event in PDU_EVENTS for event in events)
        pdus_out, others_out = min(surplus, pdus), max(surplus - pdus, 0)
        kept = []
        for event in events:
            if event.event in PDU_EVENTS:
                pdus_out -= 1
                if pdus_out >= 0:
                    continue
            else:
                others_out -= 1
                if others_out >= 0:
                    continue
            kept.append(event)
        return kept
