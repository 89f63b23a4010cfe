from __future__ import annotations

from iscsiproxy.report.html.repeat import Repeat
from tests.report.results import run, suite

__all__: list[str] = []


def test_without_words_the_result_has_to_do() -> None:
    result = suite(run("pass", "a b"), run("pass", "a b"), run("fail", "c"))
    assert Repeat().all(result) == "iscsiproxy test 'a b' c --target embedded --initiator embedded --seed 9"


def test_a_command_is_given_as_it_is() -> None:
    result = suite(run("pass"), run("fail"))
    repeat = Repeat(command="pytest tests/x.py", options=("--seed", "9"))
    assert repeat.all(result) == repeat.one(result.runs[1], result) == "pytest tests/x.py"


def test_what_was_asked_for_is_asked_for_again() -> None:
    repeat = Repeat(chosen=("-k", "x and y"), options=("--target", "t:1", "--scratch", "--seed", "9"))
    result = suite(run("pass"))
    assert repeat.all(result) == "iscsiproxy test -k 'x and y' --target t:1 --scratch --seed 9"
    assert repeat.one(result.runs[0], result) == (
        "iscsiproxy test data_out_lost -p sn=2 --target t:1 --scratch --seed 9"
    )
