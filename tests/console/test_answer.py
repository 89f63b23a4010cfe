"""Answers of commands."""

from __future__ import annotations

from iscsiproxy.console.answer import LeaveError, said
from iscsiproxy.console.lines import line, plain


def test_what_is_said_is_the_same_on_every_screen() -> None:
    answer = said("one", line(("bad", "two")), data=2)
    assert answer.view is not None
    assert [[plain(each) for each in answer.view(width)] for width in (0, 80)] == [["one", "two"]] * 2
    assert answer.data == 2


def test_leaving_has_a_status() -> None:
    assert LeaveError(10).status == 10
