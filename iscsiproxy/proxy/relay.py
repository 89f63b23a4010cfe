"""What all connection pairs of a run share: the engine, the state of both legs, the sinks, the timers.

The relay numbers and dates every event, hands it to the sinks (journal, capture, screen), asks the engine, and carries
out what the engine answers. It decides nothing itself. Only the trio thread touches it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

import trio

from iscsiproxy.engine import Engine
from iscsiproxy.engine.commands import (
    Command,
    Refuse,
)
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy.carrier import Carrier, Closable
from iscsiproxy.proxy.line import Line
from iscsiproxy.proxy.poller import Poller
from iscsiproxy.session.events import (
    Closed,
    Connected,
    Decided,
    Delivered,
    Event,
    FullFeature,
    IoDone,
    Noted,
    Received,
    Refused,
)
from iscsiproxy.session.numbers import Numbers
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire.framing import EVERYTHING, Interest
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Relay", "Settings", "Sink"]

#: What the relay itself has to see in full feature phase: negotiation goes on, addresses are rewritten, and what a
#: Reject ends is told by its data.
_ALWAYS_WHOLE = (
    Opcode.LOGIN_REQUEST,
    Opcode.LOGIN_RESPONSE,
    Opcode.TEXT_REQUEST,
    Opcode.TEXT_RESPONSE,
    Opcode.REJECT,
)
_BASE = tuple(Interest.WHOLE if opcode in _ALWAYS_WHOLE else Interest.NONE for opcode in range(64))
#: What has to be seen where somebody wants to know of numbers, tasks and windows.
_FOLLOWED = tuple(max(interest, Interest.HEADER) for interest in _BASE)


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


class Relay:
    """The shared part of a run. `start` is the trio time at which the run began."""

    def __init__(
        self,
        *,
        scenarios: Sequence[Scenario],
        rng: Random,
        sinks: Sequence[Sink],
        settings: Settings,
        start: float,
        armed: bool = True,
        open_to_rules: bool = False,
    ) -> None:
        self.settings = settings
        self.poller = Poller()
        self.trackers = {end: Tracker(end) for end in End}
        self._sinks: list[Sink] = []
        #: Whether every PDU is recorded: then digests are verified as well.
        self.records = False
        self.listen(*sinks)
        with_rules = open_to_rules or bool(scenarios)
        self.engine = Engine(scenarios, rng=rng, state=self._state, armed=armed) if with_rules else None
        #: Whether every header is looked at, so that numbers, tasks and windows are known.
        self.follows = False
        #: PDUs looked at so far, on either leg
        self.looked = 0
        self.numbers = Numbers(self._session_of)
        self.pairs: dict[int, Closable] = {}
        #: Errors of this program; each cost one connection or one timer, and the run is no pass.
        self.crashes: list[Exception] = []
        self._start = start
        self._n = 0
        self._open: set[int] = set()
        self._timers: list[tuple[float, int]] = []
        self._timer_set = trio.Event()
        self._carrier = Carrier(self)
        self._interest = {end: self._compile(end) for end in End}

    def __repr__(self) -> str:
        return f"<Relay {len(self.pairs)} pairs, {self._n} events, {self._carrier!r}>"

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return trio.current_time() - self._start

    def next_n(self) -> int:
        """Give the next event its number."""
        self._n += 1
        return self._n

    def listen(self, *sinks: Sink) -> None:
        """Have more sinks told of what happens from now on; call `refresh` behind it if the run has begun."""
        self._set_sinks([*self._sinks, *sinks])

    def unlisten(self, sink: Sink) -> None:
        """Tell a sink no more; call `refresh` behind it."""
        self._set_sinks([one for one in self._sinks if one is not sink])

    def _set_sinks(self, sinks: list[Sink]) -> None:
        self._sinks = sinks
        self._takers = tuple(sink.take for sink in sinks)
        self._pdu_takers = tuple(sink.take for sink in sinks if sink.pdus)
        self.records = bool(self._pdu_takers)

    def follow(self, on: bool) -> None:
        """Look at every header from now on, or no longer."""
        if on is not self.follows:
            self.follows = on
            self.refresh()

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

    def happened(self, event: Connected | FullFeature | Closed | IoDone) -> None:
        """Hand an event of a link, or what the application saw, to the sinks, and to the engine."""
        self.emit(event)
        if self.engine is not None:
            self.carry_out(self.engine.happened(event))

    def open(self, conn: int) -> None:
        """Begin to keep the state of a connection, unless that was begun when it came."""
        if conn not in self._open:
            self._open.add(conn)
            for tracker in self.trackers.values():
                tracker.open(conn, self.now)

    def refuses(self, conn: int, *, initiator: str, listen: str) -> bool:
        """Ask whether a connection that has come is to be refused; then it has been told of, but for its end."""
        self.open(conn)
        if self.engine is None:
            return False
        n = self._n + 1  # used only if there is something to tell
        commands = self.engine.accepting(conn, n, self.now)
        refused = any(isinstance(command, Refuse) for command in commands)
        if refused:
            self.emit(Refused(n=self.next_n(), at=self.now, conn=conn, initiator=initiator, listen=listen))
        elif commands:
            self.next_n()  # what speaks of it shall speak of no other event
        self.carry_out(commands)
        return refused

    def release(self, n: int) -> None:
        """Let the PDU with event number `n` go, by hand, if it is held until it is released."""
        if self.engine is not None:
            self.carry_out(self.engine.release(n, self.now))

    def hold(self, pair: Closable, line: Line, n: int, pdu: Pdu) -> None:
        """Open the slot of a PDU that commands are about to speak of."""
        self._carrier.hold(pair, line, n, pdu)

    def carry_out(self, commands: Iterable[Command]) -> None:
        """Do what the engine asks, in its order. Nothing here waits: what takes time stands in a line."""
        self._carrier.carry_out(commands)

    def set_timer(self, at: float, token: int) -> None:
        """See that the engine is told when it is `at`."""
        heapq.heappush(self._timers, (at, token))
        self._timer_set.set()

    def waiting(self) -> list[Closable]:
        """Give the pairs where something waits for room in a target's window."""
        return [pair for pair in self.pairs.values() if pair.towards(End.TARGET).blocked]

    def unnumbered(self, conn: int, rule: str, of: int | None, why: str) -> None:
        """Take note that the numbers of an act could not be kept; the run is inconclusive."""
        self.emit(Decided(n=self.next_n(), at=self.now, conn=conn, rule=rule, what="failed", of=of, text=why))

    def crashed(self, error: Exception, conn: int) -> None:
        """Take note of an error of this program."""
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        self.crashes.append(error)
        self.emit(Noted(n=self.next_n(), at=self.now, conn=conn, rule="", of=None, text=f"internal error: {error!r}"))

    def forget(self, conn: int) -> None:
        """Drop the slots and the state of a pair that has ended."""
        pair = self.pairs.pop(conn, None)
        if pair is not None:
            self._carrier.forget(pair)
        self.numbers.close(conn)
        self._open.discard(conn)
        for tracker in self.trackers.values():
            tracker.close(conn, self.now)

    async def run_timers(self) -> None:
        """Call the engine's timers when they are due; runs until cancelled."""
        while True:
            self._timer_set = trio.Event()
            due = self._timers[0][0] + self._start if self._timers else float("inf")
            with trio.move_on_at(due):
                await self._timer_set.wait()
            self.run_due()

    def run_due(self) -> None:
        """Call the engine's timers that are due, and do what comes of it."""
        while self._timers and self._timers[0][0] <= self.now:
            _, token = heapq.heappop(self._timers)
            if self.engine is not None:
                try:
                    self.carry_out(self.engine.timer(token, self.now))
                except Exception as error:  # noqa: BLE001 - reported, and the run is no pass
                    # A timer belongs to no connection that could answer for it; the others must go on.
                    self.crashed(error, 0)

    def tell(self, make: Callable[[int, float], Event]) -> None:
        """Put an event of somebody who drives or judges the run into the journal; `make` is given its `n` and `at`."""
        event = make(self.next_n(), self.now)
        if isinstance(event, IoDone):
            self.happened(event)
        else:
            self.emit(event)

    def ask(self, call: Callable[[Engine], None]) -> None:
        """Let somebody who drives the run ask the engine for something, and do what comes of it."""
        if self.engine is not None:
            self.carry_out(self.engine.asked(self.now, call))

    def conn_of(self, initiator: str) -> int | None:
        """Give the connection of an initiator at that `host:port`; None if there is none (yet)."""
        return next((conn for conn, pair in self.pairs.items() if str(pair.initiator) == initiator), None)

    def ping(self, conn: int, end: End, text: str, *, scenario: str = "") -> int:
        """Begin a barrier: `end` is to show that it has read what it was sent; give the number in its Pinged events.

        `scenario` names the one whose `timing` counts. Without rules there are no barriers: 0.
        """
        numbers: list[int] = []
        self.ask(lambda engine: numbers.append(engine.ping(conn, end, text, scenario=scenario)))
        return numbers[0] if numbers else 0

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
        # A session forgets as a whole: first all its connections, and then what each of them recalls.
        for pair in [pair for pair in list(self.pairs.values()) if pair.refresh()]:
            pair.recall()

    def _state(self, conn: int, leg: End, pdu: Pdu | None) -> Snapshot:
        return self.trackers[leg].snapshot(conn, pdu, at=self.now)

    def before(self, conn: int, leg: End, pdu: Pdu) -> Snapshot | None:
        """Give the state on a leg before a PDU is written to it, if a rule may ask for that."""
        if self.engine is None or not self.engine.sees_delivered(pdu.opcode):
            return None
        return self._state(conn, leg, pdu)

    def _session_of(self, conn: int) -> int:
        return self.trackers[End.INITIATOR].session(conn)

    def _compile(self, sender: End) -> tuple[Interest, ...]:
        if self.records:
            return EVERYTHING
        asked = self.engine.interest(sender) if self.engine is not None else _BASE
        return tuple(map(max, _FOLLOWED if self.follows else _BASE, asked))
