"""Commands played against a proxy that is only its API, and what came of them as text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from iscsiproxy.api.models import Event
from iscsiproxy.console.answer import View
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.execute import Outcome, execute
from iscsiproxy.console.lines import Line, plain
from iscsiproxy.console.registry import COMMANDS
from iscsiproxy.console.views.events import event_line
from tests.console.fake import FakeProxy

__all__ = ["Sheet", "StillLive", "answered", "data_of", "played", "run", "texts", "until", "viewed"]

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run it to its end, which must not take long."""

    async def bounded() -> T:
        async with asyncio.timeout(5):
            return await main

    return asyncio.run(bounded())


async def until(true: Callable[[], bool]) -> None:
    """Let others work until something is so."""
    while not true():
        await asyncio.sleep(0.001)


@dataclass
class Sheet:
    """What a console wrote, as text."""

    width: int = 0
    written: list[str] = field(default_factory=list)

    def lines(self, lines: Iterable[Line]) -> None:
        """Take lines."""
        self.written += map(plain, lines)

    def events(self, events: Sequence[Event]) -> None:
        """Take events."""
        self.lines(event_line(event) for event in events)


@dataclass
class StillLive:
    """A prompt that shows events, of which none come."""

    quiet: bool = False
    pattern: str | None = None
    both: bool = False
    reached: int = 0

    async def watch(self, pattern: str | None, *, both: bool = False) -> None:
        """Take note of what is watched."""
        self.pattern, self.both = pattern, both

    async def reach(self, n: int) -> None:
        """Take note of what was waited for."""
        self.reached = n


def played(
    proxy: FakeProxy,
    *lines: str,
    ask: Callable[[str], Awaitable[bool]] | None = None,
    live: StillLive | None = None,
    yes: bool = False,
    sheet: Sheet | None = None,
) -> list[Outcome]:
    """Do lines one after another at one desk."""

    async def play() -> list[Outcome]:
        async with proxy.client() as api:
            desk = Desk(api=api, paper=sheet or Sheet(), commands=COMMANDS, ask=ask, live=live, yes=yes)
            found = [await execute(desk, line) for line in lines]
        return [one for one in found if one is not None]

    return run(play())


def texts(outcome: Outcome, width: int = 0) -> list[str]:
    """Give what people see of it."""
    return [plain(line) for line in outcome.lines(width)]


def answered(proxy: FakeProxy, line: str, *, width: int = 0, **more: Any) -> list[str]:
    """Do one line that must not fail, and give what people see."""
    [outcome] = played(proxy, line, **more)
    assert outcome.problem is None, outcome.problem
    return texts(outcome, width)


def data_of(outcome: Outcome) -> Any:
    """Give what programs see of an answer."""
    return msgspec.json.decode(outcome.json())["answer"]


def viewed(view: View | Iterable[Line], width: int = 0) -> list[str]:
    """Give lines as text."""
    return [plain(line) for line in (view(width) if callable(view) else view)]
