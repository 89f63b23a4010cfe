from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

COMMAND = "> SCSI-Command cdb=TEST-UNIT-READY\n"
FIRST = "login\n> SCSI-Command cdb=READ(10):0+1 as cmd\n"
RETRY = "> SCSI-Command cdb=READ(10):{}+1 ITT=cmd.ITT CmdSN=cmd.CmdSN ExpStatSN=cmd.ExpStatSN"
ANSWER = "< Data-In F S data=512 ITT=cmd.ITT"
ACKED = "< NOP-In ITT=none ExpCmdSN=2\n"
REMOVED = """
        conn 2
        > Logout-Request I ReasonCode=REMOVE_CONNECTION_FOR_RECOVERY CID=0 ITT=90
        < Logout-Response ITT=90
"""
FAR = (1 << 31) + 1  # 2**31 past the first

CASES = (
    Case(
        rule="I-007",
        good=f"{FIRST}{RETRY.format(0)}\n{ANSWER}",
        bad=f"{FIRST}{RETRY.format(1)}",
        short=f"{FIRST}{ANSWER}\n{COMMAND}",
        mutant=("READ(10):0+1 ITT", "READ(10):0+1 lun=3 ITT"),
    ),
    Case(
        rule="I-008",
        good=f"{FIRST}{RETRY.format(0)}\n{ANSWER}",
        bad=f"{FIRST}{ANSWER}\n+1\n{RETRY.format(0)}",
        short=f"{FIRST}{ANSWER}\n{COMMAND}",
        mutant=(FIRST, f"{FIRST}{ACKED}+1\n"),
    ),
    Case(
        rule="I-009",
        good=f"{FIRST}{RETRY.format(0)}\n> NOP-Out CmdSN=2\n< NOP-In ExpCmdSN=3\n{ANSWER} ExpCmdSN=3",
        bad=f"{FIRST}{RETRY.format(0)}\n> NOP-Out CmdSN={FAR}",
        short=f"{FIRST}{ANSWER}\n{COMMAND}",
        mutant=("> NOP-Out CmdSN=2", f"> NOP-Out CmdSN={FAR}"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- I-007 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "retry", "text"),
    [
        ("cdb=READ(10):0+1", "cdb=READ(10):0+1 ATTR=2", "ATTR=0x2, the command had 0x1"),
        ("cdb=READ(10):0+1", "cdb=READ(10):0+1 EDTL=1024", "EDTL=0x400, the command had 0x200"),
        ("cdb=READ(10):0+1", "cdb=READ(10):8+1", "another CDB"),
        ("cdb=WRITE(10):0+1 data=64", "cdb=WRITE(10):0+1 data=32", "DataSegmentLength=0x20, the command had 0x40"),
        ("cdb=WRITE(10):0+1 data=hex:00112233", "cdb=WRITE(10):0+1 data=hex:00112244", "other data"),
    ],
)
def test_a_retry_is_the_same_command(command: str, retry: str, text: str) -> None:
    (one,) = judged(f"login\n> SCSI-Command {command} as cmd\n> SCSI-Command {retry} ITT=cmd.ITT CmdSN=1").of("I-007")
    assert one.text == f"the retry of CmdSN 1 has {text}"
    assert len(one.proof) == 2


def test_a_retry_may_acknowledge_more() -> None:
    text = f"{FIRST}< NOP-In ITT=none TTT=5 ExpCmdSN=1\n{RETRY.format(0)}".replace(
        "ExpStatSN=cmd.ExpStatSN", "ExpStatSN=101"
    )
    assert not judged(text).of("I-007")


def test_what_fills_the_place_of_a_rejected_command_may_be_another_but_not_its_retry() -> None:
    text = f"{FIRST}< Reject Reason=LONG_OPERATION_REJECT reject=cmd ExpCmdSN=1\n> SCSI-Command CmdSN=1 "
    assert judged(f"{text}cdb=READ(10):0+1 ITT=cmd.ITT").evidence["I-007"] == 1
    assert judged(f"{text}cdb=READ(10):5+1 ITT=cmd.ITT").of("I-007")
    assert not judged(f"{text}cdb=READ(10):5+1 ITT=70").of("I-007")


@pytest.mark.parametrize(
    ("between", "found"),
    [
        ("", True),
        ("close initiator rst\n", False),
        (REMOVED, False),
    ],
)
def test_a_retry_stays_on_its_connection_while_that_lives(between: str, found: bool) -> None:
    text = f"""
        login MaxConnections=2 ErrorRecoveryLevel=2
        conn 2
        login TSIH=1 CID=1
        conn 1
        > SCSI-Command cdb=READ(10):0+1 as cmd
        {between}
        conn 2
        {RETRY.format(0)}
    """
    assert bool(judged(text).of("I-007")) is found


# --- I-008 -----------------------------------------------------------------------------------------------------------


def test_a_retry_may_cross_its_acknowledgement() -> None:
    text = f"{FIRST}{ACKED}{{}}{RETRY.format(0)}"
    crossing = judged(text.format(""))
    assert not crossing.of("I-008")
    assert not crossing.evidence["I-008"]
    (one,) = judged(text.format("+1\n")).of("I-008")
    assert one.text == "CmdSN 1 was retried behind its acknowledgement by ExpCmdSN 2"
    assert judged(f"{FIRST}{ACKED}+1\n{COMMAND}< SCSI-Response ExpCmdSN=3\n{RETRY.format(0)}").of("I-008"), (
        "the first one counts"
    )


def test_a_retry_may_cross_its_answer() -> None:
    assert not judged(f"{FIRST}{ANSWER}\n{RETRY.format(0)}").of("I-008")
    (one,) = judged(f"{FIRST}{ANSWER} ! ExpCmdSN=1\n+1\n{RETRY.format(0)}").of("I-008")
    assert one.text == "CmdSN 1 was retried behind its response"


def test_an_acknowledgement_that_was_not_given_is_none() -> None:
    assert not judged(f"{FIRST}{ACKED.replace('<', '<x')}+1\n{RETRY.format(0)}").of("I-008")


@pytest.mark.parametrize("first", [0xFFFFFFFE, 0xFFFFFFFF])
def test_acknowledgements_go_round(first: int) -> None:
    told = ACKED.replace("ExpCmdSN=2", f"ExpCmdSN={(first + 1) & 0xFFFFFFFF}")
    assert judged(f"{FIRST}{told}+1\n{RETRY.format(0)}", cmd_sn=first).of("I-008")
    assert not judged(f"{FIRST}+1\n{RETRY.format(0)}", cmd_sn=first).of("I-008")


def test_a_copy_that_a_fault_made_is_nobodys_retry() -> None:
    found = judged(f"{FIRST}{ACKED}+1\n{RETRY.format(0).replace('> ', '>> ')}")
    assert not found.rules() & {"I-007", "I-008", "I-009"}


# --- I-009 -----------------------------------------------------------------------------------------------------------


def test_several_retries_do_not_lie_before_each_other() -> None:
    text = f"{FIRST}> NOP-Out as ping\n> NOP-Out ITT=ping.ITT CmdSN=2\n{RETRY.format(0)}\n> NOP-Out CmdSN=3"
    found = judged(text)
    assert not found.of("I-009")
    assert found.evidence["I-009"] == 1


@pytest.mark.parametrize(
    ("freed", "found"),
    [
        ("> NOP-Out CmdSN=2\n< NOP-In ExpCmdSN=3\n", False),
        ("> NOP-Out CmdSN=2\n< NOP-In ExpCmdSN=2\n", True),
        ("> NOP-Out I CmdSN=2\n< NOP-In ExpCmdSN=3\n", True),
    ],
)
def test_a_newer_command_that_was_acknowledged_ends_it(freed: str, found: bool) -> None:
    assert bool(judged(f"{FIRST}{RETRY.format(0)}\n{freed}> NOP-Out CmdSN={FAR}").of("I-009")) is found
