"""A dialogue with the engine: PDUs and events go in as the relay tells them, bytes come out as the relay's lines send.

The state is real (a tracker for each leg), time is moved by hand, and the lines keep order as those of the relay do:
slots, detached slots, closes and stalls in their turn.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from operator import or_
from random import Random
from typing import Literal, assert_never

from iscsiproxy.engine import SPECS, Engine
from iscsiproxy.engine.commands import (
    Author,
    Close,
    Command,
    Detach,
    Finish,
    Refuse,
    Report,
    Resume,
    Send,
    SetTimer,
    Stall,
    Tell,
    Throttle,
)
from iscsiproxy.language import load
from iscsiproxy.language.line import load_line
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy.line import Out
from iscsiproxy.proxy.numbering import Numbering
from iscsiproxy.session.events import Change, Closed, Connected, Delivered, Event, FullFeature, How, Received
from iscsiproxy.session.numbers import Numbers
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.session.tracker import DigestsOn, FullFeatureReached, Tracker
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.session.dialogue import NAMES, TPGT, login_request, login_response

__all__ = [
    "NO_TAG",
    "Dialogue",
    "Sent",
    "data_in",
    "data_out",
    "nop_in",
    "nop_out",
    "r2t",
    "read",
    "reject",
    "scsi_response",
    "text_request",
    "text_response",
    "tmf",
    "write",
]

_NUMBERS = {"ExpCmdSN": 10, "MaxCmdSN": 40}
_READ_10 = bytes.fromhex("28000000000000000800")
_WRITE_10 = bytes.fromhex("2a000000000000000800")
#: What takes the PDU of its slot out of the relay's hand.
_GOVERNING = (Send, Author, Finish, Detach, Close, Stall, Throttle)


def write(itt: int, cmd_sn: int, data: bytes = b"", **values: int | bytes) -> Pdu:
    """Make a WRITE(10) of 4096 bytes."""
    fields: dict[str, int | bytes] = {
        "F": 1,
        "W": 1,
        "ATTR": 1,
        "ITT": itt,
        "EDTL": 4096,
        "CmdSN": cmd_sn,
        "ExpStatSN": 101,
        "CDB": _WRITE_10,
    }
    return Pdu.build(Opcode.SCSI_COMMAND, data).with_fields({**fields, **values})


def read(itt: int, cmd_sn: int, **values: int | bytes) -> Pdu:
    """Make a READ(10) of 4096 bytes."""
    fields: dict[str, int | bytes] = {
        "F": 1,
        "R": 1,
        "ATTR": 1,
        "ITT": itt,
        "EDTL": 4096,
        "CmdSN": cmd_sn,
        "ExpStatSN": 101,
        "CDB": _READ_10,
    }
    return Pdu.build(Opcode.SCSI_COMMAND).with_fields({**fields, **values})


def data_out(itt: int, data_sn: int, data: bytes = bytes(512), *, ttt: int = NO_TAG, **values: int) -> Pdu:
    """Make a Data-Out."""
    fields = {"ITT": itt, "TTT": ttt, "DataSN": data_sn, "ExpStatSN": 101}
    return Pdu.build(Opcode.DATA_OUT, data).with_fields({**fields, **values})


def data_in(itt: int, data_sn: int, data: bytes = bytes(512), **values: int) -> Pdu:
    """Make a Data-In."""
    fields = {"ITT": itt, "TTT": NO_TAG, "DataSN": data_sn, **_NUMBERS}
    return Pdu.build(Opcode.DATA_IN, data).with_fields({**fields, **values})


def scsi_response(itt: int, stat_sn: int, data: bytes = b"", **values: int) -> Pdu:
    """Make a SCSI Response, GOOD unless `Status` says otherwise."""
    return Pdu.build(Opcode.SCSI_RESPONSE, data).with_fields(
        {"F": 1, "ITT": itt, "StatSN": stat_sn, **_NUMBERS, **values}
    )


def r2t(itt: int, ttt: int, r2t_sn: int = 0, **values: int) -> Pdu:
    """Make an R2T of 1024 bytes."""
    fields = {"F": 1, "ITT": itt, "TTT": ttt, "StatSN": 101, "R2TSN": r2t_sn, "DesiredDataTransferLength": 1024}
    return Pdu.build(Opcode.R2T).with_fields({**fields, **_NUMBERS, **values})


def nop_out(itt: int, cmd_sn: int, data: bytes = b"", **values: int) -> Pdu:
    """Make a NOP-Out, a ping unless `TTT` says otherwise."""
    fields = {"F": 1, "ITT": itt, "TTT": NO_TAG, "CmdSN": cmd_sn, "ExpStatSN": 101}
    return Pdu.build(Opcode.NOP_OUT, data).with_fields({**fields, **values})


def nop_in(itt: int, stat_sn: int, data: bytes = b"", **values: int) -> Pdu:
    """Make a NOP-In, an answer unless `TTT` says otherwise."""
    fields = {"F": 1, "ITT": itt, "TTT": NO_TAG, "StatSN": stat_sn, **_NUMBERS}
    return Pdu.build(Opcode.NOP_IN, data).with_fields({**fields, **values})


def tmf(itt: int, cmd_sn: int, function: int, ref: int, **values: int) -> Pdu:
    """Make an immediate task management request."""
    fields = {"I": 1, "F": 1, "Function": function, "ITT": itt, "RefTaskTag": ref, "CmdSN": cmd_sn, "ExpStatSN": 101}
    return Pdu.build(Opcode.TMF_REQUEST).with_fields({**fields, **values})


def reject(header: bytes, stat_sn: int = 101) -> Pdu:
    """Make a Reject of a PDU with that header."""
    fields = {"F": 1, "Reason": 4, "ITT": NO_TAG, "StatSN": stat_sn, **_NUMBERS}
    return Pdu.build(Opcode.REJECT, header).with_fields(fields)


def text_request(itt: int, cmd_sn: int, text: Mapping[str, str] | bytes, **values: int) -> Pdu:
    """Make a Text Request."""
    data = text if isinstance(text, bytes) else encode_text(text.items())
    fields = {"F": 1, "ITT": itt, "TTT": NO_TAG, "CmdSN": cmd_sn, "ExpStatSN": 101}
    return Pdu.build(Opcode.TEXT_REQUEST, data).with_fields({**fields, **values})


def text_response(itt: int, stat_sn: int, text: Mapping[str, str] | bytes = b"", **values: int) -> Pdu:
    """Make a Text Response."""
    data = text if isinstance(text, bytes) else encode_text(text.items())
    fields = {"F": 1, "ITT": itt, "TTT": NO_TAG, "StatSN": stat_sn, **_NUMBERS}
    return Pdu.build(Opcode.TEXT_RESPONSE, data).with_fields({**fields, **values})


def _ignored(_: object) -> None:
    """Take what a call gives for nothing."""


def _scenario(text: str, params: Mapping[str, str] | None = None, axes: Mapping[str, str] | None = None) -> Scenario:
    if "scenario:" not in text:
        text = f"scenario: x\nvictim: target\n{text}"
    name = text.partition("scenario:")[2].split()[0]
    return load(text, file=f"{name}.yaml", acts=SPECS, params=params, axes=axes)


def _in_hand(command: Command, n: int) -> bool:
    if isinstance(command, Report):
        return command.kind == "held" and command.of == n
    return isinstance(command, _GOVERNING) and command.slot == n


@dataclass(frozen=True)
class Sent:
    """Bytes of a PDU that went to a leg; `stop` None: to the end."""

    conn: int
    leg: End
    pdu: Pdu
    of: int | None
    changes: tuple[Change, ...] = ()
    rules: tuple[str, ...] = ()
    start: int = 0
    stop: int | None = None
    out: Out | None = None  #: how it is to be numbered

    @property
    def data(self) -> bytes:
        """The bytes."""
        return self.pdu.raw[self.start : self.stop]


@dataclass
class _Slot:
    n: int
    pdu: Pdu | None = None
    items: deque[Sent | Callable[[], None]] = field(default_factory=deque)
    finished: bool = False
    detached: bool = False


@dataclass
class _Turn:
    """What waits in a line for its turn, and for what has to go the other way before it."""

    act: Callable[[], None]
    pending: bool

    def __call__(self) -> None:
        self.act()


@dataclass
class _Line:
    """One direction of one connection."""

    conn: int
    leg: End  #: the destination
    numbering: Numbering
    queue: deque[_Slot | Sent] = field(default_factory=deque)
    detached: list[_Slot] = field(default_factory=list)
    waiting_input: deque[Pdu] = field(default_factory=deque)
    mid_pdu: bool = False
    draining: bool = False

    def next(self) -> Sent | Callable[[], None] | None:
        if not self.mid_pdu:
            for slot in list(self.detached):
                if slot.items and self._may(slot.items[0]):
                    return slot.items.popleft()
                if slot.finished and not slot.items:
                    self.detached.remove(slot)
        while self.queue:
            head = self.queue[0]
            if isinstance(head, Sent):
                self.queue.popleft()
                return head
            if head.items:
                return head.items.popleft() if self._may(head.items[0]) else None
            if not head.finished:
                return None
            self.queue.popleft()
        return None

    def _may(self, item: Sent | Callable[[], None]) -> bool:
        if isinstance(item, _Turn):
            return not item.pending
        return not isinstance(item, Sent) or item.out is None or self.numbering.ready(item.out, self.leg)


class Dialogue:
    """One run: connections through the proxy, with the rules of one scenario, or with none where there is no text."""

    def __init__(
        self,
        text: str = "",
        *,
        seed: int = 1,
        connect: bool = True,
        params: Mapping[str, str] | None = None,
        axes: Mapping[str, str] | None = None,
    ) -> None:
        self.scenarios = [_scenario(text, params, axes)] if text else []
        self.engine = Engine(self.scenarios, rng=Random(seed), state=self.state)
        self.trackers = {end: Tracker(end) for end in End}
        self.numbers = Numbers(self.trackers[End.INITIATOR].session)
        self.now = 0.0
        self.n = 0
        self.commands: list[Command] = []
        self.reports: list[Report] = []
        #: What came in, what went out, and what was closed, in order.
        self.events: list[Received | Delivered | Closed] = []
        #: What the engine told the journal of itself.
        self.tells: list[Event] = []
        #: What reached the wire, in order: PDUs, and closes as text such as `rst both`.
        self.wire: list[Sent | str] = []
        self.digests: dict[tuple[int, End], tuple[bool, bool]] = {}
        #: The throttles now, by token: connection, rate, slice.
        self.throttles: dict[int, tuple[int, int, int]] = {}
        self._lines: dict[tuple[int, End], _Line] = {}
        self._slots: dict[int, tuple[_Line, _Slot]] = {}
        self._timers: list[tuple[float, int]] = []
        self._stalls: dict[tuple[int, End], set[int]] = {}
        self._carry_out(self.engine.start(self.now))
        if connect:
            self.connect()

    @property
    def scenario(self) -> Scenario:
        """The scenario that there was from the start."""
        return self.scenarios[0]

    def state(self, conn: int, leg: End, pdu: Pdu | None) -> Snapshot:
        """Give what the engine reads."""
        return self.trackers[leg].snapshot(conn, pdu, self.now)

    # --- what happens ---

    def connect(
        self, conn: int = 1, *, login: bool = True, keys: Mapping[str, str] | None = None, **values: int
    ) -> None:
        """Open a connection and log in."""
        numbering = Numbering(self.numbers, conn, live=True)
        for leg in End:
            self.trackers[leg].open(conn, self.now)
            self.digests[conn, leg] = (False, False)
            self._lines[conn, leg] = _Line(conn, leg, numbering)
        asked = self.engine.accepting(conn, self.n + 1, self.now)
        refused = any(isinstance(command, Refuse) for command in asked)
        self.n += refused
        self._carry_out(asked)
        if refused:
            self.wire.append(f"refused {conn}")
            self.closed(End.INITIATOR, "rst", conn=conn, by="fault")
            return
        here = "127.0.0.1:3260"
        event = Connected(n=self.next_n(), at=self.now, conn=conn, initiator=here, listen=here, local=here, target=here)
        self._carry_out(self.engine.happened(event))
        if login:
            self.say(login_request({**NAMES, **(keys or {})}, **{"CID": conn, **values}), conn=conn)
            self.say(login_response({**TPGT, **(keys or {})}, **{"TSIH": 6 + conn, **values}), conn=conn)

    def next_n(self) -> int:
        """Give the next event its number."""
        self.n += 1
        return self.n

    def say(self, *pdus: Pdu, conn: int = 1, raw: bool = False, partial: bool = False) -> list[Pdu]:
        """Let PDUs come in, with right digests unless `raw`; give the whole PDUs that were written by that."""
        before = len(self.wire)
        for pdu in pdus:
            source = pdu.sender
            header, data = self.digests[conn, source]
            one = pdu if raw else pdu.sealed(header=header, data=data)
            line = self._lines[conn, source.other]
            if self._stalls.get((conn, source)):
                line.waiting_input.append(one)
            else:
                self._arrived(line, one, partial)
        return [one.pdu for one in self.wire[before:] if isinstance(one, Sent) and one.stop is None]

    def tick(self, seconds: float) -> list[Pdu]:
        """Let time pass; timers run when they are due."""
        before, end = len(self.wire), self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            at, token = heapq.heappop(self._timers)
            self.now = max(self.now, at)
            self._carry_out(self.engine.timer(token, self.now))
        self.now = end
        return [one.pdu for one in self.wire[before:] if isinstance(one, Sent) and one.stop is None]

    def closed(self, leg: End, how: How = "fin", *, conn: int = 1, by: str = "peer") -> None:
        """Tell that a leg has ended."""
        assert by in ("peer", "proxy", "fault")
        event = Closed(n=self.next_n(), at=self.now, conn=conn, leg=leg, how=how, by=by)  # type: ignore[arg-type]
        self.events.append(event)
        self._carry_out(self.engine.happened(event))

    def end(self) -> None:
        """Clear every fault."""
        self._carry_out(self.engine.end(self.now))

    # --- what somebody asks for ---

    def ask(self, call: Callable[[Engine], object]) -> list[Pdu]:
        """Ask the engine for something; give the whole PDUs that were written by that."""
        before = len(self.wire)
        try:
            self._carry_out(self.engine.asked(self.now, lambda engine: _ignored(call(engine))))
        finally:
            self._carry_out(self.engine.asked(self.now, lambda _: None))  # what it had begun before it failed
        return [one.pdu for one in self.wire[before:] if isinstance(one, Sent) and one.stop is None]

    def adopt(self, text: str, *, only: Iterable[int] | None = None) -> list[Pdu]:
        """Have a scenario come into force while connections last."""
        scenario = _scenario(text)
        return self.ask(lambda engine: engine.adopt(scenario, only=None if only is None else list(only)))

    def arm(self, line: str, *, name: str = "line", only: Iterable[int] | None = None) -> list[Pdu]:
        """Have a line come into force; one without a moment is done at once."""
        scenario = load_line(line, name=name, acts=SPECS)
        written = self.ask(lambda engine: engine.adopt(scenario, only=None if only is None else list(only)))
        return [*written, *self.tick(0)]

    def dismiss(self, scenario: str) -> list[Pdu]:
        """Take a scenario out."""
        return self.ask(lambda engine: engine.dismiss(scenario))

    def switch(self, *rules: str, on: bool) -> list[Pdu]:
        """Bring rules into force, or take them out, by their full names."""
        return self.ask(lambda engine: engine.switch(rules, on=on))

    def by_hand(self, what: Literal["let_go", "step", "drop"], n: int) -> list[Pdu]:
        """Do something to the PDU in hand that came as event `n`."""
        return self.ask(lambda engine: getattr(engine, what)(n))

    def clear(self) -> list[Pdu]:
        """Clear everything, and go on."""
        before = len(self.wire)
        self._carry_out(self.engine.clear(self.now))
        return [one.pdu for one in self.wire[before:] if isinstance(one, Sent) and one.stop is None]

    @property
    def held(self) -> list[tuple[int, int]]:
        """What is held: the tag of each PDU, and how many wait behind it."""
        return [(one.pdu["ITT"], one.behind) for one in self.engine.held()]

    def number(self, itt: int) -> int:
        """Give the number of the event with which the held PDU of that tag came in."""
        (n,) = [one.n for one in self.engine.held() if one.pdu["ITT"] == itt]
        return n

    # --- what became of it ---

    @property
    def open_slots(self) -> list[int]:
        """The slots that are not finished."""
        return sorted(self._slots)

    def sent(self, leg: End, conn: int = 1) -> list[Sent]:
        """Give what was written to a leg."""
        return [one for one in self.wire if isinstance(one, Sent) and one.leg is leg and one.conn == conn]

    def bytes_to(self, leg: End, conn: int = 1) -> bytes:
        """Give all bytes that were written to a leg."""
        return b"".join(one.data for one in self.sent(leg, conn))

    def told(self, kind: str) -> list[str]:
        """Give the texts of all reports of a kind, each behind its rule's name."""
        return [f"{one.rule.partition('/')[2]}: {one.text}" for one in self.reports if one.kind == kind]

    def counts(self, name: str = "") -> dict[str, int]:
        """Give the counts of a rule, the first if it is not named, without those that are 0."""
        counts = next(one for one in self.engine.counters() if not name or one.rule.endswith(f"/{name}"))
        return {key: value for key, value in counts.facts().items() if key not in ("rule", "optional") and value}

    # --- the relay's part ---

    def _arrived(self, line: _Line, pdu: Pdu, partial: bool) -> None:
        n, source = self.next_n(), line.leg.other
        event = Received(n=n, at=self.now, conn=line.conn, leg=source, pdu=pdu, partial=partial)
        self.events.append(event)
        commands = self.engine.received(event, self.digests[line.conn, line.leg])
        self._observed(line.conn, source, pdu)
        if source is End.TARGET:
            line.numbering.heard(pdu)
        if any(_in_hand(command, n) for command in commands):
            assert not partial
            slot = _Slot(n, pdu)
            line.queue.append(slot)
            self._slots[n] = (line, slot)
            self._carry_out(commands)
        elif any(isinstance(one, Author) and one.to is line.leg for one in commands):
            line.queue.append(Sent(line.conn, line.leg, pdu, n))
            self._drain(line)
            self._carry_out(commands)
        else:
            self._carry_out(commands)
            line.queue.append(Sent(line.conn, line.leg, pdu, n))
        self._drain(line)
        if source is End.TARGET:
            self._drain(self._lines[line.conn, End.TARGET])  # there may be room in its window now

    def _observed(self, conn: int, leg: End, pdu: Pdu) -> None:
        for fact in self.trackers[leg].observe(conn, pdu, self.now):
            if isinstance(fact, DigestsOn):
                self.digests[conn, leg] = (fact.header, fact.data)
            elif isinstance(fact, FullFeatureReached) and leg is End.INITIATOR:
                event = FullFeature(n=self.next_n(), at=self.now, conn=conn, leg=leg, keys=())
                self._carry_out(self.engine.happened(event))

    def _carry_out(self, commands: Iterable[Command]) -> None:
        lines, unsent = [], []
        for command in commands:
            self.commands.append(command)
            match command:
                case Send():
                    if (held := self._slots.get(command.slot)) is not None:
                        one = Sent(
                            *(held[0].conn, held[0].leg, command.pdu, command.slot, command.changes, command.rules),
                            command.start,
                            command.stop,
                            Out(
                                command.pdu,
                                command.slot,
                                start=command.start,
                                stop=command.stop,
                                exact=command.exact,
                                named=command.named,
                                extra=command.extra,
                                original=command.original,
                                author=command.ticket,
                                added=command.added,
                            ),
                        )
                        held[1].items.append(one)
                        lines.append(held[0])
                case Author():
                    lines.append(self._author(command))
                case Finish():
                    held = self._slots.pop(command.slot, None)
                    if held is not None:
                        if command.unsent and held[1].pdu is not None:
                            unsent.append(held[0])
                            hidden = command.unsent == "hidden"
                            held[1].items.append(partial(held[0].numbering.unsent, held[1].pdu, hidden=hidden))
                        held[1].finished = True
                        lines.append(held[0])
                case Detach():
                    line, slot = self._slots[command.slot]
                    if not slot.detached:
                        slot.detached = True
                        line.queue.remove(slot)
                        line.detached.append(slot)
                    lines.append(line)
                case Close():
                    act = partial(self._close, command.conn, command.how, command.end)
                    lines += self._in_turn(command.slot, command.conn, act)
                case Stall():
                    act = partial(self._stall, command.conn, command.end, command.token)
                    lines += self._in_turn(command.slot, command.conn, act)
                case Throttle():
                    self._carry_throttle(command)
                case Refuse():
                    pass  # `connect` has asked for it
                case Resume():
                    self.throttles = {token: one for token, one in self.throttles.items() if token != command.token}
                    lines += self._resume(command.token)
                case SetTimer():
                    heapq.heappush(self._timers, (command.at, command.token))
                case Report():
                    self.reports.append(command)
                case Tell():
                    self.tells.append(command.event)
                case _:
                    assert_never(command)
        # What is not written is known before the proxy's own goes: that has a task of its own.
        for line in (*unsent, *lines):
            self._drain(line)

    def _author(self, command: Author) -> _Line:
        """Put a PDU of the proxy's own into its slot, or out of the line."""
        line = self._lines[command.conn, command.to]
        out = Out(
            command.pdu,
            None,
            author=command.ticket,
            fill=command.fill,
            raw=command.raw,
            patient=command.patient,
            exact=command.exact,
        )
        one = Sent(command.conn, command.to, command.pdu, None, rules=command.rules, out=out)
        held = self._slots.get(command.slot) if command.slot is not None else None
        if held is not None:
            held[1].items.append(one)
        else:
            slot = _Slot(0, finished=True, detached=True)
            slot.items.append(one)
            line.detached.append(slot)
        return line

    def _in_turn(self, slot: int | None, conn: int, act: Callable[[], None]) -> list[_Line]:
        if slot is None:
            for line in (self._lines[conn, end] for end in End):
                if any(aside.finished and aside.items for aside in line.detached):
                    last = _Slot(0, finished=True, detached=True)
                    last.items.append(act)
                    line.detached.append(last)
                    return [line]
            act()
            return []
        line, held = self._slots[slot]
        other = self._lines[conn, line.leg.other]
        turn = _Turn(act, pending=any(aside.finished and aside.items for aside in other.detached))
        if turn.pending:

            def gone() -> None:
                turn.pending = False
                self._drain(line)

            other.detached.append(_Slot(0, finished=True, detached=True, items=deque([gone])))
        held.items.append(turn)
        return [other, line]

    def _close(self, conn: int, how: str, end: str) -> None:
        self.wire.append(f"{how} {end}")
        for leg in End:
            if end in ("both", leg.value):
                self.closed(leg, "rst" if how == "rst" else "fin", conn=conn, by="fault")

    def _carry_throttle(self, command: Throttle) -> None:
        def act() -> None:
            self.throttles[command.token] = (command.conn, command.rate, command.slice)

        self._in_turn(command.slot, command.conn, act)

    def _stall(self, conn: int, end: str, token: int) -> None:
        for leg in End:
            if end in ("both", leg.value):
                self._stalls.setdefault((conn, leg), set()).add(token)

    def _resume(self, token: int) -> list[_Line]:
        for tokens in self._stalls.values():
            tokens.discard(token)
        return list(self._lines.values())

    def _drain(self, line: _Line) -> None:
        if line.draining:
            return
        line.draining = True
        try:
            while not self._stalls.get((line.conn, line.leg)) and (item := line.next()) is not None:
                if isinstance(item, Sent):
                    self._write(line, item)
                else:
                    item()
        finally:
            line.draining = False
        while line.waiting_input and not self._stalls.get((line.conn, line.leg.other)):
            self._arrived(line, line.waiting_input.popleft(), False)

    def _write(self, line: _Line, one: Sent) -> None:
        header, data = map(or_, self.digests[line.conn, line.leg], one.out.added if one.out else (False, False))
        pdu = one.pdu
        if bool(pdu.header_digest) != header or (bool(pdu.data) and bool(pdu.data_digest) != data):
            pdu = pdu.sealed(header=header, data=data)
        out = one.out if one.out is not None else Out(pdu, one.of)
        pdu = line.numbering.written(replace(out, pdu=pdu), line.leg)
        one = Sent(one.conn, one.leg, pdu, one.of, one.changes, one.rules, one.start, one.stop, out)
        before = self.state(line.conn, line.leg, pdu) if self.engine.sees_delivered(pdu.opcode) else None
        if not one.start:
            self._observed(line.conn, line.leg, pdu)
        self.wire.append(one)
        line.mid_pdu = one.stop is not None
        event = Delivered(
            n=self.next_n(),
            at=self.now,
            conn=line.conn,
            leg=line.leg,
            pdu=pdu,
            of=one.of,
            changes=one.changes,
            rules=one.rules,
            start=one.start,
            sent=-1 if one.stop is None else one.stop,
            author=out.author,
        )
        self.events.append(event)
        self._carry_out(self.engine.delivered(event, before))
