"""What a script needs between other commands: to wait, and to say where it is."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Literal

from iscsiproxy.api.models import Event, Held
from iscsiproxy.console.answer import Answer, said
from iscsiproxy.console.arguments import For, Pattern, Text, Time
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.lines import Line
from iscsiproxy.console.views import pdus
from iscsiproxy.console.views.events import event_line
from iscsiproxy.errors import UsageError

__all__ = ["echo", "sleep", "wait", "waits_for_pdus"]


async def wait(
    desk: Desk,
    what: Literal["held", "fired"] | None = None,
    pattern: Pattern | None = None,
    limit: For = 10.0,
) -> Answer:
    """Wait until a PDU is held or has passed, or a rule has fired.

    `wait held`, `wait fired RULE`, `wait R2T where R2TSN > 0 for 30s`. A script waits for what comes behind the event
    that it last waited for, or behind its own beginning; it fails if that does not come in time.
    """
    if what == "held" and pattern is not None:
        raise UsageError("`wait held` waits for any PDU; `hold` says which are held")
    if what == "fired" and pattern is None:
        raise UsageError("`wait fired` needs the name of a rule, as `rules` lists it")
    if what is None and pattern is None:
        raise UsageError("`wait` needs to know for what: `held`, `fired RULE` or a pattern")
    try:
        async with asyncio.timeout(limit):
            if what == "held":
                return await _held(desk)
            if what == "fired":
                return await _fired(desk, pattern or "")
            return await _passed(desk, pattern or "")
    except TimeoutError:
        awaited = "nothing was held" if what == "held" else f"{pattern!r} did not come"
        if what == "fired":
            awaited = f"{pattern} did not fire"
        raise UsageError(f"{awaited} within {limit:g}s") from None


def waits_for_pdus(line: str) -> bool:
    """Tell whether a line of a script waits for a PDU to pass."""
    words = line.split(maxsplit=2)
    return len(words) > 1 and words[0] == "wait" and words[1] not in ("held", "fired")


async def _held(desk: Desk) -> Answer:
    async with desk.api.events(since=desk.seen) as events:
        while True:
            found = await desk.api.held()
            if found:
                desk.seen = max(desk.seen, found[-1].n)
                return Answer(data=found[-1], view=partial(_held_lines, found[-1]))
            async for event in events:
                if event.what == "held":
                    break
            else:
                raise UsageError("the proxy has ended")


def _held_lines(one: Held, width: int) -> list[Line]:
    return [pdus.held_line(one, "held", width)]


async def _fired(desk: Desk, name: str) -> Answer:
    async with desk.api.events(since=desk.seen) as events:
        known = [rule for rule in await desk.api.rules() if name in (rule.name, rule.scenario)]
        if not known:
            raise UsageError(f"there is no rule `{name}`")
        fired = next((rule for rule in known if rule.fired), None)
        if fired is not None:
            return said(f"{fired.name} has fired", data=fired)
        async for event in events:
            if event.event == "fired" and name in (event.rule, event.rule.partition("/")[0]):
                return _seen(desk, event)
    raise UsageError("the proxy has ended")


async def _passed(desk: Desk, pattern: str) -> Answer:
    async with desk.api.events(since=desk.seen, pdus=True, where=pattern) as events:
        async for event in events:
            if event.event in ("received", "delivered"):
                return _seen(desk, event)
    raise UsageError("the proxy has ended")


def _seen(desk: Desk, event: Event) -> Answer:
    desk.seen = max(desk.seen, event.n)
    return Answer(data=event, view=lambda width: [event_line(event, width)])


async def sleep(_desk: Desk, time: Time) -> Answer:
    """Do nothing for a time."""
    await asyncio.sleep(time)
    return Answer()


async def echo(_desk: Desk, text: Text = "") -> Answer:
    """Print a text."""
    return said(text, data=text)
