from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.errors import FileError
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.tokens import MAX_TEXT, Kind, duration_value, number_value, tokenize
from tests.language.samples import NO_PARAMETERS, outcome, scalar

__all__: list[str] = []


def kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind.name, token.text) for token in tokenize(scalar(text), NO_PARAMETERS)[:-1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Data-Out", [("WORD", "Data-Out")]),
        ("n.CmdSN", [("WORD", "n.CmdSN")]),
        ("text.X-com.example.proxy", [("WORD", "text.X-com.example.proxy")]),
        ("X#NodeArchitecture", [("WORD", "X#NodeArchitecture")]),
        ("BHS.1.6", [("WORD", "BHS.1.6")]),
        ("020a", [("WORD", "020a")]),
        ("010", [("NUMBER", "010")]),
        ("0x0A", [("NUMBER", "0x0A")]),
        ("64KiB", [("NUMBER", "64KiB")]),
        ("0.5", [("DECIMAL", "0.5")]),
        ("200ms", [("DURATION", "200ms")]),
        ("1.5min", [("DURATION", "1.5min")]),
        ("1..3", [("NUMBER", "1"), ("SYMBOL", ".."), ("NUMBER", "3")]),
        ("3s..6s", [("DURATION", "3s"), ("SYMBOL", ".."), ("DURATION", "6s")]),
        ("B/0C/0D", [("SENSE", "B/0C/0D")]),
        ('"a b, (c)"', [("TEXT", '"a b, (c)"')]),
        ('""', [("TEXT", '""')]),
        ("a<=b", [("WORD", "a"), ("SYMBOL", "<="), ("WORD", "b")]),
        ("a - b", [("WORD", "a"), ("SYMBOL", "-"), ("WORD", "b")]),
        ("a-b", [("WORD", "a-b")]),
        ("a / 2", [("WORD", "a"), ("SYMBOL", "/"), ("NUMBER", "2")]),
        ("1%", [("NUMBER", "1"), ("SYMBOL", "%")]),
    ],
)
def test_tokens(text: str, expected: list[tuple[str, str]]) -> None:
    assert kinds(text) == expected


def test_tokens_know_their_place_and_the_blanks_around_them() -> None:
    one, minus, two, end = tokenize(scalar("a -b"), NO_PARAMETERS)
    assert [token.where.column for token in (one, minus, two, end)] == [1, 3, 4, 5]
    assert (minus.before, minus.after) == (True, False)
    assert (two.before, two.after) == (False, True)
    assert end.kind is Kind.END


def test_a_parameter_has_its_value() -> None:
    (token, _) = tokenize(scalar("$n"), Parameters({"n": "a b"}))
    assert (token.kind, token.text, token.value) == (Kind.PARAMETER, "$n", "a b")


@pytest.mark.parametrize(
    ("text", "column", "hint"),
    [
        ("a = b", 3, "`==` compares"),
        ("a ! b", 3, "`not`"),
        ("a || b", 3, "`or`"),
        ("'x'", 1, "double quotes"),
        ('a "x', 3, "not closed"),
        ("5/3", 2, "B/0C/0D"),
        ("B/0C/0D0", 2, "B/0C/0D"),
        ("8 /2", 3, "`/` divides only with blanks around it"),
        ("8/ 2", 2, "`/` divides only with blanks around it"),
        ("a ~ b", 3, "glob"),
        ("$ n", 1, "`$` and its name"),
        ("[1]", 1, "in (a, b)"),
    ],
)
def test_a_character_without_meaning(text: str, column: int, hint: str) -> None:
    with pytest.raises(FileError) as caught:
        tokenize(scalar(text), NO_PARAMETERS)
    assert caught.value.column == column
    assert hint in (caught.value.hint or "")


def test_an_unprintable_character_is_shown_by_number() -> None:
    with pytest.raises(FileError, match=r"U\+200B"):
        tokenize(scalar("a\u200b"), NO_PARAMETERS)


def test_the_text_is_bounded() -> None:
    with pytest.raises(FileError, match="too many"):
        tokenize(scalar("a " * MAX_TEXT), NO_PARAMETERS)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("010", 10), ("0x0a", 10), ("64KiB", 65536), ("1MiB", 1 << 20), ("2GiB", 2 << 30)],
)
def test_numbers(text: str, value: int) -> None:
    assert number_value(text) == value


@pytest.mark.parametrize("text", ["", "x", "1.5", "64kB", "0x", "0xg", "-1", "1" * 21, "٣"])
def test_no_numbers(text: str) -> None:
    assert number_value(text) is None


@pytest.mark.parametrize(
    ("text", "value"), [("2900ms", 2.9), ("0s", 0.0), ("1.5s", 1.5), ("2min", 120.0), ("0.5ms", 0.0005)]
)
def test_durations(text: str, value: float) -> None:
    assert duration_value(text) == value


@pytest.mark.parametrize("text", ["", "5", "5m", "5 s", "5sec", "s", "1" * 30 + "s", "-1s"])
def test_no_durations(text: str) -> None:
    assert duration_value(text) is None


@given(st.text(max_size=60))
def test_any_text_gives_tokens_or_an_error(text: str) -> None:
    tokens = outcome(lambda: tokenize(scalar(text), NO_PARAMETERS))
    if isinstance(tokens, FileError):
        assert tokens.column >= 1
    else:
        assert "".join(token.text for token in tokens) == "".join(text.split()) or '"' in text
