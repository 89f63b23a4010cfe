from __future__ import annotations

import sys
from dataclasses import FrozenInstanceError, replace
from types import FunctionType, ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.session import tracker as module
from iscsiproxy.session.facts import PhaseChanged, Violation
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.session.tasks import FINISHED_KEPT, OUTSTANDING_KEPT
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire.fields import FIELDS, FieldKind
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.session.dialogue import (
    NAMES,
    NO_TAG,
    Leg,
    command,
    data_in,
    data_out,
    login_request,
    login_response,
    of_kind,
    pdu,
    r2t,
    request,
    response,
    scsi_response,
)

__all__: list[str] = []

INI, TGT = End.INITIATOR, End.TARGET


def test_facts_may_be_had_from_here() -> None:
    assert {"DigestsOn", "FullFeatureReached", "Violation", "Tracker"} <= set(module.__all__)


def test_a_connection_from_open_to_close() -> None:
    leg = Leg()
    assert leg.tracker.phase(1) is Phase.CLOSED
    leg.open()
    assert leg.tracker.phase(1) is Phase.CONNECTED
    view = leg.connection
    assert (view.id, view.nth, view.opened, view.CID, view.outstanding) == (1, 1, 0.0, None, 0)
    assert leg.snapshot().session is None
    assert leg.close() == (PhaseChanged(conn=1, old=Phase.CONNECTED, new=Phase.CLOSED),)
    assert leg.close() == ()
    assert leg.tracker.close(99, 0.0) == ()
    assert leg.tracker.phase(1) is Phase.CLOSED


def test_connections_are_counted_as_they_come() -> None:
    leg = Leg()
    leg.conn = 40
    leg.log_in()
    leg.now = 30.0
    leg.log_in(tsih=8, ISID=5)
    assert (leg.connection.id, leg.connection.nth, leg.connection.opened) == (42, 2, 30.0)


def test_a_closed_connection_keeps_its_last_snapshot() -> None:
    leg = Leg()
    leg.log_in({"ImmediateData": "No"})
    leg.say(command(5, 10))
    leg.close()
    late = leg.snapshot()
    assert late.conn.phase is Phase.CLOSED
    assert late.conn.StatSN == 101
    assert late.session is not None
    assert (late.session.conns, late.session.outstanding) == (0, 0)
    assert late.keys["ImmediateData"] == "No"
    assert leg.tracker.keys(1)["ImmediateData"] == "No"
    # What is still in the pipe is ignored.
    assert leg.say(scsi_response(5, 101), command(6, 11)) == ()
    assert leg.snapshot() == late
    for conn in range(2, 1000):
        leg.tracker.open(conn, 0.0)
        leg.tracker.close(conn, 0.0)
    assert leg.snapshot(on=1).session is None


def test_a_number_used_again_is_a_new_connection() -> None:
    leg = Leg()
    leg.log_in()
    leg.tracker.open(1, 50.0)
    assert (leg.connection.nth, leg.connection.opened, leg.connection.phase) == (2, 50.0, Phase.CONNECTED)
    leg.close()
    leg.tracker.open(1, 60.0)
    assert leg.connection.phase is Phase.CONNECTED


def test_nothing_is_known_of_a_connection_never_heard_of() -> None:
    tracker = Tracker(TGT)
    snapshot = tracker.snapshot(5, command(1, 1))
    assert (snapshot.leg, snapshot.session, snapshot.task) == (TGT, None, None)
    assert (snapshot.conn.id, snapshot.conn.phase) == (5, Phase.CLOSED)
    assert snapshot.keys == {}
    assert snapshot.declared == {INI: {}, TGT: {}}
    assert tracker.keys(5) == {}
    assert tracker.digests(5) == (False, False)
    assert tracker.max_recv_data_segment_length(5, INI) == 8192


def test_legs_that_were_told_different_things() -> None:
    legs = Leg(INI), Leg(TGT)
    legs[0].log_in({"HeaderDigest": "CRC32C"}, {"HeaderDigest": "None"})
    legs[1].log_in({"HeaderDigest": "CRC32C"}, {"HeaderDigest": "CRC32C"})
    assert [leg.tracker.digests(1)[0] for leg in legs] == [False, True]
    assert [leg.snapshot().leg for leg in legs] == [INI, TGT]


def test_the_segment_length_during_login_and_after() -> None:
    leg = Leg()
    leg.open()
    leg.say(login_request({**NAMES, "MaxRecvDataSegmentLength": "65536"}))
    assert leg.tracker.max_recv_data_segment_length(1, INI) == 8192
    leg.say(login_response({"MaxRecvDataSegmentLength": "0x40000"}))
    assert leg.tracker.max_recv_data_segment_length(1, INI) == 65536
    assert leg.tracker.max_recv_data_segment_length(1, TGT) == 262144
    leg.say(request(Opcode.LOGOUT_REQUEST, 5, 10))
    assert leg.tracker.max_recv_data_segment_length(1, INI) == 65536
    assert leg.snapshot().declared[INI]["MaxRecvDataSegmentLength"] == "65536"


# --- snapshots -------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_the_state_before_the_PDU() -> None:
    leg = Leg()
    leg.log_in()
    new = command(5, 10, 512, W=1)
    before = leg.snapshot(new)
    assert before.session is not None
    assert before.task is not None
    assert (before.session.CmdSN, before.session.outstanding, before.task.received) == (10, 0, 0)
    leg.say(new)
    after = leg.snapshot(data_out(5, NO_TAG, 0))
    assert after.session is not None
    assert after.task is not None
    assert (after.session.CmdSN, after.session.outstanding, after.task.received) == (11, 1, 512)
    assert after.task.serial == before.task.serial
    # It stays as it was.
    leg.say(data_out(5, NO_TAG, 0))
    assert after.task.received == 512
    assert before.session.CmdSN == 10
    with pytest.raises(FrozenInstanceError):
        after.task.received = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    "opcode", [Opcode.SCSI_COMMAND, Opcode.NOP_OUT, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST]
)
def test_a_new_request_has_a_task_of_its_own(opcode: Opcode) -> None:
    leg = Leg()
    leg.log_in()
    new = request(opcode, 5, 10, b"some data")
    task = leg.tracker.snapshot(1, new, at=7.5).task
    assert task is not None
    assert (task.command, task.started, task.received, task.sent, task.R2Ts, task.status) == (
        Pdu(new.bhs),
        7.5,
        0,
        0,
        0,
        None,
    )
    leg.now = 6.5
    leg.say(new)
    found = leg.task(new)
    assert replace(found, received=0) == task
    assert found.received == 9


def test_the_task_of_every_other_PDU() -> None:
    leg = Leg()
    leg.log_in()
    leg.say(command(5, 10), command(6, 11))
    belonging = [
        *(data_in(5, 0), data_out(5, 1, 0), r2t(5, 1, 0), scsi_response(5, 101), pdu(Opcode.SNACK, ITT=5)),
        response(Opcode.REJECT, NO_TAG, 101, command(5, 10).bhs + b"vendor"),
        response(Opcode.REJECT, NO_TAG, 101, data_out(5, 1, 0).bhs),
    ]
    for one in belonging:
        assert leg.task(one).command["ITT"] == 5
    strangers = [
        *(
            data_in(7, 0),
            scsi_response(NO_TAG, 101),
            response(Opcode.ASYNC, NO_TAG, 101),
            pdu(Opcode.SNACK, ITT=NO_TAG),
        ),
        *(response(Opcode.REJECT, NO_TAG, 101), response(Opcode.NOP_IN, NO_TAG, 101), pdu(0x1C, ITT=9)),
        response(Opcode.R2T, 8, 101),
    ]
    for one in strangers:
        assert leg.snapshot(one).task is None
    # A task management request is a task of its own; what it is about is in its RefTaskTag.
    tmf = request(Opcode.TMF_REQUEST, 9, 12, Function=1, RefTaskTag=5)
    assert leg.task(tmf).command["ITT"] == 9


def test_outside_of_a_session_a_request_has_no_task() -> None:
    leg = Leg()
    leg.open()
    assert leg.snapshot(command(1, 10)).task is None
    assert leg.snapshot(login_response({})).task is None


# --- started late ----------------------------------------------------------------------------------------------------


def test_a_tracker_that_comes_late() -> None:
    leg = Leg()
    leg.conn = 3
    assert leg.say(data_in(5, 17, S=1, F=1, StatSN=9), scsi_response(6, 10), r2t(7, 1, 1)) == ()
    assert leg.tracker.phase(3) is Phase.FULL_FEATURE
    assert (leg.connection.StatSN, leg.connection.CID) == (11, None)
    assert (leg.session.InitiatorName, leg.session.CmdSN, leg.session.MaxCmdSN, leg.session.conns) == (
        None,
        None,
        40,
        1,
    )
    assert leg.tracker.keys(3) == {}
    assert leg.snapshot().declared == {INI: {}, TGT: {}}
    assert leg.say(command(8, 33), scsi_response(8, 11)) == ()
    assert leg.session.CmdSN == 34
    assert leg.wrong(command(9, 36)) == [(INI, "RFC 7143 4.2.2.1")]
    assert leg.say(request(Opcode.LOGOUT_REQUEST, 10, 37, ReasonCode=1, CID=55)) == (
        PhaseChanged(conn=3, old=Phase.FULL_FEATURE, new=Phase.LOGOUT),
    )


@pytest.mark.parametrize("opcode", range(64))
def test_any_PDU_may_be_the_first_one_seen(opcode: int) -> None:
    leg = Leg()
    leg.conn = 3
    first = pdu(opcode, b"data", ITT=1)
    leg.snapshot(first)
    leg.say(first)
    assert leg.connection.nth == 1
    if opcode in (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE):
        assert leg.tracker.phase(3) is Phase.SECURITY
    elif opcode != Opcode.LOGOUT_REQUEST:
        assert leg.tracker.phase(3) is Phase.FULL_FEATURE


def test_a_login_that_is_seen_although_nobody_announced_it() -> None:
    leg = Leg()
    leg.conn = 3
    leg.say(login_request(NAMES), login_response({}))
    assert leg.session.InitiatorName == NAMES["InitiatorName"]
    assert leg.tracker.keys(3)["InitialR2T"] == "Yes"


def test_after_a_gap_nothing_is_taken_for_known() -> None:
    leg = Leg()
    leg.log_in()
    leg.say(command(5, 10))
    leg.tracker.lost(1)
    leg.tracker.lost(99)
    assert (leg.session.CmdSN, leg.session.window, leg.session.outstanding) == (None, None, 0)
    assert (leg.connection.StatSN, leg.connection.ExpStatSN) == (None, None)
    assert leg.session.InitiatorName == NAMES["InitiatorName"]
    window = {"ExpCmdSN": 900, "MaxCmdSN": 930}
    assert leg.wrong(scsi_response(5, 300, **window), data_in(6, 9, **window), command(7, 905), command(8, 903)) == []
    assert leg.session.CmdSN == 906
    assert leg.wrong(command(9, 905), scsi_response(6, 302, **window)) == [
        (INI, "RFC 7143 4.2.2.1"),
        (TGT, "RFC 7143 4.2.2.2"),
    ]


def test_repr() -> None:
    leg = Leg()
    leg.log_in()
    assert repr(leg.tracker) == "<Tracker target 1 connections, 1 sessions>"


# --- anything at all -------------------------------------------------------------------------------------------------

SMALL = st.integers(0, 3)
TEXTS = [encode_text(NAMES.items()), encode_text([("HeaderDigest", "CRC32C")]), b"junk\0=\0", b"ErrorRecoveryLevel=2\0"]


@st.composite
def any_pdu(draw: st.DrawFn) -> Pdu:
    """Draw a PDU of any opcode with fields that are likely to meet."""
    opcode = draw(st.sampled_from([*FIELDS, Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, 0x1D, 0x3D]))
    made = Pdu.build(opcode, draw(st.sampled_from([b"", *TEXTS, bytes(48), command(1, 1).bhs])))
    fields = [
        field for field in made.fields.values() if field.name not in ("Opcode", "TotalAHSLength", "DataSegmentLength")
    ]
    values: dict[str, int | bytes] = {}
    for field in fields:
        likely = st.integers(0, min(field.maximum, 1 if field.kind is FieldKind.FLAG else 3))
        values[field.name] = draw(st.one_of(likely, likely, likely, st.integers(0, field.maximum)))
    return made.with_fields(values)


HISTORY = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "say", "say", "say", "log in", "open", "close", "lost"]), SMALL, any_pdu()
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(HISTORY)
def test_any_history_gives_facts_and_snapshots_and_nothing_else(history: list[tuple[str, int, Pdu]]) -> None:
    leg = Leg()
    for now, (what, conn, one) in enumerate(history):
        leg.conn, leg.now = conn, float(now)
        if what == "open":
            leg.tracker.open(conn, leg.now)
        elif what == "close":
            leg.close()
        elif what == "lost":
            leg.tracker.lost(conn)
        elif what == "log in":
            leg.tracker.open(conn, leg.now)
            leg.say(login_request(NAMES, CID=conn), login_response({}))
        else:
            before = leg.snapshot(one)
            assert before.conn.outstanding >= 0
            facts = leg.say(one)
            assert {fact.conn for fact in facts} <= {conn}
            for wrong in of_kind(facts, Violation):
                assert wrong.by is one.sender
                assert wrong.section.startswith("RFC 7143 ")
        after = leg.snapshot()
        assert after.session is None or after.session.window is None or after.session.window >= 0
        assert leg.tracker.max_recv_data_segment_length(conn, INI) >= 0


def size_of(root: object) -> int:
    """Measure all that an object keeps alive, in bytes; modules, classes and functions aside."""
    seen: set[int] = set()
    todo: list[object] = [root]
    total = 0
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type | ModuleType | FunctionType):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        if isinstance(one, dict):
            todo += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            todo += one
        todo += vars(one).values() if hasattr(one, "__dict__") else ()
        for kind in type(one).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            todo += [getattr(one, name) for name in slots if hasattr(one, name)]
    return total


def test_a_peer_that_never_answers_cannot_fill_the_memory() -> None:
    leg = Leg()
    leg.log_in()
    for number in range(OUTSTANDING_KEPT + 500):
        leg.say(command(number, 10 + number))
    assert leg.session.outstanding == OUTSTANDING_KEPT
    for ttt in range(2000):
        leg.say(r2t(OUTSTANDING_KEPT, ttt, ttt))
    assert leg.task(data_in(OUTSTANDING_KEPT, 0)).R2Ts < 100
    assert size_of(leg.tracker) < 16 << 20


def test_a_long_life_costs_no_more_than_a_short_one() -> None:
    leg = Leg()
    leg.log_in()

    def work(first: int, count: int) -> None:
        for number in range(first, first + count):
            window = {"ExpCmdSN": 11 + number, "MaxCmdSN": 40 + number}
            leg.say(command(number, 10 + number, ExpStatSN=101 + number))
            leg.say(scsi_response(number, 101 + number, **window))

    work(0, FINISHED_KEPT)
    short = size_of(leg.tracker)
    work(FINISHED_KEPT, 2 * FINISHED_KEPT)
    assert size_of(leg.tracker) < short * 1.2


def test_many_short_connections_leave_little_behind() -> None:
    leg = Leg()

    def come_and_go(count: int) -> None:
        for number in range(count):
            leg.log_in(ISID=number, tsih=number + 1)
            leg.say(command(1, 10))
            leg.close()

    come_and_go(300)
    few = size_of(leg.tracker)
    come_and_go(600)
    assert size_of(leg.tracker) < few * 1.2


def test_text_without_end_is_not_kept() -> None:
    leg = Leg()
    leg.open()
    for number in range(200):
        leg.say(login_request(bytes([65 + number % 26]) * 8000, T=0, NSG=0, C=1))
    assert size_of(leg.tracker) < 1 << 19


def test_connections_are_counted_anew() -> None:
    tracker = Tracker(End.TARGET)
    tracker.open(1, 0.0)
    assert tracker.snapshot(1).conn.nth == 1
    tracker.recount()
    tracker.open(2, 1.0)
    assert tracker.snapshot(2).conn.nth == 1


def test_outstanding_tasks_are_those_without_a_status_of_each_session_once() -> None:
    leg = Leg()
    leg.log_in()
    leg.log_in(TSIH=7, CID=1)
    for itt, cmd_sn, conn in ((5, 10, 1), (3, 11, 2), (4, 12, 2)):
        leg.say(command(itt, cmd_sn), on=conn)
    leg.say(scsi_response(3, 101), on=2)
    assert [(conn, task.command["ITT"]) for conn, task in leg.tracker.outstanding()] == [(1, 5), (2, 4)]
    leg.log_in(ISID=0x80123456789B, tsih=8)
    leg.say(command(5, 10))
    assert [conn for conn, _ in leg.tracker.outstanding()] == [1, 2, 3]
    leg.tracker.lost(1)
    assert [conn for conn, _ in leg.tracker.outstanding()] == [3], "what passes unseen is not known"
