"""The judge at work on one run, and what its findings weigh in the run's verdict.

What the victim does against the standard fails the run. The other end is no part of the question: what it does wrong is
told, as a warning. What a fault of the proxy has done to the data, and what is on a list of known deviations, is told
and weighs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from iscsiproxy.checks.findings import Finding as Fact
from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.rules import Severity
from iscsiproxy.journal import record_of
from iscsiproxy.language.spec import Verdict
from iscsiproxy.report.judgement import recovery_lines
from iscsiproxy.report.model import Evidence, Finding
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.session.events import Event

__all__ = ["Bench"]


class Bench:
    """A sink of the events of a run. What breaks in it spoils no run, but its verdict: see `findings`."""

    def __init__(self, plan: RunPlan) -> None:
        self.judge = Judge(profile=plan.profile, known=plan.known, kept=1)
        self._victim = plan.scenario.victim
        self._broken: Exception | None = None

    def __repr__(self) -> str:
        return f"<Bench {self.judge!r}>"

    def __call__(self, event: Event) -> None:
        """Take note of an event. Never raises."""
        if self._broken is None:
            try:
                self.judge.take(record_of(event))
            except Exception as error:  # noqa: BLE001 - a judge that breaks makes the run inconclusive, never green
                self._broken = error

    def findings(self, now: float) -> Iterator[Finding]:
        """Give what was found by `now`, the end of the run, in seconds since it began; the worst first."""
        judge = self.judge
        if self._broken is None:
            try:
                judge.tick(now)
            except Exception as error:  # noqa: BLE001 - as above
                self._broken = error
        found = [self._finding(fact) for fact in judge.findings]
        yield from sorted(found, key=lambda one: one.verdict != "fail")
        for line in recovery_lines(judge.recoveries.all):
            yield Finding(about="recovery", verdict="pass", text=line)
        for crash in judge.crashes:
            text = f"the check {crash.rule} broke at event {crash.n}: {crash.error}"
            yield Finding(about="check", verdict="inconclusive", text=text)
        if self._broken is not None:
            yield Finding(about="check", verdict="inconclusive", text=f"the judge broke: {self._broken!r}")

    def _finding(self, fact: Fact) -> Finding:
        count = self.judge.count(fact)
        times = f", {count} times" if count > 1 else ""
        known = f"; known: {fact.known}" if fact.known else ""
        return Finding(
            about="check",
            verdict=self._weight(fact),
            text=f"{fact.severity} {fact.rule} {fact.blame or 'fault'}: {fact.text} ({fact.clause}){times}{known}",
            evidence=tuple(
                Evidence(n=one.n or None, at=one.at, conn=one.conn, leg=str(one.leg or ""), text=one.text)
                for one in fact.proof
            ),
            rule=fact.rule,
        )

    def _weight(self, fact: Fact) -> Verdict:
        if fact.known or fact.blame is None:
            return "pass"
        if fact.severity is Severity.MUST and self._victim in ("both", fact.blame.value):
            return "fail"
        return "warn"
