from __future__ import annotations

import pytest

from iscsiproxy.checks.profiles import Profile
from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

CASES = (
    Case(
        rule="I-059",
        good="""
            login
            > NOP-Out
            << NOP-In TTT=9
            close initiator rst
        """,
        bad="""
            login
            > NOP-Out
            << NOP-In TTT=9
            +16
            > NOP-Out
        """,
        short="""
            login
            > NOP-Out
            << NOP-In TTT=9
            +0.5
            > SCSI-Command cdb=TEST-UNIT-READY
        """,
        mutant=("close initiator rst", "+2\n> NOP-Out"),
    ),
)

NAMED = (
    ("> NOP-Out", "NOP-In TTT=9"),
    ("> SCSI-Command cdb=TEST-UNIT-READY", "SCSI-Response Status=CHECK_CONDITION"),
)
OTHERS = (
    ("> SCSI-Command cdb=WRITE(10):0+1", "R2T TTT=none DesiredDataTransferLength=512"),
    ("> SCSI-Command cdb=WRITE(10):0+1", "R2T DesiredDataTransferLength=0"),
    ("> SCSI-Command cdb=READ(10):0+1", "Data-In data=512 S"),
    ("> SCSI-Command cdb=READ(10):0+1", "Data-In data=256 F S O U ResidualCount=256"),
    ("> SCSI-Command cdb=READ(10):0+1", "SCSI-Response O U ResidualCount=512"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


@pytest.mark.parametrize("mark", ["<", "<<"])
@pytest.mark.parametrize(("before", "bad"), NAMED)
def test_what_the_standard_names_ends_the_connection(before: str, bad: str, mark: str) -> None:
    text = f"""
        login
        {before}
        {mark} {bad}
        {{}}
    """
    (found,) = judged(text.format("+3\n> NOP-Out\n> NOP-Out")).of("I-059")
    assert (found.severity, found.label) == (Severity.MUST, "NOP-Out")
    assert found.text.startswith("NOP-Out 3.0 s after ")
    assert len(found.proof) == 2
    (found,) = judged(text.format("+16\nconn 2")).of("I-059")
    assert (found.severity, found.label) == (Severity.MUST, "silence")
    assert found.text.startswith("the connection was not ended after ")
    assert len(judged(text.format("+16\n> NOP-Out\n+1\n> NOP-Out")).of("I-059")) == 1
    for end in ("initiator", "initiator rst", "target"):
        assert not judged(text.format(f"close {end}\nconn 2\n+20\nlogin")).of("I-059")


@pytest.mark.parametrize(("before", "bad"), OTHERS)
def test_other_format_errors_weigh_less(before: str, bad: str) -> None:
    text = f"""
        login
        {before}
        << {bad}
        {{}}
    """
    (found,) = judged(text.format("+6\n> NOP-Out\n> NOP-Out")).of("I-059")
    assert found.severity is Severity.SHOULD
    assert not judged(text.format("+16\nconn 2")).of("I-059")


@pytest.mark.parametrize(
    "fine",
    [
        "> NOP-Out\n< NOP-In",
        "< NOP-In ITT=none TTT=5 lun=1",
        "> SCSI-Command cdb=TEST-UNIT-READY\n< SCSI-Response Status=CHECK_CONDITION sense=6/29/00",
        "> SCSI-Command cdb=TEST-UNIT-READY\n< SCSI-Response Status=CHECK_CONDITION Response=TARGET_FAILURE",
        "> SCSI-Command cdb=READ(10):0+1\n< Data-In data=512 F S",
        "> SCSI-Command cdb=READ(10):0+1\n< Data-In data=512 F O U",  # without S there is no residual
        "> NOP-Out\n<x NOP-In TTT=9",
        "> NOP-Out\n< NOP-In TTT=9 ! TTT=none",
    ],
)
def test_what_is_no_format_error(fine: str) -> None:
    assert not judged(f"login\n{fine}\n+3\n> NOP-Out\n+20\n> NOP-Out").of("I-059")


@pytest.mark.parametrize(("seconds", "found"), [(3, False), (6, True)])
def test_what_was_on_its_way_does_not_acknowledge_it(seconds: int, *, found: bool) -> None:
    text = f"""
        login
        > NOP-Out
        << NOP-In TTT=9 as bad
        +{seconds}
        > NOP-Out ExpStatSN=bad.StatSN
    """
    assert bool(judged(text).of("I-059")) is found


def test_a_PDU_with_a_wrong_digest_was_not_read() -> None:
    text = """
        login HeaderDigest=CRC32C
        > NOP-Out
        << NOP-In TTT=9 spoil=header
        +20
        > NOP-Out
    """
    assert not judged(text).of("I-059")


def test_what_a_fault_holds_up_is_not_late() -> None:
    text = """
        login
        > NOP-Out
        << NOP-In TTT=9
        fired stall
        +20
        > NOP-Out
    """
    assert not judged(text).of("I-059")


@pytest.mark.parametrize(("profile", "found"), [(Profile.RFC3720, False), (Profile.RFC5048, True)])
def test_RFC_5048_made_the_list(profile: Profile, *, found: bool) -> None:
    text = "login\n> NOP-Out\n<< NOP-In TTT=9\n+20\n> NOP-Out"
    assert bool(judged(text, profile=profile).of("I-059")) is found


def test_a_connection_that_logs_out_ends_anyway() -> None:
    text = """
        login
        > NOP-Out
        > Logout-Request
        << NOP-In ITT=1 TTT=9
        +20
        > Data-Out
    """
    assert not judged(text).of("I-059")
