"""Problems under the line that has them."""

from __future__ import annotations

from iscsiproxy.api.models import Problem
from iscsiproxy.console.views.problems import problem
from tests.console.playing import viewed


def wrong(column: int = 0, **more: object) -> Problem:
    return Problem(error="bad_request", message="that is wrong", column=column, **more)  # type: ignore[arg-type]


def test_a_caret_stands_below_the_place() -> None:
    assert viewed(problem(wrong(6, hint="try x"), "drop foo", 0, 80)) == [
        "  drop foo",
        "       ^",
        "that is wrong (try x)",
    ]


def test_a_place_may_be_further_in_the_line_that_was_typed() -> None:
    assert viewed(problem(wrong(1), "watch foo", 6, 80))[1] == "        ^"


def test_a_place_behind_the_end_is_the_end() -> None:
    assert viewed(problem(wrong(99), "drop", 0, 80))[1] == "      ^"


def test_of_a_long_line_the_part_around_the_place_is_shown() -> None:
    text = "drop " + "x" * 100 + " foo"
    shown, caret, _ = viewed(problem(wrong(len(text) - 2), text, 0, 40))
    assert len(shown) <= 40
    assert shown[caret.index("^")] == "f"


def test_the_caret_stands_right_behind_wide_characters() -> None:
    _, caret, _ = viewed(problem(wrong(8), "note日本 foo", 0, 80))
    assert caret == "  " + " " * 9 + "^"


def test_every_error_of_a_line_has_its_caret() -> None:
    shown = viewed(problem(wrong(1, others=(wrong(6),)), "drop foo", 0, 80))
    assert [row.index("^") for row in shown if "^" in row] == [2, 7]


def test_errors_of_a_file_have_their_places() -> None:
    one = wrong(5, file="x.yaml", line=3, others=(wrong(1, file="x.yaml", line=4),))
    assert viewed(problem(one, "arm x.yaml", None, 80)) == ["x.yaml:3:5: that is wrong", "x.yaml:4:1: that is wrong"]


def test_a_long_message_is_broken_at_blanks() -> None:
    shown = viewed(problem(Problem(error="conflict", message="one two three four"), "x", None, 10))
    assert shown == ["one two", "three four"]
