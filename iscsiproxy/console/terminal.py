"""The terminal as it was: whatever happens to a prompt, who typed at it gets the terminal back."""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["given_back"]

#: Bracketed paste off, cursor shown, colours off
_RESET: Final = b"\x1b[?2004l\x1b[?25h\x1b[0m"


@contextmanager
def given_back(terminal: int | None = None, screen: int | None = None) -> Iterator[None]:
    """Restore the settings of the terminal at the end of the block, in whatever way it ends.

    `terminal` is read from and `screen` written to: standard input and output. Does nothing where they are no terminal.
    """
    terminal = sys.stdin.fileno() if terminal is None else terminal
    screen = sys.stdout.fileno() if screen is None else screen
    if not os.isatty(terminal):
        yield
        return
    settings = termios.tcgetattr(terminal)
    try:
        yield
    finally:
        # A terminal that has gone needs nothing any more.
        with suppress(OSError, termios.error):
            changed = termios.tcgetattr(terminal) != settings
            termios.tcsetattr(terminal, termios.TCSANOW, settings)
            if changed and os.isatty(screen):
                os.write(screen, _RESET)
