"""The runs of a suite as JSON: `result.json`, and the lines of `--json`.

    {"result": 1, "program": "iscsiproxy 0.1", "target": "embedded", "initiator": "embedded", "seed": 7,
     "started": "2026-01-01T00:00:00+00:00", "seconds": 1.2, "interrupted": false, "asked": 1, "exit": 0,
     "counts": {"pass": 1, "warn": 0, "fail": 0, "inconclusive": 0, "skipped": 0},
     "runs": [RUN, …]}

RUN has `name`, `scenario`, `title`, `victim`, `verdict`, `why`, `file`, `axes`, `params`, `covers`, `cites`, `seed`,
`started`, `seconds`, `crash`, `files` (what else was written, by kind), `rules` (a list of `rule`, `matched`, `fired`,
`optional`), `evidence` (how often each rule of the judge could have been broken, by its id), and `findings`: a list of
`about`, `verdict`, `text` and `evidence`, whose members have `text`, and, where there is one, `n` (the number of the
journal's event), `at` (seconds since the run began), `conn` and `leg`.

`result` is the version of this form. A program that reads it takes no notice of members that it does not know; a
member that changes its meaning or goes makes a new version.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from iscsiproxy.report.model import Evidence, RunResult, SuiteResult, exit_code

__all__ = ["VERSION", "run_facts", "run_json", "suite_facts", "suite_json"]

#: The version of the form
VERSION: Final = 1


def run_facts(run: RunResult) -> dict[str, Any]:
    """Give one run as JSON values."""
    return {
        "name": run.name,
        "scenario": run.scenario,
        "title": run.title,
        "victim": run.victim,
        "verdict": run.verdict,
        "why": run.why,
        "file": run.file,
        "axes": dict(run.axes),
        "params": dict(run.params),
        "covers": list(run.covers),
        "cites": list(run.cites),
        "seed": run.seed,
        "started": run.started,
        "seconds": round(run.seconds, 3),
        "crash": run.crash,
        "files": dict(run.files),
        "rules": [asdict(rule) for rule in run.rules],
        "evidence": dict(run.evidence),
        "findings": [
            {
                "about": finding.about,
                "verdict": finding.verdict,
                "text": finding.text,
                "evidence": [_evidence(one) for one in finding.evidence],
            }
            for finding in run.findings
        ],
    }


def _evidence(one: Evidence) -> dict[str, Any]:
    facts: dict[str, Any] = {"text": one.text}
    if one.n is not None:
        facts["n"] = one.n
    if one.at is not None:
        facts["at"] = round(one.at, 6)
    if one.conn:
        facts["conn"] = one.conn
    if one.leg:
        facts["leg"] = one.leg
    return facts


def suite_facts(result: SuiteResult, *, fail_on_warn: bool = False) -> dict[str, Any]:
    """Give a suite as JSON values, without its runs."""
    return {
        "result": VERSION,
        "program": result.program,
        "target": result.target,
        "initiator": result.initiator,
        "seed": result.seed,
        "started": result.started,
        "seconds": round(result.seconds, 3),
        "interrupted": result.interrupted,
        "asked": result.asked,
        "exit": exit_code(result, fail_on_warn=fail_on_warn),
        "counts": dict(result.count()),
    }


def run_json(run: RunResult) -> str:
    """Give the document of one run: RUN, with the version."""
    return json.dumps({"result": VERSION, **run_facts(run)}, indent=1, ensure_ascii=False) + "\n"


def suite_json(result: SuiteResult, *, fail_on_warn: bool = False) -> str:
    """Give the whole document."""
    facts = suite_facts(result, fail_on_warn=fail_on_warn) | {"runs": [run_facts(run) for run in result.runs]}
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
