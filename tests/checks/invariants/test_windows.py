from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

COMMAND = "> SCSI-Command cdb=TEST-UNIT-READY\n"
GOOD = "< SCSI-Response\n"
CLOSED = "< SCSI-Response MaxCmdSN=1\n"  # ExpCmdSN is 2
PING = "< NOP-In ITT=none "
KEYS = 'text="InitiatorName=iqn.2004-01.com.example:a TargetName=iqn.2004-01.com.example:b SessionType=Normal"'
LOGIN = f"""
    > Login-Request T CSG=0 NSG=1 ISID=0x400001370000 CmdSN={{0}} {KEYS}
    < Login-Response T CSG=0 NSG=1 ISID=0x400001370000 ExpCmdSN={{1}} text="TargetPortalGroupTag=1"
    > Login-Request T CSG=1 NSG=3 ISID=0x400001370000 CmdSN={{0}} ExpStatSN=101
    < Login-Response T CSG=1 NSG=3 ISID=0x400001370000 TSIH=1 ExpCmdSN={{2}}
"""
#: A login that leaves room for so many commands from 1 on
NARROW = f"""
    > Login-Request T CSG=1 NSG=3 ISID=0x400001370000 {KEYS}
    < Login-Response T CSG=1 NSG=3 ISID=0x400001370000 TSIH=1 MaxCmdSN={{}} text="TargetPortalGroupTag=1"
"""


CASES = (
    Case(
        rule="T-011",
        good=f"{NARROW.format(32)}{COMMAND}< SCSI-Response ExpCmdSN=2 MaxCmdSN=32",
        bad=f"{NARROW.format(1)}{COMMAND}< SCSI-Response MaxCmdSN=0",
        short="> Login-Request T CSG=1 NSG=3",
        mutant=("ExpCmdSN=2 MaxCmdSN=32", "ExpCmdSN=2 MaxCmdSN=0xffffffff"),
    ),
    Case(
        rule="T-012",
        good=f"login\n{COMMAND}{GOOD}",
        bad=f"login\n{COMMAND}{GOOD}{PING}TTT=5 ExpCmdSN=1",
        short="> Login-Request T CSG=1 NSG=3",
        mutant=("< SCSI-Response\n", "< SCSI-Response ExpCmdSN=0\n"),
    ),
    Case(
        rule="T-013",
        good=f"login\n{COMMAND}< SCSI-Response MaxCmdSN=32",
        bad=f"login\n{COMMAND}< SCSI-Response MaxCmdSN=31",
        short="> Login-Request T CSG=1 NSG=3",
        mutant=("MaxCmdSN=32", "MaxCmdSN=20"),
    ),
    Case(
        rule="T-015",
        good=LOGIN.format(1, 1, 1),
        bad=LOGIN.format(1, 2, 2),
        short="middle\n> NOP-Out\n< NOP-In",
        mutant=("TSIH=1 ExpCmdSN=1", "TSIH=1 ExpCmdSN=2"),
    ),
    Case(
        rule="T-017",
        good=f"middle\n{COMMAND}{CLOSED}+3\n{PING}MaxCmdSN=9",
        bad=f"middle\n{COMMAND}{CLOSED}+20\n{PING}MaxCmdSN=9",
        short=f"middle\n{COMMAND}{CLOSED}+3",
        mutant=("+3", "+16"),
    ),
    Case(
        rule="I-006",
        good=f"{NARROW.format(1)}{COMMAND}",
        bad=f"{NARROW.format(1)}{COMMAND}{COMMAND}",
        short="login\n> NOP-Out I",
        mutant=("MaxCmdSN=1 ", "MaxCmdSN=0 "),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- the target ------------------------------------------------------------------------------------------------------


def test_the_window_goes_round() -> None:
    text = f"""
        {NARROW.format(0xFFFFFFFF)}
        {COMMAND}
        < SCSI-Response MaxCmdSN=1
        {COMMAND}
        < SCSI-Response MaxCmdSN=1
        > NOP-Out I
        < NOP-In ExpCmdSN=0 MaxCmdSN=0xffffffff
    """
    found = judged(text, cmd_sn=0xFFFFFFFE)
    assert found.rules() == {"T-013"}
    assert [one.text for one in found.of("T-013")] == [f"MaxCmdSN went back from 1 to {0xFFFFFFFF}"]
    found = judged(text.replace("ExpCmdSN=0 ", "ExpCmdSN=0xffffffff "), cmd_sn=0xFFFFFFFE)
    assert [one.text for one in found.of("T-012")] == [f"ExpCmdSN went back from 0 to {0xFFFFFFFF}"]


def test_a_refused_login_tells_no_window() -> None:
    text = """
        > Login-Request T CSG=1 NSG=3
        < Login-Response Status-Class=2 Status-Detail=1 StatSN=0 ExpCmdSN=9 MaxCmdSN=1
    """
    found = judged(text)
    assert not found.rules() & {"T-011", "T-012", "T-013", "T-015"}
    assert not found.evidence["T-011"]


def test_connections_of_a_session_may_be_behind_each_other() -> None:
    text = f"""
        login MaxConnections=2
        conn 2
        login TSIH=1 CID=1
        conn 1
        {COMMAND}
        {GOOD}
        conn 2
        < NOP-In ITT=none ExpCmdSN=1 MaxCmdSN=32
    """
    assert not judged(text).rules() & {"T-012", "T-013"}


def test_a_rejected_command_may_be_taken_back() -> None:
    text = """
        login
        > Text-Request text="X-a=b" as text
        < NOP-In ITT=none
        < Reject Reason=PROTOCOL_ERROR reject=text ExpCmdSN=1 MaxCmdSN=32
        < NOP-In ITT=none ExpCmdSN=1 MaxCmdSN=32
    """
    assert not judged(text).rules() & {"T-012", "T-013"}


@pytest.mark.parametrize(("then", "found"), [(3, False), (1, False), (2, True)])
def test_any_login_request_may_have_the_number_that_the_session_begins_with(then: int, found: bool) -> None:
    text = LOGIN.format(1, 3, then).replace("CmdSN=1 text", "CmdSN=3 text", 1)
    assert bool(judged(text).of("T-015")) is found


def test_a_further_connection_begins_with_any_number() -> None:
    text = f"login MaxConnections=2\n{COMMAND}{GOOD}conn 2\nlogin TSIH=1 CID=1"
    found = judged(text)
    assert not found.of("T-015")
    assert found.evidence["T-015"] == 1


@pytest.mark.parametrize(
    "while_closed",
    [
        "> NOP-Out I",  # it waits for its answer
        "> Logout-Request I",
        "close target",
        "close initiator rst",
        "lost 2",
        "fired stall",
    ],
)
def test_a_closed_window_may_stay_closed(while_closed: str) -> None:
    text = f"middle\n{COMMAND}{CLOSED}{while_closed}\n+20\nconn 2\nlogin"
    assert not judged(text).of("T-017")


def test_a_window_stays_closed_while_a_task_is_left() -> None:
    text = f"middle\n{COMMAND}{COMMAND}< SCSI-Response ITT=1 MaxCmdSN=2\n+20\n> NOP-Out I ITT=9\n< NOP-In MaxCmdSN=2"
    assert not judged(text).of("T-017")


# --- the initiator ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1, 0xFFFFFFFE, 0xFFFFFFFF])
def test_a_command_may_use_the_last_place_of_the_window(first: int) -> None:
    last = (first + 1) & 0xFFFFFFFF
    text = f"{NARROW.format(last)}{COMMAND}< SCSI-Response MaxCmdSN={last} ExpCmdSN={last}\n{COMMAND}"
    found = judged(text, cmd_sn=first)
    assert not found.of("I-006")
    assert found.evidence["I-006"] == 2


def test_an_immediate_command_needs_no_window() -> None:
    text = f"login\n{COMMAND}> TMF-Request I Function=LUN_RESET CmdSN=90\n"
    assert not judged(text).of("I-006")


def test_the_window_is_what_was_given_not_what_the_target_sent() -> None:
    text = f"login\n{COMMAND}< SCSI-Response ! MaxCmdSN=60\n"
    far = f"{COMMAND.strip()} CmdSN=50"
    assert not judged(f"{text}{far}").of("I-006")
    assert judged(f"{text.replace(' ! MaxCmdSN=60', '')}{far}").of("I-006")
    assert judged(f"{text.replace('< SCSI-Response ! MaxCmdSN=60', '<x SCSI-Response MaxCmdSN=60')}{far}").of("I-006")


def test_a_smaller_or_senseless_window_is_ignored() -> None:
    text = f"login\n{COMMAND}< SCSI-Response ! ExpCmdSN=2 MaxCmdSN=1\n{COMMAND}< SCSI-Response ! ExpCmdSN=50 MaxCmdSN=1"
    assert not judged(f"{text}\n{COMMAND}").of("I-006")


def test_a_header_may_have_been_read_whose_data_was_spoiled() -> None:
    digests = "HeaderDigest=CRC32C DataDigest=CRC32C"
    text = f"login {digests}\n> SCSI-Command cdb=READ(10):0+1\n< Data-In data=512 F S MaxCmdSN=50 ! spoil={{}}\n"
    far = f"{COMMAND.strip()} CmdSN=45"
    assert not judged(text.format("data") + far).of("I-006")
    assert judged(text.format("header") + far).of("I-006")


def test_a_window_that_may_have_been_missed_is_not_held_to() -> None:
    text = f"login\n{COMMAND}{GOOD}lost 2\n{COMMAND.strip()} CmdSN=90"
    assert not judged(text).of("I-006")
    assert not judged(f"middle\n{COMMAND}{GOOD}{COMMAND.strip()} CmdSN=90").of("I-006")
