from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

_STORM = "\n".join(
    f"""
    conn {number}
    > Login-Request T CSG=1 NSG=3 ISID=0x400001370000 text="InitiatorName=iqn.a:i TargetName=iqn.a:t SessionType=Normal"
    < Login-Response ISID=0x400001370000 Status-Class=3 Status-Detail=1
    close target
    """
    for number in range(1, 12)
)
_BUSY = """
    > SCSI-Command cdb=READ(10):0+1
    < SCSI-Response Status=BUSY U ResidualCount=512
"""

CASES = (
    Case(
        rule="T-L01",
        good="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            +2
            < SCSI-Response
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            +61
            > NOP-Out I
            < NOP-In
        """,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            +59
            > NOP-Out I
            < NOP-In
        """,
        mutant=("+2", "+62"),
    ),
    Case(
        rule="I-L01",
        good="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            +2
            < SCSI-Response
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            +121
            > NOP-Out I
            < NOP-In
        """,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY as lost
            +70
            > TMF-Request I Function=ABORT_TASK RefTaskTag=lost.ITT RefCmdSN=lost.CmdSN
            < TMF-Response
            +70
            > NOP-Out I
            < NOP-In
        """,
        mutant=("+2", "+122"),
    ),
    Case(
        rule="I-L02",
        good="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            fired close
            close target rst
            +3
            conn 2
            login
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            fired close
            close target rst
            +61
            conn 2
            login InitiatorName=iqn.2004-01.com.example:other
        """,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            close target rst
            +20
            conn 2
        """,
        mutant=("+3", "+63"),
    ),
    Case(
        rule="I-L03",
        good=_STORM.replace("conn 10\n", "+6\nconn 10\n"),
        bad=_STORM,
        short="login",
        mutant=("+6", "+1"),
    ),
    Case(
        rule="I-L04",
        good="login" + _BUSY + "+7" + _BUSY,
        bad="login" + _BUSY * 60,
        short="login" + _BUSY,
        mutant=("+7", _BUSY * 60),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def test_a_command_that_a_fault_keeps_from_its_turn_is_not_the_targets_delay() -> None:
    # The target holds the second command until the first has come (RFC 7143 4.2.2.1).
    text = """
        login
        >x SCSI-Command cdb=TEST-UNIT-READY
        > SCSI-Command cdb=TEST-UNIT-READY
        +61
        > NOP-Out I
        < NOP-In
    """
    assert not judged(text).of("T-L01")


def test_many_short_sessions_that_are_of_use_are_no_storm() -> None:
    text = "\n".join(
        f"conn {number}\nlogin\n> SCSI-Command cdb=TEST-UNIT-READY\n< SCSI-Response\nclose initiator"
        for number in range(1, 15)
    )
    assert not judged(text).of("I-L03")
