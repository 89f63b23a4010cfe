from __future__ import annotations

import pytest

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.invariants import nops
from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

DIGESTS = "HeaderDigest=CRC32C DataDigest=CRC32C"

CASES = (
    Case(
        rule="T-046",
        good="""
            login
            > NOP-Out data=16
            < NOP-In data=16
        """,
        bad="""
            login
            > NOP-Out
            +20
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        short="""
            login
            > NOP-Out
            +1
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        mutant=("< NOP-In data=16", "< NOP-In data=8"),
    ),
    Case(
        rule="T-047",
        good="""
            login
            > NOP-Out
            < NOP-In
        """,
        bad="""
            login
            < NOP-In ITT=5 TTT=7
        """,
        short="""
            login
            > NOP-Out
        """,
        mutant=("< NOP-In", "< NOP-In TTT=9"),
    ),
    Case(
        rule="T-048",
        good="""
            login
            > NOP-Out I ITT=none
            +1
            < NOP-In ITT=none
            close initiator
        """,
        bad="""
            login
            > NOP-Out I ITT=none
            < NOP-In ITT=none
        """,
        short="""
            login
            > NOP-Out
            < NOP-In
            < NOP-In ITT=none
        """,
        mutant=("+1\n", ""),
    ),
    Case(
        rule="I-028",
        good="""
            login
            < NOP-In ITT=none TTT=7 LUN=0x0001020304050607
            > NOP-Out I ITT=none TTT=7 LUN=0x0001020304050607
        """,
        bad="""
            login
            > NOP-Out ITT=none
        """,
        short="""
            login
            < NOP-In ITT=none TTT=7
        """,
        mutant=("TTT=7 LUN=0x0001020304050607\n            > NOP-Out I ITT=none TTT=7 LUN=0x0001020304050607",
                "TTT=7 LUN=0x0001020304050607\n            > NOP-Out I ITT=none TTT=7 LUN=0x0001000000000000"),
    ),
    Case(
        rule="I-029",
        good="""
            login
            < NOP-In ITT=none TTT=7
            > NOP-Out I ITT=none TTT=7
        """,
        bad="""
            login
            < NOP-In ITT=none TTT=7
            +20
            > NOP-Out
            < NOP-In
        """,
        short="""
            login
            < NOP-In ITT=none TTT=7
            +1
            > NOP-Out
            < NOP-In
        """,
        mutant=("> NOP-Out I ITT=none TTT=7", "> NOP-Out I ITT=none TTT=7\n> NOP-Out I ITT=none TTT=7"),
    ),
    Case(
        rule="I-030",
        good="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < NOP-In ITT=none
            +1
            > NOP-Out I ITT=none
            close initiator
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < NOP-In ITT=none
            > NOP-Out I ITT=none
        """,
        short="""
            login
            > NOP-Out
            < NOP-In
            > NOP-Out I ITT=none
        """,
        mutant=("+1\n", ""),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def of(rule: str, text: str) -> list[Finding]:
    return judged(text, families=(nops.FAMILY,)).of(rule)


def waits(rule: str, text: str) -> bool:
    """Tell whether the rule says that something in a dialogue was due, as time goes by."""
    return bool(of(rule, text + "\n+20\nfired pass"))


# --- T-046 ------------------------------------------------------------------------------------------------------------


def test_several_pings_are_answered_in_any_order() -> None:
    text = """
        login
        > NOP-Out ITT=1 data=4
        > NOP-Out ITT=2 data=8
        > NOP-Out ITT=3
        < NOP-In ITT=2 data=8
        < NOP-In ITT=1 data=4
    """
    (finding,) = of("T-046", text + "+20\nfired pass")
    assert finding.text == "NOP-Out ITT=0x3 was not answered within 15 s"
    assert finding.label == "silence"


@pytest.mark.parametrize(("sent", "back", "wrong"), [(2048, 1024, False), (2048, 2048, True), (600, 600, False)])
def test_a_ping_comes_back_as_far_as_the_initiator_takes_it(sent: int, back: int, wrong: bool) -> None:
    text = f"login MaxRecvDataSegmentLength=1024 / MaxRecvDataSegmentLength=65536\n> NOP-Out data={sent}"
    assert bool(of("T-046", f"{text}\n< NOP-In data={back}")) is wrong


@pytest.mark.parametrize("digests", ["", DIGESTS])
@pytest.mark.parametrize(("mine", "theirs"), [("hex:00112233", "hex:00112234"), ("1000", "hex:" + "00" * 999 + "01")])
def test_the_data_that_comes_back_is_that_of_the_ping(mine: str, theirs: str, digests: str) -> None:
    assert not of("T-046", f"login {digests}\n> NOP-Out data={mine}\n< NOP-In data={mine}")
    (finding,) = of("T-046", f"login {digests}\n> NOP-Out data={mine}\n< NOP-In data={theirs}")
    assert finding.text.startswith("other data came back: bytes ")


def test_data_that_a_fault_changed_comes_back_as_it_was_given() -> None:
    text = "login\n> NOP-Out data=hex:00112233 ! data=hex:0011223344\n"
    assert not of("T-046", text + "< NOP-In data=hex:0011223344")
    assert of("T-046", text + "< NOP-In data=hex:00112233")


@pytest.mark.parametrize("name", ["DATA_DIGEST_ERROR", "IMMEDIATE_COMMAND_REJECT"])
def test_a_reject_is_an_answer(name: str) -> None:
    text = f"login\n> NOP-Out I as ping\n< Reject Reason={name} reject=ping"
    assert not waits("T-046", text)


def test_one_answer_is_enough_for_a_ping_that_came_twice() -> None:
    assert not waits("T-046", "login\n> NOP-Out I ITT=5\n>> NOP-Out I ITT=5\n< NOP-In ITT=5")


@pytest.mark.parametrize(
    "text",
    [
        "> NOP-Out I ITT=none",
        "> NOP-Out TTT=5",
        "> NOP-Out CmdSN=40",  # beyond the window
        "> NOP-Out CmdSN=2",  # behind a gap
        "> NOP-Out\n> Logout-Request",
        "> Logout-Request\n> NOP-Out",
        "> NOP-Out\n< Async AsyncEvent=CONNECTION_DROP",
        "> NOP-Out\nclose initiator",
        "> NOP-Out\nfired stall",
        "> NOP-Out data=8 ! spoil=data",
        ">x NOP-Out",
        "> SCSI-Command cdb=TEST-UNIT-READY ! DataSegmentLength=8\n> NOP-Out",
        "> NOP-Out data=9000",  # more than the target takes
        "> TMF-Request I Function=CLEAR_TASK_SET\n> NOP-Out",  # which waits for that
        "> SCSI-Command cdb=READ(10):0+1 ITT=9\n> NOP-Out ITT=9",
        "> NOP-Out F=0",
    ],
)
def test_no_answer_is_due_to(text: str) -> None:
    assert not waits("T-046", f"login\n{text}")


def test_in_a_discovery_session_nobody_is_pinged() -> None:
    assert not waits("T-046", "login SessionType=Discovery\n> NOP-Out")


def test_an_immediate_ping_is_answered_in_spite_of_a_gap() -> None:
    assert waits("T-046", "login\n>x SCSI-Command cdb=TEST-UNIT-READY\n> NOP-Out I")
    assert waits("T-046", "login\n>> NOP-Out I")


def test_a_ping_in_the_middle_of_a_connection_is_answered_too() -> None:
    assert waits("T-046", "middle\n> NOP-Out I ITT=1")
    assert not waits("T-046", "middle\n> NOP-Out I ITT=1\n< NOP-In ITT=1 StatSN=5")


# --- T-048, I-030 -----------------------------------------------------------------------------------------------------


def test_a_nop_in_that_moves_the_window_is_no_reply() -> None:
    assert not of("T-048", "login\n> NOP-Out I ITT=none\n< NOP-In ITT=none MaxCmdSN=50")


def test_a_nop_in_that_wants_an_acknowledgement_is_no_reply() -> None:
    text = """
        login
        > SCSI-Command cdb=TEST-UNIT-READY
        < SCSI-Response
        > NOP-Out I ITT=none ExpStatSN=101
        < NOP-In ITT=none
    """
    assert not of("T-048", text)


def test_one_ping_behind_a_nop_out_is_an_accident_and_two_are_not() -> None:
    once = "login\n> NOP-Out I ITT=none\n< NOP-In ITT=none TTT=1"
    assert not of("T-048", once)
    (finding,) = of("T-048", once + "\n> NOP-Out I ITT=none TTT=1\n< NOP-In ITT=none TTT=2")
    assert finding.severity is Severity.SHOULD
    assert not of("T-048", once + "\n> NOP-Out I ITT=none TTT=1\n+5\n< NOP-In ITT=none TTT=2")


def test_a_nop_out_that_acknowledges_is_no_reply() -> None:
    text = """
        login
        > SCSI-Command cdb=TEST-UNIT-READY
        < SCSI-Response
        < NOP-In ITT=none
        > NOP-Out I ITT=none
    """
    assert not of("I-030", text)


def test_the_answer_to_a_ping_is_no_reply_to_what_asks_for_none() -> None:
    assert not of("I-030", "login\n< NOP-In ITT=none TTT=1\n< NOP-In ITT=none\n> NOP-Out I ITT=none TTT=1")


# --- I-028, I-029 -----------------------------------------------------------------------------------------------------


def test_a_forged_ping_is_answered_too() -> None:
    assert waits("I-029", "login\n<< NOP-In ITT=none TTT=7 lun=3")
    assert not waits("I-029", "login\n<< NOP-In ITT=none TTT=7 lun=3\n>x NOP-Out I ITT=none TTT=7 lun=3")
    assert of("I-028", "login\n<< NOP-In ITT=none TTT=7 lun=3\n>x NOP-Out I ITT=none TTT=7")


def test_what_a_fault_changed_is_copied_as_it_was_given() -> None:
    text = "login\n< NOP-In ITT=none TTT=7 lun=3 ! LUN=5\n> NOP-Out I ITT=none TTT=7 LUN="
    assert not of("I-028", text + "5")
    assert of("I-028", text + "0x0003000000000000")


def test_a_tag_that_nobody_gave_is_found() -> None:
    assert of("I-028", "login\n> NOP-Out I ITT=none TTT=7")[0].clause == "RFC 7143 11.18.2"
    assert not of("I-028", "middle\n> NOP-Out I ITT=none TTT=7 CmdSN=1")
    assert not of("I-028", "login\nlost 3\n> NOP-Out I ITT=none TTT=7")
    assert of("I-028", "login\n<x NOP-In ITT=none TTT=7\n>> NOP-Out I ITT=none TTT=7") == []


def test_a_ping_with_a_wrong_digest_may_be_answered_or_not() -> None:
    text = f"login {DIGESTS}\n< NOP-In ITT=none TTT=7 ! spoil=header"
    assert not waits("I-029", text)
    assert not of("I-028", text + "\n> NOP-Out I ITT=none TTT=7")
    assert not of("I-029", text + "\n> NOP-Out I ITT=none TTT=7")


def test_a_ping_that_came_twice_may_be_answered_twice() -> None:
    twice = "login\n< NOP-In ITT=none TTT=7\n<< NOP-In ITT=none TTT=7\n"
    answer = "> NOP-Out I ITT=none TTT=7\n"
    assert not of("I-029", twice + answer * 2)
    assert of("I-029", twice + answer * 3)[0].text == "TTT=0x7 was answered before"


@pytest.mark.parametrize(
    "text",
    [
        "< NOP-In ITT=none",
        "< NOP-In ITT=none TTT=7 data=4",
        "< NOP-In ITT=none TTT=7 StatSN=105",  # something is missing before it
        "< NOP-In ITT=3 TTT=7",
        "< NOP-In ITT=none TTT=7\n> Logout-Request",
        "> Logout-Request\n< NOP-In ITT=none TTT=7",
        "< NOP-In ITT=none TTT=7\nclose initiator rst",
        "<x NOP-In ITT=none TTT=7",
        "fired delay\n< NOP-In ITT=none TTT=7",
        "< NOP-In ITT=none ! DataSegmentLength=4\n< NOP-In ITT=none TTT=7",
    ],
)
def test_the_initiator_owes_no_answer_to(text: str) -> None:
    assert not waits("I-029", f"login\n{text}")
