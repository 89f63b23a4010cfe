"""Commands without a prompt: from the command line, a file or a pipe, one answer after another.

Nothing of the prompt is imported. A line that fails ends the script, unless it is to go on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, TextIO

import msgspec

from iscsiproxy.api.client import AsyncClient
from iscsiproxy.api.models import Event
from iscsiproxy.console.answer import LeaveError
from iscsiproxy.console.commands.scripts import waits_for_pdus
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.execute import Outcome, execute
from iscsiproxy.console.lines import Line, ansi, line, plain
from iscsiproxy.console.registry import COMMANDS
from iscsiproxy.console.views.events import event_line

__all__ = ["Printed", "Script", "lines_of", "run_batch"]


class Printed:
    """Writes answers to `out`: as lines, in colour if asked for, or as JSON, an object a line; problems to `err`."""

    def __init__(
        self, out: TextIO, *, err: TextIO | None = None, as_json: bool = False, colour: bool = False, width: int = 0
    ) -> None:
        self._out = out
        self._err = err or out
        self._json = as_json
        self._shape = ansi if colour else plain
        self.width = width
        self.text = ""  #: the command that runs

    def __repr__(self) -> str:
        return f"<Printed {'JSON' if self._json else 'lines'} to {self._out}>"

    def lines(self, lines: Iterable[Line]) -> None:
        """Write lines, for people only."""
        if not self._json:
            for one in lines:
                self._write(self._shape(one))

    def events(self, events: Sequence[Event]) -> None:
        """Write the events that a command shows while it runs."""
        if not self._json:
            self.lines(event_line(event, self.width) for event in events)
            return
        for event in events:
            self._object({"command": self.text, "event": event})

    def outcome(self, outcome: Outcome) -> None:
        """Write what came of a line."""
        if self._json:
            self._write(outcome.json().decode())
            return
        shown = outcome.lines(self.width)
        if outcome.problem is None:
            self.lines(shown)
            return
        if outcome.shift is None:  # else the line is shown already, with the place
            shown.insert(0, line(f"  {outcome.text}"))
        self._out.flush()
        for one in shown:
            self._err.write(self._shape(one) + "\n")
        self._err.flush()

    def _object(self, told: dict[str, Any]) -> None:
        self._write(msgspec.json.encode(told).decode())

    def _write(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How commands are done: with `yes` to what may corrupt data, and whether one that fails ends it."""

    yes: bool = False
    keep_going: bool = False


async def lines_of(stream: TextIO, first: Iterable[str] = ()) -> AsyncGenerator[str, None]:
    """Give lines: the `first` ones, then those of a pipe or a terminal as they come."""
    for one in first:
        yield one
    # A thread that reads could not be told to stop.
    blocking = os.get_blocking(stream.fileno())
    reader = asyncio.StreamReader()
    own = os.fdopen(os.dup(stream.fileno()), "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), own)
    try:
        while text := await reader.readline():
            yield text.decode(errors="replace")
    finally:
        transport.close()
        # Others may have the same terminal or pipe.
        os.set_blocking(stream.fileno(), blocking)


async def run_batch(
    api: AsyncClient, lines: Iterable[str] | AsyncGenerator[str, None], paper: Printed, script: Script
) -> int:
    """Do commands; gives 0, or 1 if one failed. Raises Unreachable if the proxy has gone."""
    desk = Desk(api=api, paper=paper, commands=COMMANDS, yes=script.yes)
    desk.seen = (await api.proxy()).last
    async with AsyncExitStack() as stack:
        if not isinstance(lines, AsyncGenerator):
            lines = list(lines)
            if any(waits_for_pdus(one) for one in lines):
                # PDUs are kept while somebody wants them: so what passes before a script waits for it is not missed.
                await stack.enter_async_context(api.events(pdus=True))
            lines = _each(lines)
        await stack.enter_async_context(aclosing(lines))
        failed = False
        async for one in lines:
            paper.text = one.strip()
            try:
                outcome = await execute(desk, one)
            except LeaveError:
                break
            if outcome is None:
                continue
            paper.outcome(outcome)
            failed = failed or outcome.failed
            if outcome.failed and not script.keep_going:
                break
    return int(failed)


async def _each(lines: Iterable[str]) -> AsyncGenerator[str, None]:
    for one in lines:
        yield one
