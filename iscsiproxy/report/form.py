"""The form of `result.json`: what its members are called, what is in them, and how a document is read back.

A document is a `SuiteForm`; that of one run is a `RunForm` with the version. A program that reads it takes no notice of
members that it does not know; a member that changes its meaning or goes makes a new version. `result_schema` is the
same as JSON Schema 2020-12.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from iscsiproxy.errors import FileError, UsageError
from iscsiproxy.report.model import Verdict

__all__ = ["VERSION", "EvidenceForm", "FindingForm", "RuleForm", "RunForm", "SuiteForm", "read_result", "result_schema"]

#: The version of the form
VERSION: Final = 1


def _said(description: str) -> Meta:
    return Meta(description=description)


class EvidenceForm(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line that proves something."""

    text: Annotated[str, _said("The PDU in one line, or what happened")]
    n: Annotated[int | None, _said("The number of the event in the journal")] = None
    at: Annotated[float | None, _said("Seconds since the run began")] = None
    conn: Annotated[int, _said("The proxy's number of the connection; 0 or absent: none")] = 0
    leg: Annotated[str, _said("Where it was seen: initiator or target; absent: on no leg")] = ""


class FindingForm(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was judged."""

    about: Annotated[str, _said("need, steady state, rule, expectation, hang, aftermath, check: the judge, …")]
    verdict: Verdict
    text: str
    evidence: list[EvidenceForm]
    rule: Annotated[str, _said("The judge's rule, where it is one that was broken: `iscsiproxy check --list`")] = ""


class RuleForm(msgspec.Struct, frozen=True):
    """How often a rule of the scenario matched and fired."""

    rule: str
    matched: int
    fired: int
    optional: bool


class RunForm(msgspec.Struct, frozen=True):
    """One run of one scenario."""

    name: Annotated[str, _said("Unique in its suite: the scenario, with [axis=value,…] where there is a matrix")]
    scenario: str
    title: str
    victim: Annotated[str, _said("The end that was judged: initiator, target or both")]
    verdict: Verdict
    why: Annotated[str, _said("The first reason of the verdict in one line; empty for a pass")]
    file: Annotated[str, _said("Where the scenario was read")]
    axes: Annotated[dict[str, str], _said("Where in its matrix it is")]
    params: dict[str, str]
    covers: Annotated[list[str], _said("The rows of the catalogue that it stands for")]
    cites: Annotated[list[str], _said("The clauses that it is about")]
    seed: int
    started: Annotated[str, _said("The wall clock, ISO 8601")]
    seconds: float
    crash: Annotated[bool, _said("An error of this program spoiled it")]
    files: Annotated[dict[str, str], _said("What else was written about it, by kind")]
    rules: list[RuleForm]
    evidence: Annotated[dict[str, int], _said("How often each rule of the judge could have been broken, by its id")]
    findings: list[FindingForm]
    about: Annotated[str, _said("What the scenario says of itself")] = ""


class SuiteForm(msgspec.Struct, frozen=True):
    """All runs of one call."""

    result: Annotated[int, _said("The version of this form")]
    program: str
    target: str
    initiator: str
    seed: int
    started: Annotated[str, _said("The wall clock, ISO 8601")]
    seconds: float
    interrupted: Annotated[bool, _said("Some runs that were asked for were not done")]
    asked: Annotated[int, _said("How many runs there were to be")]
    exit: Annotated[int, _said("The exit code")]
    counts: Annotated[dict[str, int], _said("How many runs by verdict")]
    runs: list[RunForm]


def result_schema() -> dict[str, Any]:
    """Give the form as JSON Schema 2020-12."""
    (reference,), components = msgspec.json.schema_components([SuiteForm], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "result.json of iscsiproxy",
        **reference,
        "$defs": components,
    }


def read_result(path: Path) -> SuiteForm:
    """Read a `result.json`, or that of a run directory. Raises UsageError, FileError."""
    file = path / "result.json" if path.is_dir() else path
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    try:
        version = msgspec.json.decode(data, type=dict[str, Any]).get("result")
        if version != VERSION:
            raise FileError(f"expected a result of version {VERSION}, got {version!r}", file=str(file))
        return msgspec.json.decode(data, type=SuiteForm)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FileError(f"this is no result.json of a suite: {error}", file=str(file)) from error
