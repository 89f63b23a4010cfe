from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from iscsiproxy.session.numbers import Numbers, NumbersError
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import lt
from tests.session.dialogue import (
    command,
    data_in,
    data_out,
    login_request,
    login_response,
    r2t,
    request,
    response,
    scsi_response,
)
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
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

ALL = frozenset({"CmdSN", "ExpStatSN", "StatSN", "ExpCmdSN", "MaxCmdSN"})
ON = 1  # the connection


class Wire:
    """One connection through the middle, logged in with CmdSN 10 and StatSN 100."""

    def __init__(self) -> None:
        self.sessions: dict[int, int] = {}
        self.numbers = Numbers(lambda conn: self.sessions.get(conn, 0))
        self.log_in(ON, session=1)

    def log_in(self, conn: int, *, session: int, tsih: int = 0, cmd_sn: int = 10, ack: int = 0, cid: int = 0) -> Pdu:
        """Let a login in one exchange pass, and give the request as the target got it."""
        self.numbers.open(conn)
        asked = login_request(CmdSN=cmd_sn, TSIH=tsih, ExpStatSN=ack, CID=cid)
        sent = self.up(asked, conn)
        self.down(login_response(), conn)
        self.sessions[conn] = session
        return sent

    def up(self, pdu: Pdu, conn: int = ON, **how: Any) -> Pdu:
        return self.numbers.outgoing(conn, End.TARGET, pdu, **how)

    def down(self, pdu: Pdu, conn: int = ON, **how: Any) -> Pdu:
        return self.numbers.outgoing(conn, End.INITIATOR, pdu, **how)

    def hide(self, pdu: Pdu, conn: int = ON) -> None:
        self.numbers.unsent(conn, pdu.sender, pdu, "hidden")

    def ask(self, pdu: Pdu, conn: int = ON, **how: Any) -> Pdu:
        return self.numbers.author(conn, End.TARGET, pdu, ALL & frozenset(pdu.fields), **how)

    def tell(self, pdu: Pdu, conn: int = ON, **how: Any) -> Pdu:
        return self.numbers.author(conn, End.INITIATOR, pdu, ALL & frozenset(pdu.fields), **how)


def ping(itt: int = 9, *, immediate: bool = False) -> Pdu:
    return Pdu.build(Opcode.NOP_OUT, F=1, I=int(immediate), ITT=itt, TTT=NO_TAG)


# --- nothing to do


def test_what_is_the_same_is_the_same_object() -> None:
    wire = Wire()
    assert not wire.numbers.active(ON)
    for pdu in (command(1, 10), data_out(1, NO_TAG, 0)):
        assert wire.up(pdu) is pdu
    for pdu in (scsi_response(1, 101), data_in(1, 0), r2t(1, 1, 0), response(Opcode.ASYNC, NO_TAG, 102)):
        assert wire.down(pdu) is pdu


def test_a_connection_is_active_until_its_login_is_over() -> None:
    numbers = Numbers(lambda _conn: 1)
    assert not numbers.active(ON)
    numbers.open(ON)
    assert numbers.active(ON)
    numbers.passed(ON, End.TARGET, login_request())
    assert numbers.active(ON)
    numbers.passed(ON, End.INITIATOR, login_response())
    assert not numbers.active(ON)


def test_the_fast_path_knows_what_comes_next() -> None:
    wire = Wire()
    for pdu in (command(1, 10), command(2, 11), request(Opcode.NOP_OUT, 3, 12, I=1), data_out(1, NO_TAG, 0)):
        wire.numbers.passed(ON, End.TARGET, pdu)
    for pdu in (
        scsi_response(1, 101, ExpCmdSN=12, MaxCmdSN=50),
        data_in(2, 0, S=1, StatSN=102, ExpCmdSN=12, MaxCmdSN=51),
        data_in(2, 0, StatSN=0, ExpCmdSN=12, MaxCmdSN=51),
        response(Opcode.NOP_IN, NO_TAG, 103, ExpCmdSN=12, MaxCmdSN=51),
        pdu_of_another_kind(),
    ):
        wire.numbers.passed(ON, End.INITIATOR, pdu)
    assert wire.ask(ping())["CmdSN"] == 12
    told = wire.tell(response(Opcode.ASYNC, NO_TAG, 0))
    assert (told["StatSN"], told["ExpCmdSN"], told["MaxCmdSN"]) == (103, 12, 51)


def pdu_of_another_kind() -> Pdu:
    return Pdu(bytes([0x3C]) + bytes(BHS_LENGTH - 1))


def test_what_comes_from_the_wrong_side_or_is_unknown_is_left_alone() -> None:
    wire = Wire()
    wire.ask(ping())
    wire.tell(response(Opcode.ASYNC, NO_TAG, 0))
    wire.numbers.own(ON, 5)
    for pdu in (scsi_response(1, 101), Pdu(bytes([0x1C]) + bytes(BHS_LENGTH - 1))):
        assert wire.up(pdu) is pdu
    for pdu in (command(1, 10), pdu_of_another_kind()):
        assert wire.down(pdu) is pdu
    wire.numbers.unsent(ON, End.TARGET, command(1, 10), "hidden")
    assert wire.up(command(1, 10))["CmdSN"] == 11


# --- one more, one less


def test_a_borrowed_number() -> None:
    wire = Wire()
    wire.up(command(1, 10))
    asked = wire.ask(ping())
    assert (asked["CmdSN"], asked["ExpStatSN"]) == (11, 101)
    assert wire.numbers.active(ON)
    assert wire.up(command(2, 11))["CmdSN"] == 12
    # An older one keeps its number, a late immediate one has the current one.
    assert wire.up(command(1, 10))["CmdSN"] == 10
    assert wire.up(request(Opcode.NOP_OUT, 3, 12, I=1))["CmdSN"] == 13
    answer = response(Opcode.NOP_IN, 9, 101, ExpCmdSN=13, MaxCmdSN=50)
    wire.hide(answer)
    seen = wire.down(scsi_response(2, 102, ExpCmdSN=13, MaxCmdSN=50))
    assert (seen["StatSN"], seen["ExpCmdSN"], seen["MaxCmdSN"]) == (101, 12, 49)
    # The swallowed answer is acknowledged with what was before it.
    assert wire.up(command(3, 12, ExpStatSN=101))["ExpStatSN"] == 102
    assert wire.up(command(4, 13, ExpStatSN=102))["ExpStatSN"] == 103
    assert wire.up(command(5, 14, ExpStatSN=103))["ExpStatSN"] == 104


def test_a_request_that_the_proxy_answers() -> None:
    wire = Wire()
    wire.hide(command(1, 10))
    answer = wire.tell(scsi_response(1, 0, Status=8))
    assert (answer["StatSN"], answer["ExpCmdSN"], answer["MaxCmdSN"]) == (101, 11, 41)
    assert wire.up(command(2, 11, ExpStatSN=102))["CmdSN"] == 10
    assert wire.up(command(3, 12, ExpStatSN=102))["ExpStatSN"] == 101
    assert wire.down(scsi_response(2, 101))["StatSN"] == 102
    with pytest.raises(NumbersError, match="CmdSN 0xa was hidden"):
        wire.up(command(1, 10))


def test_a_dropped_request_leaves_its_hole() -> None:
    wire = Wire()
    wire.numbers.unsent(ON, End.INITIATOR, command(1, 10), "raw")
    assert not wire.numbers.active(ON)
    assert wire.ask(ping())["CmdSN"] == 11
    assert wire.up(command(1, 10))["CmdSN"] == 10
    assert wire.up(command(2, 11))["CmdSN"] == 12


def test_what_cannot_be_hidden_any_more() -> None:
    wire = Wire()
    wire.up(command(2, 11))
    with pytest.raises(NumbersError, match="0xb has gone before 0xa"):
        wire.hide(command(1, 10))
    wire.down(scsi_response(2, 102))
    with pytest.raises(NumbersError, match="0x66 has gone before 0x65"):
        wire.hide(scsi_response(1, 101))


def test_a_hidden_copy_takes_a_number_of_its_own() -> None:
    wire = Wire()
    wire.up(command(1, 10))
    assert wire.up(command(8, 10), extra=True)["CmdSN"] == 11
    assert wire.up(command(2, 11))["CmdSN"] == 12
    wire.down(scsi_response(1, 101))
    assert wire.down(scsi_response(1, 101), extra=True)["StatSN"] == 102
    assert wire.down(r2t(2, 1, 0, stat_sn=102))["StatSN"] == 103
    assert wire.down(scsi_response(2, 102))["StatSN"] == 103


def test_an_immediate_request_that_becomes_an_ordinary_one() -> None:
    wire = Wire()
    assert wire.up(request(Opcode.NOP_OUT, 1, 10), extra=True)["CmdSN"] == 10
    assert wire.up(command(2, 10))["CmdSN"] == 11


def test_exact_fields_stay_and_count_for_nothing() -> None:
    wire = Wire()
    wire.ask(ping())
    exact = frozenset({"CmdSN"})
    assert wire.up(command(1, 90), exact=exact)["CmdSN"] == 90
    assert wire.up(command(2, 10))["CmdSN"] == 11
    wire.tell(response(Opcode.ASYNC, NO_TAG, 0))
    assert wire.down(scsi_response(2, 5), exact=frozenset({"StatSN", "MaxCmdSN"}))["StatSN"] == 5
    assert wire.down(scsi_response(2, 101))["StatSN"] == 102


def test_an_authored_pdu_with_numbers_of_its_own() -> None:
    wire = Wire()
    asked = wire.numbers.author(ON, End.TARGET, ping().with_fields({"CmdSN": 77}), frozenset({"ExpStatSN"}))
    assert (asked["CmdSN"], asked["ExpStatSN"]) == (77, 101)
    assert not wire.numbers.active(ON)
    raw = ping()
    assert wire.numbers.author(ON, End.TARGET, raw, frozenset()) is raw


def test_an_authored_pdu_in_the_other_ends_numbers() -> None:
    wire = Wire()
    wire.ask(ping())
    wire.up(command(1, 10))
    abort = Pdu.build(Opcode.TMF_REQUEST, F=1, I=1, Function=1, ITT=9, RefTaskTag=1, RefCmdSN=10)
    names = frozenset({"RefCmdSN", "RefTaskTag"})
    assert wire.ask(abort, translate=names)["RefCmdSN"] == 11
    assert wire.ask(abort)["RefCmdSN"] == 10
    wire.down(response(Opcode.ASYNC, NO_TAG, 101))
    wire.tell(response(Opcode.ASYNC, NO_TAG, 0))
    told = wire.numbers.author(ON, End.INITIATOR, scsi_response(1, 102), frozenset(), frozenset({"StatSN"}))
    assert told["StatSN"] == 103


def test_nothing_is_authored_from_what_is_not_known() -> None:
    numbers = Numbers(lambda _conn: 0)
    for pdu in (ping(), ping(immediate=True)):
        with pytest.raises(NumbersError, match="not known"):
            numbers.author(ON, End.TARGET, pdu, frozenset({"CmdSN"}))
    assert not numbers.room(ON, ping(), authored=True)


def test_what_was_not_seen_is_not_known() -> None:
    wire = Wire()
    wire.numbers.lost(ON)
    wire.numbers.lost(2)
    with pytest.raises(NumbersError, match="not known"):
        wire.ask(ping())
    wire.numbers.passed(ON, End.TARGET, command(1, 30))
    assert wire.ask(ping())["CmdSN"] == 31


# --- the window


def test_room() -> None:
    wire = Wire()
    wire.down(response(Opcode.NOP_IN, NO_TAG, 101, ExpCmdSN=10, MaxCmdSN=40))
    for n in range(29):
        wire.up(command(n, 10 + n))
    assert wire.numbers.room(ON, ping(), authored=True)
    assert wire.ask(ping())["CmdSN"] == 39
    last, beyond = command(50, 40), command(51, 41)
    assert wire.up(command(49, 39))["CmdSN"] == 40
    # The initiator was told 40 before the number was borrowed; the target has no more room.
    assert not wire.numbers.room(ON, last, authored=False)
    assert not wire.numbers.room(ON, ping(), authored=True)
    # What it was never told is its own affair; what is immediate or old always fits.
    assert wire.numbers.room(ON, beyond, authored=False)
    assert wire.numbers.room(ON, ping(immediate=True), authored=True)
    assert wire.numbers.room(ON, command(49, 39), authored=False)
    assert wire.numbers.room(ON, data_out(1, 1, 0), authored=False)
    wire.numbers.heard(ON, scsi_response(1, 101, ExpCmdSN=11, MaxCmdSN=41))
    wire.numbers.heard(ON, beyond)
    assert wire.numbers.room(ON, last, authored=False)
    assert wire.up(last)["CmdSN"] == 41


def test_a_window_that_makes_no_sense_is_not_believed() -> None:
    wire = Wire()
    wire.ask(ping())
    seen = wire.down(response(Opcode.NOP_IN, NO_TAG, 101, ExpCmdSN=30, MaxCmdSN=90))
    assert (seen["ExpCmdSN"], seen["MaxCmdSN"]) == (29, 89)
    seen = wire.down(response(Opcode.NOP_IN, NO_TAG, 101, ExpCmdSN=11, MaxCmdSN=41))
    assert (seen["ExpCmdSN"], seen["MaxCmdSN"]) == (10, 40)
    assert wire.tell(response(Opcode.ASYNC, NO_TAG, 0))["MaxCmdSN"] == 40


# --- sessions and connections


def test_statsn_dies_with_the_connection_and_cmdsn_with_the_session() -> None:
    wire = Wire()
    wire.ask(ping())
    wire.tell(response(Opcode.ASYNC, NO_TAG, 0))
    wire.numbers.close(ON)
    assert not wire.numbers.active(ON)
    wire.log_in(2, session=2)
    assert not wire.numbers.active(2)
    pdu = command(1, 10)
    assert wire.up(pdu, 2) is pdu


def test_a_connection_that_joins() -> None:
    wire = Wire()
    wire.ask(ping())
    assert wire.log_in(2, session=1, tsih=7, cid=1)["CmdSN"] == 11
    assert wire.numbers.active(2)
    assert wire.up(command(1, 10), 2)["CmdSN"] == 11
    assert wire.up(command(2, 11))["CmdSN"] == 12
    assert wire.down(scsi_response(1, 101), 2)["StatSN"] == 101


def test_a_connection_that_takes_the_place_of_another() -> None:
    wire = Wire()
    wire.up(command(1, 10))
    wire.tell(response(Opcode.ASYNC, NO_TAG, 0))
    wire.numbers.close(ON)
    asked = wire.log_in(2, session=1, tsih=7, cmd_sn=11, ack=102)
    assert (asked["CmdSN"], asked["ExpStatSN"]) == (11, 101)
    assert wire.up(command(2, 11, ExpStatSN=101), 2)["ExpStatSN"] == 101


def test_the_session_that_a_login_turns_out_to_be_in() -> None:
    wire = Wire()
    wire.ask(ping())
    # It has the TSIH of the first session and is in another one, of somebody else.
    wire.log_in(2, session=2, tsih=7, cid=1)
    pdu = command(1, 10)
    assert wire.up(pdu, 2) is pdu
    assert wire.up(command(1, 10))["CmdSN"] == 11


def test_sessions_are_bounded() -> None:
    wire = Wire()
    wire.ask(ping())
    wire.numbers.close(ON)
    for conn in range(2, 100):
        wire.log_in(conn, session=conn)
        wire.up(command(1, 10), conn)
        wire.numbers.close(conn)
    wire.log_in(100, session=1, tsih=7)
    assert not wire.numbers.active(100)
    assert repr(wire.numbers) == "<Numbers of 1 connections, 65 sessions>"


def test_rounds_of_login_that_the_initiator_does_not_see() -> None:
    wire = Wire()
    wire.numbers.open(2)
    wire.up(login_request(T=0), 2)
    wire.hide(login_response(T=0, StatSN=500), 2)
    assert wire.ask(login_request(ExpStatSN=0, T=0), 2)["ExpStatSN"] == 501
    wire.hide(login_response(T=0, StatSN=501), 2)
    assert wire.up(login_request(ExpStatSN=0), 2)["ExpStatSN"] == 502
    # The first one that is forwarded begins; what is swallowed later is translated.
    assert wire.down(login_response(T=0, StatSN=502), 2)["StatSN"] == 502
    wire.hide(login_response(T=0, StatSN=503), 2)
    assert wire.ask(login_request(T=0), 2)["ExpStatSN"] == 504
    assert wire.down(login_response(StatSN=504), 2)["StatSN"] == 503
    assert wire.up(login_request(ExpStatSN=503), 2)["ExpStatSN"] == 504


# --- tags


def test_a_tag_that_the_proxy_uses_itself() -> None:
    wire = Wire()
    wire.numbers.own(ON, 5)
    assert wire.numbers.active(ON)
    other = wire.up(command(5, 10))["ITT"]
    assert other != 5
    assert wire.up(data_out(5, 1, 0))["ITT"] == other
    assert wire.down(r2t(other, 1, 0))["ITT"] == 5
    abort = request(Opcode.TMF_REQUEST, 6, 11, I=1, Function=1, RefTaskTag=5, RefCmdSN=10)
    assert wire.up(abort)["RefTaskTag"] == other
    wire.numbers.disown(ON, 5)
    assert wire.down(scsi_response(other, 101))["ITT"] == 5
    assert wire.up(command(4, 11))["ITT"] == 4


# --- what only several connections show


def test_a_late_immediate_request_has_the_current_number() -> None:
    wire = Wire()
    wire.log_in(2, session=1, tsih=7, cid=1)
    wire.hide(command(1, 10))
    assert wire.up(request(Opcode.NOP_OUT, 3, 10, I=1), 2)["CmdSN"] == 10


def test_what_was_told_on_one_connection_is_not_told_on_another_before_its_turn() -> None:
    wire = Wire()
    wire.log_in(2, session=1, tsih=7, cid=1)
    wire.up(command(1, 10))
    wire.down(response(Opcode.ASYNC, NO_TAG, 101, ExpCmdSN=11, MaxCmdSN=41), 2)
    told = wire.tell(response(Opcode.ASYNC, NO_TAG, 0))
    assert (told["ExpCmdSN"], told["MaxCmdSN"]) == (10, 40)
    wire.down(response(Opcode.ASYNC, NO_TAG, 101, ExpCmdSN=11, MaxCmdSN=41))
    told = wire.tell(response(Opcode.ASYNC, NO_TAG, 0))
    assert (told["ExpCmdSN"], told["MaxCmdSN"]) == (11, 41)


def test_a_session_is_found_before_it_has_done_anything() -> None:
    wire = Wire()
    wire.log_in(2, session=1, tsih=7, cid=1)
    assert repr(wire.numbers) == "<Numbers of 2 connections, 1 sessions>"
