"""The proof of a rule: four short journals, judged live and from a file."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from iscsiproxy.checks.catalogue import FAMILIES
from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.profiles import DEFAULT, Profile
from iscsiproxy.checks.rules import Family
from iscsiproxy.journal import Journal, Lost, Record, read
from iscsiproxy.session.events import Event
from tests.checks.dialogue import records_of

__all__ = ["Case", "Judged", "judged", "prove"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Four dialogues about one rule (see `dialogue`).

    `good` gives it evidence and breaks no rule at all; `bad` breaks it; `short` says nothing of it; `mutant` is a part
    of `good` and what stands there instead in a journal that breaks the rule too. `fields` name a field in which the
    first finding of `bad` is quoted, `profile` is the one that the rule belongs to.
    """

    rule: str
    good: str
    bad: str
    short: str
    mutant: tuple[str, str]
    profile: Profile = DEFAULT
    cmd_sn: int = 1


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a judge said of a dialogue."""

    findings: Sequence[Finding]
    evidence: dict[str, int]

    def of(self, rule: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.rule == rule]

    def rules(self) -> set[str]:
        return {finding.rule for finding in self.findings}


def judged(text: str, *, profile: Profile = DEFAULT, families: Sequence[Family] = FAMILIES, cmd_sn: int = 1) -> Judged:
    """Judge a dialogue live, and again from the journal that it makes: both have to come to the same."""
    records = records_of(text, cmd_sn=cmd_sn)
    live = _judge(records, profile, families)
    again = _judge(_through_a_file(records), profile, families)
    assert [str(one) for one in again.findings] == [str(one) for one in live.findings]
    assert again.evidence == live.evidence
    return live


def _judge(records: Iterable[Record], profile: Profile, families: Sequence[Family]) -> Judged:
    judge = Judge(profile=profile, families=families)
    for record in records:
        judge.take(record)
    assert not judge.crashes, judge.crashes
    return Judged(findings=tuple(judge.findings), evidence=judge.evidence)


def _through_a_file(records: Sequence[Record]) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        journal = Journal(path, started=0.0)
        for record in records:
            if isinstance(record.entry, Event):
                journal(record.entry)
        journal.close()
        lost = [(at, record) for at, record in enumerate(records) if isinstance(record.entry, Lost)]
        found = [record for record in read(io.BytesIO(path.read_bytes())) if isinstance(record.entry, Event)]
        for at, record in lost:
            found.insert(at, record)
        return found


def prove(case: Case) -> None:
    """Hold a rule against its case."""
    good = judged(case.good, profile=case.profile, cmd_sn=case.cmd_sn)
    assert good.findings == (), "the good journal breaks a rule"
    assert good.evidence[case.rule] > 0, "the good journal says nothing of the rule"
    bad = judged(case.bad, profile=case.profile, cmd_sn=case.cmd_sn).of(case.rule)
    assert bad, "the bad journal does not break the rule"
    assert bad[0].proof, "a finding without proof"
    assert bad[0].text
    short = judged(case.short, profile=case.profile, cmd_sn=case.cmd_sn)
    assert not short.of(case.rule), "the short journal breaks the rule"
    assert not short.evidence[case.rule], "the short journal says something of the rule"
    before, after = case.mutant
    assert case.good.count(before) == 1, f"{before!r} does not stand exactly once in the good journal"
    mutant = judged(case.good.replace(before, after), profile=case.profile, cmd_sn=case.cmd_sn)
    assert mutant.of(case.rule), "the mutant is not found"
