"""Whether what was said on one leg is legal there, by its numbers: read off the events, and off nothing else.

Small on purpose, and a stranger to `iscsiproxy.session`: what translates numbers shall not judge them too. It knows one
connection to a session, which is what is played here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from iscsiproxy.session.events import Closed, Delivered, Event, Received
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import add, gt, lt

__all__ = ["complaints"]

REQUESTS = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
ANSWER_OF: dict[int, Opcode] = {
    Opcode.NOP_IN: Opcode.NOP_OUT,
    Opcode.SCSI_RESPONSE: Opcode.SCSI_COMMAND,
    Opcode.DATA_IN: Opcode.SCSI_COMMAND,
    Opcode.R2T: Opcode.SCSI_COMMAND,
    Opcode.TMF_RESPONSE: Opcode.TMF_REQUEST,
    Opcode.TEXT_RESPONSE: Opcode.TEXT_REQUEST,
    Opcode.LOGOUT_RESPONSE: Opcode.LOGOUT_REQUEST,
}


@dataclass(slots=True)
class Task:
    """A request that has no answer yet."""

    request: Pdu
    answers: int = 0  #: Data-Ins or R2Ts so far: the next DataSN or R2TSN
    bursts: dict[int, int] = field(default_factory=dict)  #: TTT to the next DataSN
    moved: int = 0  #: the next BufferOffset of a read


@dataclass(slots=True)
class Leg:
    """What one leg of a connection knows by now."""

    end: End
    cmd_sn: int | None = None  #: the next one
    exp_cmd_sn: int | None = None
    max_cmd_sn: int | None = None
    stat_sn: int | None = None
    exp_stat_sn: int | None = None
    tasks: dict[int, Task] = field(default_factory=dict)
    pings: set[int] = field(default_factory=set)
    full: bool = False
    over: bool = False
    out_of_order: bool = False  #: commands may come in any order, if there are no gaps in the end
    ahead: set[int] = field(default_factory=set)

    def request(self, pdu: Pdu) -> Iterator[str]:
        """Judge a PDU on its way to the target."""
        opcode = pdu.opcode
        if opcode == Opcode.LOGIN_REQUEST:
            if self.cmd_sn not in (None, pdu["CmdSN"]):
                yield f"CmdSN {pdu['CmdSN']}, expected {self.cmd_sn}"
            self.cmd_sn = pdu["CmdSN"]
        elif opcode in REQUESTS:
            yield from self._numbered(pdu)
            if pdu["ITT"] != NO_TAG:
                known = self.tasks.get(pdu["ITT"])
                goes_on = known is not None and opcode == Opcode.TEXT_REQUEST == known.request.opcode
                if known is not None and not goes_on:
                    yield "its ITT is that of another task"
                self.tasks[pdu["ITT"]] = Task(pdu)
            elif opcode != Opcode.NOP_OUT:
                yield "a request without an ITT"
            elif pdu["TTT"] != NO_TAG and pdu["TTT"] not in self.pings:
                yield "it answers no ping"
        elif opcode == Opcode.DATA_OUT:
            yield from self._data_out(pdu)
        if self.full and "ExpStatSN" in pdu.fields:
            acked = pdu["ExpStatSN"]
            if self.exp_stat_sn is not None and lt(acked, self.exp_stat_sn) and not self.out_of_order:
                yield f"ExpStatSN {acked} goes back from {self.exp_stat_sn}"
            if self.stat_sn is not None and gt(acked, self.stat_sn):
                yield f"ExpStatSN {acked}, but only {self.stat_sn} is next"
            self.exp_stat_sn = acked

    def _numbered(self, pdu: Pdu) -> Iterator[str]:
        cmd_sn, expected = pdu["CmdSN"], self.cmd_sn
        if expected is None:
            yield "a request before a login"
            return
        if self.out_of_order:
            if not pdu["I"]:
                if lt(cmd_sn, expected) or cmd_sn in self.ahead:
                    yield f"CmdSN {cmd_sn} was there before"
                self.ahead.add(cmd_sn)
                while self.cmd_sn in self.ahead:
                    self.ahead.discard(self.cmd_sn)
                    self.cmd_sn = add(self.cmd_sn, 1)
        else:
            # A function may pass commands that have to wait, which it is about (RFC 7143 11.5.1).
            ahead = pdu.opcode == Opcode.TMF_REQUEST and pdu["I"] and gt(cmd_sn, expected)
            if cmd_sn != expected and not ahead:
                yield f"CmdSN {cmd_sn}, expected {expected}"
            if not pdu["I"]:
                self.cmd_sn = add(cmd_sn, 1)
        if not pdu["I"] and self.max_cmd_sn is not None and self.end is End.TARGET and gt(cmd_sn, self.max_cmd_sn):
            yield f"CmdSN {cmd_sn} is beyond MaxCmdSN {self.max_cmd_sn}"

    def _data_out(self, pdu: Pdu) -> Iterator[str]:
        task, tag = self.tasks.get(pdu["ITT"]), pdu["TTT"]
        if task is None:
            return  # of a task that has ended early
        if tag == NO_TAG:
            expected = task.bursts.setdefault(tag, 0)
        elif tag not in task.bursts:
            yield f"no R2T has the tag {tag:#x}"
            return
        else:
            expected = task.bursts[tag]
        if pdu["DataSN"] != expected:
            yield f"DataSN {pdu['DataSN']}, expected {expected}"
        task.bursts[tag] = pdu["DataSN"] + 1
        if pdu["F"] and tag != NO_TAG:
            del task.bursts[tag]

    def response(self, pdu: Pdu) -> Iterator[str]:
        """Judge a PDU on its way to the initiator."""
        opcode = pdu.opcode
        if opcode == Opcode.LOGIN_RESPONSE and pdu["Status-Class"]:
            return
        if opcode == Opcode.LOGIN_RESPONSE and pdu["T"] and pdu["NSG"] == 3:
            self.full = True
        consumes = opcode != Opcode.R2T and not (opcode == Opcode.NOP_IN and pdu["ITT"] == NO_TAG)
        if opcode == Opcode.DATA_IN:
            consumes = bool(pdu["S"])
        if consumes or opcode in (Opcode.R2T, Opcode.NOP_IN):
            if self.stat_sn is not None and pdu["StatSN"] != self.stat_sn:
                yield f"StatSN {pdu['StatSN']}, expected {self.stat_sn}"
            if consumes:
                self.stat_sn = add(pdu["StatSN"], 1)
        yield from self._window(pdu)
        if opcode == Opcode.NOP_IN and pdu["TTT"] != NO_TAG:
            self.pings.add(pdu["TTT"])
        if opcode in ANSWER_OF and pdu["ITT"] != NO_TAG:
            yield from self._answer(pdu)

    def _window(self, pdu: Pdu) -> Iterator[str]:
        expected, maximum = pdu["ExpCmdSN"], pdu["MaxCmdSN"]
        if lt(maximum, add(expected, -1)):
            yield f"MaxCmdSN {maximum} is less than ExpCmdSN {expected} - 1"
        known = self.end is End.INITIATOR and not (self.out_of_order and self.ahead)
        if known and self.cmd_sn is not None and gt(expected, self.cmd_sn):
            yield f"ExpCmdSN {expected}, but {self.cmd_sn} is next"
        for name, before, now in (("ExpCmdSN", self.exp_cmd_sn, expected), ("MaxCmdSN", self.max_cmd_sn, maximum)):
            if before is not None and lt(now, before):
                yield f"{name} {now} goes back from {before}"
        self.exp_cmd_sn, self.max_cmd_sn = expected, maximum

    def _answer(self, pdu: Pdu) -> Iterator[str]:
        opcode, task = pdu.opcode, self.tasks.get(pdu["ITT"])
        if task is None:
            yield "it answers nothing"
            return
        if task.request.opcode != ANSWER_OF[opcode]:
            yield f"it answers a {task.request.label}"
        if opcode in (Opcode.DATA_IN, Opcode.R2T):
            name = "DataSN" if opcode == Opcode.DATA_IN else "R2TSN"
            if pdu[name] != task.answers:
                yield f"{name} {pdu[name]}, expected {task.answers}"
            task.answers = pdu[name] + 1
        if opcode == Opcode.R2T:
            if pdu["TTT"] in task.bursts:
                yield "another R2T has its tag"
            task.bursts[pdu["TTT"]] = 0
        if opcode == Opcode.DATA_IN:
            if pdu["BufferOffset"] != task.moved:
                yield f"BufferOffset {pdu['BufferOffset']}, expected {task.moved}"
            task.moved += pdu["DataSegmentLength"]
        if opcode == Opcode.SCSI_RESPONSE:
            # It counts Data-Ins alone (RFC 7143 11.4.8).
            expected = task.answers if task.request["R"] else 0
            if pdu["ExpDataSN"] != expected:
                yield f"ExpDataSN {pdu['ExpDataSN']}, expected {expected}"
        last = pdu["S"] if opcode == Opcode.DATA_IN else pdu["F"] if opcode == Opcode.TEXT_RESPONSE else True
        if last and opcode != Opcode.R2T:
            del self.tasks[pdu["ITT"]]

    def finish(self) -> Iterator[str]:
        """Judge the end of what has gone well."""
        if self.ahead:
            yield f"CmdSN {self.cmd_sn} never came, but {sorted(self.ahead)} did"
        for itt, task in self.tasks.items():
            yield f"{task.request.label} {itt:#x} was never answered"
        if self.exp_cmd_sn is not None and self.cmd_sn is not None and gt(self.exp_cmd_sn, self.cmd_sn):
            yield f"ExpCmdSN {self.exp_cmd_sn}, but {self.cmd_sn} is next"


def complaints(events: Iterable[Event], *, out_of_order: bool = False) -> Iterator[str]:
    """Say what is not legal on any leg, and what of the proxy's own was seen on the other leg."""
    legs: dict[tuple[int, End], Leg] = {}
    own: dict[tuple[int, End], dict[int, None]] = {}  # tags of the proxy's requests and pings
    answers: dict[int, str] = {}
    cut: set[int] = set()
    for event in events:
        if isinstance(event, Closed):
            cut.add(event.conn)
            continue
        if not isinstance(event, Received | Delivered):
            continue
        pdu, key = event.pdu, (event.conn, event.leg)
        leg = legs.setdefault(key, Leg(event.leg, out_of_order=out_of_order))
        where = f"n {event.n} conn {event.conn}, {event.leg} leg, {type(event).__name__} {pdu!r}"
        if isinstance(event, Delivered):
            if event.start:
                continue  # seen when it began
            if event.of in answers:
                yield f"{where}: what answers the proxy was passed on: {answers[event.of]}"
            if event.author and event.of is None:
                tag = pdu.get("ITT" if event.leg is End.TARGET else "TTT")
                if tag not in (None, NO_TAG) and pdu.opcode != Opcode.SCSI_RESPONSE:
                    own.setdefault(key, {})[tag] = None
        elif (tag := pdu.get("ITT" if event.leg is End.TARGET else "TTT")) in own.get(key, ()):
            if pdu.opcode not in (Opcode.R2T, Opcode.DATA_OUT) or event.leg is End.TARGET:
                answers[event.n] = where
            if event.leg is End.TARGET and (pdu.opcode != Opcode.DATA_IN or pdu["S"]) and pdu.opcode != Opcode.R2T:
                own[key].pop(pdu["ITT"])
        for text in leg.request(pdu) if pdu.sender is End.INITIATOR else leg.response(pdu):
            yield f"{where}: {text}"
    for (conn, end), leg in legs.items():
        if conn not in cut or not leg.tasks:
            for text in leg.finish():
                yield f"conn {conn}, {end} leg, at the end: {text}"
