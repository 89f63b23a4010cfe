"""Two ends that know their numbers, and a middle that adds and takes away what it likes.

Both ends keep every rule of RFC 7143 4.2.2 and check that the other one seems to. Between the ends and the middle are
pipes, one a connection and direction, which may be emptied in any interleaving. An AssertionError in an end means that
it could tell that somebody is in between.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from iscsiproxy.session.numbers import Numbers
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import add, distance, ge, le, lt

__all__ = ["Initiator", "Middle", "Target", "World"]

TSIH = 7
#: The numbers that each end wants to have filled in
TO_TARGET = frozenset({"CmdSN", "ExpStatSN"})
TO_INITIATOR = frozenset({"StatSN", "ExpCmdSN", "MaxCmdSN"})


def counts(pdu: Pdu) -> bool:
    """Tell whether a PDU advances StatSN."""
    if pdu.opcode == Opcode.NOP_IN:
        return pdu["ITT"] != NO_TAG
    return pdu.opcode not in (Opcode.R2T, Opcode.DATA_IN)


@dataclass
class InitiatorSide:
    """What an initiator knows of one connection."""

    cid: int
    stat_sn: int = 0  #: the next it expects
    expected: int = 0
    maximum: int = 0
    acked: int | None = None  #: the last ExpStatSN


class Initiator:
    """A conforming initiator with one session."""

    def __init__(self, cmd_sn: int, window: int) -> None:
        self.cmd_sn = cmd_sn
        self.window = window
        self.maximum = add(cmd_sn, -1)
        self.expected = cmd_sn
        self.conns: dict[int, InitiatorSide] = {}
        self.live: dict[int, tuple[int, Pdu]] = {}
        self.sent: set[bytes] = set()
        self.ahead = 0  #: how far it acknowledges ahead

    @property
    def may_send(self) -> bool:
        """A command fits into the window."""
        return le(self.cmd_sn, self.maximum)

    def login(self, conn: int, cid: int, old: InitiatorSide | None) -> Pdu:
        """Make the only Login Request of a connection."""
        self.conns[conn] = InitiatorSide(cid)
        return Pdu.build(Opcode.LOGIN_REQUEST).with_fields(
            {
                "I": 1,
                "T": 1,
                "CSG": 1,
                "NSG": 3,
                "ISID": 1,
                "CID": cid,
                "TSIH": TSIH if len(self.conns) > 1 or old is not None else 0,
                "CmdSN": self.cmd_sn,
                "ExpStatSN": 0x12345678 if old is None else self.acknowledged(old),
            }
        )

    def free_tag(self) -> int:
        """Give the lowest tag that no task has."""
        return next(itt for itt in range(1000) if itt not in self.live)

    def request(self, conn: int, *, immediate: bool) -> Pdu:
        """Make a command, or an immediate NOP-Out."""
        side = self.conns[conn]
        itt = self.free_tag()
        pdu = Pdu.build(
            Opcode.NOP_OUT if immediate else Opcode.SCSI_COMMAND,
            F=1,
            I=int(immediate),
            ITT=itt,
            CmdSN=self.cmd_sn,
            ExpStatSN=self.acknowledged(side),
        )
        if not immediate:
            assert self.may_send
            self.cmd_sn = add(self.cmd_sn, 1)
        self.live[itt] = (conn, pdu)
        self.sent.add(pdu.bhs)
        return pdu

    def acknowledged(self, side: InitiatorSide) -> int:
        """Give the ExpStatSN to be sent, which never goes back."""
        acked = add(side.stat_sn, self.ahead)
        if side.acked is None or lt(side.acked, acked):
            side.acked = acked
        return side.acked

    def retry(self, itt: int, conn: int, acked: int | None) -> Pdu:
        """Make a command again, with the acknowledgement of now or an older one."""
        _, pdu = self.live[itt]
        acked = self.acknowledged(self.conns[conn]) if acked is None else acked
        pdu = pdu.with_fields({"ExpStatSN": acked})
        self.live[itt] = (conn, pdu)
        self.sent.add(pdu.bhs)
        return pdu

    def take(self, conn: int, pdu: Pdu) -> None:
        """Take a PDU of the target, as it seems."""
        side = self.conns[conn]
        if pdu.opcode == Opcode.LOGIN_RESPONSE:
            side.stat_sn = add(pdu["StatSN"], 1)
            side.expected, side.maximum = pdu["ExpCmdSN"], pdu["MaxCmdSN"]
        elif counts(pdu):
            assert pdu["StatSN"] == side.stat_sn, "a StatSN is missing or there twice"
            side.stat_sn = add(side.stat_sn, 1)
        else:
            assert pdu["StatSN"] == side.stat_sn, "not the next StatSN"
        expected, maximum = pdu["ExpCmdSN"], pdu["MaxCmdSN"]
        assert le(expected, self.cmd_sn), "ExpCmdSN is beyond what was sent"
        assert ge(expected, side.expected), "ExpCmdSN went back"
        assert ge(maximum, side.maximum), "MaxCmdSN went back"
        assert ge(maximum, add(expected, -1)), "MaxCmdSN is below ExpCmdSN - 1"
        assert distance(self.cmd_sn, maximum) + 1 <= self.window, "more window than there is"
        side.expected, side.maximum = expected, maximum
        if lt(self.expected, expected):
            self.expected = expected
        if lt(self.maximum, maximum):
            self.maximum = maximum
        if pdu.opcode == Opcode.REJECT:
            assert pdu.data[:BHS_LENGTH] in self.sent, "a Reject of what was not sent"
            self.finish(conn, Pdu(pdu.data[:BHS_LENGTH])["ITT"])
        elif pdu["ITT"] != NO_TAG and pdu.opcode not in (Opcode.LOGIN_RESPONSE, Opcode.R2T):
            self.finish(conn, pdu["ITT"])
        elif pdu.opcode == Opcode.R2T:
            assert pdu["ITT"] in self.live, "an R2T for no task"

    def finish(self, conn: int, itt: int) -> None:
        """Note that a task is over."""
        assert itt in self.live, "an answer to nothing"
        assert self.live[itt][0] == conn, "an answer on another connection"
        del self.live[itt]


@dataclass
class TargetSide:
    """What a target knows of one connection."""

    stat_sn: int
    acked: int
    tasks: dict[int, Pdu] = field(default_factory=dict)


class Target:
    """A conforming target with one session and a window of fixed size."""

    def __init__(self, stat_sn: int, window: int) -> None:
        self.stat_sn = stat_sn
        self.window = window
        self.expected = 0
        self.early: set[int] = set()
        self.used: dict[int, int] = {}
        self.conns: dict[int, TargetSide] = {}
        self.by_cid: dict[int, TargetSide] = {}
        self.ahead = 0  #: how far acknowledgements may run ahead
        self.single = True

    @property
    def maximum(self) -> int:
        """MaxCmdSN."""
        return add(self.expected, self.window - 1)

    def login(self, conn: int, pdu: Pdu) -> Pdu:
        """Take the Login Request of a connection and answer it."""
        old = self.by_cid.get(pdu["CID"])
        if not pdu["TSIH"]:
            self.expected = pdu["CmdSN"]
        else:
            self.single = False
            assert not lt(pdu["CmdSN"], self.expected), "a login from before the window"
        if old is not None:
            assert le(pdu["ExpStatSN"], add(old.stat_sn, self.ahead)), "a reinstatement that acknowledges too much"
            assert ge(pdu["ExpStatSN"], old.acked), "a reinstatement that acknowledges too little"
        side = self.conns[conn] = self.by_cid[pdu["CID"]] = TargetSide(self.stat_sn, self.stat_sn)
        answer = Pdu.build(Opcode.LOGIN_RESPONSE, T=1, CSG=1, NSG=3, ISID=1, TSIH=TSIH)
        self.stat_sn = add(self.stat_sn, 1000)
        return self._numbered(side, answer, counting=True)

    def _numbered(self, side: TargetSide, pdu: Pdu, *, counting: bool) -> Pdu:
        pdu = pdu.with_fields({"StatSN": side.stat_sn, "ExpCmdSN": self.expected, "MaxCmdSN": self.maximum})
        if counting:
            side.stat_sn = add(side.stat_sn, 1)
        return pdu

    def take(self, conn: int, pdu: Pdu) -> None:
        """Take a request of the initiator, as it seems."""
        side = self.conns[conn]
        acked, cmd_sn, itt = pdu["ExpStatSN"], pdu["CmdSN"], pdu["ITT"]
        assert le(acked, add(side.stat_sn, self.ahead)), "it acknowledges what was not sent"
        assert ge(acked, side.acked), "an acknowledgement went back"
        side.acked = acked
        if pdu["I"]:
            if self.single:
                assert cmd_sn == self.expected, "an immediate request without the next CmdSN"
            self._start(side, pdu)
            return
        assert le(cmd_sn, self.maximum), "beyond the window"
        if lt(cmd_sn, self.expected) or cmd_sn in self.early:
            tag = self.used[cmd_sn]
            # Of a command that is over, an end may still send a copy that was under way; its tag may be another's.
            at_work = any(tag in each.tasks and each.tasks[tag]["CmdSN"] == cmd_sn for each in self.conns.values())
            assert tag == itt or not at_work, "a CmdSN that another command has"
            return
        if self.single:
            assert cmd_sn == self.expected, "a CmdSN was left out"
        self.used[cmd_sn] = itt
        self.early.add(cmd_sn)
        while self.expected in self.early:
            self.early.discard(self.expected)
            self.expected = add(self.expected, 1)
        self._start(side, pdu)

    def _start(self, side: TargetSide, pdu: Pdu) -> None:
        assert all(pdu["ITT"] not in other.tasks for other in self.conns.values()), "a tag that is in use"
        side.tasks[pdu["ITT"]] = pdu

    def answer(self, conn: int, itt: int, *, reject: bool = False) -> Pdu:
        """Finish a task."""
        side = self.conns[conn]
        request = side.tasks.pop(itt)
        if reject:
            pdu = Pdu.build(Opcode.REJECT, request.bhs, F=1, Reason=4, ITT=NO_TAG)
        elif request.opcode == Opcode.NOP_OUT:
            pdu = Pdu.build(Opcode.NOP_IN, F=1, ITT=itt, TTT=NO_TAG)
        else:
            pdu = Pdu.build(Opcode.SCSI_RESPONSE, F=1, ITT=itt)
        return self._numbered(side, pdu, counting=True)

    def r2t(self, conn: int, itt: int) -> Pdu:
        """Ask for data, which nobody sends."""
        return self._numbered(self.conns[conn], Pdu.build(Opcode.R2T, F=1, ITT=itt, TTT=itt), counting=False)

    def ping(self, conn: int) -> Pdu:
        """Say something that changes nothing but the window."""
        pdu = Pdu.build(Opcode.NOP_IN, F=1, ITT=NO_TAG, TTT=NO_TAG)
        return self._numbered(self.conns[conn], pdu, counting=False)


class Middle:
    """The proxy, as far as its numbers go."""

    def __init__(self) -> None:
        self.session_of: dict[int, int] = {}
        self.numbers = Numbers(lambda conn: self.session_of.get(conn, 0))
        self.own: set[int] = set()

    def write(self, conn: int, to: End, pdu: Pdu, *, slowly: bool = False) -> Pdu:
        """Write a PDU, on the fast path if there is one."""
        if slowly or self.numbers.active(conn):
            return self.numbers.outgoing(conn, to, pdu)
        self.numbers.passed(conn, to, pdu)
        return pdu


class World:
    """Two ends, the middle, and the pipes between them."""

    def __init__(self, cmd_sn: int, stat_sn: int, window: int) -> None:
        self.initiator = Initiator(cmd_sn, window)
        self.target = Target(stat_sn, window)
        self.middle = Middle()
        self.up: dict[int, deque[Pdu]] = {}  # sent by the initiator
        self.down: dict[int, deque[Pdu]] = {}  # sent by the target
        self.to_target: dict[int, deque[Pdu]] = {}
        self.to_initiator: dict[int, deque[Pdu]] = {}
        self.last: dict[int, InitiatorSide] = {}  # of each CID
        self.count = 0

    @property
    def conns(self) -> list[int]:
        """The open connections."""
        return sorted(self.initiator.conns)

    # --- connections

    def log_in(self, cid: int) -> int:
        """Open a connection; one with a CID that was there takes its place."""
        self.count += 1
        conn, middle = self.count, self.middle
        for pipes in (self.up, self.down, self.to_target, self.to_initiator):
            pipes[conn] = deque()
        middle.numbers.open(conn)
        request = self.initiator.login(conn, cid, self.last.get(cid))
        self.last[cid] = self.initiator.conns[conn]
        response = self.target.login(conn, middle.write(conn, End.TARGET, request))
        self.initiator.take(conn, middle.write(conn, End.INITIATOR, response))
        middle.session_of[conn] = 1
        return conn

    def lose(self, conn: int) -> None:
        """Let a connection die: what the target has not been sent, and what it has answered, is lost."""
        while self.to_target[conn]:
            self.arrive_at_target(conn)
        tasks = self.target.conns.pop(conn).tasks
        self.middle.own -= set(tasks)
        for itt in tasks:
            self.middle.numbers.disown(conn, itt)
        self.middle.numbers.close(conn)
        del self.initiator.conns[conn]
        for itt, (on, pdu) in list(self.initiator.live.items()):
            if on != conn:
                continue
            if pdu["I"] or lt(pdu["CmdSN"], self.initiator.expected):
                del self.initiator.live[itt]
        for pipes in (self.up, self.down, self.to_target, self.to_initiator):
            del pipes[conn]

    # --- what the ends do

    def send(self, conn: int, *, immediate: bool) -> None:
        """Let the initiator send a request."""
        self.up[conn].append(self.initiator.request(conn, immediate=immediate))

    def retry(self, itt: int, conn: int) -> None:
        """Let the initiator send a command again, what was lost with its connection before all else.

        Behind a command that waits for room it would never go, if the room is what it is to make.
        """
        first = self.up[conn][0] if self.up[conn] and self.initiator.live[itt][0] != conn else None
        pdu = self.initiator.retry(itt, conn, None if first is None else first["ExpStatSN"])
        if first is not None:
            self.up[conn].appendleft(pdu)
        else:
            self.up[conn].append(pdu)

    def arrive_at_target(self, conn: int) -> None:
        """Let the target take what was written first."""
        self.target.take(conn, self.to_target[conn].popleft())

    def arrive_at_initiator(self, conn: int) -> None:
        """Let the initiator take what was written first."""
        self.initiator.take(conn, self.to_initiator[conn].popleft())

    # --- what the middle does

    def forward_up(self, conn: int, *, slowly: bool = False) -> bool:
        """Write the first of what the initiator has sent, if there is room."""
        pdu, numbers = self.up[conn][0], self.middle.numbers
        if not numbers.room(conn, pdu, authored=False):
            return False
        self.up[conn].popleft()
        if not pdu["I"] and numbers._at(conn).session.commands.removed(pdu["CmdSN"]):
            # It was answered here; perhaps the answer was lost.
            under_way = {each["ITT"] for pipe in self.to_initiator.values() for each in pipe}
            _, live = self.initiator.live.get(pdu["ITT"], (0, None))
            if live is not None and live["CmdSN"] == pdu["CmdSN"] and pdu["ITT"] not in under_way:
                self.answer(conn, pdu)
        else:
            self.to_target[conn].append(self.middle.write(conn, End.TARGET, pdu, slowly=slowly))
        return True

    def hide_up(self, conn: int) -> None:
        """Take the first of what the initiator has sent, and answer it."""
        pdu = self.up[conn].popleft()
        self.middle.numbers.unsent(conn, End.INITIATOR, pdu, "hidden")
        self.answer(conn, pdu)

    def answer(self, conn: int, request: Pdu) -> None:
        """Answer a request in the target's place."""
        opcode = Opcode.NOP_IN if request.opcode == Opcode.NOP_OUT else Opcode.SCSI_RESPONSE
        self.tell(conn, Pdu.build(opcode, F=1, ITT=request["ITT"]))

    def tell(self, conn: int, pdu: Pdu) -> None:
        """Write something of the middle's own to the initiator."""
        self.to_initiator[conn].append(self.middle.numbers.author(conn, End.INITIATOR, pdu, TO_INITIATOR))

    def ask(self, conn: int, *, immediate: bool) -> bool:
        """Write a request of the middle's own to the target, if there is room."""
        numbers = self.middle.numbers
        pdu = Pdu.build(Opcode.NOP_OUT, F=1, I=int(immediate), TTT=NO_TAG)
        if not numbers.room(conn, pdu, authored=True):
            return False
        busy = {itt for side in self.target.conns.values() for itt in side.tasks}
        for pipe in self.to_target.values():
            busy |= {each["ITT"] for each in pipe}
        # As many as can be of those that the initiator is about to use.
        itt = next(itt for itt in range(1000) if itt not in busy | self.middle.own | set(self.initiator.live))
        numbers.own(conn, itt)
        self.middle.own.add(itt)
        pdu = pdu.with_fields({"ITT": itt})
        self.to_target[conn].append(numbers.author(conn, End.TARGET, pdu, TO_TARGET))
        return True

    def forward_down(self, conn: int, *, slowly: bool = False, instead: bool = False) -> None:
        """Write the first of what the target has sent, if it is not for the middle; or another answer `instead`."""
        pdu = self.down[conn].popleft()
        header = Pdu(pdu.data[:BHS_LENGTH]) if pdu.opcode == Opcode.REJECT else pdu
        numbers, itt = self.middle.numbers, header["ITT"]
        if itt in self.middle.own:
            numbers.unsent(conn, End.TARGET, pdu, "hidden")
            if pdu.opcode != Opcode.R2T:
                numbers.disown(conn, itt)
                self.middle.own.discard(itt)
        elif instead and pdu.opcode == Opcode.SCSI_RESPONSE:
            numbers.unsent(conn, End.TARGET, pdu, "hidden")
            real = numbers._at(conn).session.tags.back(itt)
            self.tell(conn, Pdu.build(Opcode.SCSI_RESPONSE, F=1, ITT=real, Status=8))
        else:
            self.to_initiator[conn].append(self.middle.write(conn, End.INITIATOR, pdu, slowly=slowly))

    # --- the end

    def settle(self) -> None:
        """Let everything arrive and be answered, and check that nothing is missing."""
        initiator, target = self.initiator, self.target
        for itt, (on, _) in list(initiator.live.items()):
            if on not in initiator.conns:
                self.retry(itt, self.conns[0])
        for _ in range(3):
            self._drain()
        initiator.ahead = 0
        for conn in self.conns:
            self.send(conn, immediate=True)
        for _ in range(3):
            self._drain()
        for conn in self.conns:
            self.send(conn, immediate=True)
        self._drain()
        assert not target.early, "a hole that nobody fills"
        assert not any(self.up.values()), "a request that never goes"
        assert initiator.expected == initiator.cmd_sn, "a request that is never acknowledged"
        for conn in self.conns:
            side = target.conns[conn]
            # The answers to the last pings are still to be acknowledged.
            assert le(add(side.stat_sn, -1), side.acked), "an answer that is never acknowledged"

    def _drain(self) -> None:
        busy = True
        while busy:
            busy = False
            for conn in self.conns:
                while self.up[conn] and self.forward_up(conn):
                    busy = True
                while self.to_target[conn]:
                    self.arrive_at_target(conn)
                    busy = True
                for itt in list(self.target.conns[conn].tasks):
                    self.down[conn].append(self.target.answer(conn, itt))
                self.down[conn].append(self.target.ping(conn))
                while self.down[conn]:
                    self.forward_down(conn)
                while self.to_initiator[conn]:
                    self.arrive_at_initiator(conn)
