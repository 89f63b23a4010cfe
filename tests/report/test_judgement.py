from __future__ import annotations

from iscsiproxy.checks.catalogue import RULES
from iscsiproxy.checks.judge import Judge
from iscsiproxy.report.judgement import finding_facts, finding_lines, judge_facts, judge_lines, rules_facts
from tests.checks.dialogue import records_of

__all__: list[str] = []


def judge_of(text: str) -> Judge:
    judge = Judge()
    for record in records_of(text):
        judge.take(record)
    return judge


def test_a_finding_in_both_forms() -> None:
    judge = judge_of("login\n> NOP-Out\n< NOP-In TTT=5")
    finding = next(one for one in judge.findings if one.rule == "T-047")
    facts = finding_facts(finding)
    assert facts["severity"] == "MUST"
    assert facts["about"] == "NOP-In"
    assert facts["proof"][0]["leg"] == "target"
    assert "line" not in facts["proof"][0], "it was live"
    first, proof = finding_lines(finding)
    assert first == f"MUST T-047 target: {finding.text} ({finding.clause})"
    assert proof.startswith(f"    #{finding.n} ")


def test_a_finding_about_a_text_key_names_it() -> None:
    judge = judge_of("login DataDigest=None / DataDigest=CRC32C")
    facts = [finding_facts(one) for one in judge.findings if one.rule == "T-069"]
    assert [(one["about"], one["key"]) for one in facts] == [("Login-Response", "DataDigest")]


def test_what_it_comes_to() -> None:
    judge = judge_of("login\n> NOP-Out\n< NOP-In TTT=5\nfired drop\nlost 2")
    facts = judge_facts(judge)
    assert facts["verdict"] == "fail"
    assert facts["lost"] == 2
    assert {"rule": "T-047", "about": "NOP-In", "conn": 1, "known": False, "count": 1} in facts["findings"]
    assert [one["what"] for one in facts["recoveries"]] == ["x/y drop"]
    lines = list(judge_lines(judge))
    assert any(line.startswith("MUST      T-047  NOP-In") for line in lines)
    assert "2 events are missing: what depends on them was not judged" in lines
    assert "no good I/O came behind 1 disturbance" in lines
    assert lines[-1].startswith("fail: ")


def test_how_long_recovery_took() -> None:
    well = "> SCSI-Command cdb=TEST-UNIT-READY\n< SCSI-Response\n"
    judge = judge_of(f"login\nfired drop\n+1\n{well}fired drop\n+3\n{well}")
    (line,) = (line for line in judge_lines(judge) if "good I/O" in line)
    assert line.startswith("good I/O came back behind 2 disturbances: 1.0")


def test_every_rule_is_listed() -> None:
    assert [facts["id"] for facts in rules_facts()] == list(RULES)
