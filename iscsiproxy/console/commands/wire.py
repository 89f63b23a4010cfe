"""By hand, on the wire: send a PDU, close a connection, let it stand still."""

from __future__ import annotations

from functools import partial
from typing import Literal

from iscsiproxy.api.models import Connection
from iscsiproxy.console.answer import Answer, said
from iscsiproxy.console.arguments import Conn, For, Template
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.lines import line
from iscsiproxy.console.views import pdus as views

__all__ = ["inject", "kill", "resume", "stall"]


async def inject(desk: Desk, pdu: Template, limit: For = 5.0) -> Answer:
    """Send a PDU of the proxy's own now, and show what answers it.

    Fields that are not given are right for the connection at that time. It goes to the end that its name addresses,
    and the other end sees neither it nor its answer. With a moment it is the act `inject`.
    """
    done = await desk.confirmed(lambda confirm: desk.api.inject(pdu=pdu, conn=desk.used, wait=limit, confirm=confirm))
    return Answer(data=done, view=partial(views.injected, done))


async def kill(
    desk: Desk,
    conn: Conn | None = None,
    how: Literal["rst", "fin", "half"] = "rst",
    end: Literal["initiator", "target", "both"] = "both",
) -> Answer:
    """Close a connection: RST, FIN or `half`.

    `half` is a FIN of our sending side only.
    """
    number = await desk.connection(conn)
    done = await desk.api.kill(number, how=how, end=end)
    if desk.used == number:
        desk.used = None
    where = "both ends" if end == "both" else f"the {end}"
    return said(f"connection {number} was closed ({how}) towards {where}", data=done)


async def stall(
    desk: Desk,
    conn: Conn | None = None,
    end: Literal["initiator", "target", "both"] = "both",
    limit: For | None = None,
) -> Answer:
    """Let a connection stand still, until `resume` or for a time.

    Nothing is read from it or written to it. With more than that it is the act `stall`.
    """
    number = await desk.connection(conn)
    done = await desk.api.stall(number, end=end, at_most=limit)
    ends = f"`resume {number}` ends it" if limit is None else f"it goes on after {limit:g} s, or with `resume {number}`"
    return said(line(f"connection {number} stands still; {ends}"), data=done)


async def resume(desk: Desk, conn: Conn | None = None) -> Answer:
    """End what stalls a connection; without a number, all."""
    numbers = [conn] if conn is not None else await _stalled(desk)
    done: list[Connection] = [await desk.api.resume(number) for number in numbers]
    lines = [line(f"connection {number} goes on") for number in numbers] or [line("no connection stands still")]
    return said(*lines, data=done)


async def _stalled(desk: Desk) -> list[int]:
    found = await desk.api.connections()
    return [one.id for one in found if one.initiator.stalled or one.target.stalled]
