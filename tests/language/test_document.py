from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.errors import FileError
from iscsiproxy.language.document import MAX_DEPTH, MAX_SIZE, Entry, Listing, Node, Scalar, Table, read_yaml
from tests.language.samples import outcome

__all__: list[str] = []


def plain(node: Node) -> object:
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return {entry.key.text: plain(entry.value) for entry in node.entries}


def value(text: str) -> Scalar:
    node = read_yaml(text, "f")
    assert isinstance(node, Table)
    found = node.entries[0].value
    assert isinstance(found, Scalar)
    return found


def test_every_scalar_is_text() -> None:
    text = "{a: Yes, b: 010, c: 1:10, d: 2024-01-01, e: 0x0a, f: null, g: ~, h: 1.5, i: .inf, on: off}"
    assert plain(read_yaml(text, "f")) == {
        "a": "Yes",
        "b": "010",
        "c": "1:10",
        "d": "2024-01-01",
        "e": "0x0a",
        "f": "null",
        "g": "~",
        "h": "1.5",
        "i": ".inf",
        "on": "off",
    }


def test_lists_and_tables_nest() -> None:
    assert plain(read_yaml("a:\n  - b: [1, 2]\n    c: d\n  - e\n", "f")) == {"a": [{"b": ["1", "2"], "c": "d"}, "e"]}


def test_a_leading_document_mark_is_allowed() -> None:
    assert plain(read_yaml("---\na: b\n", "f")) == {"a": "b"}


#: text, and where the word `here` of its value stands
PLACES = [
    ("a: here", 1, 4),
    ("a: not here", 1, 8),
    ("a: 'not here'", 1, 9),
    ("a: 'it''s here'", 1, 11),
    ('a: "not here"', 1, 9),
    ('a: "\\x41 \\t here"', 1, 13),
    ("a: not\n  here", 2, 3),
    ("a: 'not\n   here'", 2, 4),
    ("a: >\n  not\n  or here\n", 3, 6),
    ("a: >-  # a comment\n  not here\n", 2, 7),
    ("a: |\n  not\n  at all\n   here\n", 4, 4),
    ("{x: {y: not here}}", 1, 13),
    ("- - here", 1, 5),
]


@pytest.mark.parametrize(("text", "line", "column"), PLACES)
def test_a_place_inside_a_scalar(text: str, line: int, column: int) -> None:
    node = read_yaml(text, "f")
    while not isinstance(node, Scalar):
        node = node.items[0] if isinstance(node, Listing) else node.entries[0].value
    where = node.at(node.text.index("here"))
    assert (where.file, where.line, where.column) == ("f", line, column)


def test_the_place_behind_the_last_character() -> None:
    assert value("a: here").at(4).column == 8
    assert value("a: 'here'").at(4).column == 9


def test_an_empty_text_has_a_place() -> None:
    assert value('a: ""').at(0).column == 4
    assert value("a:").at(0).line == 1


def test_quotes_are_known() -> None:
    assert value("a: 'b'").quoted
    assert value('a: "b"').quoted
    assert not value("a: b").quoted
    assert not value("a: |\n  b").quoted


def test_a_block_ends_without_its_last_line_break() -> None:
    assert value("a: |\n  b\n  c\n\n").text == "b\nc"


#: text, line, column, part of the message, part of the hint
WRONG = [
    ("", 1, 1, "empty", "scenario: NAME"),
    ("# only a comment", 1, 1, "empty", ""),
    ("a: &x b", 1, 4, "anchors", "write the value again"),
    ("a: b\nc: *x", 2, 4, "aliases", "write the value again"),
    ("a: !!int 3", 1, 4, "tags", "read as text"),
    ("a: !x {b: c}", 1, 4, "tags", ""),
    ("<<: 3", 1, 1, "merge keys", ""),
    ("a: 1\nb: 2\na: 3", 3, 1, "`a` stands here twice", "line 1"),
    ("{a: 1, 'a': 2}", 1, 8, "`a` stands here twice", "line 1"),
    ("a: b\n---\nc: d", 2, 1, "second YAML document", "matrix"),
    ("%YAML 1.1\n---\na: b", 1, 1, "directives", ""),
    ("%TAG ! x\n---\na: b", 1, 1, "directives", ""),
    ("? [a]\n: b", 1, 3, "a key is a single word", ""),
    ("? {a: b}\n: c", 1, 3, "a key is a single word", ""),
    ("a: b: c", 1, 5, "mapping values are not allowed", "in quotes"),
    ("a:\n\tb", 2, 1, "cannot start any token", "indent with spaces"),
    ("a: @b", 1, 4, "cannot start any token", "in quotes"),
    ("a: [b", 1, 6, "expected ',' or ']'", "closing bracket"),
    ("a: 'b\nc: d\n", 1, 4, "quotation is not closed", ""),
    ("a: \x07", 1, 4, "U+0007", ""),
    ('a: "\\ud800"', 1, 4, "surrogate", ""),
    ('a: "\\U00110000"', 1, 1, "not YAML", ""),
    ("a: {b: f(1, 2), c: d}", 1, 8, "cuts this value at its comma, behind `f(1`", "in quotes"),
    ("a: [x in (1, 2)]", 1, 5, "cuts this value at its comma", "in quotes"),
    ('a: {b: x == "y, z", c: d}', 1, 8, "cuts this value at its comma", "in quotes"),
    ("a: {b: x, c}", 1, 11, "`c` has no value", "in quotes"),
]


@pytest.mark.parametrize(("text", "line", "column", "message", "hint"), WRONG)
def test_what_is_not_of_the_language(text: str, line: int, column: int, message: str, hint: str) -> None:
    with pytest.raises(FileError) as caught:
        read_yaml(text, "f")
    error = caught.value
    assert (error.file, error.line, error.column) == ("f", line, column)
    assert message in error.message
    assert hint in (error.hint or "")


def test_a_comma_in_quotes_is_no_cut() -> None:
    assert plain(read_yaml('{a: "f(1, 2)", b: [c, "(d, e)"]}', "f")) == {"a": "f(1, 2)", "b": ["c", "(d, e)"]}


def test_size_and_depth_are_bounded() -> None:
    with pytest.raises(FileError, match="characters"):
        read_yaml("a: " + "b" * MAX_SIZE, "f")
    with pytest.raises(FileError, match="levels deep"):
        read_yaml("[" * 100_000, "f")
    read_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f")


def test_a_table_gives_its_values() -> None:
    node = read_yaml("a: b", "f")
    assert isinstance(node, Table)
    assert isinstance(node.entries[0], Entry)
    assert isinstance(node.get("a"), Scalar)
    assert node.get("b") is None


@given(st.text(max_size=200))
def test_any_text_is_a_tree_or_an_error_with_a_place(text: str) -> None:
    found = outcome(lambda: read_yaml(text, "f"))
    where = found if isinstance(found, FileError) else found.position
    assert where.line >= 1
    assert where.column >= 1


@given(st.text(alphabet="ab:-{}[],&*!|>'\"%@?# \n\t\\", max_size=80))
def test_any_punctuation_is_a_tree_or_an_error(text: str) -> None:
    found = outcome(lambda: read_yaml(text, "f"))
    assert not isinstance(found, FileError) or found.line >= 1


@given(st.text(min_size=1, max_size=60), st.sampled_from(["a: {}", "a: '{}'", 'a: "{}"', "a: |\n  {}", "a: >\n  {}"]))
def test_every_character_has_a_place_in_the_file(text: str, frame: str) -> None:
    node = outcome(lambda: read_yaml(frame.format(text), "f"))
    scalar = node.entries[0].value if isinstance(node, Table) else None
    if isinstance(scalar, Scalar):
        places = [scalar.at(offset) for offset in range(len(scalar.text) + 1)]
        assert places == sorted(places, key=lambda place: (place.line, place.column))
