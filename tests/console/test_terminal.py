"""The terminal is given back as it was."""

from __future__ import annotations

import os
import pty
import termios
import tty
from collections.abc import Iterator

import pytest

from iscsiproxy.console.terminal import given_back


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Give both ends of a terminal: that of its user, and that of programs."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def test_settings_are_restored_after_an_error(terminal: tuple[int, int]) -> None:
    user, program = terminal
    before = termios.tcgetattr(program)

    def crash() -> None:
        with given_back(program, program):
            tty.setraw(program)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        crash()
    assert termios.tcgetattr(program) == before
    assert b"\x1b[?25h" in os.read(user, 100)


def test_a_terminal_that_was_not_touched_is_not_written_to(terminal: tuple[int, int]) -> None:
    user, program = terminal
    with given_back(program, program):
        pass
    os.set_blocking(user, False)
    with pytest.raises(BlockingIOError):
        os.read(user, 100)


def test_what_is_no_terminal_is_left_alone() -> None:
    reading, writing = os.pipe()
    with given_back(reading, writing):
        pass
    os.close(writing)
    assert os.read(reading, 100) == b""
    os.close(reading)


def test_a_terminal_that_has_gone_is_no_error() -> None:
    user, program = pty.openpty()
    copy = os.dup(program)
    with given_back(copy, copy):
        tty.setraw(copy)
        os.close(user)
        os.close(copy)
    os.close(program)
