"""The runs of a suite as JSON: `result.json`, and the lines of `--json`. `form` says what is in them."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from iscsiproxy.report.form import VERSION, EvidenceForm, FindingForm, RuleForm, RunForm, SuiteForm
from iscsiproxy.report.model import Evidence, Finding, RunResult, SuiteResult, exit_code

__all__ = ["run_facts", "run_json", "suite_facts", "suite_json"]


def run_facts(run: RunResult) -> dict[str, Any]:
    """Give one run as JSON values: a `RunForm`."""
    facts: dict[str, Any] = msgspec.to_builtins(_run(run))
    return facts


def _run(run: RunResult) -> RunForm:
    return RunForm(
        name=run.name,
        scenario=run.scenario,
        title=run.title,
        victim=run.victim,
        verdict=run.verdict,
        why=run.why,
        file=run.file,
        axes=dict(run.axes),
        params=dict(run.params),
        covers=list(run.covers),
        cites=list(run.cites),
        seed=run.seed,
        started=run.started,
        seconds=round(run.seconds, 3),
        crash=run.crash,
        files=dict(run.files),
        rules=[RuleForm(rule.rule, rule.matched, rule.fired, rule.optional) for rule in run.rules],
        evidence=dict(run.evidence),
        findings=[_finding(finding) for finding in run.findings],
        about=run.about,
    )


def _finding(finding: Finding) -> FindingForm:
    evidence = [_evidence(one) for one in finding.evidence]
    return FindingForm(finding.about, finding.verdict, finding.text, evidence, finding.rule)


def _evidence(one: Evidence) -> EvidenceForm:
    at = None if one.at is None else round(one.at, 6)
    return EvidenceForm(text=one.text, n=one.n, at=at, conn=one.conn, leg=one.leg)


def suite_facts(result: SuiteResult, *, fail_on_warn: bool = False) -> dict[str, Any]:
    """Give a suite as JSON values: a `SuiteForm` without its runs."""
    form = SuiteForm(
        result=VERSION,
        program=result.program,
        target=result.target,
        initiator=result.initiator,
        seed=result.seed,
        started=result.started,
        seconds=round(result.seconds, 3),
        interrupted=result.interrupted,
        asked=result.asked,
        exit=exit_code(result, fail_on_warn=fail_on_warn),
        counts=dict(result.count()),
        runs=[],
    )
    facts: dict[str, Any] = msgspec.to_builtins(form)
    del facts["runs"]
    return facts


def run_json(run: RunResult) -> str:
    """Give the document of one run: a `RunForm`, with the version."""
    return json.dumps({"result": VERSION, **run_facts(run)}, indent=1, ensure_ascii=False) + "\n"


def suite_json(result: SuiteResult, *, fail_on_warn: bool = False) -> str:
    """Give the whole document: a `SuiteForm`."""
    facts = suite_facts(result, fail_on_warn=fail_on_warn) | {"runs": [run_facts(run) for run in result.runs]}
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
