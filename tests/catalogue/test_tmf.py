"""Task management."""

from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.catalogue.acted import acted
from tests.catalogue.harness import Fields, altered, at_initiator, at_target, row, runs_of
from tests.engine.dialogue import NO_TAG, Dialogue, nop_out, r2t, read, scsi_response, tmf, write
from tests.session.dialogue import response

__all__: list[str] = []

ABORT_TASK, CLEAR_TASK_SET, LUN_RESET = 1, 4, 5
TASK_ABORTED = 0x40
TASK, OTHER = write(2, 10), read(3, 11)
ABORT, RESET = tmf(4, 12, ABORT_TASK, 2, RefCmdSN=10), tmf(4, 12, LUN_RESET, NO_TAG)
DONE = response(Opcode.TMF_RESPONSE, 4, 101)


@row("TMF-01")
def test_functions_that_do_not_exist() -> None:
    scenario = """
    matrix: {function: [0, 13, 127]}
    rules:
      - when: TMF-Request nth 1
        do: {set: {Function: $function}}
    """
    for axes in runs_of(scenario):
        played = at_target(scenario, TASK, RESET, axes=axes)
        played.assert_changed(RESET, {"Function": int(axes["function"])})


@row("TMF-02")
def test_functions_of_another_protocol_level() -> None:
    scenario = """
    matrix: {function: [QUERY_TASK, QUERY_TASK_SET, I_T_NEXUS_RESET, QUERY_ASYNC_EVENT]}
    rules:
      - when: TMF-Request nth 1
        do: {set: {Function: $function}}
    """
    numbers = {"QUERY_TASK": 9, "QUERY_TASK_SET": 10, "I_T_NEXUS_RESET": 11, "QUERY_ASYNC_EVENT": 12}
    for axes in runs_of(scenario):
        at_target(scenario, TASK, ABORT, axes=axes).assert_changed(ABORT, {"Function": numbers[axes["function"]]})


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        pytest.param("RefTaskTag: first.ITT", {"RefTaskTag": 5}, marks=row("TMF-03")),
        pytest.param(
            "Function: LUN_RESET, RefTaskTag: none, LUN: 99",
            {"Function": LUN_RESET, "RefTaskTag": NO_TAG, "LUN": 99 << 48},
            marks=row("TMF-04"),
        ),
        pytest.param("RefTaskTag: done.ITT, RefCmdSN: 9", {"RefTaskTag": 3, "RefCmdSN": 9}, marks=row("TMF-05")),
    ],
)
def test_an_abort_is_changed(fields: str, changes: Fields) -> None:
    rules = f"""
    - when: TMF-Request nth 1 as first
    - when: SCSI-Response nth 1 as done
    - when: TMF-Request nth 2
      do: {{set: {{{fields}}}}}
    """
    first = tmf(5, 11, LUN_RESET, NO_TAG)
    at_target(rules, OTHER, scsi_response(3, 101), first, TASK, ABORT).assert_changed(ABORT, changes)


def done(talk: Dialogue) -> Pdu | None:
    """Answer what the proxy has sent."""
    asked = talk.sent(End.TARGET)[-1].pdu
    return response(Opcode.TMF_RESPONSE, asked["ITT"], 101) if asked.label == "TMF-Request" else None


@row("TMF-06")
def test_a_write_is_aborted_while_it_waits_for_data() -> None:
    rules = """
    - when: R2T nth 1 as ask
      do:
        - pass
        - probe: {pdu: TMF-Request, Function: ABORT_TASK, RefTaskTag: ask.ITT, RefCmdSN: task.CmdSN, as: abort}
    """
    ask = r2t(2, 7)
    played = at_target(rules, TASK, ask, done, OTHER)
    asked = played.authored[0]
    abort = altered(ABORT, {"ITT": asked["ITT"], "CmdSN": 11, "RefCmdSN": 10})
    played.assert_got(TASK, abort, OTHER)
    # The initiator is told of the end of its task by the proxy, in the place of the answer to that.
    told = scsi_response(2, 101, Status=TASK_ABORTED, U=1, ResidualCount=4096)
    played.at(End.INITIATOR).assert_got(ask, told)


@pytest.mark.parametrize(
    ("function", "code"),
    [
        pytest.param("LUN_RESET", 5, marks=row("TMF-08")),
        pytest.param("TARGET_COLD_RESET", 7, marks=row("TMF-09")),
    ],
)
def test_everything_is_reset(function: str, code: int) -> None:
    rules = f"""
    - when: SCSI-Command nth 2
      do:
        - pass
        - probe: {{pdu: TMF-Request, Function: {function}, as: reset}}
    """
    later = read(9, 12)
    played = at_target(rules, TASK, OTHER, done, later)
    reset = tmf(played.authored[0]["ITT"], 12, code, NO_TAG)
    played.assert_got(TASK, OTHER, reset, later)
    told = [scsi_response(itt, 99 + itt, Status=TASK_ABORTED, U=1, ResidualCount=4096) for itt in (2, 3)]
    played.at(End.INITIATOR).assert_got(*told)


@row("TMF-07")
@pytest.mark.parametrize(
    ("fields", "changes"), [("RefTaskTag: command.ITT", {"RefTaskTag": 2}), ('data: "data"', {"data": b"data"})]
)
def test_a_reset_with_too_much_in_it(fields: str, changes: Fields) -> None:
    rules = f"""
    - when: SCSI-Command nth 1 as command
    - when: TMF-Request where Function == LUN_RESET nth 1
      do: {{set: {{{fields}}}}}
    """
    at_target(rules, TASK, RESET, nop_out(9, 12)).assert_changed(RESET, changes)


@row("TMF-11")
def test_the_function_fails() -> None:
    scenario = """
    matrix: {response: [1, 2, 4, 5, 6, 255, 200]}
    rules:
      - when: TMF-Response nth 1
        do: {set: {Response: $response}}
    """
    for axes in runs_of(scenario, "initiator"):
        played = at_initiator(scenario, TASK, ABORT, DONE, axes=axes)
        played.assert_changed(DONE, {"Response": int(axes["response"])})


@row("TMF-12")
def test_the_response_is_lost() -> None:
    later = scsi_response(3, 102)
    played = at_initiator("- {when: TMF-Response nth 1, do: drop}", TASK, OTHER, ABORT, DONE, later)
    played.assert_missing(DONE)


@row("TMF-13")
def test_a_task_that_was_aborted_answers() -> None:
    rules = """
    - when: TMF-Request where Function == ABORT_TASK nth 1 as abort
    - when: SCSI-Response where ITT == abort.RefTaskTag nth 1
      do:
        - delay: {until: TMF-Response of abort then 1ms, overtake: yes}
    """
    answer, gone = scsi_response(2, 101), response(Opcode.TMF_RESPONSE, 4, 102, Response=1)
    at_initiator(rules, TASK, ABORT, answer, gone, 1).assert_order(gone, answer)


@row("TMF-14")
def test_responses_that_nobody_asked_for() -> None:
    rules = """
    - when: TMF-Response nth 1
      do: [duplicate, {duplicate: {ITT: 0x7777}}]
    """
    played = at_initiator(rules, TASK, ABORT, DONE)
    played.assert_added(DONE, DONE, altered(DONE, {"ITT": 0x7777}))


@row("TMF-15")
def test_a_task_asks_for_data_while_it_is_aborted() -> None:
    rules = """
    - when: TMF-Response nth 1
      do:
        - delay: {until: R2T then 1s, overtake: yes}
    """
    ask = r2t(2, 7, StatSN=102)
    at_initiator(rules, TASK, ABORT, DONE, ask, 2).assert_order(ask, DONE)


#: A new session is told of a unit attention first.
CLEARED = """
victim: target
actor:
  - login: {as: A}
  - login: {as: B}
  - send: {conn: A, pdu: SCSI-Command, CDB: TEST_UNIT_READY, as: t}
  - delay: SCSI-Response of t
  - send: {conn: A, pdu: SCSI-Command, CDB: WRITE lba=0 blocks=8, data: none, as: n}
  - delay: R2T of n
  - send: {conn: B, pdu: TMF-Request, Function: CLEAR_TASK_SET, as: clear}
  - delay: TMF-Response of clear
rules:
  - when: TMF-Response of clear
    do: {note: cleared}
aftermath: none
"""


@row("TMF-10")
async def test_the_tasks_of_all_sessions_are_cleared(tmp_path: Path) -> None:
    one, other = [
        event for event in await acted(CLEARED, tmp_path) if event.pdu.label in ("SCSI-Command", "TMF-Request")
    ][1:]
    assert (one.pdu.label, other.pdu.label, other.pdu["Function"]) == ("SCSI-Command", "TMF-Request", CLEAR_TASK_SET)
    assert (one.pdu["W"], one.pdu["EDTL"]) == (1, 4096)
    assert one.conn != other.conn
