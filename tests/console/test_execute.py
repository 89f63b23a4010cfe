"""Lines done: commands, rules, and what is wrong with a line, at its place."""

from __future__ import annotations

import json

import pytest

from iscsiproxy.api.client import Unreachable
from tests.console.fake import FakeProxy, held_pdu, rule
from tests.console.playing import data_of, played, texts


def test_empty_lines_and_comments_are_passed_over() -> None:
    assert played(FakeProxy(), "", "   ", "# drop all", "   # and more") == []


def test_a_line_that_begins_with_an_act_is_a_rule_as_it_was_typed() -> None:
    proxy = FakeProxy()
    played(proxy, "  delay  200ms NOP-Out every 3  ", "pass; delay 20s; close fin R2T", "hold SCSI-Command nth 1")
    assert [arming.line for arming in proxy.armings] == [
        "delay  200ms NOP-Out every 3",
        "pass; delay 20s; close fin R2T",
        "hold SCSI-Command nth 1",
    ]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("drop 7", False),
        ("drop last", False),
        ("drop", False),
        ("drop R2T nth 3", True),
        ("stall", False),
        ("stall 1 for 5s", False),
        ("stall 5s R2T nth 3", True),
        ("inject NOP-Out", False),
        ("inject NOP-Out R2T nth 3", True),
        ("arm line-9/1", False),
        ("arm strict R2T", True),
        ("disarm all", False),
        ("disarm strict when 5s", True),
    ],
)
def test_a_name_of_both_a_command_and_an_act_is_what_the_rest_of_the_line_says(line: str, rule: bool) -> None:
    proxy = FakeProxy(held_={7: held_pdu(7)})
    played(proxy, line)
    assert [arming.line for arming in proxy.armings] == ([line] if rule else [])


def test_an_unknown_word_is_told_with_the_nearest_one() -> None:
    [outcome] = played(FakeProxy(), "  sesions")
    assert texts(outcome) == ["  sesions", "  ^", "there is no command and no act `sesions` (did you mean `sessions`?)"]


def test_a_word_that_is_near_nothing_is_told_where_help_is() -> None:
    [outcome] = played(FakeProxy(), "xyzzy")
    assert texts(outcome)[-1] == "there is no command and no act `xyzzy` (`help` lists what there is)"


def test_what_the_proxy_finds_wrong_in_a_rule_is_shown_at_its_place() -> None:
    [outcome] = played(FakeProxy(), "drop R2T wrong nth 3")
    assert texts(outcome) == [
        "  drop R2T wrong nth 3",
        "           ^",
        "`wrong` does not belong here (leave it out)",
    ]


@pytest.mark.parametrize(
    ("line", "caret"),
    [
        ("inject  wrong F=1", 8),
        ("watch both wrong count 3", 11),
        ("edit 7 wrong=1", 7),
        ("edit 7 corrupt wrong", 15),
        ("edit F=1 wrong=2", 9),
    ],
)
def test_what_the_proxy_finds_wrong_in_a_part_of_a_command_is_shown_at_its_place(line: str, caret: int) -> None:
    [outcome] = played(FakeProxy(held_={7: held_pdu(7)}), line)
    assert texts(outcome)[:2] == [f"  {line}", "  " + " " * caret + "^"]


def test_what_does_not_fit_a_command_is_shown_at_its_place() -> None:
    [outcome] = played(FakeProxy(), "kill 1 fim")
    assert texts(outcome) == ["  kill 1 fim", "         ^", "`fim` is nothing that `kill` takes (did you mean `fin`?)"]
    assert outcome.failed


def test_what_cannot_be_done_now_has_no_place() -> None:
    [outcome] = played(FakeProxy(connections_={}), "kill")
    assert texts(outcome) == ["there is no connection"]


def test_what_the_proxy_refuses_is_told() -> None:
    [outcome] = played(FakeProxy(), "kill 9")
    assert texts(outcome) == ["there is no connection 9"]
    assert outcome.failed


def test_an_answer_as_json_has_the_command_and_the_data() -> None:
    [outcome] = played(FakeProxy(rules_=[rule("a/1")]), "rules")
    told = json.loads(outcome.json())
    assert told["command"] == "rules"
    assert [one["name"] for one in told["answer"]] == ["a/1"]
    assert data_of(outcome) == told["answer"]


def test_a_problem_as_json_has_the_command_and_the_problem() -> None:
    [outcome] = played(FakeProxy(), "kill 9")
    told = json.loads(outcome.json())
    assert told.keys() == {"command", "problem"}
    assert told["problem"]["error"] == "not_found"


def test_a_proxy_that_has_gone_is_no_problem_of_the_line() -> None:
    with pytest.raises(Unreachable):
        played(FakeProxy(gone=True), "rules")
