"""The keyboard while a command runs."""

from __future__ import annotations

import os
import pty
import termios

from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.input.typeahead import get_typeahead

from iscsiproxy.console.keyboard import Keyboard, RawInput
from tests.console.playing import run, until


def hears(typed: str, *, kept: str, interrupts: int = 0, panics: int = 0) -> None:
    """Type while a keyboard listens; `kept` is what is left for the next prompt."""
    done: list[str] = []

    async def main(keys: PipeInput) -> None:
        keyboard = Keyboard(keys, interrupt=lambda: done.append("interrupt"), panic=lambda: done.append("panic"))
        with keyboard.listening():
            keys.send_text(typed)
            await until(lambda: f", {len(kept)} keys kept" in repr(keyboard) and len(done) == interrupts + panics)

    with create_pipe_input() as keys:
        run(main(keys))
        assert "".join(key.data for key in get_typeahead(keys)) == kept
    assert (done.count("interrupt"), done.count("panic")) == (interrupts, panics)


def test_what_is_typed_is_kept_for_the_next_prompt() -> None:
    hears("rules\r", kept="rules\r")


def test_ctrl_c_interrupts_and_forgets_what_was_typed() -> None:
    hears("half\x03rules\r", kept="rules\r", interrupts=1)


def test_the_panic_keys_panic_and_keep_what_was_typed() -> None:
    hears("half\x1b[20~ a\x18\x03 line", kept="half a line", panics=2)


def test_a_terminal_that_has_gone_interrupts() -> None:
    async def main(keys: PipeInput) -> None:
        gone: list[bool] = []
        with Keyboard(keys, interrupt=lambda: gone.append(True), panic=lambda: None).listening():
            keys.close()
            await until(lambda: bool(gone))

    with create_pipe_input() as keys:
        run(main(keys))


def test_a_terminal_stays_raw_while_something_is_printed() -> None:
    user, end = pty.openpty()
    with os.fdopen(end) as stdin:
        keys = RawInput(stdin)
        cooked = termios.tcgetattr(end)
        with keys.raw_mode():
            raw = termios.tcgetattr(end)
            assert raw != cooked
            with keys.cooked_mode():
                assert termios.tcgetattr(end) == raw
        assert termios.tcgetattr(end) == cooked
    os.close(user)
