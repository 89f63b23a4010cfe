from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError
from iscsiproxy.language.document import MAX_DEPTH, Listing, Node, Scalar, Table
from iscsiproxy.language.line_tokens import Scanner, begins_moment, held_together, main_follows
from tests.language.samples import outcome

__all__: list[str] = []


def plain(node: Node) -> object:
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return {entry.key.text: plain(entry.value) for entry in node.entries}


#: what stands in a line, its first value, and what is left then
VALUES: list[tuple[str, object, str]] = [
    ("5s", "5s", ""),
    ("200ms Data-In every 3", "200ms", " Data-In every 3"),
    ("fin;drop", "fin", ";drop"),
    ("header+20 SCSI-Command", "header+20", " SCSI-Command"),
    ("length - 512 Data-In", "length - 512", " Data-In"),
    ("length + 2 * (a - b) Data-In", "length + 2 * (a - b)", " Data-In"),
    ("length -512", "length", " -512"),
    ("length - ", "length", " - "),
    ("length - ; drop", "length", " - ; drop"),
    ("(EDTL + 1) x", "(EDTL + 1)", " x"),
    ('(CDB.name == "WRITE (10") x', '(CDB.name == "WRITE (10")', " x"),
    ('"hello; world" x', "hello; world", " x"),
    ("'hello world' x", "hello world", " x"),
    ('"say ""no""" x', 'say "no"', " x"),
    ("'it''s' x", "it's", " x"),
    ('"" x', "", " x"),
    ('KEY="a b" x', 'KEY="a b"', " x"),
    ("[a, b] x", ["a", "b"], " x"),
    ("[ a b , R2T as r ]", ["a b", "R2T as r"], ""),
    ("[]", [], ""),
    ('[A="x, y", "B=c, d", min(a, b)]', ['A="x, y"', "B=c, d", "min(a, b)"], ""),
    (
        "{by=C, add={1=[A=1, B=2]}, at=[A+1, B+2]} x",
        {"by": "C", "add": {"1": ["A=1", "B=2"]}, "at": ["A+1", "B+2"]},
        " x",
    ),
    ("{}", {}, ""),
    ("it's x", "it's", " x"),
]


@pytest.mark.parametrize(("text", "value", "rest"), VALUES)
def test_a_value_ends_where_it_should(text: str, value: object, rest: str) -> None:
    scanner = Scanner(text, "line")
    assert plain(scanner.value()) == value
    assert text[scanner.at :] == rest


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ('"abc', 1, "this quotation is not closed"),
        ('a"bc', 2, "this quotation is not closed"),
        ("(a (b)", 1, "this parenthesis is not closed"),
        ("[a, b", 1, "the `[` is not closed"),
        ("{a=b", 1, "the `{` is not closed"),
        ('["a" b]', 6, "expected `,` or `]`, not `b`"),
        ("{a}", 2, "expected `name=value`, not `a}`"),
        ("{a=1, a=2}", 7, "`a` stands here twice"),
        ('"a"b', 4, "a blank is missing before `b`"),
        ("[" * (MAX_DEPTH + 2), MAX_DEPTH + 2, f"nested more than {MAX_DEPTH} levels deep"),
    ],
)
def test_what_is_wrong_with_a_value_has_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(FileError) as caught:
        Scanner(text, "line").value()
    assert (caught.value.file, caught.value.line, caught.value.column) == ("line", 1, column)
    assert caught.value.message == message


def test_every_part_of_a_value_knows_its_column() -> None:
    node = Scanner('[ab, "c""d e"]', "line").value()
    assert isinstance(node, Listing)
    first, second = node.items
    assert isinstance(second, Scalar)
    assert (first.position.column, second.position.column) == (2, 6)
    assert second.quoted
    assert [second.at(offset).column for offset in range(5)] == [7, 8, 10, 10, 12]


@given(st.text(alphabet="ab =;,()[]{}\"'+-.$", max_size=20))
def test_any_text_is_a_value_or_an_error(text: str) -> None:
    scanner = Scanner(text, "line")
    found = outcome(scanner.value)
    if isinstance(found, FileError):
        assert 1 <= found.column <= len(text) + 1
    else:
        assert scanner.at <= len(text)


@given(st.text(max_size=20))
def test_any_text_may_stand_in_quotes(text: str) -> None:
    doubled = text.replace('"', '""')
    scanner = Scanner(f'"{doubled}" x', "line")
    node = scanner.value()
    assert isinstance(node, Scalar)
    assert node.text == text
    assert scanner.text[scanner.at :] == " x"


def test_a_word_ends_at_a_blank_an_act_and_an_equals_sign() -> None:
    assert [Scanner(text, "").word for text in ("ab cd", "ab;", "ab=1", "==", "", " a", ";")] == [
        "ab",
        "ab",
        "ab",
        "==",
        "",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("F=1", "F"),
        ("text.X-com.example.key=a", "text.X-com.example.key"),
        ("BHS.1.6=1", "BHS.1.6"),
        ("data+4=0x00", "data+4"),
        ("$bit=1", "$bit"),
        ("Status-Class=1", "Status-Class"),
        ("F==1", None),
        ("F =1", None),
        ("(a)=1", None),
    ],
)
def test_a_name_and_an_equals_sign_are_a_key(text: str, key: str | None) -> None:
    scanner = Scanner(text, "line")
    found = scanner.take_key()
    assert (found.text if found else None) == key
    assert scanner.at == (len(key) + 1 if key else 0)


def test_a_pdu_or_an_event_begins_a_moment_also_when_it_is_written_otherwise() -> None:
    words = ["Data-Out", "full-feature", "Opcode-0x1c", "data_out", "SCSICommand", "Any-PDU"]
    assert all(begins_moment(word) for word in words)
    assert not any(begins_moment(word) for word in ["rst", "5s", "released", "", "F", "data"])


@pytest.mark.parametrize(
    ("act", "rest", "main"),
    [
        ("close", "rst SCSI-Command", True),
        ("close", "SCSI-Command nth 1", False),
        ("close", "when SCSI-Command", False),
        ("close", "scsi-command", False),
        ("inject", "NOP-In", True),
        ("inject", "NOP-Inn", True),
        ("inject", "full-feature", False),
        ("answer", "SCSI-Response", True),
        ("answer", "SCSI-Command", False),
        ("delay", "(SCSI-Command)", True),
        ("delay", "SCSI-Command", False),
        ("delay", "released", True),
        ("merge", "Data-Out", False),
        ("drop", "(x)", False),
        ("note", '"Reject"', True),
    ],
)
def test_a_main_parameter_is_told_from_a_moment(act: str, rest: str, main: bool) -> None:
    assert main_follows(SPECS[act], Scanner(rest, "line")) is main


def test_parentheses_that_hold_a_value_together_are_taken_away() -> None:
    texts = ["(a b)", "( a )", "(a) (b)", "((a))", "a", "()", '(")")', "(a"]
    held = [held_together(Scalar(text, Scanner("", "f").here)) for text in texts]
    assert [plain(node) for node in held] == ["a b", "a", "(a) (b)", "(a)", "a", "", '")"', "(a"]
    assert [node.position.column for node in held] == [2, 3, 1, 2, 1, 2, 2, 1]
    assert plain(held_together(Scanner("[(a b), c]", "f").value())) == ["a b", "c"]
    assert plain(held_together(Scanner('"(a)"', "f").value())) == "(a)"
    assert isinstance(held_together(Scanner("{a=(b)}", "f").value()), Table)
