from __future__ import annotations

import pytest

from iscsiproxy.engine import SPECS, Engine
from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.rules import ActiveRule
from iscsiproxy.errors import FileError
from iscsiproxy.language import load
from iscsiproxy.wire.opcodes import Opcode
from tests.engine.dialogue import Dialogue, nop_out, write


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
    }
    assert talk.engine.unfired() == ("x/#2",)


def test_moments_of_acts_are_among_the_paths() -> None:
    text = "scenario: x\nvictim: target\nrules:\n  - when: SCSI-Command\n    until: R2T\n    do: {delay: [SNACK, 1s]}\n"
    scenario = load(text, file="x.yaml", acts=SPECS)
    rule = ActiveRule(scenario, scenario.rules[0], Book())
    opcodes = [sorted(matcher.opcodes) for path in rule.all_paths() for matcher in path.matchers]
    assert opcodes == [[Opcode.SCSI_COMMAND], [Opcode.R2T], [Opcode.SNACK]]
    assert "in force" in repr(rule)


@pytest.mark.parametrize("act", ["drop", "duplicate", "set"])
def test_translated_numbers_are_refused_with_their_place(act: str) -> None:
    field = ", LUN: 1" if act == "set" else ""
    with pytest.raises(FileError, match="part of the language but not built yet") as caught:
        Dialogue(f"rules:\n  - when: SCSI-Command\n    do:\n      - {act}: {{numbers: translate{field}}}")
    assert (caught.value.line, caught.value.column) == (6, 9)


def test_a_rule_that_has_ended_does_not_come_back() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    until: NOP-Out\n    do: drop")
    assert talk.say(write(2, 10)) == []
    assert len(talk.say(nop_out(9, 11), write(3, 12), write(4, 13))) == 3


def test_an_engine_that_was_not_started_takes_effect_with_what_it_sees_first() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 2\n    do: drop")
    talk.engine = Engine([talk.scenario], rng=talk.engine.rng, state=talk.state)
    assert [pdu["ITT"] for pdu in talk.say(write(2, 10), write(3, 11), write(4, 12))] == [2, 4]
