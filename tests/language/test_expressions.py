from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.errors import FileError
from iscsiproxy.language.expressions import COMPARISONS, Cursor, parse_expression
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.syntax import (
    AbsentWord,
    BinaryNode,
    CallNode,
    Constant,
    InNode,
    LogicNode,
    Name,
    Node,
    NotNode,
    ParameterNode,
    RangeNode,
    UnaryNode,
)
from iscsiproxy.language.tokens import tokenize
from tests.language.samples import NO_PARAMETERS, outcome, scalar

__all__: list[str] = []


def shown(node: Node) -> str:
    """Write a tree with all its parentheses."""
    match node:
        case Constant(value=value):
            return f'"{value}"' if isinstance(value, str) else str(value)
        case Name(text=text):
            return text
        case ParameterNode(name=name):
            return f"${name}"
        case AbsentWord():
            return "absent"
        case UnaryNode(operand=operand):
            return f"(- {shown(operand)})"
        case BinaryNode(op=op, left=left, right=right):
            return f"({shown(left)} {op} {shown(right)})"
        case InNode(operand=operand, items=items):
            return f"({shown(operand)} in [{', '.join(map(shown, items))}])"
        case RangeNode(operand=operand, low=low, high=high):
            return f"({shown(operand)} in {shown(low)}..{shown(high)})"
        case CallNode(function=function, arguments=arguments):
            return f"{function}[{', '.join(map(shown, arguments))}]"
        case NotNode(operand=operand):
            return f"(not {shown(operand)})"
        case LogicNode(op=op, operands=operands):
            return f"({f' {op} '.join(map(shown, operands))})"


def parse(text: str) -> Node:
    return parse_expression(scalar(text), NO_PARAMETERS)


#: From lowest to highest: or, and, not, tests, sums, products, unary; sums and products go from the left.
PRECEDENCE = [
    ("a or b and c", "(a or (b and c))"),
    ("a and b or c", "((a and b) or c)"),
    ("(a or b) and c", "((a or b) and c)"),
    ("a or b or c", "(a or b or c)"),
    ("a and b and c", "(a and b and c)"),
    ("not a and b", "((not a) and b)"),
    ("not a or b", "((not a) or b)"),
    ("not a == b", "(not (a == b))"),
    ("not (a and b)", "(not (a and b))"),
    ("not not a", "(not (not a))"),
    ("a == b and c == d", "((a == b) and (c == d))"),
    ("a == b + c", "(a == (b + c))"),
    ("a + b == c", "((a + b) == c)"),
    ("a + b * c", "(a + (b * c))"),
    ("a * b + c", "((a * b) + c)"),
    ("a - b - c", "((a - b) - c)"),
    ("a - b + c", "((a - b) + c)"),
    ("a * b % c", "((a * b) % c)"),
    ("a % b & c", "((a % b) & c)"),
    ("a / b * c - d / 2", "(((a / b) * c) - (d / 2))"),
    ("a & b * c", "((a & b) * c)"),
    ("a - (b - c)", "(a - (b - c))"),
    ("a + b & c", "(a + (b & c))"),
    ("- a + b", "((- a) + b)"),
    ("a - -b", "(a - (- b))"),
    ("-a * b", "((- a) * b)"),
    ("a in (b, c + d)", "(a in [b, (c + d)])"),
    ("a + 1 in (b)", "((a + 1) in [b])"),
    ("a in (1 .. 3)", "(a in 1..3)"),
    ("a in (b + 1 .. c)", "(a in (b + 1)..c)"),
    ("not a in (b)", "(not (a in [b]))"),
    ("a in (b) or c", "((a in [b]) or c)"),
    ("min(a, b + 1) < c", "(min[a, (b + 1)] < c)"),
    ("len(text.X)", "len[text.X]"),
    ("uint(data, 0, 4) == 1", "(uint[data, 0, 4] == 1)"),
    ("a contains b", "(a contains b)"),
    ("sense == absent", "(sense == absent)"),
    ("sense == B/0C/0D", "(sense == (11, 12, 13))"),
    ("a == 64KiB", "(a == 65536)"),
    ("conn.age > 200ms", "(conn.age > 0.2)"),
    ("task == absent", "(task == absent)"),
]


@pytest.mark.parametrize(("text", "expected"), PRECEDENCE)
def test_precedence_and_associativity(text: str, expected: str) -> None:
    assert shown(parse(text)) == expected


@pytest.mark.parametrize("op", COMPARISONS)
def test_every_comparison(op: str) -> None:
    assert shown(parse(f'a {op} "b"')) == f'(a {op} "b")'


def test_nodes_know_where_they_stand() -> None:
    node = parse("not a == b + 1")
    assert isinstance(node, NotNode)
    test = node.operand
    assert isinstance(test, BinaryNode)
    assert (node.where.column, test.where.column, test.sign.column, test.right.where.column) == (1, 5, 7, 10)


#: text, column, part of the message, part of the hint
WRONG = [
    ("", 1, "expected a value, not the end", ""),
    ("a ==", 5, "expected a value, not the end", ""),
    ("== a", 1, "expected a value, not `==`", ""),
    ("a == b == c", 8, "tests do not chain", "`and`"),
    ("a < b < c", 7, "tests do not chain", "`and`"),
    ("a in (b) == c", 10, "tests do not chain", ""),
    ("(a", 3, "expected `)`", ""),
    ("a)", 2, "`)` does not belong here", ""),
    ("a b", 3, "`b` does not belong here", ""),
    ('a "b"', 3, "does not belong here", "`==` is missing"),
    ("a-1 -1", 5, "`-` subtracts only with blanks around it", ""),
    ("a -b", 3, "`-` subtracts only with blanks around it", ""),
    ("(a)-b", 4, "`-` subtracts only with blanks around it", ""),
    ("a in b", 6, "expected `(` behind `in`", ""),
    ("a in ()", 7, "expected a value", ""),
    ("a in (1 ..)", 11, "expected a value", ""),
    ("a in (1 .. 2, 3)", 13, "expected `)`", ""),
    ("a not in (b)", 3, "`not` stands before a test", "not x in"),
    ("min()", 5, "expected a value", ""),
    ("min(a", 6, "expected `)`", ""),
    ("a == 1.5", 6, "expected a value, not `1.5`", "whole"),
    ("a == where", 6, "a word of the grammar", ""),
    ("a == nth", 6, "a word of the grammar", ""),
    ("a and", 6, "not the end", ""),
    ("a or or b", 6, "a word of the grammar", ""),
    ("(" * 30 + "a" + ")" * 30, 22, "levels deep", ""),
    ("not " * 200 + "a", 85, "levels deep", ""),
    ("a" + " + a" * 200, 405, "at most 100 operators", ""),
]


@pytest.mark.parametrize(("text", "column", "message", "hint"), WRONG)
def test_what_is_no_expression(text: str, column: int, message: str, hint: str) -> None:
    with pytest.raises(FileError) as caught:
        parse(text)
    error = caught.value
    assert message in error.message
    assert error.column == column
    assert hint in (error.hint or "")


def test_a_parameter_is_read_as_one_operand() -> None:
    node = parse_expression(scalar("2 * $n"), Parameters({"n": "-3"}))
    assert isinstance(node, BinaryNode)
    assert isinstance(node.right, ParameterNode)
    assert isinstance(node.right.meaning, UnaryNode)
    node = parse_expression(scalar("$n"), Parameters({"n": "1 + 2"}))
    assert isinstance(node, ParameterNode)
    assert isinstance(node.meaning, FileError)


def test_the_cursor_gives_what_it_has_read() -> None:
    cursor = Cursor(tokenize(scalar('a  ==   "b  c" nth'), NO_PARAMETERS), NO_PARAMETERS)
    cursor.expression()
    assert cursor.text_since(0) == 'a == "b  c"'
    assert cursor.token.text == "nth"


WORDS = st.one_of(
    st.sampled_from(COMPARISONS),
    st.sampled_from(("+", "-", "*", "/", "%", "&", "(", ")", ",", "..")),
    st.sampled_from(("not", "and", "or", "in", "min", "task", "where")),
    st.sampled_from(("a", "n.b", "1", "64KiB", "5s", '"x"', "B/0C/0D", "absent", "$p")),
)


@given(st.lists(WORDS, max_size=25).map(" ".join))
def test_any_words_are_a_tree_or_an_error(text: str) -> None:
    node = outcome(lambda: parse_expression(scalar(text), Parameters({"p": "7"})))
    if isinstance(node, FileError):
        assert 1 <= node.column <= len(text) + 1
        return
    # written with all its parentheses, a tree of the plain operators is the same tree
    again = shown(node)
    if "[" not in again and "in " not in again and "$" not in again and "(11, " not in again:
        plain = again.replace("65536", "64KiB").replace("5.0", "5s")
        assert shown(parse_expression(scalar(plain), NO_PARAMETERS)) == again
