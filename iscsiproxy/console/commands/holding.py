"""PDUs in hand: look at them, change them, let them go."""

from __future__ import annotations

from functools import partial
from typing import Literal

import msgspec

from iscsiproxy.api.client import ApiError
from iscsiproxy.api.models import Held, Problem
from iscsiproxy.console.answer import Answer
from iscsiproxy.console.arguments import Changes, HeldOrAll, HeldPdu
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.grammar import split
from iscsiproxy.console.views import pdus as views
from iscsiproxy.errors import UsageError

__all__ = ["drop", "edit", "held", "release", "show", "step"]


#: The act that fields alone stand for
_SET = "set "


async def held(desk: Desk) -> Answer:
    """List the PDUs in hand, and the timers that run meanwhile."""
    found = await desk.api.held()
    now = (await desk.api.proxy()).now if found else 0.0
    return Answer(data=found, view=partial(views.held, found, now))


async def show(desk: Desk, n: HeldPdu | None = None, what: Literal["all"] | None = None) -> Answer:
    """Show a PDU in full: its fields, texts, data, and bytes.

    N is the number of its event, as `watch`, `log` and `held` tell it; a PDU in hand is shown as it would go now.
    Without N it is the one in hand. Of long data the beginning is shown, with `all` as much of it as is kept.
    """
    number = await desk.held(n)
    try:
        found = await desk.api.held_pdu(number)
    except ApiError as error:
        if error.error != "not_found":
            raise
        found = await desk.api.pdu(number)
    return Answer(data=found, view=partial(views.pdu, found, everything=what == "all"))


async def edit(desk: Desk, n: HeldPdu | None = None, changes: Changes | None = None) -> Answer:
    """Change a PDU in hand: fields, or acts that change it.

    The PDU stays in hand until it is released; lengths, padding and digests are made right, as in a rule.
    """
    if changes is None:
        raise UsageError("`edit` needs changes, such as `edit last CDB.LBA=2048` or `edit last resize 512`")
    first = next(split(changes)).text
    added = _SET if "=" in first else ""
    number = await desk.held(n)
    try:
        done = await desk.confirmed(lambda confirm: desk.api.edit(number, acts=added + changes, confirm=confirm))
    except ApiError as error:
        raise _shifted(error, -len(added)) from None
    return _told(done, "edited")


def _shifted(error: ApiError, by: int) -> ApiError:
    """Give the error with its columns counted in what was typed."""

    def moved(one: Problem) -> Problem:
        column = max(one.column + by, 1) if one.column else 0
        return msgspec.structs.replace(one, column=column, others=tuple(map(moved, one.others)))

    return ApiError(error.status, moved(error.problem))


async def release(desk: Desk, n: HeldOrAll | None = None) -> Answer:
    """Let a PDU in hand go on its way, or all of them in their order."""
    if n != "all":
        return _told(await desk.api.release(await desk.held(n)), "released")
    found: list[Held] = []
    for one in await desk.api.held():
        try:
            found.append(await desk.api.release(one.n))
        except ApiError as error:  # it has gone meanwhile
            if error.error != "not_found":
                raise
    return Answer(data=found, view=lambda width: [views.held_line(one, "released", width) for one in found])


async def drop(desk: Desk, n: HeldPdu | None = None) -> Answer:
    """Let a PDU in hand go nowhere.

    With more than a number it is the act `drop`.
    """
    return _told(await desk.api.drop(await desk.held(n)), "dropped")


async def step(desk: Desk, n: HeldPdu | None = None) -> Answer:
    """Let a PDU go, and hold the next one of its connection."""
    done = await desk.api.step(await desk.held(n))
    return _told(done.released, "released", data=done)


def _told(one: Held, what: str, *, data: object = None) -> Answer:
    return Answer(data=data or one, view=lambda width: [views.held_line(one, what, width)])
