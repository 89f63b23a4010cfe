"""What a command has at hand: the proxy, the screen, the connection in use.

Commands do not know who calls them. A prompt asks before what may corrupt data, a script says no unless it was told
otherwise; a prompt shows events as they come, a script waits for them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import msgspec

from iscsiproxy.api.client import ApiError, AsyncClient
from iscsiproxy.api.models import Event, Held, Vocabulary
from iscsiproxy.console.arguments import HeldRef
from iscsiproxy.console.command import Registry
from iscsiproxy.console.lines import Line
from iscsiproxy.errors import UsageError

__all__ = ["Desk", "Paper", "Watching"]

T = TypeVar("T")


class Paper(Protocol):
    """Where a console writes."""

    @property
    def width(self) -> int:
        """How many columns there are; 0: lines are not cut."""

    def lines(self, lines: Iterable[Line]) -> None:
        """Write lines."""

    def events(self, events: Sequence[Event]) -> None:
        """Write events."""


class Watching(Protocol):
    """The events that a prompt shows while it waits for commands."""

    #: Whether only what was asked for is shown
    quiet: bool
    #: What PDUs are shown: a pattern, empty for all; None for none
    pattern: str | None

    async def watch(self, pattern: str | None, *, both: bool = False) -> None:
        """Show PDUs of a pattern from now on; raises ApiError if it is wrong, and nothing changes."""

    async def reach(self, n: int) -> None:
        """Wait until event `n` was shown, but not for long."""


@dataclass(slots=True, kw_only=True)
class Desk:
    """What a command has at hand.

    `ask` puts a question and tells whether the answer was yes; without it nobody can be asked, and `yes` says it
    beforehand. `live` shows events while no command runs; without it a command shows those it waits for. `attached`
    tells that this console was started by the run itself. `used` is the connection in use, `seen` the event behind
    which a script looks when it waits.
    """

    api: AsyncClient
    paper: Paper
    commands: Registry
    ask: Callable[[str], Awaitable[bool]] | None = None
    live: Watching | None = None
    switch_editing: Callable[[Literal["emacs", "vi"]], None] | None = None
    yes: bool = False
    attached: bool = False
    used: int | None = None
    seen: int = 0
    _words: Vocabulary | None = None

    def __repr__(self) -> str:
        return f"<Desk at {self.api!r}{f', uses connection {self.used}' if self.used else ''}>"

    async def vocabulary(self) -> Vocabulary:
        """Give the words of the language; the proxy is asked once."""
        if self._words is None:
            self._words = await self.api.vocabulary()
        return self._words

    async def connection(self, conn: int | None) -> int:
        """Give the number of a connection: the one that was said, the one in use, or the only one."""
        if conn is not None or self.used is not None:
            return conn if conn is not None else self.used or 0
        found = [one.id for one in await self.api.connections()]
        if len(found) == 1:
            return found[0]
        if not found:
            raise UsageError("there is no connection")
        raise UsageError(f"which connection? there are {', '.join(map(str, found))}; `use {found[-1]}` settles it")

    async def held(self, which: HeldRef | None) -> int:
        """Give the number of a held PDU: the one that was said, the `first` or the `last`, or the only one."""
        if isinstance(which, int):
            return which
        found: list[Held] = sorted(await self.api.held(), key=lambda one: one.n)
        if not found:
            raise UsageError("nothing is held")
        if which is None and len(found) > 1:
            numbers = ", ".join(str(one.n) for one in found)
            raise UsageError(f"which PDU? {numbers} are held; `first` and `last` are names for them")
        return found[-1 if which == "last" else 0].n

    async def confirmed(self, send: Callable[[bool], Awaitable[T]]) -> T:
        """Do what may corrupt data: the proxy refuses it until somebody has said yes.

        `send` is told whether they have.
        """
        try:
            return await send(False)
        except ApiError as error:
            if error.error != "confirm":
                raise
            if not self.yes and self.ask is None:
                hinted = msgspec.structs.replace(error.problem, hint="`--yes` agrees beforehand")
                raise ApiError(error.status, hinted) from None
            if not await self.agreed(error.problem.message):
                raise UsageError("not done") from None
        return await send(True)

    async def agreed(self, question: str) -> bool:
        """Tell whether somebody says yes to a question, or has said so beforehand."""
        return self.yes or (self.ask is not None and await self.ask(question))

    def prompt(self, command: str) -> Watching:
        """Give the events that the prompt shows; raises UsageError in a script, which shows none."""
        if self.live is None:
            raise UsageError(f"`{command}` is for the prompt")
        return self.live
