from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

#: Two commands change places: the second is there first, and is thrown away or not.
SWAPPED = """
    login
    >x SCSI-Command cdb=TEST-UNIT-READY as one
    > SCSI-Command cdb=TEST-UNIT-READY as two
    >> SCSI-Command cdb=TEST-UNIT-READY ITT=one.ITT CmdSN=one.CmdSN ! ATTR=0
    < SCSI-Response ITT=one.ITT ExpCmdSN=2
"""
#: A READ whose CmdSN comes again behind it
BEFORE = "login\n> SCSI-Command cdb=READ(10):0+1 as cmd\n"
COPY = ">> SCSI-Command cdb=READ(10):0+1 ITT=cmd.ITT CmdSN=cmd.CmdSN\n"
TWICE = BEFORE + COPY
LATER = "+30\n> NOP-Out I ITT=0x99\n< NOP-In\n"
OTHER = "> SCSI-Command cdb=READ(10):0+1 ITT=9\n< Data-In ITT=9 data=512 F S\n"

CASES = [
    Case(
        rule="T-082",
        good=f"""{SWAPPED}
            +2
            > NOP-Out I ITT=9
            < NOP-In ExpCmdSN=3
        """,
        bad=f"""{SWAPPED}
            +2
            > NOP-Out I ITT=9
            < NOP-In ExpCmdSN=2
        """,
        short="login\n> SCSI-Command cdb=TEST-UNIT-READY",
        mutant=("< NOP-In ExpCmdSN=3", "< NOP-In ExpCmdSN=2"),
    ),
    Case(
        rule="T-083",
        good=f"""{TWICE}
            < Data-In ITT=cmd.ITT data=512 F S
            {OTHER}
            +30
            > NOP-Out
            < NOP-In
        """,
        bad=f"""{TWICE}
            {OTHER}
            +30
            > NOP-Out
            < NOP-In
        """,
        short=f"""{TWICE}
            {OTHER}
            +1
            > NOP-Out
            < NOP-In
        """,
        mutant=("            < Data-In ITT=cmd.ITT data=512 F S\n", ""),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def found(rule: str, text: str) -> list[str]:
    """Give what a rule finds in a dialogue."""
    return [finding.text for finding in judged(text).of(rule)]


# --- T-082 -----------------------------------------------------------------------------------------------------------


def test_what_was_thrown_away_is_told_once_and_proven() -> None:
    ping = "> NOP-Out I ITT=9\n< NOP-In ExpCmdSN=2\n"
    (finding,) = judged(f"{SWAPPED}\n+2\n{ping}{ping}").of("T-082")
    assert finding.text.startswith("ExpCmdSN is 2 still, 2.0 s behind the command with this CmdSN")
    assert [one.text.split()[0] for one in finding.proof] == ["NOP-In", "SCSI-Command", "NOP-Out"]


def test_a_logout_is_no_excuse_for_what_came_long_before() -> None:
    assert found("T-082", f"{SWAPPED}\n+2\n> Logout-Request I ITT=9\n< Logout-Response ExpCmdSN=2") != []
    assert found("T-082", f"{SWAPPED}\n> Logout-Request I ITT=9\n+2\n< Logout-Response ExpCmdSN=2") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">x SCSI-Command cdb=TEST-UNIT-READY\n> SCSI-Command cdb=TEST-UNIT-READY", 1),
        ("> SCSI-Command cdb=TEST-UNIT-READY as cmd\n< Reject Reason=PROTOCOL_ERROR reject=cmd ExpCmdSN=1", 1),
        ("> SCSI-Command cdb=WRITE(10):0+1 data=512 spoil=data", 1),
        ("> SCSI-Command cdb=TEST-UNIT-READY ! ATTR=7", 1),
        (">> SCSI-Command cdb=TEST-UNIT-READY", 1),
        ("> NOP-Out\n< NOP-In MaxCmdSN=2\n> SCSI-Command cdb=TEST-UNIT-READY CmdSN=3", 2),
        ("> SCSI-Command cdb=TEST-UNIT-READY\n> Logout-Request I ITT=8", 1),
        ("> SCSI-Command cdb=TEST-UNIT-READY\nlost 1", 1),
        ("> TMF-Request I ITT=8 Function=ABORT_TASK_SET\n> SCSI-Command cdb=TEST-UNIT-READY", 1),
    ],
    ids=["missing", "rejected", "wrong digest", "changed", "made", "too far", "logged out", "lost", "behind a TMF"],
)
def test_what_it_need_not_take(text: str, expected: int) -> None:
    dialogue = f"login DataDigest=CRC32C\n{text}\n+2\n> NOP-Out I ITT=9\n< NOP-In ExpCmdSN={expected}"
    assert found("T-082", dialogue) == []


@pytest.mark.parametrize(
    "text",
    [
        f"{SWAPPED}\n> NOP-Out I ITT=9\n< NOP-In ExpCmdSN=2",
        f"{SWAPPED}\n+2\n< NOP-In ITT=none ExpCmdSN=2",
        SWAPPED.replace(">> SCSI", "+2\n>> SCSI"),
        "login\n> NOP-Out I ITT=9\n> SCSI-Command cdb=TEST-UNIT-READY ITT=1\n+2\n< NOP-In ITT=9 ExpCmdSN=1",
        "middle\n> SCSI-Command cdb=TEST-UNIT-READY\n+2\n> NOP-Out I ITT=9\n< NOP-In ExpCmdSN=1",
    ],
    ids=[
        "at once",
        "no answer",
        "the one before it comes late",
        "the answer to what came before",
        "from the middle on",
    ],
)
def test_what_may_not_have_been_read(text: str) -> None:
    assert found("T-082", text) == []


# --- T-083 -----------------------------------------------------------------------------------------------------------


def test_a_copy_under_another_tag() -> None:
    text = TWICE.replace("ITT=cmd.ITT", "ITT=0x77")
    (finding,) = judged(f"{text}{OTHER}{LATER}").of("T-083")
    assert finding.text.startswith("CmdSN 1 came twice, and its command ITT=0x1 was not answered")
    assert str(finding.severity) == "heuristic"
    assert finding.label == "silence"


@pytest.mark.parametrize(
    "text",
    [
        f"{TWICE}> SCSI-Command cdb=READ(10):0+1 ITT=9\n",
        f"{BEFORE}> SCSI-Command cdb=READ(10):0+1 ITT=9\n{COPY}< Data-In ITT=9 data=512 F S\n",
        f"{TWICE}< R2T ITT=cmd.ITT DesiredDataTransferLength=512\n{OTHER}".replace("READ(10)", "WRITE(10)", 2),
        f"{TWICE}{OTHER}> TMF-Request I ITT=8 Function=ABORT_TASK RefTaskTag=cmd.ITT RefCmdSN=cmd.CmdSN\n",
        f"{TWICE}{OTHER}> Logout-Request I ITT=8\n",
        f"{TWICE}{OTHER}close initiator\nconn 2\nlogin\n",
    ],
    ids=["others wait too", "others came before", "waits for data", "aborted", "logged out", "closed"],
)
def test_other_reasons_to_wait(text: str) -> None:
    assert found("T-083", text + LATER) == []
