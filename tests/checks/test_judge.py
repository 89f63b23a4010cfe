from __future__ import annotations

import pytest

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.known import Known, read_known
from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Outcome, Severity
from iscsiproxy.language.spec import Verdict
from iscsiproxy.wire.opcodes import End, Opcode
from tests.checks.dialogue import records_of
from tests.checks.watching import family, rule

__all__: list[str] = []


def odd(moment: Moment) -> Outcome:
    if not moment.full_feature:
        return None
    return Breach(text="odd") if moment["ITT"] & 1 else FINE


def broken(moment: Moment) -> Outcome:
    raise ValueError(f"broken at {moment}")


def judge_of(text: str, *rules: object, known: Known | None = None, kept: int = 5) -> Judge:
    told: list[Finding] = []
    judge = Judge(families=[family(*rules)], known=known, kept=kept, on_finding=told.append)  # type: ignore[arg-type]
    for record in records_of(text):
        judge.take(record)
    assert len(told) == sum(judge.counts.values())
    return judge


GOOD, BAD = "login\n> NOP-Out ITT=2", "login\n> NOP-Out ITT=3\n> NOP-Out ITT=5"
GIVEN = frozenset({Opcode.NOP_OUT})


@pytest.mark.parametrize(
    ("text", "severity", "verdict"),
    [
        (GOOD, Severity.MUST, "pass"),
        (BAD, Severity.MUST, "fail"),
        (BAD, Severity.SHOULD, "warn"),
        (BAD, Severity.HEURISTIC, "warn"),
        ("login", Severity.MUST, "inconclusive"),
        (GOOD + "\nlost 1", Severity.MUST, "inconclusive"),
        (BAD + "\nlost 1", Severity.MUST, "fail"),
        (BAD + "\nlost 1", Severity.SHOULD, "inconclusive"),
    ],
)
def test_verdict(text: str, severity: Severity, verdict: Verdict) -> None:
    assert judge_of(text, rule(odd, given=GIVEN, severity=severity)).verdict == verdict


def test_a_check_that_breaks_leaves_nothing_green() -> None:
    judge = judge_of(GOOD, rule(odd, given=GIVEN), rule(broken, "T-998"))
    assert judge.verdict == "inconclusive"
    assert [crash.rule for crash in judge.crashes] == ["T-998"]


def test_findings_are_counted_and_the_first_are_kept() -> None:
    judge = judge_of("login\n" + "> NOP-Out ITT=3\n" * 9, rule(odd, given=GIVEN), kept=2)
    assert len(judge.findings) == 2
    assert judge.counts == {("T-999", "NOP-Out", 1, False): 9}


def test_what_is_known_weighs_nothing_and_is_told() -> None:
    text = "- {rule: T-999, pdu: NOP-Out, clause: RFC 7143 1, reason: it likes odd numbers}"
    known = Known(read_known(text, "known.yaml", rules=["T-999"]))
    judge = judge_of(BAD, rule(odd, given=GIVEN), known=known)
    assert judge.verdict == "pass"
    assert [finding.known for finding in judge.findings] == ["it likes odd numbers"] * 2
    assert not known.unmet
    other = Known(read_known(text.replace("7143 1", "7143 2"), "known.yaml", rules=["T-999"]))
    assert judge_of(BAD, rule(odd, given=GIVEN), known=other).verdict == "fail"
    assert len(other.unmet) == 1


def test_the_ends_are_judged_each_on_its_leg() -> None:
    text = "login\n> NOP-Out ITT=2 ! ITT=3"
    judge = judge_of(text, rule(odd, given=GIVEN), rule(odd, "I-999", sent=GIVEN))
    assert {finding.blame for finding in judge.findings} == {End.TARGET}
    assert judge.evidence == {"T-999": 1, "I-999": 1}


def test_time_goes_on_without_events() -> None:
    def owes(moment: Moment) -> Outcome:
        moment.owe(1, "nothing came", within=3.0)
        return None

    judge = judge_of(GOOD, rule(owes, given=GIVEN))
    judge.tick(judge.now + 2.9)
    assert not judge.findings
    judge.tick(judge.now + 0.2)
    assert [finding.label for finding in judge.findings] == ["silence"]


def test_findings_on_very_many_connections_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iscsiproxy.checks.judge._MOST", 2)
    text = "\n".join(f"conn {number}\nlogin ISID={number:#x}\n> NOP-Out ITT=3" for number in range(1, 6))
    judge = judge_of(text, rule(odd, given=GIVEN), kept=1)
    assert judge.counts == {
        ("T-999", "NOP-Out", 1, False): 1,
        ("T-999", "NOP-Out", 2, False): 1,
        ("T-999", "NOP-Out", 0, False): 3,
    }
    assert len(judge.findings) == 3
    assert [judge.count(finding) for finding in judge.findings] == [1, 1, 3]
