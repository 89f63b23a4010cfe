"""What happens: PDUs and events as they come, and those that were."""

from __future__ import annotations

import asyncio
from typing import Literal

from iscsiproxy.api.models import Event
from iscsiproxy.console.answer import Answer, said
from iscsiproxy.console.arguments import Count, For, From, Pattern
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.views.events import PDU_EVENTS, event_line, is_shown

__all__ = ["log", "quiet", "watch"]

#: How many events `log` shows where nothing is said
_LOG = 40


async def watch(
    desk: Desk,
    what: Literal["off", "both"] | None = None,
    pattern: Pattern | None = None,
    count: Count | None = None,
    limit: For | None = None,
) -> Answer:
    """Show PDUs as they pass, one line each.

    `watch off`, or a plain `watch` once more, ends it. A PDU is shown where it came in, and where it went out only if
    it left changed; with `both` it is shown twice. A pattern is one of the language: `watch R2T or Data-Out where
    ITT == 0x3`. In a script it goes on until `count` events were shown or the time is up.
    """
    if desk.live is None:
        if what == "off":
            return said()
        return await _stream(desk, pattern or "", both=what == "both", count=count, seconds=limit)
    if what == "off" or (what is None and pattern is None and desk.live.pattern is not None):
        await desk.live.watch(None)
        return said("PDUs are no longer shown")
    await desk.live.watch(pattern or "", both=what == "both")
    return said(f"PDUs are shown: {pattern or 'all'}; `watch off` ends it")


async def _stream(desk: Desk, pattern: str, *, both: bool, count: int | None, seconds: float | None) -> Answer:
    """Show events until so many came, or the time is up."""
    shown = 0
    query = desk.api.events(pdus=True, deliveries=both, where=pattern or None)
    try:
        async with asyncio.timeout(seconds), query as events:
            async for event in events:
                if not is_shown(event) or (pattern and event.event not in PDU_EVENTS):
                    continue
                desk.paper.events([event])
                shown += 1
                if shown == count:
                    break
    except TimeoutError:
        pass
    return Answer(data={"shown": shown})


async def log(desk: Desk, since: From | None = None, pattern: Pattern | None = None) -> Answer:
    """Show again what has happened behind event N.

    It goes back as far as the proxy keeps it; without N, the last of it is shown. With a pattern, its PDUs too: `log
    1200 Any-PDU`.
    """
    first = since if since is not None else 0
    found: list[Event] = []
    async with desk.api.events(since=first, follow=False, pdus=pattern is not None, where=pattern) as events:
        async for event in events:
            if is_shown(event):
                found.append(event)
                if since is None and len(found) > _LOG:
                    del found[0]
    return Answer(data=found, view=lambda width: [event_line(event, width) for event in found])


async def quiet(desk: Desk, how: Literal["on", "off"] = "on") -> Answer:
    """Show no events but those that `watch` asks for.

    `quiet off` shows faults, connections and findings again.
    """
    desk.prompt("quiet").quiet = how == "on"
    return said("events are not shown" if how == "on" else "events are shown")
