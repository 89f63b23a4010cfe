from __future__ import annotations

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language.document import read_yaml
from iscsiproxy.language.matrix import MAX_COMBINATIONS, combinations, read_params
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.reserved import reserved_bits

__all__: list[str] = []


def axes(text: str, **params: str) -> list[dict[str, str]]:
    return [run for run, _ in combinations(read_yaml(text, "f"), params)]


def test_without_a_matrix_there_is_one_run() -> None:
    assert combinations(None, {}) == (({}, frozenset()),)


def test_the_last_axis_changes_fastest() -> None:
    assert axes("{a: [x, y], b: 1..2}") == [
        {"a": "x", "b": "1"},
        {"a": "x", "b": "2"},
        {"a": "y", "b": "1"},
        {"a": "y", "b": "2"},
    ]


def test_one_value_needs_no_list() -> None:
    assert axes("{a: header-digest}") == [{"a": "header-digest"}]


def test_values_are_texts() -> None:
    assert axes("{a: [Yes, 010, 'header+1']}") == [{"a": "Yes"}, {"a": "010"}, {"a": "header+1"}]


def test_a_later_axis_may_use_an_earlier_one() -> None:
    assert axes("{a: [1, 2], b: 1..$a, c: [x$b]}") == [
        {"a": "1", "b": "1", "c": "x1"},
        {"a": "2", "b": "1", "c": "x1"},
        {"a": "2", "b": "2", "c": "x2"},
    ]


def test_reserved_bits_of_a_pdu() -> None:
    found = axes("{pdu: [NOP-Out, R2T], bit: reserved($pdu)}")
    bits = [run["bit"] for run in found if run["pdu"] == "R2T"]
    assert tuple(bits) == reserved_bits(Opcode.R2T)
    assert len(found) == len(reserved_bits(Opcode.R2T)) + len(reserved_bits(Opcode.NOP_OUT))


def test_parameters_may_be_used_and_it_is_known_which() -> None:
    node = read_yaml("{a: [$n, 2]}", "f")
    runs = combinations(node, {"n": "5", "m": "6"})
    assert [run for run, _ in runs] == [{"a": "5"}, {"a": "2"}]
    assert {name for _, used in runs for name in used} == {"n"}


#: text, column, part of the message
WRONG = [
    ("{a: []}", 5, "the axis `a` has no values"),
    ("{a: 3..1}", 5, "`3..1` is no range"),
    ("{a: x..y}", 5, "`x..y` is no range"),
    ("{a: 1..99999}", 5, "`1..99999` is no range"),
    ("{a: 1..100, b: 1..100}", 1, f"more than {MAX_COMBINATIONS} combinations"),
    ("{a: reserved(close)}", 5, "the name of one PDU, not `close`"),
    ("{a: reserved(NOP-Ou)}", 5, "the name of one PDU"),
    ("{a: reserved(Any-PDU)}", 5, "the name of one PDU"),
    ("{b: 1..$a, a: [1]}", 8, "there is no parameter `$a`"),
    ("{a: {b: c}}", 5, "not a mapping"),
    ("{$a: [1]}", 2, "`$a` cannot be the name of a parameter"),
    ("{n: [1]}", 2, "`n` is a parameter already"),
    ("{}", 1, "`matrix` is empty"),
    ("[a]", 1, "expected `matrix`"),
]


@pytest.mark.parametrize(("text", "column", "message"), WRONG)
def test_what_is_no_matrix(text: str, column: int, message: str) -> None:
    with pytest.raises(FileError) as caught:
        axes(text, n="1")
    assert message in caught.value.message
    assert caught.value.column == column


def test_params() -> None:
    assert read_params(read_yaml("{nth: 2, how: fin, empty: ''}", "f")) == {"nth": "2", "how": "fin", "empty": ""}
    for wrong in ("{1a: 2}", "{a: [1]}", "{a: }", "x"):
        with pytest.raises(FileError):
            read_params(read_yaml(wrong, "f"))
