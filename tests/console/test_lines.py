"""Lines for people: colours, cutting, aligning."""

from __future__ import annotations

import pytest

from iscsiproxy.console.lines import STYLES, ansi, clean, columns, cut, folded, line, pad, plain, table


def test_a_line_is_its_text_without_blanks_at_the_end() -> None:
    assert plain(line(("bad", "no"), " such  ")) == "no such"


def test_colours_are_said_for_each_piece_and_taken_back() -> None:
    assert ansi(line(("bad", "no"), " such")) == "\x1b[31mno\x1b[0m such"


def test_every_style_has_its_control_sequence() -> None:
    for style, looks in STYLES.items():
        assert (ansi(line((style, "x"))) != "x") is bool(looks)


def test_no_style_has_a_colour_that_is_lost_on_black_or_on_white() -> None:
    words = {word for looks in STYLES.values() for word in looks.split()}
    assert words <= {"bold", "ansired", "ansigreen", "ansimagenta", "ansicyan"}


@pytest.mark.parametrize("shape", [plain, ansi])
def test_what_peers_sent_does_not_steer_the_terminal(shape: type) -> None:
    assert shape(line("iqn\x1b[2J\r\n\x07")) == "iqn?[2J???"


def test_printable_text_of_any_language_stays() -> None:
    assert clean("Größe → 8") == "Größe → 8"


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("→", 1)])
def test_the_width_is_that_on_a_terminal(text: str, width: int) -> None:
    assert columns(text) == width


def test_a_line_that_fits_is_not_cut() -> None:
    assert plain(cut(line("abc", "def"), 6)) == "abcdef"


def test_a_line_that_is_too_long_ends_in_an_ellipsis_at_the_width() -> None:
    assert plain(cut(line("abc", ("bad", "defg")), 6)) == "abcde…"


def test_a_wide_character_is_not_cut_in_two() -> None:
    assert plain(cut(line("ab日本語"), 6)) == "ab日…"


def test_no_width_is_no_cut() -> None:
    assert plain(cut(line("x" * 500), 0)) == "x" * 500


def test_a_text_is_padded_on_either_side() -> None:
    assert (pad("ab", 4), pad("ab", 4, right=True)) == ("ab  ", "  ab")


def test_columns_of_a_table_are_aligned() -> None:
    shown = [
        plain(row)
        for row in table(("N", "NAME", "X"), [("5", ("name", "long name"), "a"), ("17", "b", "c")], right=(0,))
    ]
    assert shown == [" N  NAME       X", " 5  long name  a", "17  b          c"]


def test_a_row_that_lacks_a_cell_is_an_error() -> None:
    with pytest.raises(ValueError):
        table(("A", "B"), [("1",)])


def test_long_text_is_broken_at_blanks() -> None:
    shown = [plain(one) for one in folded("one two-three four", 12, indent="  ")]
    assert shown == ["  one", "  two-three", "  four"]
    assert [plain(one) for one in folded("one two " * 50, 0)] == [("one two " * 50).strip()]
    assert folded("", 0) == folded("", 80) == []
