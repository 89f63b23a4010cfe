from __future__ import annotations

from typing import Any

import pytest

from iscsiproxy.peers.target.session import Session
from iscsiproxy.wire import serial
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.peers.target.wire import BLOCK, Initiator, node, one, pattern, sense

TOP = 0xFFFFFFFF


def tags(pdus: list[Pdu]) -> list[int]:
    return [pdu["ITT"] for pdu in pdus]


def begun(cmdsn: int = 100, **settings: Any) -> Initiator:
    return Initiator(node(**settings), cmdsn=cmdsn).start()


def session_of(initiator: Initiator) -> Session:
    session = initiator.connection.session
    assert session is not None
    return session


# --- the order of commands ---


@pytest.mark.parametrize("start", [100, 0, TOP - 2, 0x7FFFFFFE])
def test_commands_are_delivered_in_the_order_of_CmdSN_however_they_come(start: int) -> None:
    one_ = begun(start)
    pdus = [one_.write(0, 1, pattern(1, seed)) for seed in range(5)]
    for late in (4, 2, 1, 3):
        assert one_.send(pdus[late]) == []
    assert one_.alive()
    assert session_of(one_).exp_cmdsn == pdus[0]["CmdSN"]
    assert tags(one_.send(pdus[0])) == tags(pdus)
    assert one_.contents(0) == pattern(1, 4)


def test_the_order_holds_over_logical_units() -> None:
    initiator = Initiator(node(0, 1)).start(None, 0, 1)
    first, second = initiator.ready(lun=0), initiator.ready(lun=1)
    assert initiator.send(second) == []
    assert tags(initiator.send(first)) == tags([first, second])


def test_all_kinds_of_requests_wait_for_their_turn() -> None:
    initiator = begun()
    missing = initiator.ready()
    waiting = [initiator.ping(I=0), initiator.text({}, I=0), initiator.tmf(2, I=0), initiator.logout(I=0)]
    assert initiator.send(*waiting) == []
    assert tags(initiator.send(missing)) == tags([missing, *waiting])
    assert initiator.connection.closed


def test_an_immediate_command_overtakes_and_takes_no_number() -> None:
    initiator = begun()
    missing, behind = initiator.ready(), initiator.ready()
    now = initiator.ready(I=1)
    assert tags(initiator.send(behind, now)) == tags([now])
    assert tags(initiator.send(missing)) == tags([missing, behind])


@pytest.mark.parametrize("off", [1000, -1000, 0x7FFFFFFF, 0x80000000])
def test_the_window_does_not_hold_for_immediate_commands(off: int) -> None:
    initiator = begun()
    ready = initiator.ready(I=1, CmdSN=serial.add(initiator.session.cmdsn, off))
    assert sense(one(initiator.send(ready))) == "00"


# --- what leads to nothing ---


def test_a_duplicate_is_ignored_whether_it_is_done_running_or_waiting() -> None:
    initiator = begun()
    done = initiator.ready()
    running = initiator.write(0, 1)
    missing, waiting = initiator.ready(), initiator.ready()
    assert len(initiator.send(done, running, waiting)) == 2
    for again in (done, running, waiting):
        assert initiator.send(again, again.with_fields({"ITT": 0x99})) == []
    assert initiator.alive()
    assert tags(initiator.send(missing)) == tags([missing, waiting])


@pytest.mark.parametrize("start", [100, TOP - 60])
def test_what_is_outside_the_window_is_ignored(start: int) -> None:
    initiator = begun(start, command_window=16)
    low, high = initiator.session.exp, initiator.session.max
    assert serial.distance(low, high) == 15
    for number in (low - 1, high + 1, high + 1000, low + 0x7FFFFFFF, low + 0x80000000):
        assert initiator.send(initiator.ready(CmdSN=number & TOP)) == []
    initiator.watch.asked.clear()
    assert initiator.alive()
    assert session_of(initiator).exp_cmdsn == low


def test_the_last_number_of_the_window_is_inside() -> None:
    initiator = begun(command_window=16)
    commands = [initiator.ready() for _ in range(16)]
    assert commands[-1]["CmdSN"] == initiator.session.max
    assert initiator.send(*commands[:0:-1]) == []
    assert tags(initiator.send(commands[0])) == tags(commands)


def test_what_is_wrong_with_a_duplicate_matters_to_nobody() -> None:
    initiator = begun()
    ready = initiator.ready()
    initiator.send(ready)
    assert initiator.send(ready.with_fields({"EDTL": 5})) == []


# --- the window ---


def test_the_window_shuts_with_tasks_and_opens_when_they_end() -> None:
    initiator = begun(command_window=4)
    writes = [initiator.write(at, 1) for at in range(4)]
    r2ts = initiator.send(*writes)
    assert len(r2ts) == 4
    assert serial.distance(initiator.session.exp, initiator.session.max) == -1
    assert initiator.send(initiator.ping(I=0, CmdSN=initiator.session.cmdsn)) == []
    initiator.watch.asked.popitem()
    assert initiator.alive()
    initiator.send(*initiator.answer(r2ts[0], pattern(1)))
    assert serial.distance(initiator.session.exp, initiator.session.max) == 0
    for r2t in r2ts[1:]:
        initiator.send(*initiator.answer(r2t, pattern(1)))
    assert serial.distance(initiator.session.exp, initiator.session.max) == 3


def test_numbers_go_round_with_commands_of_every_kind() -> None:
    initiator = begun(TOP - 3)
    for at in range(8):
        assert sense(initiator.do(initiator.write(at, 1), pattern(1, at))) == "00"
    assert initiator.session.cmdsn == 5
    assert [initiator.contents(at) for at in range(8)] == [pattern(1, at) for at in range(8)]


# --- Initiator Task Tags ---


def test_a_tag_that_is_in_use_is_rejected_and_its_number_is_still_to_come() -> None:
    initiator = begun()
    write = initiator.write(0, 1)
    r2t = one(initiator.send(write))
    again = initiator.ready(ITT=write["ITT"])
    reject = one(initiator.send(again))
    assert (reject.opcode, reject["Reason"]) == (Opcode.REJECT, 0x07)
    assert initiator.session.exp == again["CmdSN"]
    assert sense(one(initiator.send(*initiator.answer(r2t, pattern(1))))) == "00"
    assert sense(one(initiator.send(initiator.ready(CmdSN=again["CmdSN"])))) == "00"


def test_a_tag_of_task_management_that_waits_is_in_use() -> None:
    initiator = begun()
    missing = initiator.ready()
    function = initiator.tmf(2)
    assert initiator.send(function) == []
    assert one(initiator.send(initiator.ping(ITT=function["ITT"])))["Reason"] == 0x07
    assert tags(initiator.send(missing)) == tags([missing, function])


def test_the_tag_of_what_waits_for_its_turn_is_taken() -> None:
    initiator = begun()
    missing, waiting = initiator.ready(), initiator.ping(I=0)
    assert initiator.send(waiting) == []
    assert one(initiator.send(initiator.tmf(1, RefTaskTag=1, ITT=waiting["ITT"])))["Reason"] == 0x07
    assert tags(initiator.send(missing)) == tags([missing, waiting])
    assert one(initiator.send(initiator.ping(ITT=waiting["ITT"]))).opcode == Opcode.NOP_IN


# --- what a peer can cost ---


def test_immediate_commands_are_bounded() -> None:
    initiator = begun(command_window=8)
    writes = [initiator.write(at, 1, I=1) for at in range(70)]
    got = initiator.send(*writes)
    rejects = [pdu for pdu in got if pdu.opcode == Opcode.REJECT]
    assert {pdu["Reason"] for pdu in rejects} == {0x06}
    assert (len(got), len(rejects)) == (70, 6)
    assert len(session_of(initiator).tasks) == 64
    # Whatever is answered at once has room all the same.
    r2t = next(pdu for pdu in got if pdu.opcode == Opcode.R2T)
    assert sense(one(initiator.send(*initiator.answer(r2t, pattern(1))))) == "00"
    assert initiator.alive()


def test_task_management_that_waits_is_bounded() -> None:
    initiator = begun()
    initiator.ready()
    rejects = initiator.send(*[initiator.tmf(2) for _ in range(70)])
    assert [pdu["Reason"] for pdu in rejects] == [0x06] * 6
    assert len(session_of(initiator).managing) == 64


def test_what_waits_is_bounded_by_the_window() -> None:
    initiator = begun(command_window=8)
    initiator.ready()
    assert initiator.send(*[initiator.write(0, 1, pattern(1)) for _ in range(50)]) == []
    assert len(session_of(initiator).tasks) == 7


def test_its_repr_tells_where_it_is() -> None:
    initiator = begun()
    initiator.send(initiator.write(0, 1))
    assert "connected, ExpCmdSN 102, 1 tasks, 0 ahead" in repr(session_of(initiator))


def test_the_end_of_a_session_ends_its_tasks() -> None:
    initiator = begun()
    session = session_of(initiator)
    r2t = one(initiator.send(initiator.write(0, 1)))
    initiator.lose()
    assert (session.tasks, session.bereft, r2t["DesiredDataTransferLength"]) == ({}, {0}, BLOCK)
