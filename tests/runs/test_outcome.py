from __future__ import annotations

import pytest

from iscsiproxy.engine import Counts
from iscsiproxy.proxy import Address
from iscsiproxy.report.model import Finding, RuleCount, Verdict
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.outcome import finding_of, result_of
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.targets import Target, parse_target
from iscsiproxy.runs.verdicts import Evidence, Result
from iscsiproxy.wire.opcodes import End
from tests.runs.playing import shipped_one

__all__: list[str] = []

_PLAN = RunPlan(
    name="data_out_lost#2",
    scenario=shipped_one("data_out_lost"),
    target=Target(spec=parse_target("embedded"), address=Address("h", 1), name="i"),
    initiator=parse_initiator("embedded"),
    seed=8,
    timeout=1.0,
)
_SEEN = Evidence(n=7, at=0.5, conn=2, leg=End.TARGET, text="R2T")


def _verdict(*verdicts: Verdict) -> Verdict:
    findings = [Finding(about="x", verdict=verdict, text="") for verdict in verdicts]
    return result_of(_PLAN, findings, (), started=0.0, seconds=1.0, files={}, crash=False, evidence={}).verdict


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (("pass",), "pass"),
        (("pass", "warn"), "warn"),
        (("warn", "inconclusive", "pass"), "inconclusive"),
        (("inconclusive", "fail", "skipped"), "fail"),
        (("pass", "skipped", "inconclusive"), "skipped"),
        ((), "inconclusive"),
    ],
)
def test_the_verdict_is_the_worst_finding(verdicts: tuple[Verdict, ...], worst: Verdict) -> None:
    assert _verdict(*verdicts) == worst


def test_a_result_says_what_was_judged_and_why() -> None:
    result = Result(verdict="fail", kind="expectation", text="never: R2T", why="it came", note="bad", evidence=(_SEEN,))
    finding = finding_of(result)
    assert (finding.about, finding.verdict, finding.text) == ("expectation", "fail", "never: R2T: it came (bad)")
    assert str(finding.evidence[0]) == "#7 0.5000s conn 2 target leg: R2T"


def test_of_a_list_the_line_that_decided_is_enough() -> None:
    result = Result(verdict="fail", kind="expectation", text="first: pass: A, fail: B", why="fail: B")
    assert finding_of(result).text == "B: it came"
    silent = Result(verdict="fail", kind="expectation", text="first: pass: A, fail: nothing", why="nothing: 5 s passed")
    assert finding_of(silent).text == "nothing: 5 s passed"


def test_what_did_not_come_has_no_number() -> None:
    result = Result(
        verdict="pass", kind="hang", text="", why="x", evidence=(Evidence(n=0, at=1.0, conn=0, leg=None, text="y"),)
    )
    assert str(finding_of(result).evidence[0]) == "1.0000s: y"


def test_a_run_is_told_with_its_scenario() -> None:
    counts = Counts("data_out_lost/hole", optional=False, matched=4, fired=1)
    files, seen = {"journal": "j"}, {"T-001": 4}
    run = result_of(_PLAN, (), [counts], started=0.0, seconds=1.5, files=files, crash=True, evidence=seen)
    assert (run.name, run.scenario, run.victim, run.seed) == ("data_out_lost#2", "data_out_lost", "target", 8)
    assert run.params == {"sn": "2"}
    assert run.rules == (RuleCount(rule="data_out_lost/hole", matched=4, fired=1),)
    assert (run.started, run.crash, run.files) == ("1970-01-01T00:00:00+00:00", True, files)
    assert run.evidence == seen
