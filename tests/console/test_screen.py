"""The terminal of a prompt."""

from __future__ import annotations

import io

from prompt_toolkit.data_structures import Size
from prompt_toolkit.output.vt100 import Vt100_Output

from iscsiproxy.console.lines import STYLES, line
from iscsiproxy.console.screen import Screen, styled
from tests.console.fake import event


def written(screen_of: io.StringIO, columns: int = 80) -> Screen:
    return Screen(Vt100_Output(screen_of, lambda: Size(rows=24, columns=columns), term="xterm", enable_cpr=False))


def test_lines_are_written_in_their_colours() -> None:
    out = io.StringIO()
    written(out).lines([line(("bad", "no"), " such"), line("two")])
    assert "\x1b[0;31mno" in out.getvalue()
    assert out.getvalue().count("\r\n") == 2


def test_nothing_is_written_for_nothing() -> None:
    out = io.StringIO()
    written(out).lines([])
    assert out.getvalue() == ""


def test_events_are_cut_at_the_width() -> None:
    out = io.StringIO()
    screen = written(out, columns=60)
    screen.events([event(1, "fired", text="x" * 200)])
    assert out.getvalue().count("x") == 60 - 25
    assert screen.width == 60


def test_events_leave_room_for_the_prompt() -> None:
    assert written(io.StringIO()).rows == 21


def test_what_peers_sent_does_not_steer_the_terminal() -> None:
    out = io.StringIO()
    written(out).lines([line("a\x1b[2Jb")])
    assert "a?[2Jb" in out.getvalue()


def test_every_style_is_known_to_the_prompt() -> None:
    out = io.StringIO()
    written(out).lines([line(*((style, "x") for style in STYLES))])
    assert styled([("bad", "x"), ("bold noreverse", "y")]) == [("ansired", "x"), ("bold noreverse", "y")]
