from __future__ import annotations

import pytest

from tests.real.cunit import Outcome, TestCase, listed, parse

__all__: list[str] = []

#: A run cut down: output before the first suite, on the line of the test, behind `passed`, and none at all.
OUTPUT = """\
    Send PRIN/READ_KEYS

     CUnit - A unit testing framework for C - Version 2.1-3
     http://cunit.sourceforge.net/


Suite: Read10
  Test: Simple ...
    Send READ10 (Expecting SUCCESS) LBA:0 blocks:1 rdprotect:0 dpo:0 fua:0 fua_nv:0 group:0
    [OK] READ10 returned SUCCESS NO SENSE(0x00) (null)(0x0000)
passed
  Test: Async ...    READ10 dispatched: 1 of 1000 (cmdsn=1053758008)
passed    Send PRIN/READ_KEYS

Suite: Unmap
  Test: Simple ...    [SKIPPED] Logical unit is fully provisioned. Skipping test
passed
  Test: VPD ...
    Send UNMAP (Expecting SUCCESS)
    [SKIPPED] UNMAP is not implemented.
    [SKIPPED] UNMAP is not implemented.
passed    Send PRIN/READ_KEYS

Suite: iSCSIdatasn
  Test: iSCSIDataSnInvalid ...
    [FAILED] should have failed
    [SKIPPED] the rest
FAILED
    1. test_iscsi_datasn_invalid.c:98  - CU_ASSERT_NOT_EQUAL(ret,0)
    2. test_iscsi_datasn_invalid.c:116  - CU_ASSERT_NOT_EQUAL(ret,0)    Send PRIN/READ_KEYS

Suite: iSCSITMF
  Test: LUNResetSimpleAsync ...passed

Run Summary:    Type  Total    Ran Passed Failed Inactive
              suites      4      4    n/a      0        0
               tests      6      6      5      1        0
             asserts  55720  55720  55709     11      n/a

Elapsed time =    3.337 seconds
Tests completed with return value: 0
"""

RESULTS = (
    ("Read10.Simple", Outcome.PASSED),
    ("Read10.Async", Outcome.PASSED),
    ("Unmap.Simple", Outcome.SKIPPED),
    ("Unmap.VPD", Outcome.SKIPPED),
    ("iSCSIdatasn.iSCSIDataSnInvalid", Outcome.FAILED),
    ("iSCSITMF.LUNResetSimpleAsync", Outcome.PASSED),
)


def test_results_are_in_the_order_of_the_run() -> None:
    suite = parse(OUTPUT)
    assert suite.outcomes == RESULTS
    assert suite.said == (6, 6, 5, 1)
    assert suite.complete
    assert suite.named(Outcome.SKIPPED) == ["Unmap.Simple", "Unmap.VPD"]


def test_a_failure_gives_its_assertions_and_a_skip_its_reason() -> None:
    cases = {case.name: case for case in parse(OUTPUT).cases}
    assert cases["Unmap.VPD"].reasons == ("UNMAP is not implemented.",)
    failed = cases["iSCSIdatasn.iSCSIDataSnInvalid"]
    assert [reason.split(" ")[0] for reason in failed.reasons] == [
        "test_iscsi_datasn_invalid.c:98",
        "test_iscsi_datasn_invalid.c:116",
    ]
    assert str(failed).startswith("iSCSIdatasn.iSCSIDataSnInvalid: failed\n    test_iscsi_datasn_invalid.c:98")


@pytest.mark.parametrize("lines", range(OUTPUT.count("\n")))
def test_output_cut_off_anywhere_is_a_prefix_and_says_so(lines: int) -> None:
    suite = parse("\n".join(OUTPUT.splitlines()[:lines]))
    *ended, last = suite.outcomes or (None,)
    assert suite.outcomes[: len(ended)] == RESULTS[: len(ended)]
    assert last is None or last[1] in (RESULTS[len(ended)][1], Outcome.UNFINISHED)
    assert suite.complete == ("tests      6" in "\n".join(OUTPUT.splitlines()[:lines]))


def test_a_run_of_nothing_is_not_complete() -> None:
    suite = parse("")
    assert suite.cases == ()
    assert not suite.complete


def test_a_case_prints_itself() -> None:
    assert str(TestCase(name="Read10.Simple", outcome=Outcome.PASSED)) == "Read10.Simple: passed"


def test_the_list_is_read_by_family() -> None:
    output = "ALL\nALL.Read10\nALL.Read10.Simple\nALL.Read10.Async\nSCSI\nSCSI.Read10\nSCSI.Read10.Simple\n"
    assert listed(output) == ["Read10.Simple", "Read10.Async"]
    assert listed(output, "SCSI") == ["Read10.Simple"]
