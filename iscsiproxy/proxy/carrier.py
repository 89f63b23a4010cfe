"""Carries out what the engine asks: PDUs into lines, closes and stalls in their turn, timers, reports.

A PDU that a rule has in hand has a slot in the line of its direction; commands name it by the number of the event with
which it came. Nothing here waits, and nothing is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, assert_never

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
from iscsiproxy.proxy.address import Address
from iscsiproxy.proxy.leg import Leg
from iscsiproxy.proxy.line import Line, Out, Slot, Step
from iscsiproxy.proxy.numbering import Numbering, NumbersError
from iscsiproxy.session.events import Decided, Event, Fired, Noted
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

if TYPE_CHECKING:
    from iscsiproxy.proxy.relay import Relay

__all__ = ["Carrier", "Closable"]


class Closable(Protocol):
    """What the relay knows of a pair."""

    def fault_close(self, how: str, end: str) -> None:
        """Close one leg or both, because a rule says so."""

    def stall(self, end: str, token: int) -> None:
        """Stall one leg or both."""

    def throttle(self, rate: int, size: int, token: int, *, most: int = 0, seed: int = 0) -> None:
        """Write slowly to both legs."""

    def resume(self, token: int) -> None:
        """End a stall or a throttle."""

    def wake(self, line: Line) -> None:
        """See that a line of this pair is drained."""

    def towards(self, end: End) -> Line:
        """Give the line of what goes to an end."""

    @property
    def numbering(self) -> Numbering:
        """The numbers of this pair."""

    @property
    def initiator(self) -> Address:
        """Where the initiator connects from."""

    @property
    def addresses(self) -> tuple[str, str, str, str]:
        """The initiator's address, ours that it came to, ours towards the target, the target's."""

    def leg(self, end: End) -> Leg:
        """Give one of the two legs."""

    def refresh(self) -> bool:
        """Take the interest tables anew; tell whether PDUs passed unseen until now."""

    def recall(self) -> None:
        """Take the numbers from the last PDUs that passed."""

    async def settled(self) -> None:
        """Wait until nothing waits to be written."""


class Carrier:
    """The slots of a run, and what is to be done in its turn."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._slots: dict[int, tuple[Closable, Line, Slot]] = {}
        self._stalls: set[int] = set()  # tokens of stalls and throttles whose turn in their line has not come yet

    def __repr__(self) -> str:
        return f"<Carrier {len(self._slots)} PDUs in hand>"

    def forget(self, pair: Closable) -> None:
        """Drop the slots of a pair that has ended."""
        self._slots = {n: held for n, held in self._slots.items() if held[0] is not pair}

    def hold(self, pair: Closable, line: Line, n: int, pdu: Pdu) -> None:
        """Open the slot of a PDU that commands are about to speak of."""
        self._slots[n] = (pair, line, line.open(n, len(pdu), pdu))

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
                            changes=command.changes,
                            rules=command.rules,
                            start=command.start,
                            stop=command.stop,
                            exact=command.exact,
                            named=command.named,
                            extra=command.extra,
                            original=command.original,
                            author=command.ticket,
                            added=command.added,
                            late=command.late,
                        )
                    )
            case Author():
                self._author(command, held)
            case Finish():
                if held is not None:
                    if command.unsent and held[2].pdu is not None:
                        # In its turn, for what stands before it may have the numbers that it leaves behind.
                        pdu = held[2].pdu
                        held[2].items.append(Step(partial(self._unsent, held[0], pdu, command), pdu))
                    held[2].finished = True
                    del self._slots[command.slot]
            case Detach():
                if held is not None:
                    held[1].detach(held[2])
            case Close():
                if (pair := self._relay.pairs.get(command.conn)) is not None:
                    self._in_turn(held, pair, partial(pair.fault_close, command.how, command.end))
            case Stall():
                if (pair := self._relay.pairs.get(command.conn)) is not None:
                    self._stalls.add(command.token)
                    self._in_turn(held, pair, partial(self._stall, pair, command.end, command.token))
            case Throttle():
                if (pair := self._relay.pairs.get(command.conn)) is not None:
                    self._stalls.add(command.token)
                    self._in_turn(held, pair, partial(self._throttle, pair, command))
            case Refuse():
                pass  # `refuses` has asked for it
            case Resume():
                self._stalls.discard(command.token)
                for pair in list(self._relay.pairs.values()):
                    pair.resume(command.token)
            case SetTimer():
                self._relay.set_timer(command.at, command.token)
            case Report():
                self._relay.emit(self._reported(command))
            case Tell():
                self._relay.emit(replace(command.event, n=self._relay.next_n(), at=self._relay.now))
            case _:
                assert_never(command)

    def _author(self, author: Author, held: tuple[Closable, Line, Slot] | None) -> None:
        pair = self._relay.pairs.get(author.conn)
        logged_out = self._relay.trackers[End.TARGET].phase(author.conn) is Phase.LOGOUT
        if pair is None or (author.to is End.TARGET and logged_out and not author.raw):
            if self._relay.engine is not None:
                self.carry_out(self._relay.engine.authored_in_vain(author.ticket, self._relay.now))
            return
        out = Out(
            author.pdu,
            None,
            rules=author.rules,
            author=author.ticket,
            fill=author.fill,
            raw=author.raw,
            patient=author.patient,
            exact=author.exact,
        )
        if held is not None:
            held[2].items.append(out)
            return
        line = pair.towards(author.to)
        line.aside(out)
        pair.wake(line)

    def _unsent(self, pair: Closable, pdu: Pdu, finish: Finish) -> None:
        try:
            pair.numbering.unsent(pdu, hidden=finish.unsent == "hidden")
        except NumbersError as error:
            self._relay.unnumbered(0, finish.rule, finish.slot, str(error))

    def _stall(self, pair: Closable, end: str, token: int) -> None:
        # What was written first may have taken longer than the stall was to last.
        if token in self._stalls:
            self._stalls.remove(token)
            pair.stall(end, token)

    def _throttle(self, pair: Closable, command: Throttle) -> None:
        if command.token in self._stalls:
            self._stalls.remove(command.token)
            pair.throttle(command.rate, command.slice, command.token, most=command.most, seed=command.seed)

    def _in_turn(self, held: tuple[Closable, Line, Slot] | None, pair: Closable, act: Callable[[], None]) -> None:
        """Do something behind all that was sent before it: what a list sends goes before it closes."""
        lines = [pair.towards(end) for end in End]
        if held is None:
            for line in lines:
                if line.behind_asides(partial(self._in_turn, None, pair, act)):
                    pair.wake(line)
                    return
            act()
            return
        waits: list[Line] = []

        def gone() -> None:
            waits.clear()
            pair.wake(held[1])

        waits += [line for line in lines if line is not held[1] and line.behind_asides(gone)]
        held[2].items.append(Step(act, ready=lambda: not waits))

    def _reported(self, report: Report) -> Event:
        n, at = self._relay.next_n(), self._relay.now
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
