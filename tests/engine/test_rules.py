from __future__ import annotations

import pytest

from iscsiproxy.engine import SPECS, Engine
from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.rules import ActiveRule
from iscsiproxy.language import load
from iscsiproxy.wire.opcodes import Opcode
from tests.engine.dialogue import Dialogue, nop_out, r2t, write


def test_counts_name_the_rule_and_what_became_of_it() -> None:
    talk = Dialogue("rules:\n  - name: a\n    when: SCSI-Command\n    do: drop\n    optional: yes\n  - when: R2T as r")
    talk.say(write(2, 10))
    assert talk.engine.counters()[0].facts() == {
        "rule": "x/a",
        "optional": True,
        "matched": 1,
        "fired": 1,
        "failed": 0,
        "shadowed": 0,
        "expired": 0,
        "skipped": 0,
    }
    assert talk.engine.unfired() == ("x/#2",)


def test_moments_of_acts_are_among_the_paths() -> None:
    text = "scenario: x\nvictim: target\nrules:\n  - when: SCSI-Command\n    until: R2T\n    do: {delay: [SNACK, 1s]}\n"
    scenario = load(text, file="x.yaml", acts=SPECS)
    rule = ActiveRule(scenario, scenario.rules[0], Book())
    opcodes = [sorted(matcher.opcodes) for path in rule.all_paths() for matcher in path.matchers]
    assert opcodes == [[Opcode.SCSI_COMMAND], [Opcode.R2T], [Opcode.SNACK]]
    assert "in force" in repr(rule)


@pytest.mark.parametrize(
    ("act", "apart"),
    [
        ("drop", False),
        ("drop: {numbers: translate}", True),
        ("duplicate", False),
        ("duplicate: {ITT: fresh}", True),
        ("set: {LUN: 1}", False),
        ("set: {I: 1}", True),
        ("delay: 1s", False),
        ("delay: barrier", True),
        ("inject: NOP-Out", True),
    ],
)
def test_it_is_known_which_acts_let_the_ends_count_apart(act: str, apart: bool) -> None:
    text = f"scenario: x\nvictim: target\nrules:\n  - when: SCSI-Command\n    do:\n      - {act}\n"
    scenario = load(text, file="x.yaml", acts=SPECS)
    assert ActiveRule(scenario, scenario.rules[0], Book()).counts_apart is apart


def test_a_rule_that_has_ended_does_not_come_back() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    until: NOP-Out\n    do: drop")
    assert talk.say(write(2, 10)) == []
    assert len(talk.say(nop_out(9, 11), write(3, 12), write(4, 13))) == 3


def test_an_engine_that_was_not_started_takes_effect_with_what_it_sees_first() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 2\n    do: drop")
    talk.engine = Engine([talk.scenario], rng=talk.engine.rng, state=talk.state)
    assert [pdu["ITT"] for pdu in talk.say(write(2, 10), write(3, 11), write(4, 12))] == [2, 4]


def test_a_rule_that_is_switched_on_begins_anew() -> None:
    talk = Dialogue("rules: [{when: NOP-Out nth 2 then R2T, do: {note: x}, name: a}]")
    (rule,) = talk.engine._rules
    talk.say(nop_out(9, 10), nop_out(9, 11))
    assert not rule.switch(True, talk.engine.bring)
    assert rule.switch(False, talk.engine.bring)
    assert not rule.switch(False, talk.engine.bring)
    assert repr(rule) == "<ActiveRule x/a over>"
    assert rule.switch(True, talk.engine.bring)
    talk.say(r2t(2, 5), nop_out(9, 12), r2t(2, 5))
    assert talk.told("noted") == []
    talk.say(nop_out(9, 13), r2t(2, 5))
    assert talk.told("noted") == ["a: x"]
