"""A block of somebody's code as the traffic of a run: the rules are in force before it begins, and until it ends.

Nobody drives it, so nobody can be asked for good I/O behind the fault. Either the block brings a function that does
some, or what it has done itself has to show it: a command that was sent after every rule had fired and was answered
with a good status.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from iscsiproxy.errors import InternalError
from iscsiproxy.runs.driving import Behind, Context, Tell
from iscsiproxy.session.events import Event, FullFeature, Received
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["Block", "BlockDriver"]

#: What is on its way when the block ends is waited for: until nothing has come for so long, but no longer than that, in
#: seconds
_QUIET: Final = 0.05
_GRACE: Final = 1.0
_ASKED: Final = (Opcode.SCSI_COMMAND, Opcode.TEXT_REQUEST)


@dataclass(slots=True, eq=False, kw_only=True)
class Block:
    """What a run and the block tell each other; all of it in the thread of trio.

    The run sets `armed` when the rules have come into force, and `decided` when each rule that has to has fired and no
    expectation waits for anything any more. Whoever runs the block sets `ended`, and may `tell` what the application
    saw. `behind` does good I/O, over a new session if its argument says so; None where the block has no function for
    that.
    """

    armed: trio.Event = field(default_factory=trio.Event)
    decided: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)
    behind: Callable[[bool], Awaitable[Behind]] | None = None
    tell: Tell | None = None


class BlockDriver:
    """The driver of a run whose traffic is a block's.

    `unmet` tells whether a part of the fault is yet to come; `done` is told when the block is over.
    """

    def __init__(
        self,
        context: Context,
        block: Block,
        *,
        unmet: Callable[[], bool],
        done: Callable[[str], None],
        hang_up: Callable[[], None],
    ) -> None:
        block.tell = context.tell
        self._block = block
        self._unmet = unmet
        self._done = done
        self._hang_up = hang_up
        self._news = trio.Event()
        self._is_behind = False  #: the fault was met in full: what is sent now is sent behind it
        self._sent: set[tuple[int, int]] = set()  #: connection and task tag of what was asked behind it
        self._new: set[int] = set()  #: connections that came behind it
        self._goods: dict[bool, int] = {}  #: the last good answer, over a connection that is new, or not

    def __repr__(self) -> str:
        state = "over" if self._block.ended.is_set() else "going on" if self._block.armed.is_set() else "not begun"
        return f"<BlockDriver {state}>"

    # --- what happens ------------------------------------------------------------------------------------------------

    def take(self, event: Event, *, good: bool) -> None:
        """Take note of an event; `good` tells that it is the target's word that I/O went well."""
        self._news.set()
        self._news = trio.Event()
        match event:
            case FullFeature(leg=End.INITIATOR) if self._behind_it():
                self._new.add(event.conn)
            case Received(leg=End.INITIATOR, pdu=pdu) if pdu.opcode in _ASKED and self._behind_it():
                self._sent.add((event.conn, pdu["ITT"]))
            case Received(pdu=pdu) if good and (event.conn, pdu["ITT"]) in self._sent:
                self._sent.discard((event.conn, pdu["ITT"]))
                self._goods[event.conn in self._new] = event.n
            case _:
                pass

    def _behind_it(self) -> bool:
        # This event has done nothing yet: what is so was so before it.
        self._is_behind = self._is_behind or not self._unmet()
        return self._is_behind

    # --- what a run asks ---------------------------------------------------------------------------------------------

    async def steady(self) -> str:
        """Refuse: a block is there for the fault alone."""
        raise InternalError("a block has no steady state")

    async def fault(self, over: trio.Event) -> None:
        """Let the block go on, and stay until it has ended, whether the run is `over` or not."""
        self._block.armed.set()
        await self._block.ended.wait()
        with trio.move_on_after(_GRACE):
            while await self._something_comes():
                pass
        self._done("")

    async def _something_comes(self) -> bool:
        with trio.move_on_after(_QUIET):
            await self._news.wait()
            return True
        return False

    async def behind(self, *, anew: bool) -> Behind:
        """Have the block's own function do good I/O; else look for some in what the block has done."""
        if self._block.behind is not None:
            if anew:
                self._hang_up()
            return await self._block.behind(anew)
        found = [n for new, n in self._goods.items() if new or not anew]
        if not found:
            where = "over a new session, " if anew else ""
            return Behind(good=None, text=f"nothing was done {where}behind the fault that could tell")
        return Behind(good=True, text="the block did some behind the fault", since=max(found))

    async def close(self) -> None:
        """Do nothing: what the block has opened is not ours."""
