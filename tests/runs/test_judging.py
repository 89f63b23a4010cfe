from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.checks.known import Known, read_known
from iscsiproxy.language.spec import Verdict
from iscsiproxy.proxy import Address
from iscsiproxy.report.model import Finding
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.judging import Bench
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.targets import Target, parse_target
from iscsiproxy.session.events import Event
from tests.checks.dialogue import records_of
from tests.runs.playing import written

__all__: list[str] = []

BAD = "login\n> NOP-Out\n< NOP-In TTT=5\n> NOP-Out\n< NOP-In TTT=5"
KNOWN = "- {rule: T-047, pdu: NOP-In, clause: RFC 7143 7.7, reason: it asks with each answer}\n"


def found(
    text: str, folder: Path, *, victim: str = "target", known: Known | None = None, about: str = "T-047"
) -> list[Finding]:
    rules = "rules: [{when: NOP-Out nth 1, do: drop}]\n"
    scenario = written(f"victim: {victim}\n{rules}", folder)
    plan = RunPlan(
        name="x",
        scenario=scenario,
        target=Target(spec=parse_target("embedded"), address=Address("127.0.0.1", 1), name="iqn.a:t"),
        initiator=parse_initiator("embedded"),
        seed=1,
        timeout=1.0,
        known=known,
    )
    bench = Bench(plan)
    for record in records_of(text):
        assert isinstance(record.entry, Event)
        bench(record.entry)
    return [one for one in bench.findings(100.0) if about in one.text]


@pytest.mark.parametrize(("victim", "verdict"), [("target", "fail"), ("both", "fail"), ("initiator", "warn")])
def test_the_victim_fails_and_the_other_end_is_a_warning(victim: str, verdict: Verdict, tmp_path: Path) -> None:
    (finding,) = found(BAD, tmp_path, victim=victim)
    assert finding.about == "check"
    assert finding.verdict == verdict
    assert finding.text.startswith("MUST T-047 target: ITT=0x1 and TTT=0x5 are both valid")
    assert finding.text.endswith(", 2 times")
    assert finding.evidence[0].leg == "target"


def test_what_is_known_is_told_and_weighs_nothing(tmp_path: Path) -> None:
    (finding,) = found(BAD, tmp_path, known=Known(read_known(KNOWN, "known.yaml", rules=["T-047"])))
    assert finding.verdict == "pass"
    assert finding.text.endswith("; known: it asks with each answer")


def test_what_has_not_come_by_the_end_is_told_at_the_end(tmp_path: Path) -> None:
    assert not found("login\n> NOP-Out\n< NOP-In", tmp_path)
    (late,) = found("login\n> NOP-Out", tmp_path, about="T-046")
    assert late.text.startswith("MUST T-046 target: NOP-Out ITT=0x1 was not answered within 15 s")
