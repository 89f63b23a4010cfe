from __future__ import annotations

from typing import Any

import pytest

from iscsiproxy.wire import serial
from iscsiproxy.wire.fields import NO_TAG, lun_value
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.peers.target.wire import BLOCK, Initiator, Session, node, one, pattern, sense

ABORT_TASK, ABORT_TASK_SET, CLEAR_ACA, CLEAR_TASK_SET, LUN_RESET = 1, 2, 3, 4, 5
WARM_RESET, COLD_RESET, REASSIGN = 6, 7, 8
QUERY_TASK, QUERY_TASK_SET, NEXUS_RESET, QUERY_ASYNC_EVENT = 9, 10, 11, 12
MANY = [ABORT_TASK_SET, CLEAR_TASK_SET, LUN_RESET, WARM_RESET, COLD_RESET]
FAST = {"TaskReporting": "FastAbort"}
LEVEL_2 = {"iSCSIProtocolLevel": "2"}
ASKED = {"InitialR2T": "Yes", "ImmediateData": "No"}


def begun(keys: dict[str, str] | None = None, **values: Any) -> Initiator:
    return Initiator(node(**values)).start(keys)


def two(*keys: dict[str, str], luns: tuple[int, ...] = (0,)) -> tuple[Initiator, Initiator]:
    """Begin two sessions with one target."""
    target = node(*luns)
    first, second = keys or ({}, {})
    return Initiator(target).start(first, *luns), Initiator(target, isid=2).start(second, *luns)


def response(pdus: list[Pdu], request: Pdu) -> int:
    """Give the response of the only PDU, the answer to a task management request."""
    answer = one(pdus)
    assert (answer.opcode, answer["ITT"]) == (Opcode.TMF_RESPONSE, request["ITT"])
    return answer["Response"]


def ask(initiator: Initiator, function: int, **fields: Any) -> int:
    request = initiator.tmf(function, **fields)
    return response(initiator.send(request), request)


def open_write(initiator: Initiator, lba: int = 0, **fields: Any) -> tuple[Pdu, Pdu]:
    write = initiator.write(lba, 1, **fields)
    return write, one(initiator.send(write))


def untouched(initiator: Initiator) -> bool:
    return initiator.contents(0, 4) == bytes(4 * BLOCK) and initiator.alive()


# --- codes ---


@pytest.mark.parametrize("function", [0, 13, 64, 127])
def test_there_are_no_other_functions(function: int) -> None:
    assert ask(begun(LEVEL_2), function) == 5


@pytest.mark.parametrize("function", [QUERY_TASK, QUERY_TASK_SET, NEXUS_RESET, QUERY_ASYNC_EVENT])
def test_the_functions_of_level_2_need_level_2(function: int) -> None:
    assert ask(begun(), function) == 5
    assert ask(begun(LEVEL_2), function) == 0


@pytest.mark.parametrize("function", [1, 2, 3, 4, 5, 9, 10, 12])
def test_a_logical_unit_that_is_not_there(function: int) -> None:
    assert ask(begun(LEVEL_2), function, lun=9) == 2


@pytest.mark.parametrize("function", [WARM_RESET, REASSIGN, NEXUS_RESET])
def test_the_lun_means_nothing_to_the_others(function: int) -> None:
    assert ask(begun(LEVEL_2), function, lun=9) in (0, 4)


def test_there_is_no_reassignment() -> None:
    assert ask(begun(), REASSIGN) == 4


def test_an_ACA_that_is_not_there_is_cleared() -> None:
    assert ask(begun(), CLEAR_ACA) == 0


# --- ABORT TASK ---


@pytest.mark.parametrize("immediate", [0, 1])
def test_abort_task_ends_a_write_and_its_data_is_absorbed(immediate: int) -> None:
    initiator = begun(ASKED | {"MaxBurstLength": "512", "MaxOutstandingR2T": "2"})
    write = initiator.write(0, 4, I=immediate)
    r2ts = initiator.send(write)
    assert len(r2ts) == 2
    request = initiator.tmf(ABORT_TASK, of=write)
    assert response(initiator.send(request), request) == 0
    for r2t in r2ts:
        assert initiator.send(*initiator.answer(r2t, pattern(4))) == []
    assert untouched(initiator)


def test_abort_task_takes_back_an_r2t_that_has_not_left() -> None:
    initiator = begun(ASKED)
    write = initiator.write(0, 1)
    initiator.feed(write)
    request = initiator.tmf(ABORT_TASK, of=write)
    assert response(initiator.send(request), request) == 0
    assert untouched(initiator)


def test_abort_task_ends_a_command_whose_turn_has_not_come() -> None:
    initiator = begun()
    missing = initiator.ready()
    write = initiator.write(0, 1, pattern(1))
    assert initiator.send(write) == []
    request = initiator.tmf(ABORT_TASK, of=write)
    assert response(initiator.send(request), request) == 0
    assert [pdu["ITT"] for pdu in initiator.send(missing)] == [missing["ITT"]]
    assert initiator.session.exp == initiator.session.cmdsn
    assert untouched(initiator)


def test_abort_task_lets_those_go_on_that_waited() -> None:
    initiator = begun(ASKED)
    write, _ = open_write(initiator, ATTR=2)
    behind = initiator.ready(ATTR=2)
    assert initiator.send(behind) == []
    got = initiator.send(initiator.tmf(ABORT_TASK, of=write))
    assert {pdu["ITT"] for pdu in got} == {behind["ITT"], initiator.itt}


def test_abort_task_of_a_task_that_is_over_or_never_was() -> None:
    initiator = begun()
    ready = initiator.ready()
    initiator.send(ready)
    request = initiator.tmf(ABORT_TASK, of=ready)
    assert response(initiator.send(request), request) == 1
    far = serial.add(initiator.session.exp, -5000)
    assert ask(initiator, ABORT_TASK, RefTaskTag=0x77, RefCmdSN=far) == 1


@pytest.mark.parametrize("start", [100, 0xFFFFFFFE, 0xFFFFFFFD])
def test_abort_task_fills_the_place_of_a_command_that_was_lost(start: int) -> None:
    initiator = Initiator(node(), cmdsn=start).start()
    lost, behind = initiator.write(0, 1, pattern(1)), initiator.ready()
    assert initiator.send(behind) == []
    got = initiator.send(request := initiator.tmf(ABORT_TASK, of=lost))
    assert [(pdu["ITT"], pdu["Response"]) for pdu in got] == [(behind["ITT"], 0), (request["ITT"], 0)]
    assert initiator.session.exp == initiator.session.cmdsn
    assert initiator.send(lost) == []
    initiator.watch.asked.clear()
    assert untouched(initiator)


def test_abort_task_of_what_may_still_come_behind_it_finds_nothing() -> None:
    initiator = begun()
    assert ask(initiator, ABORT_TASK, RefTaskTag=0x77, RefCmdSN=initiator.session.cmdsn) == 1
    assert initiator.session.exp == initiator.session.cmdsn


def test_abort_task_needs_the_right_logical_unit() -> None:
    initiator = Initiator(node(0, 1)).start(ASKED, 0, 1)
    write, r2t = open_write(initiator)
    wrong = initiator.tmf(ABORT_TASK, of=write).with_fields({"LUN": lun_value(1)})
    assert response(initiator.send(wrong), wrong) == 1
    assert sense(one(initiator.send(*initiator.answer(r2t, pattern(1))))) == "00"


def test_task_management_is_no_task_to_abort() -> None:
    initiator = begun()
    missing = initiator.ready()
    waiting = initiator.tmf(ABORT_TASK_SET)
    assert initiator.send(waiting) == []
    assert ask(initiator, ABORT_TASK, RefTaskTag=waiting["ITT"]) == 255
    own = initiator.tmf(ABORT_TASK)
    own = own.with_fields({"RefTaskTag": own["ITT"]})
    assert response(initiator.send(own), own) == 255
    assert len(initiator.send(missing)) == 2


# --- many tasks: what is waited for ---


@pytest.mark.parametrize("function", [ABORT_TASK_SET, CLEAR_TASK_SET, LUN_RESET])
def test_a_command_before_it_is_waited_for(function: int) -> None:
    initiator = begun(ASKED)
    missing = initiator.write(0, 1)
    request = initiator.tmf(function)
    assert initiator.send(request) == []
    assert initiator.alive()
    # It may even ask for data; what it asks for is waited for too.
    r2t = one(initiator.send(missing))
    got = initiator.send(*initiator.answer(r2t, pattern(1)))
    assert [pdu["ITT"] for pdu in got] in ([missing["ITT"], request["ITT"]], [request["ITT"]])
    assert initiator.send(missing) == []


@pytest.mark.parametrize("function", [WARM_RESET, COLD_RESET])
def test_a_target_reset_does_not_wait_for_commands(function: int) -> None:
    initiator = begun()
    missing, behind = initiator.write(0, 1, pattern(1)), initiator.write(1, 1, pattern(1))
    assert initiator.send(behind) == []
    request = initiator.tmf(function)
    got = initiator.send(request)
    assert got[-1]["ITT"] == request["ITT"]
    assert initiator.send(missing) == []
    assert initiator.connection.closed == (function == COLD_RESET)


@pytest.mark.parametrize("function", MANY)
def test_r2ts_are_waited_for(function: int) -> None:
    initiator = begun(ASKED | {"MaxBurstLength": "512", "MaxOutstandingR2T": "2"})
    write = initiator.write(0, 4)
    first, second = initiator.send(write)
    request = initiator.tmf(function)
    assert initiator.send(request) == []
    assert initiator.alive()
    assert initiator.send(*initiator.answer(first, pattern(4))) == []
    assert response(initiator.send(*initiator.answer(second, pattern(4))), request) == 0


@pytest.mark.parametrize("function", MANY)
def test_with_FastAbort_nothing_is_waited_for(function: int) -> None:
    initiator = begun(ASKED | FAST)
    _, r2t = open_write(initiator)
    request = initiator.tmf(function)
    assert response(initiator.send(request), request) == 0
    assert initiator.send(*initiator.answer(r2t, pattern(1))) == []


def test_unsolicited_data_is_not_waited_for_but_absorbed() -> None:
    initiator = begun({"InitialR2T": "No"})
    write = initiator.write(0, 4, F=0)
    assert initiator.send(write) == []
    assert ask(initiator, ABORT_TASK_SET) == 0
    assert initiator.send(initiator.data_out(write["ITT"], pattern(4))) == []
    assert untouched(initiator)


def test_a_task_that_has_to_end_asks_for_nothing_more() -> None:
    initiator = begun({"InitialR2T": "No", "FirstBurstLength": "512"})
    _, r2t = open_write(initiator)
    other = initiator.write(0, 4, F=0)
    assert initiator.send(other) == []
    request = initiator.tmf(ABORT_TASK_SET)
    assert initiator.send(request) == []
    assert initiator.send(initiator.data_out(other["ITT"], pattern(1))) == []
    got = initiator.send(*initiator.answer(r2t, pattern(1)))
    assert got[-1]["ITT"] == request["ITT"]
    assert all(pdu.opcode != Opcode.R2T for pdu in got)


def test_nothing_comes_for_covered_tasks_behind_the_response() -> None:
    initiator = begun(ASKED | FAST)
    blocker, _ = open_write(initiator, ATTR=2)
    covered = [initiator.write(1, 1, ATTR=2), initiator.ready(), initiator.ready(I=1)]
    assert initiator.send(*covered) == []
    assert ask(initiator, ABORT_TASK_SET) == 0
    initiator.watch.asked.clear()
    assert initiator.collect() == []
    assert untouched(initiator)
    assert blocker["ITT"] not in initiator.watch.asked


def test_statuses_that_were_on_their_way_go_out_first() -> None:
    initiator = begun()
    read, request = initiator.read(0, 8), initiator.tmf(ABORT_TASK_SET)
    assert [pdu["ITT"] for pdu in initiator.send(read, request)] == [read["ITT"], request["ITT"]]


def test_commands_behind_it_are_not_covered() -> None:
    initiator = begun(ASKED)
    _, r2t = open_write(initiator)
    request = initiator.tmf(ABORT_TASK_SET)
    assert initiator.send(request) == []
    later = initiator.write(1, 1)
    late = initiator.write(2, 1, I=1)
    later_r2t, late_r2t = initiator.send(later, late)
    got = initiator.send(*initiator.answer(r2t, pattern(1)))
    assert got[-1]["ITT"] == request["ITT"]
    assert sense(one(initiator.send(*initiator.answer(later_r2t, pattern(1))))) == "00"
    assert sense(one(initiator.send(*initiator.answer(late_r2t, pattern(1))))) == "00"


@pytest.mark.parametrize("function", [CLEAR_TASK_SET, LUN_RESET, WARM_RESET])
def test_commands_behind_one_that_waits_begin_when_it_is_done(function: int) -> None:
    initiator = begun(ASKED)
    _, r2t = open_write(initiator)
    request = initiator.tmf(function)
    assert initiator.send(request) == []
    later, late = initiator.write(1, 1), initiator.write(2, 1, I=1)
    assert initiator.send(later, late) == []
    done, response, *begun_now = initiator.send(*initiator.answer(r2t, pattern(1)))
    assert (done["ITT"], response["ITT"]) == (r2t["ITT"], request["ITT"])
    assert {pdu["ITT"] for pdu in begun_now} == {later["ITT"], late["ITT"]}
    for pdu in begun_now:
        if pdu.opcode == Opcode.R2T:
            assert sense(one(initiator.send(*initiator.answer(pdu, pattern(1))))) == "00"
        else:
            assert sense(pdu).startswith("6/29/")  # the reset is told to the first that comes


def test_a_window_that_another_initiator_has_opened_is_shown() -> None:
    target = node(command_window=1)
    victim, other = Initiator(target, isid=2).start(ASKED), Initiator(target).start(ASKED)
    open_write(victim)
    session = victim.session
    assert serial.distance(session.exp, session.max) + 1 == 0
    assert one(other.send(other.tmf(LUN_RESET)))["Response"] == 0
    shown = one(victim.collect())
    assert (shown.opcode, shown["ITT"], shown["TTT"]) == (Opcode.NOP_IN, NO_TAG, NO_TAG)
    assert serial.distance(session.exp, session.max) + 1 == 1


def test_other_logical_units_are_not_covered() -> None:
    initiator = Initiator(node(0, 1)).start(ASKED, 0, 1)
    _, r2t = open_write(initiator, lun=1)
    assert ask(initiator, ABORT_TASK_SET) == 0
    assert sense(one(initiator.send(*initiator.answer(r2t, pattern(1))))) == "00"


def test_without_a_place_in_the_queue_it_takes_its_turn() -> None:
    initiator = begun(ASKED)
    missing = initiator.ready()
    request, behind = initiator.tmf(ABORT_TASK_SET, I=0), initiator.ready()
    assert initiator.send(request, behind) == []
    assert [pdu["ITT"] for pdu in initiator.send(missing)] == [missing["ITT"], request["ITT"], behind["ITT"]]


def test_a_lost_connection_ends_what_waits_too() -> None:
    target = node()
    initiator, other = Initiator(target).start(ASKED), Initiator(target, isid=2).start()
    open_write(initiator)
    assert initiator.send(initiator.tmf(LUN_RESET)) == []
    initiator.lose()
    assert sense(one(other.send(other.ready()))) == "00"


# --- many tasks: what others see ---


@pytest.mark.parametrize(
    ("function", "told"),
    [(ABORT_TASK_SET, "00"), (CLEAR_TASK_SET, "6/2F/00"), (LUN_RESET, "6/29/03"), (WARM_RESET, "6/29/03")],
)
def test_what_another_session_sees(function: int, told: str) -> None:
    initiator, other = two({}, ASKED)
    _, r2t = open_write(other)
    assert ask(initiator, function) == 0
    ready = other.ready()
    if function == ABORT_TASK_SET:
        assert sense(one(other.send(*other.answer(r2t, pattern(1))))) == "00"
    else:
        assert other.send(*other.answer(r2t, pattern(1))) == []
    assert sense(one(other.send(ready))) == told
    assert sense(one(other.send(other.ready()))) == "00"


def test_who_has_no_commands_is_not_told_of_their_end() -> None:
    initiator, other = two()
    assert ask(initiator, CLEAR_TASK_SET) == 0
    assert sense(one(other.send(other.ready()))) == "00"


@pytest.mark.parametrize("function", [LUN_RESET, WARM_RESET])
def test_a_reset_is_told_to_its_own_initiator_too(function: int) -> None:
    initiator = begun()
    assert ask(initiator, function) == 0
    assert sense(one(initiator.send(initiator.ready()))) == "6/29/03"
    assert sense(one(initiator.send(initiator.ready()))) == "00"


def test_a_cold_reset_ends_every_session() -> None:
    initiator, other = two({}, ASKED)
    open_write(other)
    assert ask(initiator, COLD_RESET) == 0
    assert initiator.connection.closed
    assert other.collect() == []
    assert other.connection.closed
    assert initiator.node.sessions() == ()
    again = Initiator(initiator.node)
    again.log_in()
    assert sense(one(again.send(again.ready()))).startswith("6/29/")


def test_with_FastAbort_others_get_one_message_for_each_logical_unit() -> None:
    initiator, other = two({}, ASKED | FAST, luns=(0, 1, 2))
    for lun, lba in ((0, 0), (0, 1), (1, 0)):
        open_write(other, lba, lun=lun)
    assert ask(initiator, WARM_RESET) == 0
    messages = other.collect()
    assert [(pdu.opcode, pdu["AsyncEvent"]) for pdu in messages] == [(Opcode.ASYNC, 5)] * 2
    assert {pdu["LUN"] for pdu in messages} == {lun_value(0), lun_value(1)}


def test_without_FastAbort_and_for_ones_own_tasks_there_is_no_message() -> None:
    initiator, other = two(ASKED | FAST, ASKED)
    open_write(initiator)
    open_write(other)
    assert ask(initiator, LUN_RESET) == 0
    assert other.collect() == []


# --- level 2 ---


def test_query_task() -> None:
    initiator = begun(LEVEL_2 | ASKED)
    write, r2t = open_write(initiator)
    request = initiator.tmf(QUERY_TASK, of=write)
    assert response(initiator.send(request), request) == 7
    assert ask(initiator, QUERY_TASK_SET) == 7
    initiator.send(*initiator.answer(r2t, pattern(1)))
    request = initiator.tmf(QUERY_TASK, of=write)
    assert response(initiator.send(request), request) == 0
    assert ask(initiator, QUERY_TASK_SET) == 0


def test_query_asynchronous_event_tells_the_first_unit_attention() -> None:
    initiator = Initiator(node())
    initiator.log_in(LEVEL_2)
    answer = one(initiator.send(initiator.tmf(QUERY_ASYNC_EVENT)))
    assert (answer["Response"], answer["AdditionalResponseInformation"]) == (7, 0x162900)
    assert sense(one(initiator.send(initiator.ready()))) == "6/29/00"
    answer = one(initiator.send(initiator.tmf(QUERY_ASYNC_EVENT)))
    assert (answer["Response"], answer["AdditionalResponseInformation"]) == (0, 0)


def test_nexus_reset_ends_everything_of_this_initiator_alone() -> None:
    target = node()
    initiator, other = Initiator(target).start(LEVEL_2 | ASKED), Initiator(target, isid=2).start(ASKED)
    _, r2t = open_write(initiator)
    _, others = open_write(other, 1)
    request = initiator.tmf(NEXUS_RESET)
    assert initiator.send(request) == []
    later = initiator.write(2, 1, I=1)
    assert initiator.send(later) == []
    done, response, attention = initiator.send(*initiator.answer(r2t, pattern(1)))
    assert (done["ITT"], response["ITT"]) == (r2t["ITT"], request["ITT"])
    assert (attention["ITT"], sense(attention)) == (later["ITT"], "6/29/07")
    assert sense(one(other.send(*other.answer(others, pattern(1))))) == "00"


def test_its_repr_tells_what_it_is() -> None:
    initiator = begun()
    initiator.ready()
    initiator.send(request := initiator.tmf(LUN_RESET))
    session = initiator.connection.session
    assert session is not None
    assert repr(session.managing[request["ITT"]]) == "<ManagementRequest 5 on LUN 0>"
    assert request["RefTaskTag"] == NO_TAG
    assert isinstance(initiator.session, Session)
