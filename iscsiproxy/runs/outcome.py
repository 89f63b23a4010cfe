"""What was found of a run, in the words of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from iscsiproxy.engine import Counts
from iscsiproxy.report.model import Evidence, Finding, RuleCount, RunResult
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.verdicts import VERDICTS, Result

__all__ = ["finding_of", "result_of"]


def finding_of(result: Result) -> Finding:
    """Tell a result of the judge."""
    note = f" ({result.note})" if result.note else ""
    subject, why = result.text, result.why
    if subject.startswith("first:"):
        # The line that decided says enough of a list of them, and its verdict is that of the finding.
        line = why.removeprefix(f"{result.verdict}: ")
        subject, why = "", f"{line}: it came" if line != why else why
    return Finding(
        about=result.kind,
        verdict=result.verdict,
        text=f"{subject}: {why}{note}" if subject else f"{why}{note}",
        evidence=tuple(
            Evidence(
                n=one.n or None,
                at=one.at,
                conn=one.conn,
                leg=str(one.leg) if one.leg is not None else "",
                text=one.text,
            )
            for one in result.evidence
        ),
    )


def result_of(
    plan: RunPlan,
    findings: Sequence[Finding],
    counts: Sequence[Counts],
    *,
    started: float,
    seconds: float,
    files: Mapping[str, str],
    crash: bool,
    evidence: Mapping[str, int],
) -> RunResult:
    """Put it all together; the verdict is that of the worst finding, and without any there is none.

    `started` is the wall clock, in seconds since 1970.
    """
    scenario = plan.scenario
    found = {finding.verdict for finding in findings}
    # What came of a session that was not what it had to be says nothing of anybody.
    off = any(finding.about == "negotiate" and finding.verdict == "skipped" for finding in findings)
    return RunResult(
        name=plan.name,
        scenario=scenario.name,
        verdict="skipped" if off else next((verdict for verdict in VERDICTS if verdict in found), "inconclusive"),
        findings=tuple(findings),
        title=scenario.title,
        about=scenario.about,
        victim=scenario.victim,
        file=scenario.file,
        axes=dict(scenario.axes),
        params=dict(scenario.params),
        covers=scenario.covers,
        cites=scenario.cites,
        seed=plan.seed,
        started=datetime.fromtimestamp(started, UTC).isoformat(),
        seconds=seconds,
        rules=tuple(
            RuleCount(rule=one.rule, matched=one.matched, fired=one.fired, optional=one.optional) for one in counts
        ),
        evidence=dict(evidence),
        files=dict(files),
        crash=crash,
    )
