from __future__ import annotations

import pytest

from iscsiproxy.engine.templates import numbers_of
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import NO_TAG, Dialogue, data_in, nop_in, read, scsi_response


def made(template: str, *, when: str = "SCSI-Response") -> Pdu:
    """Give what a template makes, with the response to a READ of LUN 1 in hand."""
    talk = Dialogue(f"rules:\n  - when: {when}\n    do:\n      - inject: {template}\n")
    talk.say(read(1, 10, LUN=1 << 48))
    before = len(talk.wire)
    talk.say(scsi_response(1, 101))
    return next(one.pdu for one in talk.wire[before:] if not isinstance(one, str))


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("NOP-Out", {"I": 1, "F": 1, "TTT": NO_TAG, "LUN": 0}),
        ("TMF-Request", {"I": 1, "F": 1, "RefTaskTag": NO_TAG, "LUN": 1 << 48}),
        ("Text-Request", {"I": 1, "F": 1, "C": 0, "TTT": NO_TAG, "LUN": 0}),
        ("{pdu: Text-Request, TTT: 7}", {"TTT": 7, "LUN": 1 << 48}),
        ("Logout-Request", {"I": 1, "F": 1, "ReasonCode": 0}),
        ("SCSI-Command", {"I": 0, "F": 1, "ATTR": 1, "LUN": 1 << 48}),
        ("Data-Out", {"F": 0, "ITT": 1, "TTT": NO_TAG, "LUN": 1 << 48}),
        ("SNACK", {"F": 1, "ITT": 1, "TTT": NO_TAG, "LUN": 0}),
        ("{pdu: SNACK, Type: STATUS}", {"F": 1, "ITT": NO_TAG, "TTT": NO_TAG}),
        ("{pdu: SNACK, Type: DATA_ACK, TTT: 7}", {"ITT": NO_TAG, "TTT": 7, "LUN": 1 << 48}),
        ("{pdu: SNACK, Type: R_DATA}", {"ITT": 1}),
        ("NOP-In", {"F": 1, "ITT": NO_TAG, "TTT": NO_TAG, "StatSN": 101}),
        ("Async", {"F": 1, "ITT": NO_TAG, "StatSN": 101, "ExpCmdSN": 10, "MaxCmdSN": 40}),
        ("Reject", {"F": 1, "ITT": NO_TAG, "StatSN": 101}),
        ("Data-In", {"F": 0, "ITT": 1, "TTT": NO_TAG, "StatSN": 0, "ExpCmdSN": 10}),
        ("R2T", {"F": 1, "ITT": 1, "StatSN": 101, "LUN": 1 << 48}),
        ("SCSI-Response", {"F": 1, "ITT": 1, "StatSN": 101}),
    ],
)
def test_what_is_not_given_is_right(template: str, values: dict[str, int]) -> None:
    pdu = made(template)
    assert {name: pdu[name] for name in values} == values


def test_a_reject_has_the_header_of_the_request_in_hand() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do:\n      - inject: {pdu: Reject, Reason: 4}\n")
    command = read(1, 10)
    mine, _ = talk.say(command)
    assert (mine["Reason"], mine.data) == (4, command.bhs)
    assert made("Reject").data == b""  # a response is not rejected


def test_what_is_given_stands() -> None:
    pdu = made(
        "{pdu: NOP-Out, I: 0, F: 0, ITT: 0x99, TTT: 5, LUN: 3, CmdSN: 700, ExpStatSN: 7, BHS.3: 9, data: 0x0102}"
    )
    assert (pdu["I"], pdu["F"], pdu["ITT"], pdu["TTT"], pdu["LUN"], pdu.bhs[3]) == (0, 0, 0x99, 5, 3 << 48, 9)
    assert (pdu["CmdSN"], pdu["ExpStatSN"], pdu.data) == (700, 7, b"\1\2")


def test_texts_may_be_computed() -> None:
    pdu = made('{pdu: Text-Request, text: ["A=(conn.nth + 1)", B=x]}')
    assert pdu.data == b"A=2\0B=x\0"


def test_numbers_that_mean_nothing_are_not_put_in() -> None:
    assert numbers_of(data_in(1, 0), {}) == {"ExpCmdSN", "MaxCmdSN"}
    assert numbers_of(data_in(1, 0, S=1), {}) == {"StatSN", "ExpCmdSN", "MaxCmdSN"}
    assert numbers_of(nop_in(1, 5), {"StatSN": 5}) == {"ExpCmdSN", "MaxCmdSN"}
    assert numbers_of(Pdu.build(Opcode.DATA_OUT), {}) == {"ExpStatSN"}
