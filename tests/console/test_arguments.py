"""What commands take, read off their signatures; and how words become values."""

from __future__ import annotations

from typing import Any

import pytest

from iscsiproxy.console.arguments import arguments_of, bind, duration
from iscsiproxy.console.commands.holding import held, release
from iscsiproxy.console.commands.recording import save
from iscsiproxy.console.commands.rules import arm
from iscsiproxy.console.commands.watching import watch
from iscsiproxy.console.commands.wire import kill
from iscsiproxy.errors import FileError


def bound(function: Any, text: str) -> dict[str, Any]:
    name = function.__name__
    return bind(name, arguments_of(function), f"{name} {text}", len(name))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("2", {"conn": 2}),
        ("2 fin", {"conn": 2, "how": "fin"}),
        ("fin 2", {"conn": 2, "how": "fin"}),
        ("initiator", {"end": "initiator"}),
        ("  both   rst ", {"end": "both", "how": "rst"}),
    ],
)
def test_optional_arguments_are_known_by_what_they_are(text: str, values: dict[str, Any]) -> None:
    assert bound(kill, text) == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("off", {"what": "off"}),
        ("R2T where ITT == 3", {"pattern": "R2T where ITT == 3"}),
        ("both R2T", {"what": "both", "pattern": "R2T"}),
        ("R2T nth 3 count 10", {"pattern": "R2T nth 3", "count": 10}),
        ("R2T for 5s count 10", {"pattern": "R2T", "count": 10, "limit": 5.0}),
        ("count 10", {"count": 10}),
        ("for 200ms", {"limit": 0.2}),
        ("R2T where x like count", {"pattern": "R2T where x like count"}),
        ('R2T where x == "for 5s"', {"pattern": 'R2T where x == "for 5s"'}),
    ],
)
def test_the_rest_of_a_line_is_taken_as_it_is_but_for_what_has_a_word_of_its_own(
    text: str, values: dict[str, Any]
) -> None:
    assert bound(watch, text) == values


def test_pairs_may_be_repeated_and_a_switch_is_one_word() -> None:
    assert bound(arm, "mine -p nth=3 -p x=a=b") == {"what": "mine", "params": (("nth", "3"), ("x", "a=b"))}
    assert bound(save, "mine --armed") == {"name": "mine", "armed": True}


@pytest.mark.parametrize(("text", "value"), [("17", 17), ("last", "last"), ("all", "all")])
def test_a_held_pdu_has_a_number_or_a_name(text: str, value: int | str) -> None:
    assert bound(release, text) == {"n": value}


@pytest.mark.parametrize(
    ("function", "text", "column", "said"),
    [
        (kill, "2 fim", 8, "`fim` is nothing that `kill` takes (did you mean `fin`?)"),
        (
            kill,
            "2 3",
            8,
            "`3` is nothing that `kill` takes (usage: kill [CONN] [rst|fin|half] [initiator|target|both])",
        ),
        (
            kill,
            "-1",
            6,
            "`-1` is nothing that `kill` takes (usage: kill [CONN] [rst|fin|half] [initiator|target|both])",
        ),
        (arm, "", 5, "`arm` needs NAME|FILE|RULE (usage: arm NAME|FILE|RULE [-p NAME=VALUE]…)"),
        (arm, "mine -p nth", 13, "NAME=VALUE has to stand behind `-p`"),
        (arm, "mine -p", 10, "NAME=VALUE has to stand behind `-p`"),
        (release, "first_one", 9, "`first_one` is nothing that `release` takes (usage: release [N])"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(function: Any, text: str, column: int, said: str) -> None:
    with pytest.raises(FileError) as raised:
        bound(function, text)
    assert raised.value.column == column
    hint = f" ({raised.value.hint})" if raised.value.hint else ""
    assert raised.value.message + hint == said


def test_a_command_that_takes_nothing_says_so() -> None:
    with pytest.raises(FileError, match="`held` takes nothing more"):
        bound(held, "x")


@pytest.mark.parametrize(
    ("word", "seconds"), [("200ms", 0.2), ("1.5s", 1.5), ("2min", 120.0), ("5", None), ("s", None), ("5 s", None)]
)
def test_durations_have_units(word: str, seconds: float | None) -> None:
    assert duration(word) == seconds


def test_usage_is_read_off_the_signature() -> None:
    assert " ".join(map(str, arguments_of(watch))) == "[off|both] [PATTERN]… [count N] [for TIME]"
