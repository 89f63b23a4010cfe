from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.errors import TextError
from iscsiproxy.wire.text import (
    TextFault,
    TextJoiner,
    TextPair,
    TextProblem,
    encode_text,
    inspect_text,
    parse_text,
    split_pairs,
)

__all__: list[str] = []

#: pairs and the bytes that say them
TEXTS: list[tuple[list[tuple[str, str]], bytes]] = [
    ([], b""),
    ([("SendTargets", "All")], b"SendTargets=All\0"),
    ([("SendTargets", "")], b"SendTargets=\0"),
    ([("TargetAddress", "[::1]:3260,1"), ("TargetAddress", "x")], b"TargetAddress=[::1]:3260,1\0TargetAddress=x\0"),
    ([("TargetAlias", "a=b=c")], b"TargetAlias=a=b=c\0"),
    ([("InitiatorAlias", "Gr\u00fc\u00dfe")], b"InitiatorAlias=Gr\xc3\xbc\xc3\x9fe\0"),
    ([("X-odd", "\udcff\udc80")], b"X-odd=\xff\x80\0"),
]


@pytest.mark.parametrize(("pairs", "data"), TEXTS)
def test_text_reads_and_writes(pairs: list[tuple[str, str]], data: bytes) -> None:
    parsed = parse_text(data)
    assert list(parsed) == pairs
    assert encode_text(parsed) == encode_text(pairs) == data
    assert inspect_text(data)[0] == parsed


@pytest.mark.parametrize(
    ("data", "fault", "offset"),
    [
        (b"A=1\0nothing\0", TextFault.NO_EQUALS, 4),
        (b"A=1\0=1\0", TextFault.EMPTY_KEY, 4),
        (b"A=1\0\0", TextFault.EMPTY_PAIR, 4),
        (b"\0", TextFault.EMPTY_PAIR, 0),
        (b"A=1\0B=2", TextFault.NO_NUL, 4),
        (b"A", TextFault.NO_NUL, 0),
    ],
)
def test_what_breaks_the_format(data: bytes, fault: TextFault, offset: int) -> None:
    with pytest.raises(TextError, match=f"^text at byte {offset}: {fault.value}$"):
        parse_text(data)
    assert TextProblem(fault=fault, offset=offset) in inspect_text(data)[1]


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        (b"K" * 63 + b"=1\0", []),
        (b"K" * 64 + b"=1\0", [TextFault.KEY_TOO_LONG]),
        (b"key=1\0", [TextFault.KEY_NOT_CAPITAL]),
        (b"iSCSIProtocolLevel=1\0", []),
        (b"Key Name=1\0", [TextFault.KEY_CHARACTER]),
        (b"X#NodeArchitecture=x\0", []),
        (b"X-com.example_a@b+c=x\0", []),
        (b"Key#=1\0", [TextFault.KEY_CHARACTER]),
        (b"Key=" + b"v" * 255 + b"\0", []),
        (b"Key=" + b"v" * 256 + b"\0", [TextFault.VALUE_TOO_LONG]),
        (b"Key=" + b"v" * 200 + b"," + b"w" * 200 + b"\0", []),
        (b"Key=0x" + b"ab" * 1000 + b"\0", []),
        (b"Key=" + "\u00fc".encode() * 128 + b"\0", [TextFault.VALUE_TOO_LONG]),
        (b"Key=\xff\0", [TextFault.VALUE_NOT_UTF8]),
        (b"a b=" + b"\xff" * 300 + b"\0",
         [TextFault.KEY_NOT_CAPITAL, TextFault.KEY_CHARACTER, TextFault.VALUE_TOO_LONG, TextFault.VALUE_NOT_UTF8]),
    ],
)  # fmt: skip
def test_limits_are_problems_and_no_errors(data: bytes, faults: list[TextFault]) -> None:
    pairs, problems = inspect_text(data)
    assert [problem.fault for problem in problems] == faults
    assert pairs == parse_text(data)


def test_what_can_be_read_is_read() -> None:
    pairs, problems = inspect_text(b"A=1\0nothing\0\0=x\0B=2")
    assert pairs == (TextPair("A", "1"), TextPair("B", "2"))
    assert [(problem.fault.name, problem.offset) for problem in problems] == [
        ("NO_EQUALS", 4),
        ("EMPTY_PAIR", 12),
        ("EMPTY_KEY", 13),
        ("NO_NUL", 16),
    ]


def test_a_problem_says_where_and_what() -> None:
    (problem,) = inspect_text(b"key=1\0")[1]
    assert str(problem) == "text at byte 0: a key that does not begin with a capital letter, 'key'"
    assert str(TextPair("A", "1")) == "A=1"


def test_pairs_are_split_without_being_understood() -> None:
    assert split_pairs(b"A=1\0\0junk\0tail") == ((b"A=1", b"", b"junk"), b"tail")
    assert split_pairs(b"") == ((), b"")


def test_a_segment_is_joined_over_pdus() -> None:
    whole = b"InitiatorName=iqn.2024-01.example:a\0SessionType=Normal\0"
    for cut in range(len(whole) + 1):
        joiner = TextJoiner()
        assert joiner.add(whole[:cut], more=True) is None
        assert (joiner.held, joiner.count) == (whole[:cut], 1)
        assert joiner.add(b"", more=True) is None
        assert joiner.add(whole[cut:], more=False) == whole
        assert (joiner.held, joiner.count) == (b"", 0)
        assert joiner.add(b"A=1\0", more=False) == b"A=1\0"


def test_a_segment_is_capped() -> None:
    joiner = TextJoiner(limit=10)
    assert joiner.add(bytes(10), more=False) == bytes(10)
    assert joiner.add(bytes(6), more=True) is None
    assert repr(joiner) == "<TextJoiner 1 PDUs, 6 bytes held>"
    with pytest.raises(TextError, match="at most 10 bytes, got 11"):
        joiner.add(bytes(5), more=True)
    assert joiner.held == b""
    assert TextJoiner().limit == 65536


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from([b"=", b"\0", b"Key", b"v", b"\xff", b"\xc3\xbc"]) | st.binary(max_size=8)).map(b"".join)
)
def test_any_bytes_give_pairs_or_a_typed_error(data: bytes) -> None:
    pairs, tail = split_pairs(data)
    assert b"".join(pair + b"\0" for pair in pairs) + tail == data
    readable, problems = inspect_text(data)
    try:
        parsed = parse_text(data)
    except TextError:
        assert problems
    else:
        assert parsed == readable
        assert encode_text(parsed) == data
    assert all(0 <= problem.offset <= len(data) for problem in problems)


keys = st.text(st.characters(codec="utf-8", exclude_characters="=\0"), min_size=1, max_size=20)
values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(keys, values), max_size=6), st.lists(st.integers(0, 60), max_size=5))
def test_any_pairs_survive_any_cut(pairs: list[tuple[str, str]], cuts: list[int]) -> None:
    data = encode_text(pairs)
    joiner = TextJoiner()
    at = 0
    for cut in sorted(cuts):
        assert joiner.add(data[at:cut], more=True) is None
        at = max(at, min(cut, len(data)))
    whole = joiner.add(data[at:], more=False)
    assert whole == data
    assert list(parse_text(whole)) == pairs
