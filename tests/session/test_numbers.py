from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from iscsiproxy.session.numbers import Numbers, NumbersError
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import lt
from tests.session.ends import World

__all__: list[str] = []

TOP = 0xFFFFFFFF
STARTS = st.sampled_from([0, 10, 0x7FFFFFFE, TOP - 3, TOP])


class NobodyCanTell(RuleBasedStateMachine):
    """Any interleaving of what ends and proxy may do leaves both ends without a suspicion."""

    world: World

    @initialize(cmd_sn=STARTS, stat_sn=STARTS, window=st.integers(1, 6))
    def begin(self, cmd_sn: int, stat_sn: int, window: int) -> None:
        self.world = World(cmd_sn, stat_sn, window)
        self.world.log_in(0)

    def pick(self, data: st.DataObject, pipes: str | None = None) -> int | None:
        world = self.world
        conns = [conn for conn in world.conns if pipes is None or getattr(world, pipes)[conn]]
        return data.draw(st.sampled_from(conns)) if conns else None

    # --- the ends

    @rule(data=st.data(), immediate=st.booleans())
    def send(self, data: st.DataObject, immediate: bool) -> None:
        conn = self.pick(data)
        if conn is not None and (immediate or self.world.initiator.may_send) and len(self.world.initiator.live) < 20:
            self.world.send(conn, immediate=immediate)

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        live = [itt for itt, (_, pdu) in self.world.initiator.live.items() if not pdu["I"]]
        if live:
            itt = data.draw(st.sampled_from(live))
            conn = self.world.initiator.live[itt][0]
            if conn in self.world.conns:
                self.world.retry(itt, conn)
            elif (other := self.pick(data)) is not None:
                self.world.retry(itt, other)

    @rule(ahead=st.integers(0, 1))
    def acknowledge_ahead(self, ahead: int) -> None:
        self.world.initiator.ahead = ahead
        self.world.target.ahead = max(ahead, self.world.target.ahead)

    @rule(data=st.data(), reject=st.booleans())
    def answer(self, data: st.DataObject, reject: bool) -> None:
        world = self.world
        tasks = [(conn, itt) for conn in world.conns for itt in world.target.conns[conn].tasks]
        if tasks:
            conn, itt = data.draw(st.sampled_from(tasks))
            world.down[conn].append(world.target.answer(conn, itt, reject=reject))

    @rule(data=st.data(), ping=st.booleans())
    def solicit(self, data: st.DataObject, ping: bool) -> None:
        world = self.world
        tasks = [
            (conn, itt)
            for conn in world.conns
            for itt, pdu in world.target.conns[conn].tasks.items()
            if pdu.opcode == Opcode.SCSI_COMMAND
        ]
        if ping and (conn := self.pick(data)) is not None:
            world.down[conn].append(world.target.ping(conn))
        elif tasks:
            conn, itt = data.draw(st.sampled_from(tasks))
            world.down[conn].append(world.target.r2t(conn, itt))

    # --- the wires

    @rule(data=st.data())
    def arrive_at_target(self, data: st.DataObject) -> None:
        conn = self.pick(data, "to_target")
        if conn is not None:
            self.world.arrive_at_target(conn)

    @rule(data=st.data())
    def arrive_at_initiator(self, data: st.DataObject) -> None:
        conn = self.pick(data, "to_initiator")
        if conn is not None:
            self.world.arrive_at_initiator(conn)

    @precondition(lambda self: len(self.world.conns) < 3)
    @rule(cid=st.integers(0, 2))
    def log_in(self, cid: int) -> None:
        if all(side.cid != cid for side in self.world.initiator.conns.values()):
            self.world.log_in(cid)

    @precondition(lambda self: len(self.world.conns) > 1)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        conn = self.pick(data)
        if conn is not None:
            self.world.lose(conn)

    # --- the middle

    @rule(data=st.data(), slowly=st.booleans())
    def forward_up(self, data: st.DataObject, slowly: bool) -> None:
        conn = self.pick(data, "up")
        if conn is not None:
            self.world.forward_up(conn, slowly=slowly)

    @rule(data=st.data())
    def hide_up(self, data: st.DataObject) -> None:
        conn = self.pick(data, "up")
        if conn is None:
            return
        pdu, commands = self.world.up[conn][0], self.world.middle.numbers._at(conn).session.commands
        # A retry of what is at work is no new request, and a late one cannot be hidden.
        if pdu["I"] or commands.next is None or not lt(pdu["CmdSN"], commands.next):
            self.world.hide_up(conn)

    @rule(data=st.data(), immediate=st.booleans())
    def ask(self, data: st.DataObject, immediate: bool) -> None:
        conn = self.pick(data)
        if conn is not None:
            self.world.ask(conn, immediate=immediate)

    @rule(data=st.data(), ping=st.booleans())
    def tell(self, data: st.DataObject, ping: bool) -> None:
        conn = self.pick(data)
        if conn is not None:
            opcode = Opcode.NOP_IN if ping else Opcode.ASYNC
            self.world.tell(conn, Pdu.build(opcode, F=1, ITT=NO_TAG))

    @rule(data=st.data(), slowly=st.booleans(), instead=st.booleans())
    def forward_down(self, data: st.DataObject, slowly: bool, instead: bool) -> None:
        conn = self.pick(data, "down")
        if conn is not None:
            self.world.forward_down(conn, slowly=slowly, instead=instead)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()


TestNobodyCanTell = NobodyCanTell.TestCase
TestNobodyCanTell.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
