"""What all connection pairs of a run share: the engine, the state of both legs, the sinks, the timers.

The relay numbers and dates every event, hands it to the sinks (journal, capture, screen), asks the engine, and carries
out what the engine answers. It decides nothing itself. Only the trio thread touches it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Protocol, assert_never

import trio

from iscsiproxy.engine import Engine
from iscsiproxy.engine.commands import Close, Command, Detach, Finish, Report, Resume, Send, SetTimer, Stall
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy.line import Line, Out, Slot, Step
from iscsiproxy.proxy.poller import Poller
from iscsiproxy.session.events import Closed, Connected, Decided, Delivered, Event, Fired, FullFeature, Noted, Received
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire.framing import EVERYTHING, Interest
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Closable", "Relay", "Settings", "Sink"]

#: What the relay itself has to see in full feature phase: negotiation goes on, addresses are rewritten.
_ALWAYS_WHOLE = (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE)
_BASE = tuple(Interest.WHOLE if opcode in _ALWAYS_WHOLE else Interest.NONE for opcode in range(64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the relay behaves. Sizes in bytes, times in seconds."""

    connect_timeout: float = 10.0
    max_held: int = 8 << 20  #: what may wait in one direction before reading stops
    max_pdu: int = (1 << 24) + 2048  #: a larger PDU is never collected
    close_on_garbage: bool = False  #: instead of passing on raw what cannot be framed


@dataclass(frozen=True, slots=True)
class Sink:
    """Somebody who is told of events, in order, in the trio thread; `take` must not block.

    With `pdus` it is told of every PDU received and delivered too, and so everything is looked at.
    """

    take: Callable[[Event], None]
    pdus: bool = False


class Closable(Protocol):
    """What the relay knows of a pair."""

    def fault_close(self, how: str, end: str) -> None:
        """Close one leg or both, because a rule says so."""

    def stall(self, end: str, token: int) -> None:
        """Stall one leg or both."""

    def resume(self, token: int) -> None:
        """End a stall."""

    def wake(self, line: Line) -> None:
        """See that a line of this pair is drained."""

    def refresh(self) -> None:
        """Ask for the interest tables again."""

    async def settled(self) -> None:
        """Wait until nothing waits to be written."""


class Relay:
    """The shared part of a run. `start` is the trio time at which the run began."""

    def __init__(
        self, *, scenarios: Sequence[Scenario], rng: Random, sinks: Sequence[Sink], settings: Settings, start: float
    ) -> None:
        self.settings = settings
        self.poller = Poller()
        self.trackers = {end: Tracker(end) for end in End}
        self._takers = tuple(sink.take for sink in sinks)
        self._pdu_takers = tuple(sink.take for sink in sinks if sink.pdus)
        #: Whether every PDU is recorded: then digests are verified as well.
        self.records = bool(self._pdu_takers)
        self.engine = Engine(scenarios, rng=rng, state=self._state) if scenarios else None
        self.pairs: dict[int, Closable] = {}
        #: Errors of this program; each cost one connection or one timer, and the run is no pass.
        self.crashes: list[Exception] = []
        self._start = start
        self._n = 0
        self._slots: dict[int, tuple[Closable, Line, Slot]] = {}
        self._timers: list[tuple[float, int]] = []
        self._timer_set = trio.Event()
        self._stalls: set[int] = set()  # tokens of stalls whose turn in their line has not come yet
        self._interest = {end: self._compile(end) for end in End}

    def __repr__(self) -> str:
        return f"<Relay {len(self.pairs)} pairs, {self._n} events, {len(self._slots)} PDUs in hand>"

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return trio.current_time() - self._start

    def next_n(self) -> int:
        """Give the next event its number."""
        self._n += 1
        return self._n

    def interest(self, sender: End) -> tuple[Interest, ...]:
        """How closely to look at what `sender` sends in full feature phase."""
        return self._interest[sender]

    def emit(self, event: Event) -> None:
        """Hand an event to every sink."""
        for take in self._takers:
            take(event)

    def emit_pdu(self, event: Received | Delivered) -> None:
        """Hand a PDU to the sinks that want PDUs."""
        for take in self._pdu_takers:
            take(event)

    def happened(self, event: Connected | FullFeature | Closed) -> None:
        """Hand a link event to the sinks, and to the engine."""
        self.emit(event)
        if self.engine is not None:
            self.carry_out(self.engine.happened(event))

    def hold(self, pair: Closable, line: Line, n: int, size: int) -> None:
        """Open the slot of a PDU that commands are about to speak of."""
        self._slots[n] = (pair, line, line.open(n, size))

    def carry_out(self, commands: Iterable[Command]) -> None:
        """Do what the engine asks, in its order. Nothing here waits: what takes time stands in a line."""
        touched: dict[int, tuple[Closable, Line]] = {}
        for command in commands:
            slot_number = getattr(command, "slot", None)
            held = self._slots.get(slot_number) if slot_number is not None else None
            if held is not None:
                touched[id(held[1])] = held[:2]
            self._carry_out(command, held)
        for pair, line in touched.values():
            pair.wake(line)

    def _carry_out(self, command: Command, held: tuple[Closable, Line, Slot] | None) -> None:
        match command:
            case Send():
                if held is not None:
                    held[2].items.append(
                        Out(
                            command.pdu,
                            command.slot,
                            command.changes,
                            command.rules,
                            command.start,
                            command.stop,
                        )
                    )
            case Finish():
                if held is not None:
                    held[2].finished = True
                    del self._slots[command.slot]
            case Detach():
                if held is not None:
                    held[1].detach(held[2])
            case Close():
                if (pair := self.pairs.get(command.conn)) is not None:
                    self._in_turn(held, partial(pair.fault_close, command.how, command.end))
            case Stall():
                if (pair := self.pairs.get(command.conn)) is not None:
                    self._stalls.add(command.token)
                    self._in_turn(held, partial(self._stall, pair, command.end, command.token))
            case Resume():
                self._stalls.discard(command.token)
                for pair in list(self.pairs.values()):
                    pair.resume(command.token)
            case SetTimer():
                heapq.heappush(self._timers, (command.at, command.token))
                self._timer_set.set()
            case Report():
                self.emit(self._reported(command))
            case _:
                assert_never(command)

    def _stall(self, pair: Closable, end: str, token: int) -> None:
        # What was written first may have taken longer than the stall was to last.
        if token in self._stalls:
            self._stalls.remove(token)
            pair.stall(end, token)

    @staticmethod
    def _in_turn(held: tuple[Closable, Line, Slot] | None, act: Callable[[], None]) -> None:
        if held is None:
            act()
        else:
            held[2].items.append(Step(act))

    def _reported(self, report: Report) -> Event:
        n, at = self.next_n(), self.now
        match report.kind:
            case "fired":
                return Fired(
                    n=n,
                    at=at,
                    conn=report.conn,
                    rule=report.rule,
                    act=report.act,
                    of=report.of,
                    label=report.label,
                    text=report.text,
                    changes=report.changes,
                )
            case "noted":
                return Noted(n=n, at=at, conn=report.conn, rule=report.rule, of=report.of, text=report.text)
            case what:
                return Decided(
                    n=n, at=at, conn=report.conn, rule=report.rule, what=what, of=report.of, text=report.text
                )

    def crashed(self, error: Exception, conn: int) -> None:
        """Take note of an error of this program."""
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        self.crashes.append(error)
        self.emit(Noted(n=self.next_n(), at=self.now, conn=conn, rule="", of=None, text=f"internal error: {error!r}"))

    def forget(self, conn: int) -> None:
        """Drop the slots and the state of a pair that has ended."""
        pair = self.pairs.pop(conn, None)
        self._slots = {n: held for n, held in self._slots.items() if held[0] is not pair}
        for tracker in self.trackers.values():
            tracker.close(conn, self.now)

    async def run_timers(self) -> None:
        """Call the engine's timers when they are due; runs until cancelled."""
        while True:
            self._timer_set = trio.Event()
            due = self._timers[0][0] + self._start if self._timers else float("inf")
            with trio.move_on_at(due):
                await self._timer_set.wait()
            while self._timers and self._timers[0][0] <= self.now:
                _, token = heapq.heappop(self._timers)
                if self.engine is not None:
                    try:
                        self.carry_out(self.engine.timer(token, self.now))
                    except Exception as error:  # noqa: BLE001 - reported, and the run is no pass
                        # A timer belongs to no connection that could answer for it; the others must go on.
                        self.crashed(error, 0)

    def begin(self) -> None:
        """Bring the rules into force."""
        if self.engine is not None:
            self.carry_out(self.engine.start(self.now))

    def end(self) -> None:
        """Clear every fault: rules disarm, held PDUs go in order, stalls end."""
        if self.engine is not None:
            self.carry_out(self.engine.end(self.now))
        self.refresh()

    def refresh(self) -> None:
        """Compile the interest tables anew, after rules were armed or disarmed."""
        self._interest = {end: self._compile(end) for end in End}
        for pair in list(self.pairs.values()):
            pair.refresh()

    def _state(self, conn: int, leg: End, pdu: Pdu | None) -> Snapshot:
        return self.trackers[leg].snapshot(conn, pdu, at=self.now)

    def _compile(self, sender: End) -> tuple[Interest, ...]:
        if self.records:
            return EVERYTHING
        asked = self.engine.interest(sender) if self.engine is not None else _BASE
        return tuple(map(max, _BASE, asked))
