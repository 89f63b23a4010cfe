"""Lines cut into words, and whether a line says when."""

from __future__ import annotations

import pytest

from iscsiproxy.console.grammar import Word, has_moment, has_more_acts, head_of, nearest, split
from tests.console.fake import VOCABULARY


def test_words_know_their_places() -> None:
    assert list(split("save  mine now", 4)) == [Word("mine", 6, 10), Word("now", 11, 14)]


def test_a_word_with_blanks_stands_in_quotes() -> None:
    assert [word.text for word in split('save mine "my file.yaml" --armed')] == [
        "save",
        "mine",
        "my file.yaml",
        "--armed",
    ]


def test_a_quote_inside_a_word_is_part_of_it() -> None:
    assert [word.text for word in split('text="a b" c')] == ['text="a', 'b"', "c"]


@pytest.mark.parametrize(
    ("line", "head"),
    [("drop R2T", "drop"), ("  pass; close", "pass"), ("note(x)", "note"), ("", None), ("   ", None), ("# drop", None)],
)
def test_the_first_word_is_the_name_of_the_act_or_command(line: str, head: str | None) -> None:
    found = head_of(line)
    assert (found.text if found else None) == head


@pytest.mark.parametrize(
    "line",
    [
        "drop R2T nth 3",
        "drop Any-PDU",
        "drop Opcode-0x1c",
        "delay 200ms NOP-Out",
        "close rst when 5s",
        "close when full-feature",
        "close rst close",
        "pass; close fin R2T",
        "inject NOP-In TTT=0x1 R2T nth 3",
        "inject NOP-In when R2T",
        "arm strict full-feature",
    ],
)
def test_a_line_with_a_pattern_or_when_says_when(line: str) -> None:
    assert has_moment(line, VOCABULARY)


@pytest.mark.parametrize(
    "line",
    [
        "drop",
        "close rst",
        "delay (R2T where F)",
        "inject NOP-In TTT=0x1",
        "pass; inject NOP-In",
        'note "when the R2T came"',
        "inject text=[NOP-In, R2T] pdu=NOP-In",
    ],
)
def test_what_an_act_is_given_is_no_moment(line: str) -> None:
    assert not has_moment(line, VOCABULARY)


def test_a_semicolon_outside_of_quotes_divides_acts() -> None:
    assert has_more_acts("pass; close")
    assert not has_more_acts('note "a; b"')
    assert not has_more_acts("set data=(a;b)")


def test_the_nearest_word_is_named() -> None:
    assert nearest("sesions", ["sessions", "conns"]) == "did you mean `sessions`?"
    assert nearest("nego", ["negotiated", "conns"]) == "did you mean `negotiated`?"
    assert nearest("xyz", ["sessions", "conns"]) is None
