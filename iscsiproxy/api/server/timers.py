"""The timers of the peers that run while a PDU is held: which one runs out next.

Nobody on the wire says how patient he is. Unless somebody tells, the defaults of the most common peers stand for all:
those of open-iscsi's `iscsid.conf`, of LIO's attributes of a target, and what Linux gives a SCSI command. The names are
theirs too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from iscsiproxy.api.models import Timer
from iscsiproxy.api.server.views import end_name
from iscsiproxy.engine.byhand import Holding
from iscsiproxy.errors import UsageError, meant
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["DEFAULTS", "Patience", "parse_timer"]

#: How long each timer is, in seconds, and who has it by default
DEFAULTS: Final[Mapping[str, tuple[float, str]]] = {
    "login_timeout": (15.0, "open-iscsi and LIO"),
    "noop_out_interval": (5.0, "open-iscsi"),
    "noop_out_timeout": (5.0, "open-iscsi"),
    "nopin_response_timeout": (30.0, "LIO"),
    "dataout_timeout": (3.0, "LIO"),
    "command_timeout": (30.0, "Linux"),
}
_Kind = Literal["login", "Data-Out", "NOP", "command"]
_BEFORE: Final = (Phase.CONNECTED, Phase.SECURITY, Phase.OPERATIONAL)


def parse_timer(text: str) -> tuple[str, float]:
    """Read `name=seconds`; 0 seconds: the peers have no such timer. Raises UsageError."""
    name, equals, value = text.partition("=")
    if name not in DEFAULTS:
        raise UsageError(f"there is no timer {name!r} ({meant(name, DEFAULTS)})")
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not equals or not 0 <= seconds < float("inf"):
        raise UsageError(f"{text!r}: expected {name}=SECONDS, as in {name}={DEFAULTS[name][0]:g}; 0: there is none")
    return name, seconds


class Patience:
    """How long the peers wait: the defaults, but for what was `told`, in seconds; 0: for ever."""

    def __init__(self, told: Mapping[str, float] | None = None) -> None:
        self._told = dict(told or {})

    def __repr__(self) -> str:
        return f"<Patience {self._told or 'by default'}>"

    def next_timer(self, relay: Relay, one: Holding) -> Timer | None:
        """Give the timer of a peer that runs out first because this PDU is held; None if none does."""
        if one.conn not in relay.pairs:
            return None
        return min(self._timers(relay, one), key=lambda timer: timer.left, default=None)

    def _timers(self, relay: Relay, one: Holding) -> Iterator[Timer]:
        now, conn, pdu = relay.now, one.conn, one.pdu
        theirs = relay.trackers[End.INITIATOR]
        view = theirs.snapshot(conn, None, at=now)

        def timer(what: _Kind, end: End, since: float, *names: str) -> Iterator[Timer]:
            lengths = [self._told.get(name, DEFAULTS[name][0]) for name in names]
            if all(lengths):
                left = round(since + sum(lengths) - now, 3)
                yield Timer(n=one.n, what=what, end=end_name(end), left=left, why=self._why(names))

        if view.conn.phase in _BEFORE:
            yield from timer("login", one.leg.other, view.conn.opened, "login_timeout")
            return
        # A target waits for data that it has asked for, and for the answer to its ping, whichever way it is held up.
        if pdu.opcode in (Opcode.DATA_OUT, Opcode.R2T) and pdu["TTT"] != NO_TAG:
            yield from timer("Data-Out", End.TARGET, one.at, "dataout_timeout")
        if pdu.opcode in (Opcode.NOP_OUT, Opcode.NOP_IN) and pdu["TTT"] != NO_TAG:
            yield from timer("NOP", End.TARGET, one.at, "nopin_response_timeout")
        tasks = [task for on, task in theirs.outstanding() if on == conn]
        pings = [task.started for task in tasks if task.command.opcode == Opcode.NOP_OUT]
        if pings:
            yield from timer("NOP", End.INITIATOR, min(pings), "noop_out_timeout")
        elif view.conn.phase is Phase.FULL_FEATURE:  # behind a logout nobody pings
            yield from timer("NOP", End.INITIATOR, one.at, "noop_out_interval", "noop_out_timeout")
        commands = [task.started for task in tasks if task.command.opcode == Opcode.SCSI_COMMAND]
        if commands:
            yield from timer("command", End.INITIATOR, min(commands), "command_timeout")

    def _why(self, names: tuple[str, ...]) -> str:
        return ", ".join(map(self._named, names))

    def _named(self, name: str) -> str:
        if name in self._told:
            return f"{name} {self._told[name]:g} s, as was told"
        seconds, whose = DEFAULTS[name]
        return f"{name} {seconds:g} s: {whose}"
