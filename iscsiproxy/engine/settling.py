"""Tasks that the proxy has ended behind the initiator's back.

A task management function of the proxy's own ends tasks of the initiator, which does not know of it and would wait for
ever: it is told with a status. A request that the proxy has answered never reaches the target. In both cases what still
comes of such a task, from either end, has nobody to go to.
"""

from __future__ import annotations

from collections.abc import Callable

from iscsiproxy.engine.authored import PROXY
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.sending import send
from iscsiproxy.engine.standing import Standing
from iscsiproxy.engine.work import Work
from iscsiproxy.wire.codes import SCSI_STATUS
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import lt

__all__ = ["Settled", "Unsolicited", "covered", "settle"]

#: Task management functions by the tasks they end: one, those of a logical unit, all (RFC 7143 11.5.1)
_ONE, _OF_UNIT, _ALL = frozenset({1}), frozenset({2, 4, 5}), frozenset({6, 7})
_COMPLETE = 0
#: How many settled tasks are remembered; nothing more comes of older ones.
_OVER_KEPT = 4096
_FILL = frozenset({"StatSN", "ExpCmdSN", "MaxCmdSN"})


class Settled:
    """The tasks that are over for the initiator, and the commands that are still open.

    Stands in the way of every PDU: it keeps the list of commands, and swallows what comes of a settled task.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], Look] = {}
        self._over: dict[tuple[int, int], None] = {}

    def __repr__(self) -> str:
        return f"<Settled {len(self._open)} commands open, {len(self._over)} settled>"

    def add(self, session: int, tag: int) -> None:
        """Take note that the proxy has settled a task."""
        self._over[session, tag] = None
        if len(self._over) > _OVER_KEPT:
            del self._over[next(iter(self._over))]
        self._open.pop((session, tag), None)

    def commands(self, session: int) -> list[Look]:
        """Give the commands of a session that have no status yet, in their order."""
        return [look for (one, _), look in self._open.items() if one == session]

    def wants(self, look: Look) -> bool:
        """Keep up with what is looked at; tell whether it is of a settled task."""
        pdu = look.pdu
        if pdu is None:
            return False
        tag, opcode = pdu.get("ITT"), pdu.opcode
        if tag is None:
            return False
        if opcode == Opcode.SCSI_COMMAND:
            self._over.pop((look.session, tag), None)
            self._open[look.session, tag] = look
            return False
        if not self._over and opcode not in (Opcode.SCSI_RESPONSE, Opcode.DATA_IN):
            return False
        key = (look.session, tag)
        if opcode == Opcode.SCSI_RESPONSE or (opcode == Opcode.DATA_IN and pdu["S"]):
            self._open.pop(key, None)
        return key in self._over and opcode in (
            Opcode.DATA_OUT,
            Opcode.SNACK,
            Opcode.SCSI_RESPONSE,
            Opcode.DATA_IN,
            Opcode.R2T,
        )

    def apply(self, hand: Hand) -> None:
        """Keep it from the other end."""
        hand.swallow(PROXY)

    def forget(self, conn: int, leg: End) -> None:
        """Forget the commands of a connection that has ended."""
        for key in [key for key, look in self._open.items() if look.conn == conn]:
            del self._open[key]


def covered(work: Work, conn: int, cmd_sn: int | None) -> Callable[[Look], bool]:
    """Tell which commands come before a function that has just been written (RFC 7143 4.2.3.3): those of a lower CmdSN.

    `cmd_sn` is its own if the act named one. Else it has the target's next: only commands that the target has are
    before it, and not what is in hand, waits behind that, or has yet to come.
    """
    if cmd_sn is not None:
        return lambda look: look.pdu is not None and lt(look.pdu["CmdSN"], cmd_sn)
    commands = work.host.settled.commands(work.host.session(conn))
    there = [look for look in commands if look.state(look.conn, End.TARGET, look.pdu).task is not None]
    return lambda look: any(look is one for one in there)


def settle(work: Work, request: Pdu, answer: Look, status: str, covers: Callable[[Look], bool]) -> None:
    """Tell the initiator of the tasks that a function of the proxy's own has ended (RFC 7143 4.2.3, 11.5.1).

    `covers` tells whether a command came before the function.
    """
    pdu = answer.pdu
    if pdu is None or pdu.opcode != Opcode.TMF_RESPONSE or pdu["Response"] != _COMPLETE:
        return
    function, host = request["Function"], work.host
    value = next(code for code, name in SCSI_STATUS.items() if name == status)
    for look in host.settled.commands(answer.session):
        command = look.pdu
        assert command is not None
        named = function in _ONE and command["ITT"] == request["RefTaskTag"]
        wider = function in _ALL or (function in _OF_UNIT and command["LUN"] == request["LUN"])
        if not (named or (wider and covers(look))):
            continue
        host.settled.add(answer.session, command["ITT"])
        underflow = {"U": 1, "ResidualCount": command["EDTL"]} if command["EDTL"] else {}
        response = Pdu.build(Opcode.SCSI_RESPONSE).with_fields(
            {"F": 1, "ITT": command["ITT"], "Status": value, **underflow}
        )
        send(work, response, conn=look.conn, fill=_FILL, borrowed=True)
        work.report("noted", f"the task with ITT {command['ITT']:#x} was told {status}")


class Unsolicited:
    """Waits for the end of the unsolicited data of a command that the proxy has answered (RFC 7143 11.4.2)."""

    def __init__(self, standing: list[Standing], session: int, tag: int, conn: int, go: Callable[[], None]) -> None:
        self._standing, self._session, self._tag, self._conn, self._go = standing, session, tag, conn, go

    def __repr__(self) -> str:
        return f"<Unsolicited of ITT {self._tag:#x}>"

    def wants(self, look: Look) -> bool:
        """Tell whether it is the last of that data."""
        pdu = look.pdu
        if pdu is None or pdu.opcode != Opcode.DATA_OUT or not pdu["F"]:
            return False
        return pdu["ITT"] == self._tag and look.session == self._session

    def apply(self, hand: Hand) -> None:
        """Let the answer go."""
        hand.swallow(PROXY)
        self._standing.remove(self)
        self._go()

    def forget(self, conn: int, leg: End) -> None:
        """Give up when the connection has ended."""
        if conn == self._conn and self in self._standing:
            self._standing.remove(self)
