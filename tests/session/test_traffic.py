from __future__ import annotations

import pytest

from iscsiproxy.session.facts import PhaseChanged, SessionFormed
from iscsiproxy.session.sessions import Registry
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.session.tasks import Serials
from iscsiproxy.session.traffic import Traffic, rejected
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.session.dialogue import (
    NO_TAG,
    Leg,
    command,
    data_in,
    data_out,
    login_request,
    login_response,
    pdu,
    r2t,
    request,
    response,
    scsi_response,
)

__all__: list[str] = []

INI, TGT = End.INITIATOR, End.TARGET
CMDSN, STATSN, DATASN = "RFC 7143 4.2.2.1", "RFC 7143 4.2.2.2", "RFC 7143 4.2.2.4"
LUN = 1 << 48


def logged_in(**keys: str) -> Leg:
    leg = Leg()
    leg.log_in(keys, keys)
    return leg


def outstanding(leg: Leg) -> int:
    assert leg.connection.outstanding == leg.session.outstanding
    return leg.connection.outstanding


# --- tasks -----------------------------------------------------------------------------------------------------------


def test_a_read() -> None:
    leg = logged_in()
    read = command(5, 10)
    assert leg.wrong(read) == []
    assert outstanding(leg) == 1
    assert leg.wrong(data_in(5, 0, 512), data_in(5, 1, 1024)) == []
    task = leg.task(data_in(5, 2))
    assert (task.serial, task.command, task.sent, task.received, task.status) == (2, read, 1536, 0, None)
    assert leg.wrong(scsi_response(5, 101, Status=2)) == []
    assert outstanding(leg) == 0
    assert leg.task(scsi_response(5, 101)).status == 2


def test_a_read_whose_status_rides_on_the_data() -> None:
    leg = logged_in()
    assert leg.wrong(command(5, 10), data_in(5, 0, 4096, F=1, S=1, StatSN=101, Status=4)) == []
    assert (outstanding(leg), leg.connection.StatSN) == (0, 102)
    task = leg.task(data_in(5, 1))
    assert (task.sent, task.status) == (4096, 4)


def test_a_write_with_immediate_and_unsolicited_and_solicited_data() -> None:
    leg = logged_in(InitialR2T="No", MaxOutstandingR2T="2")
    write = command(5, 10, 512, W=1, F=0, EDTL=8192)
    assert leg.task(write).received == 0
    assert leg.wrong(write, data_out(5, NO_TAG, 0, 1024), data_out(5, NO_TAG, 1, 1024, F=1)) == []
    assert leg.task(data_out(5, 9, 0)).received == 2560
    assert leg.wrong(r2t(5, 21, 0, offset=2560, length=2048), r2t(5, 22, 1, offset=4608, length=3584)) == []
    assert leg.task(data_out(5, 21, 0)).R2Ts == 2
    assert leg.wrong(data_out(5, 21, 0, 1024), data_out(5, 21, 1, 1024, F=1)) == []
    assert leg.task(data_out(5, 22, 0)).R2Ts == 1
    assert leg.wrong(data_out(5, 22, 0, 3584, F=1)) == []
    task = leg.task(scsi_response(5, 101))
    assert (task.R2Ts, task.received) == (0, 8192)
    assert leg.wrong(scsi_response(5, 101)) == []
    assert outstanding(leg) == 0


def test_an_R2T_is_closed_by_F_or_by_its_last_byte() -> None:
    leg = logged_in()
    leg.say(command(5, 10, W=1), r2t(5, 21, 0, length=1024), data_out(5, 21, 0, 512, F=1))
    assert leg.task(r2t(5, 22, 1)).R2Ts == 0
    leg.say(r2t(5, 22, 1, length=1024), data_out(5, 22, 0, 1024))
    assert leg.task(r2t(5, 23, 2)).R2Ts == 0


def test_a_status_that_says_nothing() -> None:
    leg = logged_in()
    leg.say(command(5, 10), scsi_response(5, 101, Response=1, Status=2))
    assert leg.task(scsi_response(5, 101)).status is None
    assert outstanding(leg) == 0


ENDED_BY = [
    (request(Opcode.NOP_OUT, 5, 10), response(Opcode.NOP_IN, 5, 101, TTT=NO_TAG)),
    (request(Opcode.NOP_OUT, 5, 10, I=1), response(Opcode.NOP_IN, 5, 101, TTT=NO_TAG)),
    (request(Opcode.TMF_REQUEST, 5, 10, Function=1, RefTaskTag=77), response(Opcode.TMF_RESPONSE, 5, 101)),
    (request(Opcode.TEXT_REQUEST, 5, 10, {"SendTargets": "All"}), response(Opcode.TEXT_RESPONSE, 5, 101)),
    (request(Opcode.LOGOUT_REQUEST, 5, 10, ReasonCode=2, CID=9), response(Opcode.LOGOUT_RESPONSE, 5, 101)),
]


@pytest.mark.parametrize(("asked", "answered"), ENDED_BY)
def test_every_request_is_outstanding_until_its_own_response(asked: Pdu, answered: Pdu) -> None:
    leg = logged_in()
    assert leg.wrong(asked) == []
    assert outstanding(leg) == 1
    assert leg.task(answered).command["CmdSN"] == 10
    # A response of another kind does not end it.
    assert leg.wrong(response(Opcode.SCSI_RESPONSE, 5, 101)) == []
    assert outstanding(leg) == 1
    assert leg.wrong(answered.with_fields({"StatSN": 102})) == []
    assert (outstanding(leg), leg.connection.StatSN) == (0, 103)


def test_pings_without_a_tag_are_no_tasks() -> None:
    leg = logged_in()
    ping = response(Opcode.NOP_IN, NO_TAG, 101, TTT=9)
    pong = request(Opcode.NOP_OUT, NO_TAG, 10, I=1, TTT=9)
    assert leg.wrong(ping, pong) == []
    assert (outstanding(leg), leg.connection.StatSN) == (0, 101)
    assert leg.snapshot(ping).task is None
    assert leg.snapshot(pong).task is None


def test_a_text_exchange_of_several_rounds() -> None:
    leg = logged_in()
    first = request(Opcode.TEXT_REQUEST, 5, 10, {"SendTargets": "All"}, TTT=NO_TAG)
    leg.say(first, response(Opcode.TEXT_RESPONSE, 5, 101, {"TargetName": "iqn.a"}, F=0, TTT=3))
    assert outstanding(leg) == 1
    second = request(Opcode.TEXT_REQUEST, 5, 11, TTT=3)
    assert leg.task(second).command == Pdu(first.bhs)
    assert leg.wrong(second, second) == []
    assert (outstanding(leg), leg.session.CmdSN) == (1, 12)
    leg.say(response(Opcode.TEXT_RESPONSE, 5, 102, {"TargetName": "iqn.b"}))
    assert outstanding(leg) == 0


def test_text_in_full_feature_phase_is_negotiated() -> None:
    leg = logged_in()
    text = {"MaxRecvDataSegmentLength": "65536"}
    leg.say(
        request(Opcode.TEXT_REQUEST, 5, 10, text),
        response(Opcode.TEXT_RESPONSE, 5, 101, {"MaxRecvDataSegmentLength": "0x1000"}),
    )
    assert leg.tracker.max_recv_data_segment_length(1, INI) == 65536
    assert leg.tracker.max_recv_data_segment_length(1, TGT) == 4096


def test_a_retry_goes_on_with_its_task() -> None:
    leg = logged_in()
    write = command(5, 10, 512, W=1)
    leg.say(write)
    serial = leg.task(write).serial
    assert leg.wrong(write) == []
    assert (leg.task(write).serial, leg.task(write).received, outstanding(leg), leg.session.CmdSN) == (
        serial,
        512,
        1,
        11,
    )
    # A reused tag is another task.
    other = command(5, 11)
    assert leg.task(other).serial == serial + 1
    leg.say(other)
    assert leg.task(other).serial == serial + 1
    assert outstanding(leg) == 1


def test_a_task_stays_to_be_found_when_it_has_ended() -> None:
    leg = logged_in()
    leg.say(command(5, 10), scsi_response(5, 101))
    assert leg.task(data_in(5, 0)).status == 0
    assert leg.task(pdu(Opcode.SNACK, ITT=5)).status == 0
    assert leg.snapshot(pdu(Opcode.SNACK, ITT=NO_TAG)).task is None
    # Late data changes nothing.
    assert leg.say(data_in(5, 9)) == ()
    assert leg.task(data_in(5, 0)).sent == 0


# --- what ends tasks without an answer -------------------------------------------------------------------------------


def tmf(function: str, response_code: int = 0, **values: int) -> tuple[Pdu, Pdu]:
    code = codes.TMF_FUNCTION.value(function)
    assert code is not None
    asked = request(Opcode.TMF_REQUEST, 90, 13, I=1, Function=code, **values)
    return asked, response(Opcode.TMF_RESPONSE, 90, 101, Response=response_code)


@pytest.mark.parametrize(
    ("function", "code", "left"),
    [
        ("ABORT_TASK", 0, {2, 3}),
        ("ABORT_TASK", 1, {2, 3}),
        ("ABORT_TASK", 255, {1, 2, 3}),
        ("ABORT_TASK_SET", 0, {2}),
        ("ABORT_TASK_SET", 5, {1, 2, 3}),
        ("CLEAR_TASK_SET", 0, {2}),
        ("LUN_RESET", 0, {2}),
        ("TARGET_WARM_RESET", 0, set()),
        ("TARGET_COLD_RESET", 0, set()),
        ("I_T_NEXUS_RESET", 0, set()),
        ("CLEAR_ACA", 0, {1, 2, 3}),
        ("QUERY_TASK", 7, {1, 2, 3}),
    ],
)
def test_task_management(function: str, code: int, left: set[int]) -> None:
    leg = logged_in()
    leg.say(command(1, 10, LUN=LUN), command(2, 11, LUN=2 * LUN), command(3, 12, LUN=LUN))
    leg.say(*tmf(function, code, RefTaskTag=1, LUN=LUN))
    assert outstanding(leg) == len(left)
    for itt in (1, 2, 3):
        late = leg.say(data_in(itt, 0, 100))
        assert late == ()
        assert (leg.task(data_in(itt, 1)).sent == 100) is (itt in left)


def test_commands_behind_a_reset_go_on() -> None:
    leg = logged_in()
    asked, answered = tmf("LUN_RESET", LUN=LUN)
    leg.say(command(1, 10, LUN=LUN), asked, command(2, 11, LUN=LUN), answered)
    assert outstanding(leg) == 1
    assert leg.task(data_in(2, 0)).command["ITT"] == 2


@pytest.mark.parametrize(
    ("reason", "left"),
    [("PROTOCOL_ERROR", 0), ("COMMAND_NOT_SUPPORTED", 0), ("DATA_DIGEST_ERROR", 1), ("TASK_IN_PROGRESS", 1)],
)
def test_a_rejected_request(reason: str, left: int) -> None:
    leg = logged_in()
    asked = command(5, 10)
    leg.say(asked)
    code = codes.REJECT_REASON.value(reason)
    assert code is not None
    reject = response(Opcode.REJECT, NO_TAG, 101, asked.bhs, Reason=code)
    assert leg.task(reject).command == asked
    assert leg.wrong(reject) == []
    assert (outstanding(leg), leg.connection.StatSN) == (left, 102)


def test_the_CmdSN_of_a_rejected_command_may_come_again() -> None:
    leg = logged_in()
    asked = command(5, 10)
    leg.say(asked)
    leg.say(response(Opcode.REJECT, NO_TAG, 101, asked.bhs, Reason=2).with_fields({"ExpCmdSN": 10, "MaxCmdSN": 20}))
    assert leg.wrong(command(6, 10)) == []
    assert leg.wrong(command(7, 10)) == [(End.INITIATOR, "RFC 7143 4.2.2.1")]


@pytest.mark.parametrize("inside", [data_out(5, 9, 0), pdu(Opcode.SNACK, ITT=5), command(5, 11), command(6, 10)])
def test_a_reject_of_something_else_ends_no_task(inside: Pdu) -> None:
    leg = logged_in()
    leg.say(command(5, 10), response(Opcode.REJECT, NO_TAG, 101, inside.bhs, Reason=4))
    assert outstanding(leg) == 1


def test_a_reject_without_its_data() -> None:
    leg = logged_in()
    leg.say(command(5, 10))
    reject = response(Opcode.REJECT, NO_TAG, 101, Reason=4).with_fields({"DataSegmentLength": 48})
    assert rejected(reject) is None
    assert leg.snapshot(reject).task is None
    assert leg.say(reject) == ()
    assert leg.connection.StatSN == 102


# --- logout ----------------------------------------------------------------------------------------------------------

LOGGED_OUT = PhaseChanged(conn=1, old=Phase.FULL_FEATURE, new=Phase.LOGOUT)


@pytest.mark.parametrize(
    ("reason", "cid", "this"), [(0, 9, True), (1, 0, True), (1, 9, False), (2, 0, False), (5, 0, False)]
)
def test_which_logout_is_for_this_connection(reason: int, cid: int, this: bool) -> None:
    leg = logged_in()
    facts = leg.say(request(Opcode.LOGOUT_REQUEST, 5, 10, ReasonCode=reason, CID=cid))
    assert facts == ((LOGGED_OUT,) if this else ())


def test_the_order_of_a_logout() -> None:
    leg = logged_in()
    leg.say(command(5, 10, W=1), r2t(5, 9, 0), request(Opcode.LOGOUT_REQUEST, 6, 11))
    assert leg.wrong(data_out(5, 9, 0, F=1), scsi_response(5, 101)) == []
    assert leg.wrong(command(7, 12)) == [(INI, "RFC 7143 11.14")]
    logout = request(Opcode.LOGOUT_REQUEST, 6, 11)
    assert leg.wrong(logout, response(Opcode.LOGOUT_RESPONSE, 6, 102)) == []
    assert outstanding(leg) == 0
    assert leg.tracker.phase(1) is Phase.LOGOUT
    assert leg.close() == (PhaseChanged(conn=1, old=Phase.LOGOUT, new=Phase.CLOSED),)


def test_a_logout_that_fails_ends_no_task() -> None:
    leg = logged_in()
    leg.say(command(5, 10), request(Opcode.LOGOUT_REQUEST, 6, 11), response(Opcode.LOGOUT_RESPONSE, 6, 101, Response=3))
    assert outstanding(leg) == 1
    assert leg.tracker.phase(1) is Phase.LOGOUT


def two_connections(level: str) -> Leg:
    leg = Leg()
    keys = {"MaxConnections": "2", "ErrorRecoveryLevel": level}
    leg.log_in(keys, keys)
    leg.log_in(TSIH=7, CID=1)
    leg.say(command(5, 10), on=1)
    leg.say(command(6, 11), on=2)
    return leg


def test_a_connection_is_removed_for_recovery_and_its_task_reassigned() -> None:
    leg = two_connections("2")
    leg.close(1)
    assert (leg.session.outstanding, leg.connection.outstanding) == (2, 1)
    leg.say(request(Opcode.LOGOUT_REQUEST, 7, 12, ReasonCode=2, CID=0), response(Opcode.LOGOUT_RESPONSE, 7, 101))
    leg.say(request(Opcode.TMF_REQUEST, 8, 13, I=1, Function=8, RefTaskTag=5), response(Opcode.TMF_RESPONSE, 8, 102))
    assert (leg.session.outstanding, leg.connection.outstanding) == (2, 2)
    assert leg.wrong(scsi_response(5, 103)) == []
    assert leg.connection.outstanding == 1


@pytest.mark.parametrize("level", ["0", "2"])
def test_a_connection_is_logged_out_from_another_one(level: str) -> None:
    leg = two_connections(level)
    leg.say(request(Opcode.LOGOUT_REQUEST, 7, 12, ReasonCode=1, CID=0), response(Opcode.LOGOUT_RESPONSE, 7, 101))
    assert leg.tracker.phase(2) is Phase.FULL_FEATURE
    assert (leg.session.conns, leg.session.outstanding) == (1, 1)


def test_a_session_ends_with_the_logout_of_its_last_connection() -> None:
    leg = logged_in()
    leg.say(request(Opcode.LOGOUT_REQUEST, 5, 10, ReasonCode=1, CID=0), response(Opcode.LOGOUT_RESPONSE, 5, 101))
    assert leg.session.conns == 0
    assert repr(leg.tracker) == "<Tracker target 1 connections, 0 sessions>"
    leg.close()
    assert isinstance(leg.log_in(tsih=8)[-2], SessionFormed)


def test_a_lost_connection_at_level_0_takes_its_tasks_along() -> None:
    leg = two_connections("0")
    leg.close(1)
    assert (leg.session.conns, leg.session.outstanding, leg.connection.outstanding) == (1, 1, 1)


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [10, 0xFFFFFFFE, 0x7FFFFFFF])
def test_numbers_across_a_wrap(start: int) -> None:
    leg = Leg()
    leg.open()
    top = 0xFFFFFFFF
    window = {"ExpCmdSN": start, "MaxCmdSN": start + 3 & top}
    assert leg.wrong(login_request({}, CmdSN=start), login_response({}, StatSN=start, **window)) == []
    for step in range(8):
        cmd_sn, stat_sn = start + step & top, start + 1 + step & top
        window = {"ExpCmdSN": cmd_sn + 1 & top, "MaxCmdSN": cmd_sn + 4 & top}
        assert leg.session.CmdSN == cmd_sn
        assert leg.session.window == 4
        assert leg.wrong(command(step, cmd_sn, ExpStatSN=stat_sn)) == []
        assert leg.wrong(data_in(step, 0, S=1, F=1, StatSN=stat_sn, **window)) == []
        assert leg.connection.ExpStatSN == stat_sn
        assert leg.connection.StatSN == stat_sn + 1 & top


def test_which_requests_take_a_number() -> None:
    leg = logged_in()
    opcodes = [Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST]
    cmd_sn = 10
    for itt, opcode in enumerate(opcodes):
        assert leg.wrong(request(opcode, 2 * itt, cmd_sn, I=1)) == []
        assert leg.session.CmdSN == cmd_sn
        assert leg.wrong(request(opcode, 2 * itt + 1, cmd_sn)) == []
        cmd_sn += 1
        assert leg.session.CmdSN == cmd_sn
    assert leg.wrong(pdu(Opcode.SNACK, ITT=1, ExpStatSN=101), data_out(1, NO_TAG, 0)) == []
    assert leg.session.CmdSN == cmd_sn


def test_which_answers_take_a_number() -> None:
    leg = logged_in()
    stat_sn = 101
    for opcode in (
        *(Opcode.NOP_IN, Opcode.SCSI_RESPONSE, Opcode.TMF_RESPONSE, Opcode.TEXT_RESPONSE, Opcode.LOGOUT_RESPONSE),
        *(Opcode.ASYNC, Opcode.REJECT),
    ):
        itt = NO_TAG if opcode in (Opcode.ASYNC, Opcode.REJECT) else 5
        assert leg.wrong(response(opcode, itt, stat_sn)) == []
        stat_sn += 1
        assert leg.connection.StatSN == stat_sn
    for silent in (r2t(5, 9, 0, stat_sn=stat_sn), response(Opcode.NOP_IN, NO_TAG, stat_sn, TTT=1), data_in(5, 0)):
        assert leg.wrong(silent) == []
        assert leg.connection.StatSN == stat_sn


def test_CmdSN_that_goes_wrong() -> None:
    leg = logged_in()
    assert leg.wrong(command(1, 10), command(2, 12)) == [(INI, CMDSN)]
    assert leg.wrong(command(3, 11)) == []
    assert leg.wrong(command(4, 11)) == [(INI, CMDSN)]
    assert leg.wrong(command(5, 41)) == [(INI, CMDSN)]
    assert leg.wrong(command(6, 13)) == []


def test_StatSN_that_goes_wrong() -> None:
    leg = logged_in()
    leg.say(command(1, 10), command(2, 11), command(3, 12))
    assert leg.wrong(scsi_response(1, 102)) == [(TGT, STATSN)]
    assert leg.wrong(scsi_response(2, 103), scsi_response(2, 103)) == [(TGT, STATSN)]


def test_status_sent_again_where_that_may_be() -> None:
    leg = logged_in(ErrorRecoveryLevel="1")
    leg.say(command(1, 10))
    assert leg.wrong(scsi_response(1, 101), scsi_response(1, 101)) == []
    assert leg.connection.StatSN == 102


def test_a_window_that_makes_no_sense() -> None:
    leg = logged_in()
    nonsense = {"ExpCmdSN": 20, "MaxCmdSN": 12}
    for answer in (
        response(Opcode.NOP_IN, NO_TAG, 101, TTT=1, **nonsense),
        scsi_response(1, 101, **nonsense),
        data_in(1, 0, **nonsense),
        response(Opcode.ASYNC, NO_TAG, 102, **nonsense),
        response(Opcode.R2T, 1, 103, **nonsense),
    ):
        assert leg.wrong(answer) == [(TGT, CMDSN)]
    assert (leg.session.ExpCmdSN, leg.session.MaxCmdSN) == (10, 40)


def test_DataSN_of_a_read() -> None:
    leg = logged_in()
    leg.say(command(1, 10))
    assert leg.wrong(data_in(1, 1)) == [(TGT, DATASN)]
    assert leg.wrong(data_in(1, 2)) == []
    assert leg.wrong(data_in(1, 2)) == [(TGT, DATASN)]
    assert leg.wrong(data_in(1, 3)) == []


def test_data_sent_again_where_that_may_be() -> None:
    leg = logged_in(ErrorRecoveryLevel="1")
    leg.say(command(1, 10))
    assert leg.wrong(data_in(1, 0), data_in(1, 1), data_in(1, 0), data_in(1, 1), data_in(1, 2)) == []
    assert leg.wrong(data_in(1, 4)) == [(TGT, DATASN)]


def test_DataSN_of_a_write_begins_anew_with_each_R2T() -> None:
    leg = logged_in()
    leg.say(command(1, 10, W=1))
    assert leg.wrong(data_out(1, NO_TAG, 0), data_out(1, NO_TAG, 2)) == [(INI, DATASN)]
    assert leg.wrong(r2t(1, 9, 0), data_out(1, 9, 0), data_out(1, 9, 1, F=1)) == []
    assert leg.wrong(r2t(1, 9, 1), data_out(1, 9, 1)) == [(INI, DATASN)]
    assert leg.wrong(data_out(1, 9, 2)) == []


def test_R2TSN_counts_with_the_data_of_a_bidirectional_command() -> None:
    leg = logged_in()
    leg.say(command(1, 10, W=1, R=1))
    assert leg.wrong(r2t(1, 9, 0), data_in(1, 1), data_out(1, 9, 0, F=1), r2t(1, 10, 2)) == []
    assert leg.wrong(data_in(1, 4)) == [(TGT, DATASN)]
    assert leg.wrong(data_out(1, 10, 0, F=1), r2t(1, 11, 9)) == [(TGT, DATASN)]


@pytest.mark.parametrize(("level", "found"), [("0", [(TGT, "RFC 7143 13.17")]), ("1", [])])
def test_more_R2Ts_than_allowed(level: str, found: list[tuple[End, str]]) -> None:
    leg = logged_in(MaxOutstandingR2T="2", ErrorRecoveryLevel=level)
    leg.say(command(1, 10, W=1))
    assert leg.wrong(r2t(1, 7, 0), r2t(1, 8, 1)) == []
    assert leg.wrong(r2t(1, 9, 2)) == found
    assert leg.task(r2t(1, 10, 3)).R2Ts == 3


def test_data_of_an_R2T_or_a_task_that_nobody_knows() -> None:
    leg = logged_in()
    leg.say(command(1, 10, W=1))
    assert leg.say(data_out(1, 77, 5), data_out(2, NO_TAG, 5), data_in(2, 5), r2t(2, 5, 5)) == ()
    assert leg.task(data_out(1, 77, 6)).received == 512


@pytest.mark.parametrize("opcode", [0x07, 0x1C, 0x3C, 0x33])
def test_PDUs_that_nobody_knows(opcode: int) -> None:
    leg = logged_in()
    before = leg.snapshot()
    assert leg.say(pdu(opcode, b"whatever", ITT=5)) == ()
    assert leg.snapshot() == before


def test_there_is_a_handler_for_every_opcode() -> None:
    traffic = Traffic(Registry(), Serials())
    assert len(traffic.handlers) == 64
    assert repr(traffic) == "<Traffic after task 0>"
