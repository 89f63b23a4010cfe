"""How long it takes until I/O goes well again behind a fault or a lost connection: a measurement, no rule."""

from __future__ import annotations

from dataclasses import dataclass

from iscsiproxy.checks.scene.values import values_of
from iscsiproxy.session.events import Closed, Delivered, Event, Fired, Received
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["SILENT", "Recoveries", "Recovery"]

#: Acts that change nothing on the wire
SILENT = frozenset({"arm", "disarm", "goto", "note", "pass"})
#: How many disturbances are kept, and how many that wait for good I/O
_KEPT = 1000
_OPEN = 64
#: How many commands are known by their beginning
_COMMANDS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """One disturbance: event `n` at `at`, what it was, and the seconds until a command that was sent after it was GOOD.

    None: that did not come.
    """

    n: int
    at: float
    conn: int
    what: str
    seconds: float | None


class Recoveries:
    """Follows what the initiator sent and was given."""

    def __init__(self) -> None:
        self.done: list[Recovery] = []
        self.left_out = 0
        self._open: list[tuple[int, float, int, str]] = []
        self._sent: dict[tuple[int, int], float] = {}

    def __repr__(self) -> str:
        return f"<Recoveries {len(self.done)} done, {len(self._open)} open>"

    @property
    def all(self) -> tuple[Recovery, ...]:
        """Every disturbance, those without good I/O behind them last."""
        waiting = (Recovery(n=n, at=at, conn=conn, what=what, seconds=None) for n, at, conn, what in self._open)
        return (*self.done, *waiting)

    def take(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, Fired):
            if event.act not in SILENT:
                self._disturbed(event, f"{event.rule} {event.act}")
        elif isinstance(event, Closed):
            if event.leg is End.INITIATOR and event.how == "rst":
                self._disturbed(event, f"reset by the {event.by}")
        elif self._open and isinstance(event, Received | Delivered) and event.leg is End.INITIATOR:
            self._pdu(event)

    def _disturbed(self, event: Event, what: str) -> None:
        if len(self._open) < _OPEN:
            self._open.append((event.n, event.at, event.conn, what))
        else:
            self.left_out += 1

    def _pdu(self, event: Received | Delivered) -> None:
        opcode = event.pdu.opcode
        if isinstance(event, Received):
            if opcode == Opcode.SCSI_COMMAND:
                self._sent[event.conn, event.pdu["ITT"]] = event.at
                if len(self._sent) > _COMMANDS:
                    del self._sent[next(iter(self._sent))]
            return
        if opcode != Opcode.SCSI_RESPONSE and opcode != Opcode.DATA_IN:
            return
        values = values_of(event.pdu.bhs)
        if values["Status"] or values.get("Response") or not values.get("S", 1):
            return
        began = self._sent.pop((event.conn, values["ITT"]), None)
        if began is None:
            return
        left = []
        for n, at, conn, what in self._open:
            if at <= began:
                self._ended(Recovery(n=n, at=at, conn=conn, what=what, seconds=event.at - at))
            else:
                left.append((n, at, conn, what))
        self._open = left
        if not left:
            self._sent.clear()

    def _ended(self, recovery: Recovery) -> None:
        if len(self.done) < _KEPT:
            self.done.append(recovery)
        else:
            self.left_out += 1
