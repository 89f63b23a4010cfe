"""The prompt, typed at through a pipe."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import stat
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.output.vt100 import Vt100_Output

from iscsiproxy.api.client import Unreachable
from iscsiproxy.console.prompt import Options, history_file, run_prompt
from tests.console.fake import FakeProxy, connection, event, rule
from tests.console.playing import run, until

ENTER, TAB, CTRL_C, CTRL_D, CTRL_R, CTRL_X, UP, F9 = "\r", "\t", "\x03", "\x04", "\x12", "\x18", "\x1b[A", "\x1b[20~"


class Glass(io.StringIO):
    """What a terminal gets to show; it answers where the cursor is."""

    def __init__(self, keys: PipeInput) -> None:
        super().__init__()
        self._keys = keys

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for _ in range(text.count("\x1b[6n")):
            self._keys.send_text("\x1b[1;1R")
        return super().write(text)


@dataclass
class Typist:
    """Types at a prompt, and reads what is on the screen."""

    proxy: FakeProxy
    keys: PipeInput
    out: io.StringIO
    task: asyncio.Task[int]

    @property
    def screen(self) -> str:
        """All that was ever written, without control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.out.getvalue())

    def type(self, text: str) -> None:
        self.keys.send_text(text)

    async def enter(self, text: str) -> None:
        """Type a line, and wait until it is done."""
        before = self.out.getvalue().count("\x1b[?2004l")
        self.type(text + ENTER)
        await until(lambda: self.task.done() or self.out.getvalue().count("\x1b[?2004h") > before + 1)

    async def sees(self, text: str) -> None:
        await until(lambda: text in self.screen)

    async def leaves(self) -> int:
        return await self.task


@asynccontextmanager
async def prompting(proxy: FakeProxy, *, columns: Sequence[int] = (80,), **options: Any) -> AsyncIterator[Typist]:
    """Run a prompt while the block does."""
    with create_pipe_input() as keys:
        out = Glass(keys)
        output = Vt100_Output(out, lambda: Size(rows=24, columns=columns[0]), term="xterm")
        async with proxy.client() as api:
            task = asyncio.create_task(run_prompt(api, Options(input=keys, output=output, **options)))
            typist = Typist(proxy, keys, out, task)
            await until(lambda: task.done() or "iscsi>" in typist.screen)
            try:
                yield typist
            finally:
                task.cancel()
                await asyncio.wait([task])


Play = Callable[[Typist], Coroutine[object, object, None]]


def played(play: Play, proxy: FakeProxy | None = None, **options: Any) -> None:
    async def main() -> None:
        async with prompting(proxy or FakeProxy(), **options) as typist:
            await play(typist)

    run(main())


def test_it_says_where_it_is_and_how_to_leave() -> None:
    async def play(typist: Typist) -> None:
        await typist.sees("127.0.0.1:3261 → 127.0.0.1:3260")
        await typist.sees("`quit` or Ctrl-D leaves")

    played(play)


def test_a_console_that_the_run_started_says_what_quit_does() -> None:
    async def play(typist: Typist) -> None:
        await typist.sees("`quit` ends the run, `detach` leaves it alone")
        await typist.enter("detach")
        assert await typist.leaves() == 10

    played(play, attached=True)


def test_a_command_is_done_and_its_answer_shown() -> None:
    async def play(typist: Typist) -> None:
        await typist.enter("sessions")
        await typist.sees("iqn.2004-01.com.example:i")

    played(play)


def test_a_mistake_is_shown_and_the_prompt_goes_on() -> None:
    async def play(typist: Typist) -> None:
        await typist.enter("drop R2T wrong")
        await typist.sees("`wrong` does not belong here (leave it out)")
        await typist.enter("rules")
        await typist.sees("no rule is armed")

    played(play)


def test_lines_that_are_pasted_are_done_one_after_another() -> None:
    async def play(typist: Typist) -> None:
        typist.type("\x1b[200~rules\rsessions\r\x1b[201~" + ENTER)
        await typist.sees("no rule is armed")
        await typist.sees("iqn.2004-01.com.example:i")

    played(play)


@pytest.mark.parametrize("line", ["quit", "exit"])
def test_quit_leaves(line: str) -> None:
    async def play(typist: Typist) -> None:
        await typist.enter(line)
        assert await typist.leaves() == 0

    played(play)


def test_ctrl_d_leaves() -> None:
    async def play(typist: Typist) -> None:
        typist.type(CTRL_D)
        assert await typist.leaves() == 0

    played(play)


def test_ctrl_c_clears_the_line_and_leaves_only_when_it_comes_twice_on_an_empty_one() -> None:
    async def play(typist: Typist) -> None:
        typist.type("half a line" + CTRL_C)
        typist.type(CTRL_C)
        await typist.sees("Ctrl-C again to leave")
        await typist.enter("rules")
        await typist.sees("no rule is armed")
        typist.type(CTRL_C)
        await until(lambda: typist.screen.count("Ctrl-C again to leave") == 2)
        typist.type(CTRL_C)
        assert await typist.leaves() == 0

    played(play)


def test_ctrl_c_breaks_a_command_off_that_waits() -> None:
    async def play(typist: Typist) -> None:
        typist.type("wait held for 60s" + ENTER)
        await until(lambda: len(typist.proxy.streams) == 2)
        os.kill(os.getpid(), signal.SIGINT)
        await typist.sees("broken off")
        await typist.enter("rules")
        await typist.sees("no rule is armed")

    played(play)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("line", ["", "half a line", "wait held for 60s" + ENTER])
def test_a_signal_ends_it(number: signal.Signals, line: str) -> None:
    async def play(typist: Typist) -> None:
        typist.type(line)
        if ENTER in line:
            await until(lambda: len(typist.proxy.streams) == 2)
        os.kill(os.getpid(), number)
        assert await typist.leaves() == 128 + number
        assert typist.out.getvalue().rindex("\x1b[?2004l") > typist.out.getvalue().rindex("\x1b[?2004h")

    played(play)


def test_the_end_of_the_proxy_is_told() -> None:
    async def play(typist: Typist) -> None:
        typist.proxy.end()
        assert await typist.leaves() == 1
        await typist.sees("the proxy has ended")

    played(play)


def test_a_proxy_that_was_never_there_is_an_error() -> None:
    async def main() -> None:
        async with FakeProxy(gone=True).client() as api:
            with create_pipe_input() as keys, pytest.raises(Unreachable):
                await run_prompt(api, Options(input=keys, output=DummyOutput()))

    run(main())


def test_an_error_of_ours_ends_it_with_the_terminal_restored() -> None:
    async def crash(typist: Typist) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(typist.proxy, "clear", lambda: 1 / 0)
            typist.type("clear" + ENTER)
            with pytest.raises(ExceptionGroup) as raised:
                await typist.leaves()
        assert raised.value.subgroup(ZeroDivisionError) is not None
        assert typist.out.getvalue().rindex("\x1b[?2004l") > typist.out.getvalue().rindex("\x1b[?2004h")

    played(crash)


def test_an_error_in_drawing_ends_it_too() -> None:
    columns = [80]

    async def play(typist: Typist) -> None:
        columns.clear()
        with pytest.raises((IndexError, ExceptionGroup)):
            await typist.leaves()

    played(play, columns=columns)


def test_events_are_shown_above_the_line_that_is_being_typed() -> None:
    async def play(typist: Typist) -> None:
        typist.type("half a li")
        await typist.sees("half a li")
        typist.proxy.tell(event(1, "fired", text="FAULT a/1"))
        await typist.sees("FAULT a/1")
        await typist.enter("ne")
        await typist.sees("there is no command and no act `half`")
        assert "half a line" in typist.screen

    played(play)


def test_watched_pdus_are_shown_while_one_types() -> None:
    async def play(typist: Typist) -> None:
        await typist.enter("watch R2T")
        typist.proxy.tell(event(1, label="R2T", text="R2T ITT=0x00000001"))
        await typist.sees("R2T             ITT=0x00000001")

    played(play)


@pytest.mark.parametrize("keys", [F9, CTRL_X + CTRL_C])
def test_the_panic_key_clears_everything_whatever_is_being_typed(keys: str) -> None:
    async def play(typist: Typist) -> None:
        typist.type("half a line")
        typist.type(keys)
        await typist.sees("cleared: 1 rules out")
        assert typist.proxy.rules_ == []
        await typist.enter("")
        await typist.sees("there is no command and no act `half`")

    played(play, FakeProxy(rules_=[rule("a/1")]))


def test_what_may_corrupt_data_is_asked_about() -> None:
    async def play(typist: Typist) -> None:
        for answer, armings in (("n", 0), ("", 0), (CTRL_C, 0), ("y", 1)):
            before = typist.screen.count("[y/N]")
            typist.type("drop Data-Out" + ENTER)
            await until(lambda before=before: typist.screen.count("[y/N]") > before)  # type: ignore[misc]
            await typist.enter(answer)
            await until(lambda: typist.screen.rstrip().rfind("iscsi>") > typist.screen.rfind("do it?"))
            assert len(typist.proxy.armings) == armings
        assert typist.screen.count("not done") == 3

    played(play, FakeProxy(scratch=False))


def test_the_panic_key_works_while_a_question_is_asked() -> None:
    async def play(typist: Typist) -> None:
        typist.type("drop Data-Out" + ENTER)
        await typist.sees("[y/N]")
        typist.type(F9)
        await typist.sees("cleared: 1 rules out")

    played(play, FakeProxy(scratch=False, rules_=[rule("a/1")]))


def test_a_word_is_completed_with_tab() -> None:
    async def play(typist: Typist) -> None:
        typist.type("negot" + TAB)
        await typist.sees("iated")  # what was typed may be there already
        await typist.enter("")
        await typist.sees("MaxBurstLength")

    played(play)


def test_the_connection_in_use_is_in_the_prompt() -> None:
    async def play(typist: Typist) -> None:
        await typist.enter("use 2")
        await typist.sees("iscsi[2]>")

    played(play, FakeProxy(connections_={1: connection(1), 2: connection(2)}))


def test_the_toolbar_shows_the_run() -> None:
    async def play(typist: Typist) -> None:
        await typist.sees("sessions 1  conns 1  0 PDU/s  armed 1  held 0  findings 0")

    played(play, FakeProxy(rules_=[rule("a/1")]))


def test_lines_are_kept_for_the_next_console(tmp_path: Path) -> None:
    path = tmp_path / "history"

    async def first(typist: Typist) -> None:
        await typist.enter("rules")
        await typist.enter("sessions")
        await typist.enter("quit")
        await typist.leaves()

    async def second(typist: Typist) -> None:
        typist.type("ru")
        await typist.sees("ru")
        typist.type(UP + ENTER)
        await typist.sees("no rule is armed")

    async def third(typist: Typist) -> None:
        typist.type(CTRL_R + "sess" + ENTER + ENTER)
        await typist.sees("iqn.2004-01.com.example:i")

    for play in (first, second, third):
        played(play, history=path)


def test_lines_are_edited_with_the_keys_of_vi_on_request() -> None:
    async def play(typist: Typist) -> None:
        await typist.enter("xrules\x1b0x")
        await typist.sees("no rule is armed")
        await typist.enter("editing emacs")
        await typist.enter("ules\x01r")
        await until(lambda: typist.screen.count("no rule is armed") == 2)

    played(play, vi=True)


def test_the_history_is_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = history_file()
    assert path == tmp_path / "state" / "iscsiproxy" / "history"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert history_file() == path


def test_a_relative_place_for_the_history_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert history_file() == tmp_path / ".local" / "state" / "iscsiproxy" / "history"
