"""What a report tells: the verdicts of the runs and the evidence for each, as plain frozen values.

Whoever judges makes these; the writers of tables, JUnit and JSON read nothing else. No secret is ever in one: what
names a target or an initiator here is fit to be shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = ["ORDER", "Evidence", "Finding", "RuleCount", "RunResult", "SuiteResult", "Verdict", "exit_code", "worst"]

Verdict = Literal["pass", "warn", "fail", "inconclusive", "skipped"]

#: From the worst to the best. What was skipped says nothing, and so weighs nothing.
ORDER: Final[tuple[Verdict, ...]] = ("fail", "inconclusive", "warn", "pass", "skipped")

#: Exit codes: something failed; something is not known, or nothing was judged; a fault of this program.
_FAILED, _UNKNOWN, _OURS = 1, 3, 70


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One line that proves something: event number `n` of the journal, at `at` seconds of the run.

    `leg` is where it was seen, empty for what is of no leg; `conn` is the proxy's number of the connection, 0 for none.
    `text` is the PDU in one line, or what happened.
    """

    text: str
    n: int | None = None
    at: float | None = None
    conn: int = 0
    leg: str = ""

    def __str__(self) -> str:
        where = " ".join(
            part
            for part in (
                f"#{self.n}" if self.n is not None else "",
                f"{self.at:.4f}s" if self.at is not None else "",
                f"conn {self.conn}" if self.conn else "",
                f"{self.leg} leg" if self.leg else "",
            )
            if part
        )
        return f"{where}: {self.text}" if where else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was judged. `about` says what: `need`, `steady state`, `rule`, `expectation`, `aftermath`, ….

    `rule` is the judge's rule, where it is one that was broken.
    """

    about: str
    verdict: Verdict
    text: str
    evidence: tuple[Evidence, ...] = ()
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCount:
    """How often a rule matched and fired."""

    rule: str
    matched: int
    fired: int
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One run of one scenario: `name` is unique in its suite, `name[axis=value,…]` where there is a matrix.

    `evidence` tells how often each rule of the judge could have been broken. `crash` is set where an error of this
    program spoiled the run. `files` are what was written about it, by kind.
    """

    name: str
    scenario: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    title: str = ""
    about: str = ""
    victim: str = ""
    file: str = ""
    axes: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    covers: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    seed: int = 0
    started: str = ""  #: the wall clock, ISO 8601
    seconds: float = 0.0
    rules: tuple[RuleCount, ...] = ()
    evidence: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    crash: bool = False

    @property
    def reasons(self) -> tuple[Finding, ...]:
        """The findings that made the verdict what it is."""
        return tuple(finding for finding in self.findings if finding.verdict == self.verdict)

    @property
    def why(self) -> str:
        """The first reason in one line; empty for a pass."""
        reasons = () if self.verdict == "pass" else self.reasons
        return reasons[0].text if reasons else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """All runs of one call. `interrupted` tells that some that were asked for were not done."""

    runs: tuple[RunResult, ...]
    target: str
    initiator: str
    seed: int
    program: str = ""
    started: str = ""
    seconds: float = 0.0
    interrupted: bool = False
    asked: int = 0  #: how many runs there were to be

    def count(self) -> Mapping[str, int]:
        """Count the runs by verdict, every verdict named."""
        found = Counter(run.verdict for run in self.runs)
        return {verdict: found[verdict] for verdict in ("pass", "warn", "fail", "inconclusive", "skipped")}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Give the worst of some verdicts; `pass` if there are none, `skipped` only if there is nothing else."""
    present = set(verdicts)
    return next((verdict for verdict in ORDER if verdict in present), "pass")


def exit_code(result: SuiteResult, *, fail_on_warn: bool = False) -> int:
    """Give the exit code of a suite.

    0: at least one pass, no fail, nothing inconclusive; 1: a fail, or a warning where those count; 3: something is
    inconclusive, or nothing was judged; 70: the same, and errors of this program are all there is to blame for it.
    """
    counts = result.count()
    judged = counts["pass"] + counts["warn"]
    if counts["fail"] or (fail_on_warn and counts["warn"]):
        return _FAILED
    unknown = [run for run in result.runs if run.verdict == "inconclusive"]
    if unknown and all(run.crash for run in unknown):
        return _OURS
    if unknown or not judged or result.interrupted:
        return _UNKNOWN
    return 0
