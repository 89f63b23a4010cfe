"""What there is: the run, sessions, connections, tasks, and what was negotiated."""

from __future__ import annotations

from functools import partial

from iscsiproxy.console.answer import Answer, said
from iscsiproxy.console.arguments import Conn, Session
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.views import state as views
from iscsiproxy.errors import UsageError

__all__ = ["connections", "negotiated", "proxy", "sessions", "tasks", "use", "window"]


async def proxy(desk: Desk) -> Answer:
    """Show the run as a whole: addresses, seed, files, counters."""
    found = await desk.api.proxy()
    return Answer(data=found, view=partial(views.proxy, found))


async def sessions(desk: Desk) -> Answer:
    """List the sessions."""
    found = await desk.api.sessions()
    return Answer(data=found, view=partial(views.sessions, found))


async def connections(desk: Desk, conn: Conn | None = None) -> Answer:
    """List the connections, or show one.

    The number is the proxy's own: events, rules and other commands name connections by it. `*` is the one in use.
    """
    found = await desk.api.connections() if conn is None else (await desk.api.connection(conn),)
    return Answer(data=found, view=partial(views.connections, found, desk.used))


async def tasks(desk: Desk, conn: Conn | None = None) -> Answer:
    """List the tasks that have no status yet, the oldest first."""
    found = await desk.api.tasks(conn=conn)
    return Answer(data=found, view=partial(views.tasks, found))


async def negotiated(desk: Desk, conn: Conn | None = None) -> Answer:
    """Show what was negotiated, both legs side by side.

    A `≠` marks what the two ends were told differently.
    """
    found = await desk.api.connection(await desk.connection(conn))
    return Answer(data=found, view=partial(views.negotiated, found))


async def window(desk: Desk, session: Session | None = None) -> Answer:
    """Show the command window: CmdSN, ExpCmdSN, MaxCmdSN.

    The bar is what may be sent from ExpCmdSN on, and `#` is as much of it as was sent.
    """
    found = await desk.api.sessions() if session is None else (await desk.api.session(session),)
    if not found:
        raise UsageError("there is no session")
    return Answer(data=found, view=lambda width: [one for each in found for one in views.window(each, width)])


async def use(desk: Desk, conn: Conn | None = None) -> Answer:
    """Set the connection that acts without a moment are done on.

    Without a number it is again the only one there is.
    """
    if conn is not None:
        await desk.api.connection(conn)
    desk.used = conn
    return said(f"connection {conn} is in use" if conn is not None else "the only connection is in use", data=conn)
