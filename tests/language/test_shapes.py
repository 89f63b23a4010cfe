from __future__ import annotations

from collections.abc import Callable

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language import shapes
from iscsiproxy.language.document import Node, Scalar, Table, read_yaml
from iscsiproxy.language.problems import Problems
from iscsiproxy.language.spec import NOWHERE
from tests.language.samples import NO_PARAMETERS

__all__: list[str] = []


def node(text: str) -> Node:
    return read_yaml(text, "f")


def test_a_single_value_is_a_list_of_one() -> None:
    assert len(shapes.as_list(node("[a, b]"))) == 2
    assert len(shapes.as_list(node("a"))) == 1
    assert len(shapes.as_list(node("{a: b}"))) == 1


def test_plain_values() -> None:
    assert shapes.text_of(node("a b"), "x", NO_PARAMETERS) == "a b"
    assert shapes.yes_no(node("yes"), "x", NO_PARAMETERS)
    assert shapes.duration(node("5s"), "x", NO_PARAMETERS) == 5.0
    assert shapes.whole(node("4KiB"), "x", NO_PARAMETERS) == 4096
    assert shapes.whole(node("0"), "x", NO_PARAMETERS, least=0) == 0
    assert shapes.choice(node("b"), ("a", "b"), "x", NO_PARAMETERS) == "b"


def test_an_empty_text_in_quotes_is_there() -> None:
    assert shapes.as_scalar(node("''"), "x").text == ""


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: shapes.as_scalar(node("[a]"), "a word"), "expected a word, not a list"),
    (lambda: shapes.as_scalar(node("{a: b}"), "a word"), "expected a word, not a mapping"),
    (lambda: shapes.as_scalar(Scalar("", NOWHERE), "a word"), "a word is missing"),
    (lambda: shapes.as_table(node("a"), "x"), "a mapping of keys and values, not `a`"),
    (lambda: shapes.as_table(node("[a]"), "x"), "not a list"),
    (lambda: shapes.entries(node("{}"), "x"), "x is empty"),
    (lambda: shapes.yes_no(node("true"), "x", NO_PARAMETERS), "x is `yes` or `no`, not `true`"),
    (lambda: shapes.duration(node("5"), "x", NO_PARAMETERS), "x is a duration, not `5`"),
    (lambda: shapes.whole(node("0"), "x", NO_PARAMETERS), "x is a number of at least 1, not `0`"),
    (lambda: shapes.whole(node("5s"), "x", NO_PARAMETERS), "not `5s`"),
]


@pytest.mark.parametrize(("read", "message"), WRONG)
def test_what_is_something_else(read: Callable[[], object], message: str) -> None:
    with pytest.raises(FileError) as caught:
        read()
    assert message in caught.value.message


def test_unknown_keys_are_all_told() -> None:
    problems = Problems()
    table = node("{when: a, whn: b, zzz: c}")
    assert isinstance(table, Table)
    assert not shapes.check_keys(table, ("when", "do"), "a rule", problems)
    assert [error.message for error in problems.found] == ["a rule has no key `whn`", "a rule has no key `zzz`"]
    assert [error.hint for error in problems.found] == ["did you mean `when`?", "there are when, do"]
    assert shapes.check_keys(table, ("when", "whn", "zzz"), "a rule", problems)
