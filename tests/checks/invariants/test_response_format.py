from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

CASES = (
    Case(
        rule="T-038",
        good="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response Status=CHECK_CONDITION sense=6/29/00
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response Status=CHECK_CONDITION
        """,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        mutant=("sense=6/29/00", "data=hex:001370000600"),
    ),
    Case(
        rule="T-039",
        good="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response Response=0x42
        """,
        short="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F S
        """,
        mutant=("< SCSI-Response", "< SCSI-Response SNACKTag=5"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def _texts(rule: str, words: str) -> list[str]:
    text = f"login\n> SCSI-Command cdb=TEST-UNIT-READY\n< SCSI-Response {words}"
    return [finding.text for finding in judged(text).of(rule)]


SENSE = 18 * "00"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("Status=CHECK_CONDITION", "CHECK CONDITION with no data segment: there is no sense data"),
        ("Status=CHECK_CONDITION data=hex:0000", "CHECK CONDITION with 2 bytes, too few for sense data"),
        (f"Status=CHECK_CONDITION data=hex:0013{SENSE}", "SenseLength=19 in a data segment of 20 bytes"),
        (f"Status=CHECK_CONDITION data=hex:0004{SENSE}", "CHECK CONDITION with SenseLength=4, too few for sense data"),
        (f"Status=BUSY data=hex:0013{SENSE}", "SenseLength=19 in a data segment of 20 bytes"),
        ("Status=GOOD data=hex:00", "SenseLength=0 in a data segment of 1 bytes"),
    ],
)
def test_it_is_told_what_is_wrong_with_the_sense_data(words: str, text: str) -> None:
    assert _texts("T-038", words) == [text]


@pytest.mark.parametrize(
    "words",
    [
        f"Status=CHECK_CONDITION data=hex:0012{SENSE}",
        f"Status=CHECK_CONDITION data=hex:0012{SENSE}ffffffff",  # response data behind the sense data
        "Status=CHECK_CONDITION data=hex:00087206290000000000",  # the descriptor format
        "Status=BUSY data=hex:0000ffff",
        "Response=TARGET_FAILURE Status=CHECK_CONDITION",
        "Response=0x80 Status=CHECK_CONDITION data=hex:ffff",
    ],
)
def test_sense_data_that_is_right_or_not_called_for(words: str) -> None:
    assert not _texts("T-038", words)


def test_the_status_of_a_Data_In_has_no_sense_data() -> None:
    assert not judged("login\n> SCSI-Command cdb=READ(10):0+1\n< Data-In data=512 F S Status=CHECK_CONDITION").of(
        "T-038"
    )


@pytest.mark.parametrize(("code", "found"), [(0, False), (1, False), (2, True), (0x7F, True), (0x80, False)])
def test_the_Response_code(code: int, *, found: bool) -> None:
    assert _texts("T-039", f"Response={code}") == [f"Response={code:#04x}, which is reserved"] * found


TAGGED = """
    login ErrorRecoveryLevel=1
    > SCSI-Command cdb=READ(10):0+1 as read
    < Data-In data=512 F
    {}
    < SCSI-Response SNACKTag=5
"""


@pytest.mark.parametrize(
    ("before", "found"),
    [
        ("> SNACK Type=R_DATA ITT=read.ITT TTT=5", False),
        ("> SNACK Type=R_DATA ITT=read.ITT TTT=5\n> SNACK Type=R_DATA ITT=read.ITT TTT=6", False),
        ("> SNACK Type=R_DATA ITT=read.ITT TTT=4 ! TTT=5", False),
        (">> SNACK Type=R_DATA ITT=read.ITT TTT=5", False),
        ("", True),
        ("> SNACK Type=R_DATA ITT=read.ITT TTT=6", True),
        ("> SNACK Type=R_DATA ITT=read.ITT TTT=5 ! TTT=6", True),
        (">x SNACK Type=R_DATA ITT=read.ITT TTT=5", True),
        ("> SNACK Type=DATA_R2T ITT=read.ITT TTT=5", True),
        ("lost 1", False),
    ],
)
def test_the_SNACK_Tag_is_one_that_the_target_was_given(before: str, *, found: bool) -> None:
    assert bool(judged(TAGGED.format(before)).of("T-039")) is found


def test_the_SNACK_Tag_of_an_unknown_task_is_not_judged() -> None:
    assert not judged("login\n< SCSI-Response ITT=77 SNACKTag=5").of("T-039")
    assert not judged("middle\n> SCSI-Command cdb=READ(10):0+1\n< SCSI-Response SNACKTag=5").of("T-039")
