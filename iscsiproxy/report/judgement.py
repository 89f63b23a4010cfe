"""What the judge found, as JSON values and as lines for people.

A finding as JSON has `rule`, `title`, `severity` (`MUST`, `SHOULD`, `heuristic`), `clause`, `blame` (`initiator`,
`target`, or null where a fault of the proxy did it), `conn`, `at` (seconds since the run began), `n` (the journal's
event), `text`, `about` (the PDU's name, `close` or `silence`), `cdb`, `key` (the text key) and `known` (the reason why
it is accepted) where there is one, and `proof`: a list of `n`, `at`, `conn`, `leg`, `text`, and `line` where it was
read from a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from iscsiproxy.checks.catalogue import FAMILIES
from iscsiproxy.checks.disk import Counts
from iscsiproxy.checks.findings import Finding, Proof
from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.profiles import Profile, cited
from iscsiproxy.checks.recovery import Recovery
from iscsiproxy.checks.rules import Family, Rule

__all__ = [
    "finding_facts",
    "finding_lines",
    "judge_facts",
    "judge_lines",
    "recovery_lines",
    "rule_facts",
    "rules_facts",
]


def finding_facts(finding: Finding) -> dict[str, Any]:
    """Give a finding as JSON values."""
    facts: dict[str, Any] = {
        "rule": finding.rule,
        "title": finding.title,
        "severity": str(finding.severity),
        "clause": finding.clause,
        "blame": str(finding.blame) if finding.blame is not None else None,
        "conn": finding.conn,
        "at": round(finding.at, 6),
        "n": finding.n,
        "about": finding.label,
        "text": finding.text,
    }
    if finding.cdb:
        facts["cdb"] = finding.cdb
    if finding.key:
        facts["key"] = finding.key
    if finding.known:
        facts["known"] = finding.known
    return facts | {"proof": [_proof(one) for one in finding.proof]}


def _proof(proof: Proof) -> dict[str, Any]:
    facts: dict[str, Any] = {"n": proof.n, "at": round(proof.at, 6), "conn": proof.conn}
    if proof.leg is not None:
        facts["leg"] = str(proof.leg)
    if proof.line:
        facts["line"] = proof.line
    return facts | {"text": proof.text}


def finding_lines(finding: Finding) -> Iterator[str]:
    """Say a finding to people: what and who, and below it the events that prove it."""
    yield f"{finding.severity} {finding.rule} {finding.blame or 'fault'}: {finding.text} ({finding.clause})"
    for proof in finding.proof:
        yield f"    {proof}"
    if finding.known:
        yield f"    known: {finding.known}"


def judge_facts(judge: Judge) -> dict[str, Any]:
    """Give what a judge comes to at the end."""
    return {
        "verdict": judge.verdict,
        "profile": str(judge.profile),
        "records": judge.records,
        "lost": judge.lost,
        "findings": [
            {"rule": rule, "about": label, "conn": conn, "known": known, "count": count}
            for (rule, label, conn, known), count in judge.counts.items()
        ],
        "evidence": judge.evidence,
        "recoveries": [
            {
                "n": one.n,
                "at": round(one.at, 6),
                "conn": one.conn,
                "what": one.what,
                "seconds": None if one.seconds is None else round(one.seconds, 6),
            }
            for one in judge.recoveries.all
        ],
        "disks": {
            "judged": judge.disks.judged,
            "forgotten": judge.disks.forgotten,
            "left_out": {reason.name.lower(): sectors for reason, sectors in judge.disks.left_out.items()},
        },
        "crashes": [{"rule": one.rule, "n": one.n, "error": one.error} for one in judge.crashes],
        "unmet": [str(one) for one in judge.known.unmet],
    }


def judge_lines(judge: Judge) -> Iterator[str]:
    """Say to people what a judge comes to: a line for each rule that was broken, and one for all."""
    rules = {rule.id: rule for family in FAMILIES for rule in family.rules}
    totals: Counter[tuple[str, str, bool]] = Counter()
    for (name, label, _, known), count in judge.counts.items():
        totals[name, label, known] += count
    for (name, label, known), count in sorted(totals.items()):
        rule = rules.get(name)
        title = rule.title if rule is not None else ""
        weight = "known" if known else str(rule.severity) if rule is not None else ""
        yield f"{weight:9} {name:6} {label:16} {count:6} x  {title}"
    yield from _disk_lines(judge.disks)
    yield from recovery_lines(judge.recoveries.all)
    for crash in judge.crashes:
        yield f"the check {crash.rule} broke at event {crash.n}: {crash.error}"
    if judge.lost:
        yield f"{judge.lost} events are missing: what depends on them was not judged"
    evidence = judge.evidence
    met = sum(count > 0 for count in evidence.values())
    accepted = sum(count for (*_, known), count in judge.counts.items() if known)
    fresh = sum(judge.counts.values()) - accepted
    yield (
        f"{judge.verdict}: {fresh} finding{'s' * (fresh != 1)}{f', {accepted} known' if accepted else ''}; "
        f"{met} of {len(evidence)} rules had evidence in {judge.records} events ({judge.profile})"
    )


def _disk_lines(counts: Counts) -> Iterator[str]:
    """Say how much of what was read was held against what it had to be."""
    if not counts.judged and not counts.left_out:
        return
    yield f"data: {counts.judged} sectors that were read were judged"
    for reason, sectors in counts.left_out.items():
        yield f"  {sectors} were not: {reason.value}"
    if counts.forgotten:
        yield f"  {counts.forgotten} were known and have been forgotten, for want of memory"


def recovery_lines(recoveries: Sequence[Recovery]) -> Iterator[str]:
    """Say how long it took until I/O went well again."""
    times = sorted(one.seconds for one in recoveries if one.seconds is not None)
    if times:
        middle = times[len(times) // 2]
        yield (
            f"good I/O came back behind {len(times)} disturbance{'s' * (len(times) > 1)}: "
            f"{times[0]:.3f} s at the soonest, {middle:.3f} s in the middle, {times[-1]:.3f} s at the latest"
        )
    never = len(recoveries) - len(times)
    if never:
        yield f"no good I/O came behind {never} disturbance{'s' * (never > 1)}"


def rule_facts(rule: Rule, family: Family) -> dict[str, Any]:
    """Give what there is to know of a rule."""
    return {
        "id": rule.id,
        "family": family.name,
        "title": rule.title,
        "blame": str(rule.blame),
        "severity": str(rule.severity),
        "clause": rule.clause,
        "clause_rfc3720": cited(rule.clause, Profile.RFC3720) if Profile.RFC3720 in rule.profiles else None,
        "profiles": sorted(str(one) for one in rule.profiles),
        "why": rule.why,
    }


def rules_facts() -> list[dict[str, Any]]:
    """Give what there is to know of every rule, in the order of the families."""
    return [rule_facts(rule, family) for family in FAMILIES for rule in sorted(family.rules, key=lambda one: one.id)]
