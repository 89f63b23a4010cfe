"""Barriers: a ping whose answer proves that an end has read past all that was sent before it.

To a target it is an immediate NOP-Out, to an initiator a NOP-In with a Target Transfer Tag: both must be answered
(RFC 7143 11.18, 11.19). Where no ping may be sent, in login and in a discovery session, the next answer to a genuine
request stands for it. Then the quiet time has to pass, for SCSI work goes on behind an answer. A connection that ends
ends the wait; neither in time is a hang.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from iscsiproxy.engine.authored import Errand, Errands, advances, author_of
from iscsiproxy.engine.commands import Command
from iscsiproxy.engine.facts import Look, fresh_tag
from iscsiproxy.engine.hand import Hand
from iscsiproxy.language.spec import Scenario, Timing
from iscsiproxy.session.events import Event, Pinged
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Barriers"]

What = Literal["sent", "answered", "passed", "closed", "hung"]
_FILL = {
    End.TARGET: frozenset({"CmdSN", "ExpStatSN"}),
    End.INITIATOR: frozenset({"StatSN", "ExpCmdSN", "MaxCmdSN"}),
}
_AT_ONCE = Timing()


class _Host(Protocol):
    """What barriers know of the engine."""

    commands: list[Command]

    @property
    def errands(self) -> Errands:
        """The PDUs of the proxy's own."""

    def tell(self, event: Event) -> None:
        """Put an event into the journal."""

    def after(self, seconds: float, call: Callable[[float], None]) -> None:
        """Call something in a while."""

    def due(self, call: Callable[[], None]) -> None:
        """Call something when what is being done is done."""

    def scenario(self, name: str) -> Scenario | None:
        """Give a scenario by its name."""

    def session(self, conn: int) -> int:
        """Name the session of a connection."""

    def alive(self, conn: int) -> bool:
        """Tell whether a connection is open on both legs."""

    def open_connections(self) -> list[int]:
        """Give the connections that are open."""

    def glance(self, conn: int) -> Look:
        """Look at a connection with nothing in hand."""

    @property
    def now(self) -> float:
        """Seconds since the run began."""


@dataclass(slots=True, eq=False)
class _Barrier:
    number: int
    conn: int
    end: End
    text: str
    timing: Timing
    passed: Callable[[float], None] | None
    genuine: bool = False  #: no ping may be sent: the next answer stands for it
    over: bool = False  #: answered, closed or hung


class Barriers:
    """The barriers of a run. Stands in the way of every PDU while a genuine answer is waited for."""

    def __init__(self, host: _Host) -> None:
        self._host = host
        self._open: list[_Barrier] = []
        self._count = 0

    def __repr__(self) -> str:
        return f"<Barriers {self._count} so far, {len(self._open)} open>"

    def wait(self, scenario: str, rule: str, conn: int, passed: Callable[[float], None]) -> None:
        """Send one to the victim of a scenario, for a rule; to each end if both are."""
        found = self._host.scenario(scenario)
        victim = "both" if found is None else found.victim
        ends = [End.TARGET, End.INITIATOR] if victim == "both" else [End(victim)]
        conns = [conn] if conn else self._host.open_connections()
        left = len(ends) * len(conns)
        if not left:
            passed(self._host.now)
            return

        def one_passed(now: float) -> None:
            nonlocal left
            left -= 1
            if not left:
                passed(now)

        for one in conns:
            for end in ends:
                self.begin(one, end, rule.partition("/")[2], scenario=scenario, passed=one_passed)

    def begin(
        self,
        conn: int,
        end: End,
        text: str,
        *,
        scenario: str = "",
        passed: Callable[[float], None] | None = None,
    ) -> int:
        """Send one to an end and give its number; `passed` is called when it has passed, or can not any more."""
        self._count += 1
        found = self._host.scenario(scenario)
        timing = _AT_ONCE if found is None else found.timing
        barrier = _Barrier(self._count, conn, end, text, timing, passed)
        if not self._host.alive(conn):
            self._over(barrier, "closed")
            return barrier.number
        self._open.append(barrier)
        look = self._host.glance(conn)
        session = look.view.session
        if look.view.conn.phase is Phase.FULL_FEATURE and session is not None and session.type == "Normal":
            errand = Errand(
                self._host.errands.ticket(), conn, end, _ping(end, fresh_tag(look)), "", self._host.session(conn)
            )
            errand.answered = lambda seen: self._answered(barrier, seen)
            errand.written = lambda event: self._tell(barrier, "sent", event.n)
            self._host.errands.begin(errand)
            self._host.commands.append(author_of(errand, fill=_FILL[end]))
        else:
            barrier.genuine = True
            self._tell(barrier, "sent", None)
        self._host.after(timing.hang, lambda _: self._over(barrier, "hung"))
        return barrier.number

    def _answered(self, barrier: _Barrier, seen: Look | None) -> None:
        if barrier.over:
            return
        if seen is None:
            self._over(barrier, "closed")
            return
        barrier.over = True
        if barrier in self._open:
            self._open.remove(barrier)
        self._tell(barrier, "answered", seen.n)
        self._host.after(barrier.timing.quiet, lambda now: self._passed(barrier, "passed", now))

    def _over(self, barrier: _Barrier, what: Literal["closed", "hung"]) -> None:
        if barrier.over:
            return
        barrier.over = True
        if barrier in self._open:
            self._open.remove(barrier)
        self._host.due(lambda: self._passed(barrier, what, self._host.now))

    def _passed(self, barrier: _Barrier, what: What, now: float) -> None:
        self._tell(barrier, what, None)
        if barrier.passed is not None:
            barrier.passed(now)

    def _tell(self, barrier: _Barrier, what: What, of: int | None) -> None:
        self._host.tell(
            Pinged(
                n=0,
                at=self._host.now,
                conn=barrier.conn,
                barrier=barrier.number,
                end=barrier.end,
                what=what,
                of=of,
                text=barrier.text,
            )
        )

    # --- Standing ---

    def wants(self, look: Look) -> bool:
        """Tell whether what has arrived stands for the answer to a barrier."""
        return bool(self._open) and any(_stands_for(barrier, look) for barrier in self._open)

    def apply(self, hand: Hand) -> None:
        """Take note of the answer; it goes on as it is."""
        for barrier in [one for one in self._open if _stands_for(one, hand.look)]:
            self._answered(barrier, hand.look)

    def forget(self, conn: int, leg: End) -> None:
        """End what waits on a connection that has ended."""
        for barrier in [one for one in self._open if one.conn == conn]:
            self._over(barrier, "closed")


def _stands_for(barrier: _Barrier, look: Look) -> bool:
    pdu = look.pdu
    if not barrier.genuine or pdu is None or look.conn != barrier.conn or look.leg is not barrier.end:
        return False
    return advances(pdu) if barrier.end is End.TARGET else pdu.opcode != Opcode.DATA_OUT


def _ping(end: End, tag: int) -> Pdu:
    if end is End.TARGET:
        return Pdu.build(Opcode.NOP_OUT).with_fields({"I": 1, "F": 1, "ITT": tag, "TTT": NO_TAG})
    return Pdu.build(Opcode.NOP_IN).with_fields({"F": 1, "ITT": NO_TAG, "TTT": tag})
