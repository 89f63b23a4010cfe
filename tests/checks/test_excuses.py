"""Whose fault a deviation is: each end by what it sent and was given on its leg, field by field, PDU by PDU."""

from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import End
from tests.checks.cases import judged

__all__: list[str] = []

LOGIN = "login\n"
PING = "> NOP-Out\n< NOP-In\n"
#: What a target does wrong in a SCSI-Response, as it sends it, and the rule that finds it
AHS = ("BHS.4=7", "T-003")
GAP = ("StatSN=150", "T-007")


def found(text: str) -> list[tuple[str, End | None]]:
    return [(one.rule, one.blame) for one in judged(text).findings]


def answered(sent: str = "", given: str = "") -> str:
    """Give a command and its response, as the target sends it and as a fault has made it."""
    return f"> SCSI-Command cdb=TEST-UNIT-READY\n< SCSI-Response {sent} {'!' if given else ''} {given}\n"


@pytest.mark.parametrize(("wrong", "rule"), [AHS, GAP])
def test_what_a_fault_has_set_is_nobodys_and_what_the_target_has_set_is_the_targets(wrong: str, rule: str) -> None:
    assert found(LOGIN + answered(wrong)) == [(rule, End.TARGET)]
    assert found(LOGIN + answered("", wrong)) == []


def test_a_fault_excuses_the_field_that_it_set_and_no_other() -> None:
    assert found(LOGIN + answered("BHS.4=7", "StatSN=150")) == [("T-003", End.TARGET)]
    assert found(LOGIN + answered("StatSN=150", "Status=BUSY StatSN=150")) == [("T-007", End.TARGET)]


def test_a_fault_that_puts_right_what_the_target_did_wrong_excuses_nothing() -> None:
    assert found(LOGIN + answered("StatSN=150", "StatSN=101")) == [("T-007", End.TARGET)]


def test_the_excuse_ends_with_the_fault() -> None:
    text = LOGIN + PING + answered("", "BHS.4=7")
    assert found(text + PING + answered()) == []
    assert found(text + PING + answered("BHS.4=7")) == [("T-003", End.TARGET)]


def test_an_end_is_held_to_what_a_fault_has_told_it() -> None:
    """Data with a tag that it was not given is the initiator's, and with a tag that a fault has told it is not."""
    write = "> SCSI-Command cdb=WRITE(10):8+2 as w\n< R2T DesiredDataTransferLength=1024 TTT=7 {}\n"
    data = "> Data-Out ITT=w.ITT TTT={} DataSN=0 BufferOffset=0 data=1024 F {}\n< SCSI-Response ITT=w.ITT\n"
    assert found(LOGIN + write.format("! TTT=9") + data.format(9, "! TTT=7")) == []
    assert ("I-021", End.INITIATOR) in found(LOGIN + write.format("! TTT=9") + data.format(7, ""))
    assert ("I-021", End.INITIATOR) in found(LOGIN + write.format("") + data.format(9, "! TTT=7"))


def test_what_the_proxy_has_made_is_nobodys_and_is_remembered() -> None:
    made = "<< NOP-In ITT=none TTT=7 StatSN=101 BHS.4=7\n"
    assert found(LOGIN + PING + made) == []
    # The proxy owns the tag: an answer to it is right on the one leg, and not passed on.
    assert found(LOGIN + PING + made + ">x NOP-Out I ITT=none TTT=7 ExpStatSN=101\n") == []


def test_renumbering_excuses_nothing() -> None:
    """One answer was dropped, and the StatSN behind it are one lower for the initiator: each leg has its own."""
    dropped = LOGIN + "> NOP-Out\n<x NOP-In StatSN=101\n"
    right = "> NOP-Out ExpStatSN=101 ! ExpStatSN=102\n< NOP-In StatSN=102 ! StatSN=101\n"
    assert found(dropped + right) == []
    # The target's own gap is made even for the initiator, and an acknowledgement that is too high for the target.
    gap = "> NOP-Out ExpStatSN=102 ! ExpStatSN=103\n< NOP-In StatSN=104 ! StatSN=102\n"
    assert found(dropped + right + gap) == [("T-007", End.TARGET)]
    high = "> NOP-Out ExpStatSN=103 ! ExpStatSN=103\n< NOP-In StatSN=103 ! StatSN=102\n"
    assert found(dropped + right + high) == [("I-011", End.INITIATOR)]


def test_pdus_that_cross_are_no_violation() -> None:
    """The number was given while the request was on its way: on its leg the initiator had not seen it."""
    text = LOGIN + "> NOP-Out as one\n> NOP-Out as two\n< NOP-In ITT=one.ITT\n> NOP-Out ExpStatSN=101 as three\n"
    assert found(text + "< NOP-In ITT=two.ITT\n< NOP-In ITT=three.ITT\n> NOP-Out ExpStatSN=104\n< NOP-In\n") == []
