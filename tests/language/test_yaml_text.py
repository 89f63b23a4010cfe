from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iscsiproxy.language.document import Entry, Listing, Node, Scalar, Table, read_yaml
from iscsiproxy.language.spec import NOWHERE
from iscsiproxy.language.yaml_text import WIDTH, comment_lines, text_lines, yaml_lines

__all__: list[str] = []

Plain = str | list["Plain"] | dict[str, "Plain"]


def node_of(value: Plain) -> Node:
    if isinstance(value, str):
        return Scalar(value, NOWHERE)
    if isinstance(value, list):
        return Listing(tuple(node_of(item) for item in value), NOWHERE)
    return table_of(value)


def table_of(value: dict[str, Plain]) -> Table:
    return Table(tuple(Entry(Scalar(key, NOWHERE), node_of(item)) for key, item in value.items()), NOWHERE)


def plain(node: Node) -> Plain:
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return {entry.key.text: plain(entry.value) for entry in node.entries}


def written(value: dict[str, Plain]) -> str:
    return "\n".join(yaml_lines(table_of(value))) + "\n"


def test_what_is_small_stands_on_one_line_and_the_rest_on_its_own() -> None:
    long = dict.fromkeys("abcd", "x" * 30)
    value: dict[str, Plain] = {
        "name": "a",
        "cites": ["RFC 7143 4.2", "W1"],
        "traffic": {"io": "verify", "offer": ["a", "b"]},
        "rules": [{"when": "R2T", "do": ["drop", {"set": {"F": "1"}}]}],
        "long": dict(long),
        "deep": {"a": {"b": "c"}},
        "none": {},
        "empty": [],
    }
    assert written(value) == (
        "name: a\n"
        "cites: [RFC 7143 4.2, W1]\n"
        "traffic: {io: verify, offer: [a, b]}\n"
        "rules:\n"
        "  - when: R2T\n"
        "    do:\n"
        "      - drop\n"
        "      - set: {F: 1}\n"
        "long:\n" + "".join(f"  {name}: {'x' * 30}\n" for name in "abcd") + "deep:\n"
        "  a: {b: c}\n"
        "none: {}\n"
        "empty: []\n"
    )
    assert plain(read_yaml(written(value), "f")) == value


@pytest.mark.parametrize(
    ("text", "alone", "inside"),
    [
        ("plain text", "plain text", "plain text"),
        ("yes", "yes", "yes"),
        ("010", "010", "010"),
        ("", '""', '""'),
        ("a, b", "a, b", '"a, b"'),
        ("min(a, b)", "min(a, b)", '"min(a, b)"'),
        ('CDB.name == "WRITE(10)"', 'CDB.name == "WRITE(10)"', 'CDB.name == "WRITE(10)"'),
        ('"a"', "'\"a\"'", "'\"a\"'"),
        ("a: b", '"a: b"', '"a: b"'),
        ("a #b", '"a #b"', '"a #b"'),
        ("[a", '"[a"', '"[a"'),
        ("@", '"@"', '"@"'),
        ("- a", '"- a"', '"- a"'),
        (" a", '" a"', '" a"'),
        ("a\nb", '"a\\x0ab"', '"a\\x0ab"'),
        ("a\\n", "a\\n", "a\\n"),
        ("'\"\\: \t", "'''\"\\: \t'", "'''\"\\: \t'"),
        ("\0\x85\u2028\U000e0001", '"\\x00\\x85\\u2028\\U000e0001"', '"\\x00\\x85\\u2028\\U000e0001"'),
    ],
)
def test_a_text_is_written_in_the_plainest_way_that_is_right(text: str, alone: str, inside: str) -> None:
    assert written({"a": text}) == f"a: {alone}\n"
    assert written({"a": {"b": text, "c": [text]}}) == f"a: {{b: {inside}, c: [{inside}]}}\n"


def test_quotes_that_were_there_stay() -> None:
    table = Table((Entry(Scalar("a", NOWHERE), Scalar("0x00", NOWHERE, quoted=True)),), NOWHERE)
    assert yaml_lines(table) == ['a: "0x00"']


_TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20) | st.text(
    alphabet="ab \"'()[]{},;:=#-?&*!|>%@`\\\n\t~", max_size=12
)
_KEYS = st.text(alphabet="abcXYZ09.+-_$", min_size=1, max_size=6).filter(lambda key: key != "<<")
_TREES: st.SearchStrategy[Plain] = st.recursive(
    _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_KEYS, _TREES, min_size=1, max_size=3))
@example({"a": {"b": ["x", {"c": ["- d", {"e": ""}]}, []]}})
@example({"--- a": "b"})
@example({"a": "--- b"})
@example({"- ": "b"})
def test_any_tree_is_read_again(value: dict[str, Plain]) -> None:
    assert plain(read_yaml(written(value), "f")) == value


@given(st.text(alphabet="abc defg.,:#\n'\"-", max_size=400))
def test_any_long_text_is_read_again(text: str) -> None:
    lines = text_lines("about", text)
    assert plain(read_yaml("\n".join(lines) + "\n", "f")) == {"about": text}


def test_a_long_text_is_folded() -> None:
    text = "word " * 60 + "end"
    first, *rest = text_lines("about", text, 4)
    assert first == "    about: >-"
    assert len(rest) > 2
    assert all(line.startswith("      word") and len(line) <= WIDTH for line in rest[:-1])


def test_a_comment_is_what_can_be_read() -> None:
    assert comment_lines("one\ntwo: x\0\n\n three ", 2) == ["  # one", "  # two: x", "  # three"]
