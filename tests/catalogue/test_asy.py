"""Asynchronous messages that the target never sent."""

from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import SenseCode, encode_sense
from tests.catalogue.harness import On, Step, at_initiator, moved, row
from tests.engine.dialogue import NO_TAG, Dialogue, data_out, nop_out, read, scsi_response, write
from tests.session.dialogue import NAMES, TPGT, login_request, login_response

__all__: list[str] = []

FIRST, DONE = read(2, 10), scsi_response(2, 101)
#: The initiator has seen a message and a response then, the target has sent the response alone.
SECOND, LATER = read(3, 11, ExpStatSN=103), scsi_response(3, 102)
SCRIPT: tuple[Step, ...] = (FIRST, DONE, SECOND, LATER)
REPORTED_LUNS_CHANGED = encode_sense(SenseCode(6, 0x3F, 0x0E))


def message(event: int, data: bytes = b"", *, stat_sn: int = 101, **values: int) -> Pdu:
    fields = {"F": 1, "ITT": NO_TAG, "AsyncEvent": event, "StatSN": stat_sn, "ExpCmdSN": 10, "MaxCmdSN": 40}
    return Pdu.build(Opcode.ASYNC, data).with_fields({**fields, **values})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param("AsyncEvent: 1, Parameter3: 5", message(1, Parameter3=5), marks=row("ASY-01")),
        pytest.param(
            "AsyncEvent: 2, Parameter1: 0x7777, Parameter2: 3, Parameter3: 20",
            message(2, Parameter1=0x7777, Parameter2=3, Parameter3=20),
            marks=row("ASY-04"),
        ),
        pytest.param("AsyncEvent: 4, Parameter3: 5", message(4, Parameter3=5), marks=row("ASY-06")),
        pytest.param("AsyncEvent: 5, LUN: 1", message(5, LUN=1 << 48), marks=row("ASY-07")),
        pytest.param(
            "AsyncEvent: 0, sense: 6/3F/0E",
            message(0, b"\0\x12" + REPORTED_LUNS_CHANGED),
            marks=row("ASY-09"),
        ),
        pytest.param(
            f"AsyncEvent: 0, data: 0xffff{REPORTED_LUNS_CHANGED.hex()}",
            message(0, b"\xff\xff" + REPORTED_LUNS_CHANGED),
            marks=row("ASY-10"),
        ),
        pytest.param("AsyncEvent: 77", message(77), marks=row("ASY-10")),
        pytest.param("AsyncEvent: 248, AsyncVCode: 0x99", message(248, AsyncVCode=0x99), marks=row("ASY-10")),
    ],
)
def test_the_initiator_is_told_something(fields: str, expected: Pdu) -> None:
    rules = f"""
    - when: SCSI-Response nth 1
      do:
        - inject: {{pdu: Async, {fields}, as: told}}
    """
    played = at_initiator(rules, *SCRIPT)
    # The message has a StatSN of its own; all statuses behind it have moved on by one, and the target has no idea.
    played.assert_got(expected, moved(DONE, StatSN=1), moved(LATER, StatSN=1))
    played.at(End.TARGET).assert_got(FIRST, moved(SECOND, ExpStatSN=-1))


@row("ASY-02")
def test_who_does_not_log_out_is_dropped() -> None:
    rules = """
    - when: SCSI-Response nth 1
      do:
        - inject: {pdu: Async, AsyncEvent: 1, Parameter3: 5, as: asked}
    - when: asked then 5s
      until: Logout-Request
      do:
        - inject: {pdu: Async, AsyncEvent: 2, Parameter1: conn.CID, Parameter2: 2, Parameter3: 0}
        - close: fin
    """
    asked, dropped = message(1, Parameter3=5), message(2, stat_sn=104, Parameter1=1, Parameter2=2)
    played = at_initiator(rules, FIRST, DONE, SECOND, LATER, 6, read(4, 12), scsi_response(4, 103))
    played.assert_got(asked, moved(DONE, StatSN=1), moved(LATER, StatSN=1), dropped, ended="fin")


@row("ASY-03")
def test_the_connection_is_dropped_as_announced() -> None:
    rules = """
    - when: SCSI-Response nth 1
      do:
        - inject: {pdu: Async, AsyncEvent: 2, Parameter1: conn.CID, Parameter2: 3, Parameter3: 20, as: drop_notice}
        - pass
        - close: rst
    """
    played = at_initiator(rules, *SCRIPT)
    told = message(2, Parameter1=1, Parameter2=3, Parameter3=20)
    played.assert_got(told, moved(DONE, StatSN=1), ended="rst")


@row("ASY-05")
def test_all_connections_are_dropped_as_announced() -> None:
    rules = """
    - when: full-feature nth 2 then 3s
      do:
        - inject: {pdu: Async, AsyncEvent: 3, Parameter2: 2, Parameter3: 0}
        - close: fin
    """

    def second(talk: Dialogue) -> None:
        talk.connect(2, keys=MANY, TSIH=7)

    played = at_initiator(rules, FIRST, second, On(1, DONE), 4, SECOND, LATER, keys=MANY)
    welcome = login_response({**TPGT, **MANY}, TSIH=7)
    told = message(3, stat_sn=101, Parameter2=2)
    played.assert_got(welcome, DONE, moved(told, StatSN=1), told, ended="fin")


MANY = {"MaxConnections": "2"}


@row("ASY-08")
def test_all_tasks_end_in_the_fast_way() -> None:
    # The initiator offers both ways, and is told of the fast one whatever the target has chosen.
    rules = """
    negotiate:
      initiator: {TaskReporting: FastAbort}
    rules:
      - when: Data-Out where key.TaskReporting == "FastAbort" nth 1
        do:
          - inject: {pdu: Async, AsyncEvent: 5, LUN: task.LUN, as: told}
    """
    who = login_request({**NAMES, "TaskReporting": "RFC3720,FastAbort"})
    welcome = login_response({**TPGT, "TaskReporting": "RFC3720"})
    command, data = write(2, 10, F=0), data_out(2, 0)
    seen = nop_out(NO_TAG, 11, I=1, ExpStatSN=102)
    played = at_initiator(rules, who, welcome, command, data, seen, scsi_response(2, 101), login=False)
    fast = login_response({**TPGT, "TaskReporting": "FastAbort"})
    played.assert_got(fast, message(5), moved(scsi_response(2, 101), StatSN=1))
    played.at(End.TARGET).assert_got(who, command, data, moved(seen, ExpStatSN=-1))
