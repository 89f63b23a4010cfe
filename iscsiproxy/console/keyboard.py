"""The keyboard while a command runs: no prompt reads it then, but Ctrl-C and the panic key have to work.

The terminal stays raw all the time. In cooked mode a Ctrl-C that is typed a moment too early or too late would be a
signal, and a Ctrl-D would be swallowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

__all__ = ["Keyboard", "RawInput"]


class RawInput(Vt100Input):
    """A terminal that stays raw while something is printed above the prompt."""

    def cooked_mode(self) -> AbstractContextManager[None]:
        """Leave it as it is: what is printed asks for no line."""
        return nullcontext()


class Keyboard:
    """Listens to keys while no prompt does: Ctrl-C is `interrupt`, the panic key is `panic`.

    All else is kept for the next prompt. A terminal that has gone is an `interrupt`.
    """

    def __init__(self, keys: Input, *, interrupt: Callable[[], None], panic: Callable[[], None]) -> None:
        self._input = keys
        self._interrupt = interrupt
        self._panic = panic
        self._kept: list[KeyPress] = []

    def __repr__(self) -> str:
        return f"<Keyboard {self._input!r}, {len(self._kept)} keys kept>"

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen while the block runs."""
        try:
            with self._input.attach(self._read):
                yield
        finally:
            store_typeahead(self._input, self._kept + self._input.flush_keys())
            self._kept = []

    def _read(self) -> None:
        for key in self._input.read_keys():
            self._take(key)
        if self._input.closed:
            self._interrupt()

    def _take(self, key: KeyPress) -> None:
        if key.key == Keys.F9:
            self._panic()
        elif key.key == Keys.ControlC:
            if self._kept and self._kept[-1].key == Keys.ControlX:
                self._kept.pop()
                self._panic()
            else:
                self._kept.clear()
                self._interrupt()
        else:
            self._kept.append(key)
