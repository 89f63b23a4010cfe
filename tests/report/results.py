"""Results to report, made by hand."""

from __future__ import annotations

from iscsiproxy.report.model import Evidence, Finding, RuleCount, RunResult, SuiteResult, Verdict

__all__ = ["PROOF", "run", "suite"]

PROOF = Evidence(n=7, at=1.5, conn=2, leg="target", text="SCSI-Response ITT=0x1 Status=GOOD")


def run(verdict: Verdict, name: str = "data_out_lost", *, text: str = "it came", crash: bool = False) -> RunResult:
    return RunResult(
        name=name,
        scenario=name.partition("[")[0],
        verdict=verdict,
        findings=(
            Finding(about="steady state", verdict="pass", text="8 commands went well"),
            Finding(about="expectation", verdict=verdict, text=text, evidence=(PROOF,)),
        ),
        title="One Data-Out never arrives",
        victim="target",
        params={"sn": "2"},
        cites=("RFC 7143 7.8",),
        seed=5,
        seconds=1.25,
        rules=(RuleCount(rule="data_out_lost/hole", matched=3, fired=1),),
        files={"journal": "runs/journal.jsonl"},
        crash=crash,
    )


def suite(*runs: RunResult, interrupted: bool = False) -> SuiteResult:
    return SuiteResult(
        runs=runs,
        target="embedded",
        initiator="embedded",
        seed=9,
        program="iscsiproxy 0",
        started="2026-01-01T00:00:00+00:00",
        seconds=2.5,
        interrupted=interrupted,
        asked=len(runs) + interrupted,
    )
