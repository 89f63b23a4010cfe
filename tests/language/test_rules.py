from __future__ import annotations

import pytest

from iscsiproxy.language.spec import Pattern
from tests.language.samples import errors_of, read

__all__: list[str] = []


def test_a_rule_with_all_its_keys() -> None:
    (rule,) = read("rules: [{name: lose, when: [R2T, close], do: pass, until: [5s, connect], optional: yes}]").rules
    assert (rule.name, rule.optional, len(rule.when), len(rule.until)) == ("lose", True, 2, 2)
    assert (rule.position.line, rule.position.column) == (3, 9)


def test_a_rule_without_a_name_has_its_number() -> None:
    rules = read("rules:\n  - {when: R2T, do: pass}\n  - {when: R2T, do: pass, name: b}\n  - {when: R2T as r}\n").rules
    assert [rule.name for rule in rules] == ["#1", "b", "#3"]
    assert rules[2].do == ()


def test_one_rule_needs_no_list() -> None:
    assert len(read("rules: {when: R2T, do: drop}").rules) == 1


MACHINE = """
machines:
  link:
    per: connection
    states:
      up:
        - {when: 3s..6s, do: {goto: down}}
      down:
        - {when: 0s, do: {close: rst}}
        - {when: connect, do: refuse, name: no}
        - {when: SCSI-Command as n, do: [{disarm: no}, {goto: up}]}
rules:
  - {when: R2T of n, do: [{arm: no}, pass]}
"""


def test_a_machine() -> None:
    scenario = read(MACHINE)
    (machine,) = scenario.machines
    assert (machine.name, machine.per) == ("link", "connection")
    assert [state.name for state in machine.states] == ["up", "down"]
    assert [rule.name for state in machine.states for rule in state.rules] == [
        "link.up#1",
        "link.down#1",
        "no",
        "link.down#3",
    ]
    step = scenario.rules[0].when[0].steps[0]
    assert isinstance(step, Pattern)
    assert step.of == "n", "machines share captures"


#: what is said, line, column, part of the message, part of the hint
WRONG = [
    ("rules: [drop]", 3, 9, "expected a rule: a mapping", ""),
    ("rules: [{do: drop}]", 3, 9, "a rule needs `when`", "when: SCSI-Command"),
    ("rules: [{when: R2T}]", 3, 9, "this rule does nothing", "`as`"),
    ("rules: [{when: R2T, do: pass, util: 5s}]", 3, 31, "a rule has no key `util`", "`until`"),
    ("rules: [{when: R2T, do: pass, optional: Yes}]", 3, 41, "`optional` is `yes` or `no`, not `Yes`", "`yes`"),
    ("rules: [{when: R2T, do: pass, until: 5}]", 3, 38, "expected a duration", ""),
    ("rules: [{when: R2T, do: pass, name: a b}]", 3, 37, "`a b` cannot be a name", ""),
    ("rules: [{when: R2T, do: pass, name: nth}]", 3, 37, "a word of the grammar", ""),
    (
        "rules:\n- {when: R2T as r, name: negotiate}",
        4,
        26,
        "`negotiate` is what reports call the work of `negotiate`; a rule needs another name",
        "",
    ),
    ("rules:\n- {when: R2T as r, name: a}\n- {when: R2T as r, name: a}", 5, 26, "two rules are called `a`", "line 4"),
    ("rules: [{when: , do: pass}]", 3, 15, "a moment is missing here", ""),
    ("rules: [{when: R2T, do: }]", 3, 21, "`do` has no value", ""),
    ("rules: [{when: R2T nth 0, do: drop}]", 3, 24, "at least 1", ""),
    ("machines: {a: {stats: {}}}", 3, 12, "machine `a` needs `states`", ""),
    ("machines: {a: {states: {}}}", 3, 24, "`states` is empty", ""),
    ("machines: {}", 3, 11, "`machines` is empty", ""),
    ("machines: {a: {per: task, states: {b: [{when: connect, do: refuse}]}}}", 3, 21, "`per` is `run`, `session`", ""),
    ("machines: {a.b: {states: {b: [{when: connect, do: refuse}]}}}", 3, 12, "cannot be a name", ""),
    ("machines: {a: {states: {b: {when: 5s, do: {goto: c}}}}}", 3, 50, "no state of this machine called `c`", "are b"),
]


@pytest.mark.parametrize(("body", "line", "column", "message", "hint"), WRONG)
def test_what_is_wrong(body: str, line: int, column: int, message: str, hint: str) -> None:
    found = [error for error in errors_of(body) if message in error.message]
    assert found, [str(error) for error in errors_of(body)]
    assert (found[0].line, found[0].column) == (line, column)
    assert hint in (found[0].hint or "")


def test_a_moment_that_cannot_be_read_says_nothing_of_the_acts() -> None:
    assert [error.column for error in errors_of("rules: [{when: R2 nth 1, do: drop}]")] == [16]
    assert [error.column for error in errors_of("rules: [{when: nowhere, do: drop}]")] == [16]


def test_a_name_that_a_wrong_part_may_bind_is_not_missed() -> None:
    body = "rules:\n  - {when: SCSI-Comand nth 1 as n, do: drop}\n  - {when: R2T of n, do: drop}\n"
    (error,) = errors_of(body)
    assert "SCSI-Comand" in error.message


def test_all_that_is_wrong_is_told() -> None:
    body = "rules:\n  - {when: R2T nth 0, do: drop}\n  - {when: R2T, do: dorp}\n  - {when: R2T where X, do: drop}\n"
    assert [error.line for error in errors_of(body)] == [4, 5, 6]


def test_a_rule_may_wait_to_be_armed() -> None:
    rules = read("rules: [{when: R2T, do: drop, name: a, armed: no}, {when: R2T, do: {arm: a}}]").rules
    assert [rule.armed for rule in rules] == [False, True]
    (error,) = errors_of("rules: [{when: R2T, do: drop, armed: no}]")
    assert (error.message, error.line) == ("a rule that is not armed needs a name", 3)
    assert errors_of("rules: [{when: R2T, do: drop, armed: yes}]") == []
    (error,) = errors_of("rules: [{when: R2T, do: drop, armed: perhaps}]")
    assert "`armed`" in error.message


def test_a_connection_is_refused_before_anything_is_done_with_it() -> None:
    (error,) = errors_of("rules: [{when: connect, do: [{stall: 1s}, refuse]}]")
    assert error.message == "`refuse` comes before `stall`"
    assert errors_of("rules: [{when: connect, do: [{note: x}, refuse]}]") == []
