"""The line at the bottom: the state of the run, as much of it as there is room for.

While a PDU is held, somebody's timer runs: the toolbar counts down to the next that a peer is about to lose patience.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from iscsiproxy.api.client import AsyncClient
from iscsiproxy.api.models import Proxy
from iscsiproxy.console.lines import Piece, columns
from iscsiproxy.console.views.pdus import timer_text

__all__ = ["Status", "toolbar"]

#: How often the run is looked at, and while something is held, in seconds
_PERIOD: Final = 1.0
_HELD_PERIOD: Final = 0.5
#: From here on a timer is urgent, in seconds
_URGENT: Final = 3.0
_GAP: Final = "  "


class Status:
    """What is known of the run; one request at a time. `changed` is called when there is news."""

    def __init__(self, api: AsyncClient, *, changed: Callable[[], None], clock: Callable[[], float] = time.monotonic):
        self.proxy: Proxy | None = None
        self.rate = 0.0
        self._api = api
        self._changed = changed
        self._clock = clock
        self._at = 0.0

    def __repr__(self) -> str:
        return f"<Status {'unknown' if self.proxy is None else f'at {self.proxy.now}s, {self.rate:.0f} PDU/s'}>"

    async def run(self) -> None:
        """Look at the run until cancelled. Raises Unreachable when it ends."""
        while True:
            self.take(await self._api.proxy())
            self._changed()
            await asyncio.sleep(_HELD_PERIOD if self.proxy is not None and self.proxy.held else _PERIOD)

    def take(self, now: Proxy) -> None:
        """Take note of how it is."""
        before = self.proxy
        if before is not None and now.now > before.now:
            self.rate = max(now.pdus - before.pdus, 0) / (now.now - before.now)
        self.proxy, self._at = now, self._clock()

    @property
    def left(self) -> float | None:
        """The seconds that the next timer has left by now; None: none runs."""
        if self.proxy is None or self.proxy.timer is None:
            return None
        return max(self.proxy.timer.left - (self._clock() - self._at), 0.0)


def toolbar(status: Status, *, left_out: int, width: int) -> list[Piece]:
    """Give the toolbar for a screen of so many columns: what is less important goes first."""
    proxy = status.proxy
    if proxy is None:
        return [("", " …")]
    parts = _parts(proxy, status, left_out)
    while len(parts) > 1 and sum(columns(_text(pieces)) + len(_GAP) for _, pieces in parts) > width:
        parts.remove(min(parts, key=lambda part: part[0]))
    found: list[Piece] = [("", " ")]
    for at, (_, pieces) in enumerate(parts):
        found += ([("", _GAP)] if at else []) + pieces
    return found


def _text(pieces: list[Piece]) -> str:
    return "".join(text for _, text in pieces)


def _parts(proxy: Proxy, status: Status, left_out: int) -> list[tuple[int, list[Piece]]]:
    """Give the parts in their order, each with its weight."""
    parts: list[tuple[int, list[Piece]]] = [
        (3, [("", f"sessions {proxy.sessions}")]),
        (4, [("", f"conns {proxy.connections}")]),
        (5, [("", f"{status.rate:.0f} PDU/s")]),
        (6, [("bold" if proxy.armed else "", f"armed {proxy.armed}")]),
        (8, _held(proxy, status.left)),
        (7, _findings(proxy)),
    ]
    if proxy.stalled:
        parts.append((6, [("bold", f"stalled {proxy.stalled}")]))
    if proxy.recording:
        parts.append((4, [("bold", "REC")]))
    if left_out or proxy.left_out:
        parts.append((2, [("", f"left out {left_out + proxy.left_out}")]))
    if proxy.internal_errors:
        parts.append((9, [("bold", f"INTERNAL ERRORS {len(proxy.internal_errors)}")]))
    return parts


def _held(proxy: Proxy, left: float | None) -> list[Piece]:
    if not proxy.held:
        return [("", "held 0")]
    pieces: list[Piece] = [("bold", f"held {proxy.held}")]
    if proxy.timer is not None and left is not None:
        urgent = left <= _URGENT
        flash = urgent and int(left * 2) % 2 == 0
        style = "bold noreverse" if flash else "bold" if urgent else ""
        pieces += [("", ", "), (style, timer_text(proxy.timer, left))]
    return pieces


def _findings(proxy: Proxy) -> list[Piece]:
    if not proxy.checked:
        return [("", "not judged")]
    counts = [f"{number} {severity}" for severity, number in proxy.findings.items() if number]
    return [("bold" if counts else "", f"findings {' '.join(counts) or 0}")]
