"""Field by field, through the two functions that lead the way; the ends' view of it is in `test_numbers`."""

from __future__ import annotations

import pytest

from iscsiproxy.session.traffic import REQUESTS
from iscsiproxy.session.translation import (
    ANSWERS,
    WITHOUT_CMDSN,
    ConnectionNumbers,
    SessionNumbers,
    acknowledge,
    counts,
    to_initiator,
    to_target,
)
from iscsiproxy.wire.fields import BHS_LENGTH, FIELDS, NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.session.dialogue import command, data_in, data_out, pdu, r2t, request, response, scsi_response

__all__: list[str] = []

NOTHING: frozenset[str] = frozenset()


def connection(*, shifted: bool = True) -> ConnectionNumbers:
    """Give a connection where the initiator uses CmdSN 10 next and the target StatSN 101; both are one behind."""
    numbers = ConnectionNumbers(1, SessionNumbers())
    numbers.answered = True
    numbers.session.commands.hint(10)
    numbers.statuses.hint(101)
    if shifted:
        numbers.session.commands.borrow()
        numbers.statuses.borrow()
    return numbers


def up(on: ConnectionNumbers, what: Pdu, *, extra: bool = False) -> Pdu:
    return to_target(on, what, NOTHING, extra=extra)


def down(on: ConnectionNumbers, what: Pdu, *, extra: bool = False) -> Pdu:
    return to_initiator(on, what, NOTHING, extra=extra)


def test_the_opcodes_are_those_with_the_fields() -> None:
    for opcode, fields in FIELDS.items():
        assert ("CmdSN" in fields) == (opcode in REQUESTS or opcode == Opcode.LOGIN_REQUEST)
        assert ("ExpStatSN" in fields and "CmdSN" not in fields) == (opcode in WITHOUT_CMDSN)
        assert ("MaxCmdSN" in fields) == (opcode in ANSWERS)


def test_what_advances_statsn() -> None:
    advancing = [
        *(response(opcode, 1, 5) for opcode in (Opcode.SCSI_RESPONSE, Opcode.TMF_RESPONSE, Opcode.TEXT_RESPONSE)),
        *(response(opcode, 1, 5) for opcode in (Opcode.LOGOUT_RESPONSE, Opcode.ASYNC, Opcode.REJECT, Opcode.NOP_IN)),
        data_in(1, 0, S=1),
        pdu(Opcode.LOGIN_RESPONSE),
    ]
    for each in advancing:
        assert counts(each, each.opcode, each["ITT"])
    for each in (r2t(1, 1, 0), response(Opcode.NOP_IN, NO_TAG, 5), data_in(1, 0)):
        assert not counts(each, each.opcode, each["ITT"])
    refused = pdu(Opcode.LOGIN_RESPONSE, **{"Status-Class": 2})
    assert not counts(refused, refused.opcode, 1)


@pytest.mark.parametrize("opcode", sorted(REQUESTS))
def test_every_request(opcode: int) -> None:
    seen = up(connection(), request(opcode, 1, 10, ExpStatSN=102))
    assert (seen["CmdSN"], seen["ExpStatSN"]) == (11, 101)


@pytest.mark.parametrize("opcode", sorted(ANSWERS - {Opcode.DATA_IN, Opcode.LOGIN_RESPONSE}))
def test_every_answer(opcode: int) -> None:
    seen = down(connection(), response(opcode, 1, 101, ExpCmdSN=11, MaxCmdSN=30))
    assert (seen["StatSN"], seen["ExpCmdSN"], seen["MaxCmdSN"]) == (102, 10, 29)


def test_a_refused_login_has_no_numbers() -> None:
    refused = pdu(Opcode.LOGIN_RESPONSE, **{"Status-Class": 2, "StatSN": 7})
    assert down(connection(), refused) is refused


def test_statsn_of_data_in_means_something_with_s_only() -> None:
    on = connection()
    assert down(on, data_in(1, 0, StatSN=0))["StatSN"] == 0
    assert down(on, data_in(1, 1, S=1, F=1, StatSN=101))["StatSN"] == 102


def test_the_last_piece_of_a_split_data_in_has_the_status() -> None:
    on = connection()
    whole = data_in(1, 3, S=1, F=1, StatSN=101)
    first = down(on, whole.with_fields({"S": 0, "F": 0}))
    last = down(on, whole, extra=True)
    assert [first["DataSN"], last["DataSN"], last["StatSN"]] == [3, 4, 102]
    assert down(on, scsi_response(2, 102))["StatSN"] == 103


def test_pieces_of_data_out() -> None:
    on = connection()
    whole = data_out(1, 7, 2)
    assert [up(on, whole)["DataSN"], up(on, whole, extra=True)["DataSN"], up(on, whole, extra=True)["DataSN"]] == [
        2,
        3,
        4,
    ]
    assert up(on, data_out(1, 7, 3))["DataSN"] == 5
    assert up(on, data_out(1, 8, 3))["DataSN"] == 3
    assert up(on, data_out(1, 7, 1))["DataSN"] == 1
    # The next R2T with this tag, and the next task with that one, begin anew.
    down(on, r2t(1, 7, 1))
    assert up(on, data_out(1, 7, 3))["DataSN"] == 3
    up(on, whole, extra=True)
    up(on, command(1, 10))
    assert up(on, data_out(1, 7, 3))["DataSN"] == 3


def test_pieces_of_data_in_and_of_r2t() -> None:
    on = connection()
    down(on, data_in(1, 0))
    assert down(on, data_in(1, 0), extra=True)["DataSN"] == 1
    assert down(on, data_in(1, 1))["DataSN"] == 2
    assert down(on, r2t(1, 1, 2))["R2TSN"] == 3
    assert down(on, r2t(1, 1, 2), extra=True)["R2TSN"] == 4
    assert down(on, scsi_response(1, 101, ExpDataSN=3))["ExpDataSN"] == 5
    assert down(on, scsi_response(2, 102, ExpDataSN=3))["ExpDataSN"] == 3


def test_exp_data_sn_does_not_count_what_was_taken_away() -> None:
    on = connection()
    on.session.tasks.part_answers(1).remove(2)
    assert down(on, scsi_response(1, 101, ExpDataSN=3))["ExpDataSN"] == 2


def snack(kind: int, first: int, length: int, itt: int = NO_TAG, ttt: int = NO_TAG) -> Pdu:
    return pdu(Opcode.SNACK, F=1, Type=kind, ITT=itt, TTT=ttt, BegRun=first, RunLength=length, ExpStatSN=101)


def test_status_snack() -> None:
    on = connection()
    for stat_sn in (101, 102):
        down(on, scsi_response(stat_sn, stat_sn))
    seen = up(on, snack(1, 103, 1))
    assert (seen["BegRun"], seen["RunLength"]) == (102, 1)
    # One that only the proxy has sent stands with what was before it.
    assert [up(on, snack(1, 101, 3))[name] for name in ("BegRun", "RunLength")] == [100, 3]
    assert [up(on, snack(1, 102, 0))[name] for name in ("BegRun", "RunLength")] == [101, 0]


def test_data_snack() -> None:
    on = connection()
    down(on, data_in(1, 0))
    down(on, data_in(1, 0), extra=True)
    assert [up(on, snack(0, 2, 2, itt=1))[name] for name in ("BegRun", "RunLength")] == [1, 2]
    assert [up(on, snack(0, 1, 1, itt=1))[name] for name in ("BegRun", "RunLength")] == [0, 1]
    assert [up(on, snack(0, 2, 2, itt=2))[name] for name in ("BegRun", "RunLength")] == [2, 2]
    assert [up(on, snack(0, 0, 0, itt=1))[name] for name in ("BegRun", "RunLength")] == [0, 0]
    # A DataACK names its task by the TTT of the Data-In that asked for it.
    down(on, data_in(1, 1, A=1, TTT=77))
    assert up(on, snack(2, 3, 0, ttt=77))["BegRun"] == 2
    assert up(on, snack(2, 3, 0, ttt=78))["BegRun"] == 3
    assert up(on, snack(3, 3, 0, itt=1))["BegRun"] == 3


def test_what_a_task_management_request_names() -> None:
    on = connection()
    up(on, command(1, 10))

    def task_management(function: int, **values: int) -> Pdu:
        return up(on, request(Opcode.TMF_REQUEST, 2, 11, I=1, Function=function, RefTaskTag=1, **values))

    assert task_management(1, RefCmdSN=10)["RefCmdSN"] == 11
    assert task_management(9, RefCmdSN=10)["RefCmdSN"] == 11
    assert task_management(5, RefCmdSN=10)["RefCmdSN"] == 10
    # An immediate task is named by the CmdSN of the request itself.
    itself = task_management(1, RefCmdSN=11)
    assert itself["RefCmdSN"] == itself["CmdSN"] == 12
    on.session.tasks.part_answers(1).insert(1)
    assert task_management(8, ExpDataSN=3)["ExpDataSN"] == 2


def test_an_aborted_command_that_the_proxy_hid_is_one_that_is_over() -> None:
    on = connection()
    on.session.commands.hide(10)
    abort = request(Opcode.TMF_REQUEST, 2, 11, I=1, Function=1, RefTaskTag=1, RefCmdSN=10)
    assert (up(on, abort)["RefCmdSN"], up(on, abort)["CmdSN"]) == (10, 11)


def test_acknowledgements_run_ahead() -> None:
    on = connection()
    # One too many is common; what is far away is passed on and not believed.
    assert acknowledge(on, 103) == 102
    assert acknowledge(on, 1000) == 999
    assert on.acks.heard == 103
    on.statuses.borrow()
    assert acknowledge(on, 103) == 102


def test_a_reject_has_the_header_that_the_initiator_sent() -> None:
    on = connection()
    on.session.tags.own(3)
    for sent in (
        command(3, 10, ExpStatSN=101),
        data_out(3, NO_TAG, 0),
        request(Opcode.TMF_REQUEST, 4, 11, I=1, Function=1, RefTaskTag=3, RefCmdSN=10),
    ):
        header = up(on, sent).bhs
        assert header != sent.bhs
        reject = response(Opcode.REJECT, NO_TAG, 101, header + b"more", Reason=4)
        seen = down(on, reject)
        assert seen.data == sent.bhs + b"more"
        assert seen["DataSegmentLength"] == BHS_LENGTH + 4


def test_a_reject_of_what_nobody_remembers() -> None:
    on = connection()
    on.session.tags.own(3)
    originals = [
        command(3, 10, ExpStatSN=103),
        request(Opcode.TMF_REQUEST, 4, 11, I=1, Function=1, RefTaskTag=3, RefCmdSN=10, ExpStatSN=103),
        data_out(3, NO_TAG, 3, ExpStatSN=103),
    ]
    on.session.tasks.part_burst(3, NO_TAG)
    rejects = [response(Opcode.REJECT, NO_TAG, 101, up(on, each).bhs, Reason=4) for each in originals]
    for n in range(1024):
        up(on, request(Opcode.NOP_OUT, n, 11, I=1, ExpStatSN=103))
    assert len(on.headers) == 1024
    for original, reject in zip(originals, rejects, strict=True):
        assert down(on, reject).data == original.bhs
    # A header that is cut, or no request's, stays as it is.
    for data in (b"short", bytes(BHS_LENGTH), encode_text([("a", "b")])):
        assert down(on, response(Opcode.REJECT, NO_TAG, 102, data)).data[:5] == data[:5]


def test_the_tag_of_an_unknown_opcode() -> None:
    on = connection()
    on.session.tags.own(3)
    other = on.session.tags.begin(3)
    unknown = Pdu(bytes([0x1C]) + bytes(15) + (3).to_bytes(4, "big") + bytes(28))
    assert up(on, unknown)["ITT"] == other
    answer = Pdu(bytes([0x3C]) + bytes(15) + other.to_bytes(4, "big") + bytes(28))
    assert down(on, answer)["ITT"] == 3


def test_reprs() -> None:
    assert repr(connection()) == (
        "<ConnectionNumbers 1 <Numbering +1, 1 places> of <SessionNumbers 0 <Numbering +1, 1 places> 0 connections>>"
    )
