from __future__ import annotations

import pytest

from iscsiproxy.report.model import Evidence, Verdict, exit_code
from tests.report.results import PROOF, run, suite

__all__: list[str] = []


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (("pass",), 0),
        (("pass", "skipped"), 0),
        (("pass", "warn"), 0),
        (("warn",), 0),
        (("pass", "fail"), 1),
        (("fail", "inconclusive"), 1),
        (("pass", "inconclusive"), 3),
        (("skipped",), 3),
        ((), 3),
    ],
)
def test_the_exit_code_is_that_of_the_worst(verdicts: tuple[Verdict, ...], code: int) -> None:
    assert exit_code(suite(*map(run, verdicts))) == code


def test_a_warning_counts_where_it_is_to_count() -> None:
    assert exit_code(suite(run("pass"), run("warn")), fail_on_warn=True) == 1
    assert exit_code(suite(run("pass")), fail_on_warn=True) == 0


def test_what_was_interrupted_is_not_known() -> None:
    assert exit_code(suite(run("pass"), interrupted=True)) == 3


def test_a_crash_is_never_green_and_70_if_it_is_all_there_is_to_blame() -> None:
    crash = run("inconclusive", crash=True)
    assert exit_code(suite(crash)) == 70
    assert exit_code(suite(run("pass"), crash)) == 70
    assert exit_code(suite(crash, run("inconclusive"))) == 3
    assert exit_code(suite(crash, run("fail"))) == 1


def test_counts_name_every_verdict() -> None:
    assert suite(run("fail"), run("pass"), run("fail")).count() == {
        "pass": 1,
        "warn": 0,
        "fail": 2,
        "inconclusive": 0,
        "skipped": 0,
    }


def test_a_run_says_why() -> None:
    assert run("fail", text="GOOD came").why == "GOOD came"
    assert run("pass").why == ""
    assert [finding.about for finding in run("fail").reasons] == ["expectation"]


def test_evidence_says_where_it_is_found() -> None:
    assert str(PROOF) == "#7 1.5000s conn 2 target leg: SCSI-Response ITT=0x1 Status=GOOD"
    assert str(Evidence(text="nothing came")) == "nothing came"
