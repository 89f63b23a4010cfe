"""The prompt: reads lines with prompt-toolkit, does them, and shows what happens meanwhile.

Three tasks run beside each other: one talks with the user, one shows events, one looks at the run for the toolbar. The
end of any is the end of all: the user leaves, or the proxy does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.formatted_text import AnyFormattedText, FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output
from prompt_toolkit.output.defaults import create_output

from iscsiproxy.api.client import AsyncClient, Unreachable
from iscsiproxy.console.answer import LeaveError
from iscsiproxy.console.complete import Choices
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.execute import execute
from iscsiproxy.console.keyboard import Keyboard, RawInput
from iscsiproxy.console.lines import folded, line
from iscsiproxy.console.live import Live
from iscsiproxy.console.registry import COMMANDS
from iscsiproxy.console.screen import Screen, styled
from iscsiproxy.console.toolbar import Status, toolbar

__all__ = ["Options", "history_file", "run_prompt"]

#: How often the toolbar is drawn anew, in seconds
_REFRESH: Final = 0.5
_GONE: Final = 1
_QUESTION: Final = "do it? [y/N] "
_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a prompt is to be. `history` is where lines are kept across runs; None: nowhere."""

    attached: bool = False
    vi: bool = False
    yes: bool = False
    history: Path | None = None
    input: Input | None = None
    output: Output | None = None


def history_file() -> Path:
    """Give the file that keeps the lines of all runs, made so that nobody else can read it."""
    state = Path(os.environ.get("XDG_STATE_HOME") or ".")
    # A relative path is to be passed over (XDG Base Directory Specification, "Basics").
    directory = (state if state.is_absolute() else Path.home() / ".local" / "state") / "iscsiproxy"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "history"
    path.touch(mode=0o600)
    return path


async def run_prompt(api: AsyncClient, options: Options) -> int:
    """Talk until the user leaves, or a signal or the end of the proxy ends it; gives the exit status.

    Raises Unreachable if there is no proxy at the beginning.
    """
    keys = options.input or RawInput(sys.stdin)
    # All the time, between two prompts too: so that a key is never a signal, nor the end of a file.
    with keys.raw_mode():
        return await _talked(api, options, keys, options.output or create_output())


async def _talked(api: AsyncClient, options: Options, keys: Input, output: Output) -> int:
    first = await api.proxy()
    screen = Screen(output)
    live = Live(api, screen, since=first.last, rows=lambda: screen.rows)
    desk = Desk(api=api, paper=screen, commands=COMMANDS, live=live, yes=options.yes, attached=options.attached)
    prompt = _Prompt(desk, live, screen, options, keys, output)
    prompt.status.take(first)
    screen.lines(
        [
            line(("head", f"iscsiproxy {first.version}"), f" at {api.address}"),
            *(line(("name", f"  {route.listen}"), f" → {route.target}") for route in first.routes),
            line(f"  `help` tells what there is; {prompt.way_out}; F9 clears all faults"),
        ]
    )
    try:
        return await prompt.run()
    except* Unreachable:
        screen.lines([line(("bad", "the proxy has ended"))])
    except* OSError:
        if prompt.signal != signal.SIGHUP:  # then the terminal has gone, and nothing can be written to it
            raise
    return 128 + prompt.signal if prompt.signal else _GONE


class _Prompt:
    """One user at one terminal."""

    def __init__(self, desk: Desk, live: Live, screen: Screen, options: Options, keys: Input, output: Output) -> None:
        self.status = Status(desk.api, changed=_redraw)
        self._desk = desk
        self._live = live
        self._screen = screen
        self._history: History = FileHistory(str(options.history)) if options.history else InMemoryHistory()
        self._input = keys
        self._session: PromptSession[str] = PromptSession(
            message=self._message,
            history=self._history,
            completer=_Completer(Choices(desk)),
            complete_while_typing=False,
            enable_history_search=True,
            bottom_toolbar=self._toolbar,
            refresh_interval=_REFRESH,
            key_bindings=self._keys(),
            vi_mode=options.vi,
            input=self._input,
            output=output,
        )
        self._asking: PromptSession[str] = PromptSession(
            history=InMemoryHistory(), bottom_toolbar=self._toolbar, refresh_interval=_REFRESH,
            key_bindings=self._panic_keys(), input=self._input, output=output,
        )  # fmt: skip
        self._interrupted = False
        self.signal = 0
        self._crash: BaseException | None = None
        self._talk: asyncio.Task[int] | None = None
        self._busy: asyncio.Task[Any] | None = None
        self._group = asyncio.TaskGroup()
        desk.ask = self._ask
        desk.switch_editing = self._switch_editing

    def __repr__(self) -> str:
        return f"<_Prompt of {self._desk!r}>"

    @property
    def way_out(self) -> str:
        """How one leaves."""
        return "`quit` ends the run, `detach` leaves it alone" if self._desk.attached else "`quit` or Ctrl-D leaves"

    async def run(self) -> int:
        """Talk to the end."""
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            for number in _SIGNALS:
                loop.add_signal_handler(number, self._end, number)
                stack.callback(loop.remove_signal_handler, number)
            loop.add_signal_handler(signal.SIGINT, self._interrupt)
            stack.callback(loop.remove_signal_handler, signal.SIGINT)
            stack.enter_context(self._noticing_crashes(loop))
            async with self._group as group:
                self._talk = group.create_task(self._converse())
                others = [group.create_task(self._live.run()), group.create_task(self.status.run())]
                await asyncio.wait([self._talk])
                for other in others:
                    other.cancel()
        if self._crash is not None:
            raise self._crash
        return 128 + self.signal if self._talk.cancelled() else self._talk.result()

    def _end(self, number: int) -> None:
        """End it, because of a signal."""
        self.signal = number
        if self._talk is not None:
            self._talk.cancel()

    @contextmanager
    def _noticing_crashes(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """End it when something fails behind the back of all tasks: in a key, or in drawing."""

        def crashed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            error = context.get("exception")
            if isinstance(error, asyncio.InvalidStateError):
                return  # a read from the proxy was cancelled just when something came: anyio sets its result again
            if error is None:
                loop.default_exception_handler(context)
            elif self._crash is None:
                self._crash = error
                if self._talk is not None:
                    self._talk.cancel()

        before = loop.get_exception_handler()
        loop.set_exception_handler(crashed)
        try:
            yield
        finally:
            loop.set_exception_handler(before)

    # --- the conversation ---

    async def _converse(self) -> int:
        async for text in self._lines():
            try:
                for one in text.splitlines():  # several where several were pasted
                    await self._do(one)
            except LeaveError as leaving:
                return leaving.status
        return 0

    async def _lines(self) -> AsyncIterator[str]:
        """Give what the user types, line by line; it ends with Ctrl-D, and with Ctrl-C twice."""
        while True:
            try:
                text = await self._session.prompt_async(set_exception_handler=False, handle_sigint=False)
            except EOFError:
                return
            except KeyboardInterrupt:
                if self._interrupted:
                    return
                self._interrupted = True
                self._screen.lines([line("Ctrl-C again to leave")])
                continue
            self._interrupted = False
            yield text

    async def _do(self, text: str) -> None:
        """Do a line; Ctrl-C ends it, and what else is typed is for the next prompt. Raises LeaveError."""
        task = self._busy = asyncio.create_task(execute(self._desk, text))
        keys = Keyboard(self._input, interrupt=self._interrupt, panic=self._begin_panic)
        try:
            with keys.listening():
                await asyncio.wait([task])
        finally:
            self._busy = None
            task.cancel()
        if task.cancelled():
            self._screen.lines([line("broken off")])
            return
        outcome = task.result()
        if outcome is not None:
            self._screen.lines(outcome.lines(self._screen.width))

    def _interrupt(self) -> None:
        """Break the command off that runs; where none does it is as if the key had been pressed."""
        app = get_app_or_none()
        if self._busy is not None and app is None:
            self._busy.cancel()
        elif app is not None:
            app.key_processor.feed(KeyPress(Keys.ControlC))
            app.key_processor.process_keys()

    def _begin_panic(self) -> None:
        self._group.create_task(self._panic())

    async def _panic(self) -> None:
        """Clear everything, whatever is being typed."""
        outcome = await execute(self._desk, "clear")
        if outcome is not None:
            self._screen.lines(outcome.lines(self._screen.width))

    async def _ask(self, question: str) -> bool:
        self._screen.lines(folded(question, self._screen.width))
        try:
            answer = await self._asking.prompt_async(_QUESTION, set_exception_handler=False, handle_sigint=False)
        except (EOFError, KeyboardInterrupt):
            return False
        return answer.strip().lower() in ("y", "yes")

    # --- what the session shows ---

    def _message(self) -> AnyFormattedText:
        used = "" if self._desk.used is None else f"[{self._desk.used}]"
        return FormattedText([("bold", "iscsi"), ("", f"{used}> ")])

    def _toolbar(self) -> AnyFormattedText:
        return styled(toolbar(self.status, left_out=self._live.left_out, width=self._screen.width))

    def _switch_editing(self, keys: Literal["emacs", "vi"]) -> None:
        self._session.editing_mode = EditingMode.VI if keys == "vi" else EditingMode.EMACS

    # --- keys ---

    def _panic_keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("f9")
        @keys.add("c-x", "c-c")
        def panic(_event: KeyPressEvent) -> None:
            self._begin_panic()

        return keys

    def _keys(self) -> KeyBindings:
        keys = self._panic_keys()

        @keys.add("c-c")
        def interrupt(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if buffer.text:
                self._interrupted = False
                buffer.reset()
            else:
                event.app.exit(exception=KeyboardInterrupt(), style="class:aborting")

        return keys


def _redraw() -> None:
    app = get_app_or_none()
    if app is not None:
        app.invalidate()


class _Completer(Completer):
    """Completion, from what may come next."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices

    def __repr__(self) -> str:
        return f"<_Completer {self._choices!r}>"

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Give nothing: the proxy has to be asked, which takes waiting."""
        yield from ()

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Ask what may come next."""
        before = document.text_before_cursor
        for one in await self._choices.at(before):
            yield Completion(one.text, start_position=one.start - len(before), display_meta=one.help)
