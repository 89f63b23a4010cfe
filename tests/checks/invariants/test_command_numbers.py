from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

COMMAND = "> SCSI-Command cdb=TEST-UNIT-READY\n"
GOOD = "< SCSI-Response\n"
SECOND = "login MaxConnections=2\nconn 2\nlogin TSIH=1 CID=1\nconn 1\n"
REJECTED = """
    login
    > SCSI-Command cdb=TEST-UNIT-READY as bad
    < Reject Reason=PROTOCOL_ERROR reject=bad ExpCmdSN=1 MaxCmdSN=32
"""
AFTER = "+1\n> SCSI-Command cdb=TEST-UNIT-READY as next\n"
LATER = "+20\n> NOP-Out I CmdSN=3 ITT=50\n< NOP-In ExpCmdSN={0} ITT=50\n"
NAMES = 'text="InitiatorName=iqn.2004-01.com.example:a TargetName=iqn.2004-01.com.example:b SessionType=Normal"'
LOGIN = f"""
    > Login-Request T CSG=0 NSG=1 ISID=0x400001370000 CmdSN=1 {NAMES}
    < Login-Response T CSG=0 NSG=1 ISID=0x400001370000 text="TargetPortalGroupTag=1"
    > Login-Request T CSG=1 NSG=3 ISID=0x400001370000 CmdSN={{}} ExpStatSN={{}}
"""
FINAL = "    < Login-Response T CSG=1 NSG=3 ISID=0x400001370000 TSIH=1\n"

CASES = (
    Case(
        rule="I-004",
        good=f"login\n{COMMAND}{GOOD}> NOP-Out I CmdSN=2\n< NOP-In\n{COMMAND}{GOOD}",
        bad=f"login\n{COMMAND}{GOOD}> SCSI-Command cdb=TEST-UNIT-READY CmdSN=3",
        short="login\n< NOP-In ITT=none",
        mutant=("NOP-Out I CmdSN=2", "NOP-Out I CmdSN=3"),
    ),
    Case(
        rule="I-005",
        good=f"login\n{COMMAND}{GOOD}{COMMAND}{GOOD}",
        bad="login\n> NOP-Out CmdSN=2\n> NOP-Out CmdSN=1",
        short=f"login\n{COMMAND}> NOP-Out I",
        mutant=(f"login\n{COMMAND}", "login\n> NOP-Out CmdSN=2\n> NOP-Out CmdSN=1\n"),
    ),
    Case(
        rule="I-052",
        good=LOGIN.format(1, 101) + FINAL,
        bad=LOGIN.format(2, 101),
        short="login",
        mutant=("ExpStatSN=101", "ExpStatSN=100"),
    ),
    Case(
        rule="I-058",
        good=f"{REJECTED}{AFTER}> NOP-Out CmdSN=1\n< NOP-In ExpCmdSN=3\n< SCSI-Response ITT=next.ITT",
        bad=f"{REJECTED}{AFTER}{LATER.format(1)}",
        short=f"{REJECTED}{LATER.format(1)}",
        mutant=("> NOP-Out CmdSN=1\n< NOP-In ExpCmdSN=3", LATER.format(1).strip()),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- I-004 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1, 0xFFFFFFFE, 0xFFFFFFFF])
def test_the_count_goes_round(first: int) -> None:
    text = f"login\n{(COMMAND + GOOD) * 4}"
    found = judged(text, cmd_sn=first)
    assert found.findings == ()
    assert found.evidence["I-004"] == 4
    skipped = f"{text}> NOP-Out CmdSN={(first + 6) & 0xFFFFFFFF}"
    (one,) = judged(skipped, cmd_sn=first).of("I-004")
    assert one.text == f"CmdSN {(first + 6) & 0xFFFFFFFF}, expected {(first + 4) & 0xFFFFFFFF}"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("> SCSI-Command cdb=TEST-UNIT-READY CmdSN=0", "CmdSN 0 is lower than any that may come; the next is 1"),
        ("> SCSI-Command cdb=TEST-UNIT-READY CmdSN=2", "CmdSN 2, expected 1"),
        ("> TMF-Request I Function=LUN_RESET CmdSN=0", "an immediate command has CmdSN 0, the next is 1"),
        ("> Text-Request F CmdSN=9 text=SendTargets=", "CmdSN 9, expected 1"),
        ("> Logout-Request CmdSN=9", "CmdSN 9, expected 1"),
    ],
)
def test_the_first_command_has_the_number_of_the_login(line: str, text: str) -> None:
    assert [one.text for one in judged(f"login\n{line}").of("I-004")] == [text]


def test_a_number_is_used_once() -> None:
    (one,) = judged(f"login\n{COMMAND}{GOOD}> NOP-Out CmdSN=1").of("I-004")
    assert one.text == "CmdSN 1 was used before; the next is 2"
    assert [proof.text.partition(" ")[0] for proof in one.proof] == ["NOP-Out", "SCSI-Command"]


def test_one_error_is_told_once() -> None:
    text = f"login\n{COMMAND.strip()} CmdSN=5\n> NOP-Out CmdSN=6\n> NOP-Out CmdSN=7"
    assert len(judged(text).of("I-004")) == 1


def test_a_leap_beyond_the_window_is_not_followed() -> None:
    text = f"login\n{COMMAND}{GOOD}> NOP-Out CmdSN=900\n> NOP-Out CmdSN=2\n> NOP-Out CmdSN=3\n> NOP-Out I CmdSN=4"
    found = judged(text)
    assert [one.text for one in found.of("I-004")] == ["CmdSN 900, expected 2"]
    assert not found.of("I-005")


def test_who_heeds_no_window_counts_all_the_same() -> None:
    text = "login\n" + "".join(f"> NOP-Out CmdSN={number}\n" for number in range(1, 40))
    found = judged(text)
    assert not found.of("I-004")
    assert found.of("I-006")


def test_data_and_snack_have_no_number() -> None:
    text = """
        login InitialR2T=No ImmediateData=No
        > SCSI-Command cdb=WRITE(10):0+1 F=0
        > Data-Out F data=512
        < SCSI-Response
        > NOP-Out
    """
    found = judged(text)
    assert not found.of("I-004")
    assert found.evidence["I-004"] == 2


def test_what_a_fault_does_to_a_command_does_not_change_the_count() -> None:
    text = """
        login
        > NOP-Out ! CmdSN=9
        >x NOP-Out
        >> NOP-Out CmdSN=40 ITT=90
        > NOP-Out CmdSN=3
    """
    found = judged(text)
    assert not found.of("I-004")
    assert found.evidence["I-004"] == 3


def test_a_retry_has_the_number_of_its_command() -> None:
    text = "login\n> NOP-Out as ping\n> NOP-Out\n> NOP-Out ITT=ping.ITT CmdSN=ping.CmdSN"
    assert not judged(text).rules() & {"I-004", "I-005"}


def test_on_several_connections_a_gap_may_be_filled_by_another() -> None:
    text = SECOND + "> NOP-Out CmdSN=2 ITT=2\n{}+20\n> NOP-Out I CmdSN=3"
    other = "conn 2\n> NOP-Out CmdSN=1 ITT=1\nconn 1\n"
    assert not judged(text.format(other)).rules() & {"I-004", "I-005"}
    (one,) = judged(text.format("")).of("I-004")
    assert one.text == "CmdSN 2 was sent, and CmdSN 1 on no connection within 15 s"
    assert not judged(text.format("conn 2\nclose initiator rst\nconn 1\n")).of("I-004")


def test_a_command_that_was_lost_with_its_connection_leaves_a_gap_unseen() -> None:
    text = SECOND + "conn 2\n> NOP-Out CmdSN=1 ITT=1\nclose target rst\nconn 1\n> NOP-Out CmdSN=4 ITT=2"
    assert not judged(text).of("I-004")
    assert judged(text.replace("close target rst\n", "") + "\n+20\n> NOP-Out I CmdSN=5").of("I-004")


def test_what_was_not_seen_is_not_counted() -> None:
    assert not judged(f"middle\n{COMMAND}> NOP-Out CmdSN=50").of("I-004")
    assert not judged(f"login\n{COMMAND}lost 1\n> NOP-Out CmdSN=50").of("I-004")


# --- I-005 -----------------------------------------------------------------------------------------------------------


def test_order_is_kept_on_each_connection_alone() -> None:
    text = SECOND + "> NOP-Out CmdSN=2 ITT=2\nconn 2\n> NOP-Out CmdSN=1 ITT=1\n{}"
    assert not judged(text.format("")).of("I-005")
    late = "conn 1\n> NOP-Out CmdSN=4 ITT=4\n> NOP-Out CmdSN=3 ITT=3"
    (one,) = judged(text.format(late)).of("I-005")
    assert one.text == "CmdSN 3 was sent behind CmdSN 4"


# --- I-052 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cmd_sn", "stat_sn", "text"),
    [
        (2, 101, "the login has CmdSN 2 now, and began with 1"),
        (1, 100, "ExpStatSN 100 does not acknowledge the Login Response with StatSN 100"),
    ],
)
def test_what_is_wrong_in_a_login(cmd_sn: int, stat_sn: int, text: str) -> None:
    (one,) = judged(LOGIN.format(cmd_sn, stat_sn)).of("I-052")
    assert one.text == text
    assert len(one.proof) == 2


def test_a_further_connection_may_log_in_with_a_count_that_goes_on() -> None:
    login = LOGIN.format(4, 101).replace("CmdSN", "TSIH=1 CID=1 CmdSN")
    text = f"login MaxConnections=2\nconn 2\n{login}"
    found = judged(text)
    assert not found.of("I-052")
    assert found.evidence["I-052"] == 1


def test_a_login_response_that_a_fault_made_may_not_be_read_yet() -> None:
    forged = '<< Login-Response T CSG=0 NSG=1 ISID=0x400001370000 StatSN=101 text="X-a=b"\n    > Login-Request T CSG=1'
    assert not judged(LOGIN.format(1, 101).replace("> Login-Request T CSG=1", forged)).of("I-052")


# --- I-058 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "plug",
    [
        "> SCSI-Command cdb=TEST-UNIT-READY ITT=bad.ITT CmdSN=1\n",
        "> TMF-Request I Function=ABORT_TASK RefTaskTag=bad.ITT RefCmdSN=1\n",
        "> TMF-Request Function=ABORT_TASK RefTaskTag=bad.ITT RefCmdSN=1\n",
        "> NOP-Out CmdSN=1\n",
    ],
)
def test_a_gap_is_filled_by_a_command_or_an_abort(plug: str) -> None:
    later = LATER.replace("CmdSN=3", "CmdSN=4") if "Request Function" in plug else LATER
    found = judged(f"{REJECTED}{plug}{AFTER}{later.format(1)}")
    assert not found.rules() & {"I-058", "I-004", "I-005", "I-008", "I-010"}
    assert found.evidence["I-058"] == 1


@pytest.mark.parametrize(
    "instead",
    [
        "> Logout-Request CmdSN=2\n",  # the session does not go on
        "close initiator\n",
        "< NOP-In ITT=none ExpCmdSN=3\n",  # the target did not wait for it
    ],
)
def test_a_gap_need_not_be_filled(instead: str) -> None:
    end = "conn 2\nlogin" if "close" in instead else LATER.format(1)
    assert not judged(f"{REJECTED}{AFTER if 'Logout' not in instead else ''}{instead}+20\n{end}").of("I-058")


def test_commands_that_crossed_the_reject_do_not_say_that_the_session_goes_on() -> None:
    crossing = f"{COMMAND.strip()} ExpStatSN=101\n"
    assert not judged(f"{REJECTED}{crossing}{LATER.format(1)}").of("I-058")
    assert judged(f"{REJECTED}+1\n{crossing}{LATER.format(1)}").of("I-058")
    assert judged(f"{REJECTED}{COMMAND}{LATER.format(1)}").of("I-058")


@pytest.mark.parametrize(
    "reject",
    [
        "< Reject Reason=PROTOCOL_ERROR reject=bad ExpCmdSN=2",  # it was acknowledged
        "< Reject Reason=PROTOCOL_ERROR reject=bad ExpCmdSN=1 ! ExpCmdSN=2",
        "< Reject Reason=PROTOCOL_ERROR data=48 ExpCmdSN=1",
    ],
)
def test_not_every_reject_leaves_a_gap(reject: str) -> None:
    text = f"login\n{COMMAND.strip()} as bad\n{reject} MaxCmdSN=32\n{AFTER}{LATER.format(1)}"
    assert not judged(text).of("I-058")


def test_a_reject_by_the_proxy_leaves_a_gap_too() -> None:
    text = REJECTED.replace("< Reject", "<< Reject")
    assert judged(f"{text}{AFTER}{LATER.format(1)}").of("I-058")
