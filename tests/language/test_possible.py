from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.language.possible import Surroundings, contradiction, names_in, refs_in, rows
from iscsiproxy.language.spec import NOWHERE, Expr
from iscsiproxy.wire.fields import fields_of
from iscsiproxy.wire.opcodes import Opcode
from tests.language.test_written import COMMAND, checked

DATA_OUT = frozenset({int(Opcode.DATA_OUT)})
NAMES = st.sampled_from(["DataSN", "BufferOffset"])
VALUES = st.integers(0, 4)


def ways(text: str) -> list[list[str]] | None:
    found = rows(checked(text, COMMAND))
    return None if found is None else [[str(condition) for condition in row] for row in found]


def test_a_test_comes_apart_into_the_ways_in_which_it_is_true() -> None:
    assert ways("W and R") == [["W", "R"]]
    assert ways("W or R") == [["W"], ["R"]]
    assert ways("not (W or R)") == [["not W", "not R"]]
    assert ways("not (W and R) and I") == [["not W", "I"], ["not R", "I"]]
    assert rows(None) == [()]


def test_too_many_ways_are_not_gone_through() -> None:
    text = " and ".join(f"(LUN == {number} or ITT == {number})" for number in range(7))
    assert ways(text) is None
    assert contradiction(checked(f"W and not W and {text}", COMMAND), Surroundings(Opcode.SCSI_COMMAND)) is None


def test_a_field_that_is_not_there_has_no_value() -> None:
    write = checked("W", COMMAND)
    assert contradiction(write, Surroundings(Opcode.SCSI_COMMAND)) is None
    found = contradiction(write, Surroundings(Opcode.DATA_OUT))
    assert found is not None
    assert found.why == "there is no `W` here, so `W` is never true"


def test_the_names_in_a_test() -> None:
    expr = checked("CmdSN == n.CmdSN + 1 and key.MaxBurstLength > min(EDTL, 3)", COMMAND)
    assert names_in(expr) == {"n"}
    assert [ref.path for ref in refs_in(expr)] == ["CmdSN", "CmdSN", "MaxBurstLength", "EDTL"]
    assert names_in(None) == frozenset()


@st.composite
def conditions(draw: st.DrawFn, depth: int) -> str:
    kind = draw(st.integers(0, 5 if depth else 2))
    if kind <= 1:
        return f"{draw(NAMES)} {draw(st.sampled_from(['==', '!=', '<', '<=', '>', '>=']))} {draw(VALUES)}"
    if kind == 2:
        low, high = draw(VALUES), draw(VALUES)
        return f"{draw(NAMES)} in ({low} .. {high})" if draw(st.booleans()) else f"{draw(NAMES)} in ({low}, {high})"
    if kind == 3:
        return f"not ({draw(conditions(depth - 1))})"
    return f"({draw(conditions(depth - 1))}) {'and' if kind == 4 else 'or'} ({draw(conditions(depth - 1))})"


@given(conditions(3))
def test_what_counts_as_impossible_is_true_of_no_value_and_the_other_way_round(text: str) -> None:
    expr: Expr = checked(text, DATA_OUT)
    if rows(expr) is None:
        return
    python = text.replace("..", ",")
    for low in range(5):
        for high in range(5):
            python = python.replace(f"in ({low} , {high})", f"in range({low}, {high} + 1)")
    possible = any(
        eval(python, {}, {"DataSN": sn, "BufferOffset": offset})
        for sn in (*range(6), fields_of(Opcode.DATA_OUT)["DataSN"].maximum)
        for offset in range(6)
    )
    assert (contradiction(expr, Surroundings(Opcode.DATA_OUT)) is None) is possible
    assert expr.where != NOWHERE
