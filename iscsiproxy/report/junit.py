"""The runs of a suite as JUnit XML, the form that build servers read.

A run is a test case. `fail` is a failure, `inconclusive` an error (nothing was proven, whoever is to blame), `skipped`
is skipped; a warning is a test case that passes and says in `system-out` what it warns of.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from iscsiproxy.report.model import Finding, RunResult, SuiteResult

__all__ = ["junit"]

#: What XML 1.0 cannot say, not even as a character reference (XML 1.0 2.2)
_UNSPEAKABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAGS = {"fail": "failure", "inconclusive": "error", "skipped": "skipped"}


def junit(result: SuiteResult, *, fail_on_warn: bool = False) -> bytes:
    """Give the document, UTF-8; with `fail_on_warn` a warning is a failure too."""
    tags = {**_TAGS, **({"warn": "failure"} if fail_on_warn else {})}
    cases = [tags.get(run.verdict, "") for run in result.runs]
    totals = {
        "tests": str(len(cases)),
        "failures": str(cases.count("failure")),
        "errors": str(cases.count("error")),
        "skipped": str(cases.count("skipped")),
        "time": f"{result.seconds:.3f}",
    }
    root = Element("testsuites", {"name": "iscsiproxy", **totals})
    suite = SubElement(root, "testsuite", {"name": "iscsiproxy", **totals})
    if result.started:
        suite.set("timestamp", result.started)
    _properties(
        suite,
        {
            "program": result.program,
            "target": result.target,
            "initiator": result.initiator,
            "seed": str(result.seed),
            "interrupted": "yes" if result.interrupted else "no",
        },
    )
    for run, tag in zip(result.runs, cases, strict=True):
        _case(suite, run, tag)
    indent(root)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _case(suite: Element, run: RunResult, tag: str) -> None:
    case = SubElement(
        suite, "testcase", {"classname": _clean(run.scenario), "name": _clean(run.name), "time": f"{run.seconds:.3f}"}
    )
    if run.file:
        case.set("file", _clean(run.file))
    _properties(
        case,
        {
            "victim": run.victim,
            "verdict": run.verdict,
            "seed": str(run.seed),
            "covers": ", ".join(run.covers),
            "cites": ", ".join(run.cites),
            **{f"param.{name}": value for name, value in run.params.items()},
            **{f"axis.{name}": value for name, value in run.axes.items()},
        },
    )
    if tag:
        told = SubElement(case, tag, {"message": _clean(run.why)})
        if tag != "skipped":
            told.set("type", run.verdict)
        told.text = _clean("\n".join(_lines(run.reasons)))
    else:
        rest = [finding for finding in run.findings if finding.verdict != "pass"]
        if rest:
            SubElement(case, "system-out").text = _clean("\n".join(_lines(rest)))


def _lines(findings: tuple[Finding, ...] | list[Finding]) -> list[str]:
    lines = []
    for finding in findings:
        lines.append(f"{finding.about}: {finding.verdict}: {finding.text}")
        lines += [f"  {evidence}" for evidence in finding.evidence]
    return lines


def _properties(parent: Element, values: dict[str, str]) -> None:
    given = {name: value for name, value in values.items() if value}
    if given:
        properties = SubElement(parent, "properties")
        for name, value in given.items():
            SubElement(properties, "property", {"name": _clean(name), "value": _clean(value)})


def _clean(text: str) -> str:
    """Draw what XML has no way to say as Python would."""
    return _UNSPEAKABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
