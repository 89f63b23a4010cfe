from __future__ import annotations

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.language.overlaps import comes_first, covers, needs_pdu, plain, settles, takes_all
from iscsiproxy.language.spec import Pattern, Rule


def rule(text: str) -> Rule:
    body = f"scenario: x\nvictim: target\nrules:\n  - when: SCSI-Command nth 9 as n\n  - {text}\n"
    return load(body, file="x.yaml", acts=SPECS, built=False).rules[1]


def pattern(text: str) -> Pattern:
    step = rule(f"{{when: '{text}', do: {{note: x}}}}").when[0].steps[0]
    assert isinstance(step, Pattern)
    return step


@pytest.mark.parametrize(
    ("wide", "narrow", "does"),
    [
        ("R2T", "R2T where R2TSN == 1", True),
        ("R2T where R2TSN == 1", "R2T", False),
        ("R2T or Reject", "Reject", True),
        ("Target-PDU", "Status-PDU", True),
        ("Status-PDU", "SCSI-Response", False),
        ("R2T where R2TSN > 1", "R2T where F and R2TSN > 1", True),
        ("R2T where R2TSN > 1", "R2T where (F or I) and R2TSN > 1", True),
        ("R2T where R2TSN > 1 or F", "R2T where F", False),
        ("R2T", "R2T of n", True),
        ("R2T of n", "R2T", False),
        ("R2T", "R2T at initiator", False),
        ("R2T where R2TSN > random(1, 2)", "R2T where R2TSN > random(1, 2)", False),
        ("close", "close from target", False),
        ("close", "connect or close", False),
    ],
)
def test_one_pattern_covers_another(wide: str, narrow: str, does: bool) -> None:
    if "where (F or I)" in narrow:
        narrow = narrow.replace(" or I", " or LUN == 1")
    assert covers(pattern(wide), pattern(narrow)) is does


def test_a_pattern_without_picks_is_plain() -> None:
    assert plain(pattern("R2T"))
    assert plain(pattern("R2T per session"))
    assert not plain(pattern("R2T times 1"))


@pytest.mark.parametrize(
    ("end", "when", "does"),
    [
        ("R2T", "R2T nth 2", True),
        ("R2T nth 2", "R2T nth 2", True),
        ("R2T nth 3", "R2T nth 2", False),
        ("R2T", "SCSI-Command then R2T", True),
        ("R2T nth 1", "SCSI-Command then R2T", False),
        ("1s", "2s", True),
        ("2s", "1s..3s", False),
        ("2s", "R2T", False),
        ("n", "R2T", False),
    ],
)
def test_an_end_that_comes_first(end: str, when: str, does: bool) -> None:
    found = rule(f"{{when: '{when}', until: '{end}', do: {{note: x}}}}")
    assert comes_first(found.until[0].steps[0], found.when[0]) is does


def test_what_settles_a_pdu_and_what_then_cannot_be_done() -> None:
    assert settles(rule("{when: R2T, do: drop}")) == "drop"
    assert settles(rule("{when: R2T, do: [{delay: 1s}, drop]}")) == ""
    assert settles(rule("{when: R2T, do: close}")) == "close"
    assert settles(rule("{when: R2T, do: {close: {conn: n}}}")) == ""
    assert settles(rule("{when: R2T, do: drop, until: 5s}")) == ""
    assert needs_pdu(rule("{when: R2T, do: {set: {F: 1}}}"), "drop")
    assert not needs_pdu(rule("{when: R2T, do: {note: x}}"), "drop")
    assert needs_pdu(rule("{when: R2T, do: {note: x}}"), "close")
    assert not needs_pdu(rule("{when: R2T as r}"), "drop")


def test_a_rule_takes_all_that_another_may_have() -> None:
    drop = rule("{when: R2T nth 2, do: drop}")
    assert takes_all(drop, rule("{when: R2T nth 2, do: drop}"))
    assert not takes_all(drop, rule("{when: R2T nth 3, do: drop}"))
    assert not takes_all(drop, rule("{when: R2T where F nth 2, do: drop}"))
    assert not takes_all(rule("{when: [R2T, 5s], do: close}"), drop)
