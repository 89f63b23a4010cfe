"""The table at the end of a suite, and the line of one run: plain text, as wide as it has to be.

Colour is the caller's: a row comes with its verdict, and nothing is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from iscsiproxy.report.model import Finding, RunResult, SuiteResult

__all__ = ["HANG", "detail", "fitted", "line", "summary"]

#: The width of the verdicts
_WIDTH = 12
#: How far in a run's line goes on: behind its verdict
HANG = _WIDTH + 1


def line(run: RunResult, *, width: int = 0) -> str:
    """Give the one line of a run: verdict, name, time, and why it is no plain pass."""
    why = "" if run.verdict == "pass" else f"  {run.why}"
    return f"{run.verdict:{_WIDTH}} {run.name:{width}} {run.seconds:6.1f}s{why}".rstrip()


def detail(run: RunResult, *, everything: bool = False) -> Iterator[str]:
    """Give the lines below it: the reasons and their evidence; with `everything` all that was judged."""
    for finding in run.findings if everything else run.reasons:
        if not everything and run.verdict == "pass":
            return
        yield from _finding(finding)
    if everything:
        for rule in run.rules:
            yield f"    rule {rule.rule}: matched {rule.matched}, fired {rule.fired}"
    if run.verdict in ("fail", "warn") and run.cites:
        yield f"    see {', '.join(run.cites)}"
    for kind, path in run.files.items():
        if everything or run.verdict not in ("pass", "skipped"):
            yield f"    {kind}: {path}"


def _finding(finding: Finding) -> Iterator[str]:
    yield f"    {finding.about}: {finding.verdict}: {finding.text}"
    for evidence in finding.evidence:
        yield f"      {evidence}"


def fitted(text: str, columns: int, *, hang: int = 2) -> str:
    """Break a line at blanks for a screen of so many columns, what follows `hang` further in; 0 columns: leave it."""
    if not columns or len(text) <= columns:
        return text
    indent = " " * (len(text) - len(text.lstrip()) + hang)
    parts = wrap(text, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(parts)


def summary(result: SuiteResult) -> str:
    """Give the last line: how many of each verdict, in how long, against what, and the seed."""
    counts = [f"{number} {verdict}" for verdict, number in result.count().items() if number]
    left = result.asked - len(result.runs)
    if left > 0:
        counts.append(f"{left} not run")
    done = ", ".join(counts) or "nothing was run"
    return (
        f"{done} in {result.seconds:.1f} s (target {result.target}, initiator {result.initiator}, seed {result.seed})"
    )
