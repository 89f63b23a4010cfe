"""The worked scenarios of the language, each with a victim that does as it should and ones that do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from iscsiproxy.language.spec import Verdict
from iscsiproxy.runs.windows import text_of
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import (
    NO_TAG,
    data_out,
    nop_in,
    nop_out,
    r2t,
    read,
    reject,
    scsi_response,
    text_request,
    text_response,
    tmf,
    write,
)
from tests.journal.story import KEYS, login
from tests.runs.tale import INITIATOR, TARGET, Tale, judged, verdicts, worked

__all__: list[str] = []

Told = Callable[[Tale], object]

GOOD = scsi_response(1, 100)


def pdu(opcode: Opcode, **fields: int) -> Pdu:
    return Pdu.build(opcode).with_fields({"F": 1, **fields})


def sense(itt: int, key: int, asc: int, ascq: int) -> Pdu:
    """Make a CHECK CONDITION with fixed sense data."""
    block = bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0])
    return scsi_response(itt, 100, len(block).to_bytes(2, "big") + block, Status=2)


def says(*pdus: Pdu) -> Told:
    """Have PDUs pass."""
    return lambda tale: [tale.passed(one) for one in pdus]


def quiet(seconds: float = 100) -> Told:
    return lambda tale: tale.wait(seconds).io("good")


def gone(tale: Tale) -> None:
    tale.closed(tale.victim, "rst")


def asked(number: int) -> Told:
    """Have the barrier of an expectation answered."""
    return lambda tale: tale.barrier(f"expectation {number}")


#: For each story: the scenario, how it begins, what the victim does, and the verdicts.
Case = tuple[str, Told, tuple[Told, ...], list[Verdict]]


# --- immediate_data_excess


def excess(tale: Tale) -> None:
    tale.events = tale.events[:1]
    tale.changed(login(*KEYS), login(*KEYS, "FirstBurstLength=512"), rule="negotiate")
    tale.passed(login(opcode=Opcode.LOGIN_RESPONSE, TSIH=1))
    tale.passed(r2t(77, 1))
    n = tale.came(write(1, 1, bytes(1024)))
    tale.bound("write", n)
    tale.went(write(1, 1, bytes(1024)), n)


# --- r2t_answered_short


def short(tale: Tale) -> None:
    tale.passed(write(1, 1))
    n = tale.passed(r2t(1, 5, DesiredDataTransferLength=65536))
    tale.bound("r2t", n)
    tale.changed(data_out(1, 0, ttt=5), data_out(1, 0, ttt=5, F=1), rule="#2")
    tale.dropped(data_out(1, 1, bytes(1024), ttt=5), rule="#3")


# --- text_response_partial


def partial(tale: Tale) -> None:
    request = text_request(1, 1, {"SendTargets": "All"})
    tale.changed(request, request.with_fields({"F": 0}), "asked")


# --- x_key_across_c_bit


def login_split(tale: Tale) -> None:
    del tale.events[1:]
    tale.changed(login(*KEYS), login(*KEYS).with_fields({"C": 1, "T": 0}), "login")


def logs_in(text: str, **fields: int) -> Told:
    return says(login(text, opcode=Opcode.LOGIN_RESPONSE, **{"TSIH": 1, **fields}))


# --- cmdsn_duplicate_write


def duplicated(tale: Tale) -> None:
    n = tale.came(write(1, 1))
    tale.bound("write", n)
    tale.act("duplicate", n)
    tale.went(write(1, 1), n)
    tale.went(write(1, 1), n, rules=(f"{tale.name}/#1",))


# --- cmdsn_out_of_order


def overtaken(tale: Tale) -> None:
    n = tale.came(read(1, 1))
    tale.bound("n", n)
    m = tale.came(read(2, 2))
    tale.bound("m", m)
    tale.went(read(2, 2), m)
    tale.barrier("delay")


def let_go(tale: Tale) -> None:
    n = next(event.n for event in tale.events if getattr(event, "name", "") == "n") - 1
    tale.went(read(1, 1), n, rules=(f"{tale.name}/#1",))


# --- logout_unknown_cid


def swapped(tale: Tale) -> None:
    n = tale.came(nop_out(1, 1))
    odd = pdu(Opcode.LOGOUT_REQUEST, ITT=1, CmdSN=1, ReasonCode=1, CID=0x7777)
    made = tale.went(odd, n, rules=(f"{tale.name}/#1",))
    tale.bound("odd", made, made=True)


def logout_response(response: int) -> Told:
    return lambda tale: tale.came(pdu(Opcode.LOGOUT_RESPONSE, ITT=1, StatSN=100, Response=response))


# --- order_after_connection_loss: its commands n on connection 1, m on connection 2

AGAIN = write(1, 1)


def connection_lost(tale: Tale) -> None:
    name = tale.name
    tale.bound("A", 2, rule="")
    tale.conn = 2
    tale.connected()
    b = tale.passed(login(*KEYS, TSIH=1, CID=1, ITT=0x11))
    tale.passed(login(opcode=Opcode.LOGIN_RESPONSE, TSIH=1, ITT=0x11))
    tale.bound("B", b, rule="")
    tale.on(1).dropped(AGAIN, "n")
    tale.name = name
    tale.closed(TARGET, "rst", by="fault")
    tale.closed(INITIATOR, "rst", by="fault")
    tale.on(2)
    m = tale.passed(write(2, 2))
    tale.bound("m", m, rule="")


def logged_out(tale: Tale) -> None:
    tale.bound("gone", tale.passed(pdu(Opcode.LOGOUT_REQUEST, ITT=3, CmdSN=3, I=1, ReasonCode=1, CID=0)), rule="")
    tale.passed(pdu(Opcode.LOGOUT_RESPONSE, ITT=3, StatSN=100, ExpCmdSN=1))


def ping_2(expected: int) -> Told:
    return says(nop_in(9, 101, ExpCmdSN=expected))


# --- abort_task_plugs_hole, abort_task_set_order


def hole(tale: Tale) -> None:
    tale.dropped(read(1, 1), "n")
    m = tale.passed(read(2, 2))
    tale.bound("m", m)
    tale.authored(tmf(0x99, 3, 1, 1, RefCmdSN=1), "abort")


def tmf_response(response: int = 0, **fields: int) -> Told:
    return lambda tale: tale.came(pdu(Opcode.TMF_RESPONSE, ITT=0x99, StatSN=101, Response=response, **fields))


def before_its_set(tale: Tale) -> None:
    n = tale.came(read(1, 1))
    tale.bound("n", n)
    tale.authored(tmf(0x99, 2, 2, NO_TAG), "abort")


# --- scsi_response_lost


def lost(tale: Tale) -> None:
    tale.passed(read(1, 1))
    tale.dropped(scsi_response(1, 105), "lost")


def snack(begin: int) -> Told:
    return says(pdu(Opcode.SNACK, ITT=NO_TAG, TTT=NO_TAG, Type=1, BegRun=begin, RunLength=1))


# --- status_snack


def snacked(tale: Tale) -> None:
    tale.passed(read(1, 1))
    n = tale.came(scsi_response(1, 103))
    tale.bound("status", n)
    tale.authored(pdu(Opcode.SNACK, ITT=NO_TAG, TTT=NO_TAG, Type=1, BegRun=103, RunLength=1), "snack")


# --- async_connection_drop


def told_to_drop(tale: Tale) -> None:
    tale.authored(pdu(Opcode.ASYNC, ITT=NO_TAG, AsyncEvent=2, Parameter2=3, Parameter3=20), "drop_notice")
    tale.closed(INITIATOR, "rst", by="fault")


def comes_back(seconds: float) -> Told:
    return lambda tale: tale.wait(seconds).login()


# --- reserved_bits


def odd_bit(tale: Tale) -> None:
    raw = read(1, 1)
    tale.changed(raw, Pdu(raw.bhs[:2] + b"\1" + raw.bhs[3:]), "odd")


ALL_THREE = (asked(1), asked(2), asked(3))
EXCESS, SHORT, TEXT, LOGIN = (
    "immediate_data_excess",
    "r2t_answered_short",
    "text_response_partial",
    "x_key_across_c_bit",
)
DUPLICATE, OVERTAKE, LOGOUT = "cmdsn_duplicate_write", "cmdsn_out_of_order", "logout_unknown_cid"
LOSS, HOLE, SET = "order_after_connection_loss", "abort_task_plugs_hole", "abort_task_set_order"
LOST, SNACK, ASYNC, RESERVED = "scsi_response_lost", "status_snack", "async_connection_drop", "reserved_bits"
X_KEY = "X-com.example.proxy=NotUnderstood"

CASES: list[Case] = [
    (EXCESS, excess, (says(sense(1, 0xB, 0x0C, 0x0D)),), ["pass"]),
    (EXCESS, excess, (says(sense(1, 0x5, 0x24, 0x00)),), ["warn"]),
    (EXCESS, excess, (says(r2t(1, 5), GOOD),), ["warn"]),
    (EXCESS, excess, (gone,), ["pass"]),
    (EXCESS, excess, (says(GOOD),), ["fail"]),
    (EXCESS, excess, (quiet(),), ["fail"]),
    (EXCESS, excess, (), ["inconclusive"]),
    (SHORT, short, (says(sense(1, 0xB, 0x0C, 0x0D)),), ["pass"]),
    (SHORT, short, (says(r2t(1, 6, 1)),), ["warn"]),
    (SHORT, short, (says(GOOD),), ["fail"]),
    (SHORT, short, (quiet(),), ["fail"]),
    (TEXT, partial, (says(text_response(1, 100, F=0, TTT=7)),), ["pass"]),
    (TEXT, partial, (says(text_response(1, 100, F=0)),), ["fail"]),
    (TEXT, partial, (says(text_response(1, 100)),), ["fail"]),
    (TEXT, partial, (gone,), ["fail"]),
    (TEXT, partial, (says(text_response(2, 100)), quiet()), ["fail"]),
    (LOGIN, login_split, (logs_in("", T=0), logs_in(X_KEY)), ["pass"]),
    (LOGIN, login_split, (logs_in("", T=0), logs_in("X-com.example.proxy=Irrelevant")), ["fail"]),
    (LOGIN, login_split, (logs_in("", T=0), gone), ["fail"]),
    (LOGIN, login_split, (logs_in("", T=0),), ["inconclusive"]),
    (DUPLICATE, duplicated, (says(GOOD), asked(2), quiet()), ["pass", "pass"]),
    (DUPLICATE, duplicated, (says(GOOD, GOOD), asked(2)), ["fail", "pass"]),
    (DUPLICATE, duplicated, (says(reject(write(1, 1).bhs)), quiet()), ["fail", "fail"]),
    (OVERTAKE, overtaken, (let_go, says(scsi_response(1, 1), scsi_response(2, 2)), quiet()), ["pass"] * 4),
    (
        OVERTAKE,
        overtaken,
        (says(scsi_response(2, 2)), let_go, says(scsi_response(1, 1)), quiet()),
        ["fail", "fail", "pass", "pass"],
    ),
    (
        OVERTAKE,
        overtaken,
        (let_go, says(scsi_response(2, 2), scsi_response(2, 3)), quiet()),
        ["pass", "pass", "fail", "fail"],
    ),
    (OVERTAKE, overtaken, (let_go,), ["pass", "pass", "inconclusive", "inconclusive"]),
    (LOGOUT, swapped, (logout_response(1),), ["pass"]),
    (LOGOUT, swapped, (logout_response(0),), ["fail"]),
    (LOGOUT, swapped, (lambda tale: tale.came(reject(nop_out(1, 1).bhs)), quiet()), ["warn"]),
    (LOGOUT, swapped, (gone,), ["fail"]),
    (LOGOUT, swapped, (quiet(),), ["fail"]),
    (
        LOSS,
        connection_lost,
        (ping_2(1), logged_out, says(AGAIN, scsi_response(1, 102), scsi_response(2, 103))),
        ["pass", "pass", "pass"],
    ),
    (
        LOSS,
        connection_lost,
        (ping_2(2), logged_out, says(scsi_response(2, 102), AGAIN), quiet()),
        ["fail", "fail", "pass"],
    ),
    (LOSS, connection_lost, (ping_2(1), logged_out, says(AGAIN), quiet()), ["pass", "pass", "fail"]),
    (
        HOLE,
        hole,
        (tmf_response(ExpCmdSN=3), says(scsi_response(2, 102, ExpCmdSN=3)), quiet()),
        ["pass", "pass", "pass"],
    ),
    (HOLE, hole, (tmf_response(1, ExpCmdSN=1), quiet()), ["fail", "fail", "fail"]),
    (HOLE, hole, (quiet(),), ["fail", "inconclusive", "fail"]),
    (
        SET,
        before_its_set,
        (lambda tale: tale.went(read(1, 1), 11, rules=("abort_task_set_order/#1",)), tmf_response(), asked(2)),
        ["pass", "pass", "pass"],
    ),
    (
        SET,
        before_its_set,
        (tmf_response(), lambda tale: tale.went(read(1, 1), 11), says(GOOD), quiet()),
        ["fail", "fail", "pass"],
    ),
    (LOST, lost, (snack(105),), ["pass"]),
    (LOST, lost, (snack(106), quiet()), ["fail"]),
    (LOST, lost, (says(tmf(3, 2, 1, 1)),), ["pass"]),
    (LOST, lost, (says(tmf(3, 2, 5, NO_TAG)),), ["pass"]),
    (LOST, lost, (says(tmf(3, 2, 1, 77)), quiet()), ["fail"]),
    (LOST, lost, (gone,), ["pass"]),
    (LOST, lost, (quiet(80),), ["inconclusive"]),
    (SNACK, snacked, (lambda tale: tale.came(scsi_response(1, 103, ExpCmdSN=11)),), ["pass"]),
    (SNACK, snacked, (lambda tale: tale.came(scsi_response(1, 104)),), ["fail"]),
    (SNACK, snacked, (lambda tale: tale.came(scsi_response(1, 103, Status=2)),), ["fail"]),
    (SNACK, snacked, (gone,), ["pass"]),
    (ASYNC, told_to_drop, (comes_back(3.5),), ["pass", "pass"]),
    (ASYNC, told_to_drop, (comes_back(1),), ["fail", "pass"]),
    (ASYNC, told_to_drop, (quiet(),), ["pass", "fail"]),
    (RESERVED, odd_bit, (says(GOOD), *ALL_THREE), ["pass"] * 3),
    (RESERVED, odd_bit, (says(scsi_response(1, 100, Status=2)), *ALL_THREE), ["pass", "fail", "pass"]),
    (RESERVED, odd_bit, (says(reject(read(1, 1).bhs)), *ALL_THREE), ["fail", "pass", "pass"]),
    (RESERVED, odd_bit, (gone,), ["pass", "pass", "fail"]),
    (RESERVED, odd_bit, (says(GOOD),), ["inconclusive"] * 3),
]


@pytest.mark.parametrize(("name", "begin", "then", "expected"), CASES)
def test_a_worked_scenario(name: str, begin: Told, then: tuple[Told, ...], expected: list[Verdict]) -> None:
    scenario = worked(name)
    tale = Tale(name, victim=INITIATOR if scenario.victim == "initiator" else TARGET)
    begin(tale)
    for part in then:
        part(tale)
    assert verdicts(scenario, tale) == expected


@pytest.mark.parametrize("name", sorted({case[0] for case in CASES}))
def test_a_worked_scenario_whose_fault_is_disarmed(name: str) -> None:
    tale = Tale(name)
    tale.passed(read(1, 1))
    tale.passed(GOOD)
    quiet()(tale)
    assert {one.verdict for one in judged(worked(name), tale)} == {"inconclusive"}


def test_an_expectation_in_one_line() -> None:
    assert [text_of(one) for one in worked("cmdsn_out_of_order").expect[1:3]] == [
        "never: Target-PDU where ExpCmdSN > n.CmdSN (after m, until SCSI-Command of n)",
        "exactly: 1 Status-PDU of n (after m, within 5 s)",
    ]
    assert text_of(worked("status_snack").expect[0]) == (
        "first: pass: SCSI-Response of status where replica(status), fail: SCSI-Response of status, "
        "fail: Reject of snack, pass: escalation, fail: nothing (after snack)"
    )
