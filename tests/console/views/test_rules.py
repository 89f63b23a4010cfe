"""Rules, findings and recordings as they are shown."""

from __future__ import annotations

from typing import Any

import pytest

from iscsiproxy.api.models import Armed, Cleared, Finding, Findings, Proof, Rule
from iscsiproxy.console.views.rules import armed, cleared, findings, rules
from tests.console.fake import rule
from tests.console.playing import viewed


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (rule("a/1"), "armed"),
        (rule("a/1", armed=False), "disarmed"),
        (rule("a/1", waiting=2), "armed, 2 wait"),
        (rule("a/1", conn=3), "armed on 3"),
        (rule("a/1", once=True), "done"),
        (rule("a/1", once=True, waiting=1, conn=3), "waits on 3"),
    ],
)
def test_the_state_of_a_rule_is_told(one: Rule, state: str) -> None:
    _, row = viewed(rules([one], 0))
    assert row.startswith(f"a/1   {state}  ")


def test_what_went_wrong_with_a_rule_is_told() -> None:
    _, row = viewed(rules([rule("a/1", failed=1, shadowed=2, expired=3, skipped=4)], 0))
    assert "1 failed, 2 shadowed, 3 expired, 4 skipped" in row


def test_without_rules_that_is_told() -> None:
    assert viewed(rules([], 80)) == ["no rule is armed"]


@pytest.mark.parametrize("width", [80, 200])
def test_long_rules_fit_on_a_screen(width: int) -> None:
    assert max(map(len, viewed(rules([rule("a/1", text="x" * 300)], width)))) <= width


def test_what_came_into_force_is_told() -> None:
    done = Armed(scenario="a", rules=(rule("a/1"), rule("a/2", once=True)), n=0)
    assert viewed(armed(done, 0)) == ["armed a/1  drop Data-Out nth 1", "done  a/2  drop Data-Out nth 1"]


def test_what_was_reset_is_told() -> None:
    [row] = viewed([cleared(Cleared(rules=1, held=2, stalled=3, reset=(4, 5)))])
    assert row.startswith("cleared: 1 rules out, 2 PDUs let go, 3 stalls ended; reset: conn 4, conn 5, ")


def found(**changed: Any) -> Findings:
    given: dict[str, Any] = {
        "rule": "I-CmdSN-3",
        "title": "CmdSN goes up by one",
        "severity": "MUST",
        "clause": "RFC 7143 4.2.2.1",
        "blame": "initiator",
        "conn": 1,
        "at": 1.5,
        "n": 17,
        "about": "x",
        "text": "CmdSN 5 came twice",
        "proof": tuple(Proof(n=n, at=1.5, conn=1, text=f"proof {n}", leg="target") for n in range(1, 7)),
    }
    one = Finding(**given | changed)
    return Findings(checked=True, profile="rfc7143", findings=(one,), counts={"MUST": 1, "SHOULD": 0})


def test_a_finding_has_its_clause_its_blame_and_its_proof() -> None:
    shown = viewed(findings(found(), 0))
    assert shown[:3] == [
        "MUST I-CmdSN-3 CmdSN goes up by one",
        "  RFC 7143 4.2.2.1; conn 1, 1.500s, by the initiator",
        "  CmdSN 5 came twice",
    ]
    assert shown[3] == "        1    1.500 T proof 1"
    assert shown[-2:] == ["          and 2 more", "findings by rfc7143: 1 MUST"]


def test_a_finding_of_nobody_and_one_that_is_known_are_told_as_such() -> None:
    shown = viewed(findings(found(blame=None, known="tgt does", count=3), 0))
    assert shown[0].endswith("×3")
    assert shown[1].endswith("by nobody: a fault did it, known: tgt does")
