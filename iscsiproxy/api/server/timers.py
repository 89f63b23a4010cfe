"""The timers of the peers that run while a PDU is held: which one runs out next, by the usual defaults.

Nobody on the wire says how patient he is. So the defaults of the most common peers stand for all: open-iscsi's
`iscsid.conf` (`login_timeout` 15 s, `noop_out_interval` 5 s, `noop_out_timeout` 5 s), LIO's attributes of a target
(`dataout_timeout` 3 s, `nopin_response_timeout` 30 s, 15 s for a login), and the 30 s that Linux gives a SCSI command.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iscsiproxy.api.models import Timer
from iscsiproxy.api.server.views import end_name
from iscsiproxy.engine.byhand import Holding
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["next_timer"]

_LOGIN: Final = 15.0
_NOP_OUT: Final = 5.0
_NOP_INTERVAL: Final = 5.0
_NOP_IN: Final = 30.0
_DATA_OUT: Final = 3.0
_COMMAND: Final = 30.0
_BEFORE: Final = (Phase.CONNECTED, Phase.SECURITY, Phase.OPERATIONAL)


def next_timer(relay: Relay, one: Holding) -> Timer | None:
    """Give the timer of a peer that runs out first because this PDU is held; None if its connection is gone."""
    if one.conn not in relay.pairs:
        return None
    return min(_timers(relay, one), key=lambda timer: timer.left, default=None)


def _timers(relay: Relay, one: Holding) -> Iterator[Timer]:
    now, conn, pdu = relay.now, one.conn, one.pdu
    theirs = relay.trackers[End.INITIATOR]
    view = theirs.snapshot(conn, None, at=now)
    if view.conn.phase in _BEFORE:
        yield Timer(
            n=one.n,
            what="login",
            end=end_name(one.leg.other),
            left=_left(view.conn.opened + _LOGIN, now),
            why="15 s for a login: open-iscsi and LIO",
        )
        return
    # A target waits for the data that it has asked for, and for the answer to its ping, whichever way it is held up.
    if pdu.opcode in (Opcode.DATA_OUT, Opcode.R2T) and pdu["TTT"] != NO_TAG:
        yield Timer(
            n=one.n, what="Data-Out", end="target", left=_left(one.at + _DATA_OUT, now), why="3 s for Data-Outs: LIO"
        )
    if pdu.opcode in (Opcode.NOP_OUT, Opcode.NOP_IN) and pdu["TTT"] != NO_TAG:
        yield Timer(n=one.n, what="NOP", end="target", left=_left(one.at + _NOP_IN, now), why="30 s for an answer: LIO")
    tasks = [task for on, task in theirs.outstanding() if on == conn]
    pings = [task.started for task in tasks if task.command.opcode == Opcode.NOP_OUT]
    if pings:
        yield Timer(
            n=one.n, what="NOP", end="initiator", left=_left(min(pings) + _NOP_OUT, now),
            why="5 s for an answer: open-iscsi",
        )  # fmt: skip
    elif view.conn.phase is Phase.FULL_FEATURE:  # behind a logout nobody pings
        yield Timer(
            n=one.n,
            what="NOP",
            end="initiator",
            left=_left(one.at + _NOP_INTERVAL + _NOP_OUT, now),
            why="a ping after 5 s of silence and 5 s for its answer: open-iscsi",
        )
    commands = [task.started for task in tasks if task.command.opcode == Opcode.SCSI_COMMAND]
    if commands:
        yield Timer(
            n=one.n,
            what="command",
            end="initiator",
            left=_left(min(commands) + _COMMAND, now),
            why="30 s for a SCSI command: Linux",
        )


def _left(due: float, now: float) -> float:
    return round(due - now, 3)
