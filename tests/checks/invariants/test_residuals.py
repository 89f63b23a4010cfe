from __future__ import annotations

import pytest

from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

#: What a disk of 2048 blocks of 512 bytes answers
CAPACITY = "< Data-In data=hex:000007ff00000200 F S"
LEARNED = f"""
    login
    > SCSI-Command cdb=READ-CAPACITY(10) lun=1
    {CAPACITY}
"""

CASES = (
    Case(
        rule="T-034",
        good="""
            login
            > SCSI-Command cdb=INQUIRY:0+96
            < Data-In data=36 F
            < SCSI-Response U ResidualCount=60
        """,
        bad="""
            login
            > SCSI-Command cdb=INQUIRY:0+96
            < Data-In data=36 F S U O ResidualCount=60
        """,
        short="""
            login
            > SCSI-Command cdb=INQUIRY:0+96
            < Data-In data=36 F
        """,
        mutant=("U ResidualCount=60", "ResidualCount=60"),
    ),
    Case(
        rule="T-035",
        good=LEARNED
        + """
            > SCSI-Command cdb=READ(10):0+1 lun=1 EDTL=1024
            < Data-In data=512 F S U ResidualCount=512
        """,
        bad=LEARNED
        + """
            > SCSI-Command cdb=WRITE(10):0+2 lun=1 EDTL=512 data=512
            < SCSI-Response
        """,
        short="""
            login
            > SCSI-Command cdb=READ(10):0+2 lun=1 EDTL=512
            < Data-In data=512 F S
        """,
        mutant=("READ(10):0+1", "READ(10):0+2"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- T-034 -----------------------------------------------------------------------------------------------------------


def test_a_count_without_a_flag_is_a_blemish() -> None:
    found = judged("""
        login
        > SCSI-Command cdb=TEST-UNIT-READY
        < SCSI-Response ResidualCount=7
    """).of("T-034")
    assert found[0].severity is Severity.SHOULD


def test_the_flags_of_the_read_side_exclude_each_other_too() -> None:
    text = "login\n> SCSI-Command cdb=TEST-UNIT-READY\n< SCSI-Response "
    assert judged(text + "o u").of("T-034")[0].severity is Severity.MUST
    assert not judged(text + "o U").of("T-034")


def test_without_s_they_mean_nothing() -> None:
    assert not judged("""
        login
        > SCSI-Command cdb=READ(10):0+1
        < Data-In data=512 F O U ResidualCount=5
    """).of("T-034")


# --- T-035 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "end", "broken"),
    [
        ("READ(10):0+2 EDTL=1024", "< Data-In data=1024 F S", False),
        ("READ(6):0+2 EDTL=512", "< Data-In data=512 F S O ResidualCount=512", False),
        ("READ(6):0+2 EDTL=512", "< Data-In data=512 F S U ResidualCount=512", True),
        ("READ(16):0+2 EDTL=512", "< Data-In data=512 F S", True),
        ("READ(16):0+1 EDTL=512", "< Data-In data=512 F S O ResidualCount=512", True),
        ("WRITE(16):0+1 EDTL=1024 data=1024", "< SCSI-Response U ResidualCount=512", False),
        ("WRITE(16):0+1 EDTL=1024 data=1024", "< SCSI-Response", True),
        ("WRITE(16):0+1 EDTL=1024 data=1024", "< SCSI-Response U ResidualCount=511", True),
        ("WRITE(16):0+1 EDTL=1024 data=1024", "< SCSI-Response Status=CHECK_CONDITION sense=5/24/00", False),
        ("WRITE(16):0+1 EDTL=1024 data=1024", "< SCSI-Response Response=TARGET_FAILURE", False),
        ("READ(10):0+0 EDTL=512", "< SCSI-Response U ResidualCount=512", False),
        ("INQUIRY:0+36 EDTL=96", "< Data-In data=36 F S U ResidualCount=60", False),
        ("hex:28200000000000000100 R EDTL=520", "< Data-In data=520 F S", False),  # with protection information
        ("hex:28000000000000000100 R EDTL=520", "< Data-In data=520 F S", True),
    ],
)
def test_what_is_moved_follows_from_the_blocks(command: str, end: str, broken: bool) -> None:
    assert bool(judged(f"{LEARNED}\n> SCSI-Command lun=1 cdb={command}\n{end}").of("T-035")) is broken


def test_the_block_length_is_that_of_the_unit() -> None:
    text = LEARNED + """
        > SCSI-Command cdb=READ(10):0+1 lun=2 EDTL=4096
        < Data-In data=4096 F S
    """  # fmt: skip
    assert not judged(text).of("T-035")
    assert judged(text.replace("lun=2", "lun=1")).of("T-035")


def test_the_long_capacity_tells_it_too() -> None:
    text = f"""
        login
        > SCSI-Command cdb=hex:9e10000000000000000000000020 R EDTL=32
        < Data-In data=hex:00000000000007ff00001000{"00" * 20} F S
        > SCSI-Command cdb=READ(10):0+1 EDTL=512
        < Data-In data=512 F S
    """
    assert judged(text).of("T-035")
    assert not judged(text.replace("1 EDTL=512", "1 EDTL=4096").replace("data=512", "data=4096")).of("T-035")


def test_a_capacity_that_is_cut_tells_nothing() -> None:
    assert not judged(
        LEARNED.replace("data=hex:000007ff00000200", "data=hex:000007ff U ResidualCount=4")
        + """
        > SCSI-Command cdb=READ(10):0+1 EDTL=4096 lun=1
        < Data-In data=4096 F S
    """
    ).of("T-035")


def test_a_unit_that_is_formatted_may_have_other_blocks() -> None:
    text = LEARNED + """
        > SCSI-Command cdb=hex:040000000000 lun=1
        < SCSI-Response
        > SCSI-Command cdb=READ(10):0+1 lun=1 EDTL=4096
        < Data-In data=4096 F S
    """  # fmt: skip
    assert not judged(text).of("T-035")
    assert judged(text.replace("hex:04", "hex:00")).of("T-035")


def test_the_expected_length_is_the_one_that_was_given() -> None:
    text = LEARNED + """
        > SCSI-Command cdb=READ(10):0+1 lun=1 ! EDTL=256
        < Data-In data=256 F S O ResidualCount=256
    """  # fmt: skip
    assert not judged(text).of("T-035")
    assert judged(text.replace("! EDTL=256", "")).of("T-035")
