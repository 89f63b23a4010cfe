"""A run under control: its API, its judge as the API tells it, and a console on the same terminal.

The console is a process of its own, so that nothing it does costs the wire any time. While it is there the terminal is
its; what it may leave behind, however it ends, is put right here.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import trio

from iscsiproxy.api import models
from iscsiproxy.api.address import TOKEN_VARIABLE, ApiAddress, parse_api_address
from iscsiproxy.api.server.control import Control
from iscsiproxy.api.server.presence import Run
from iscsiproxy.checks.catalogue import RULES
from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.judge import Judge
from iscsiproxy.cli.screen import Screen
from iscsiproxy.cli.verdicts import LiveJudge
from iscsiproxy.console import DETACHED
from iscsiproxy.errors import UsageError
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy import Proxy
from iscsiproxy.runs import library

__all__ = ["Controlled", "Judged", "Shipped", "attend", "finding_told"]

#: How long a console has to end when the run does, in seconds.
_PATIENCE = 3.0


class Shipped:
    """The scenarios that ship, as the API reads them."""

    def names(self) -> Iterable[str]:
        """Give their names."""
        return library.shipped()

    def read(self, name: str) -> tuple[str, str]:
        """Give the text of one and its file. Raises KeyError."""
        path = library.shipped()[name]
        return path.read_text(encoding="utf-8"), str(path)


class Judged:
    """The judge of a run, as the API tells it."""

    def __init__(self, judge: Callable[[], Judge]) -> None:
        self._judge = judge

    def __repr__(self) -> str:
        return f"<Judged by {self._judge()!r}>"

    def findings(self, query: models.FindingQuery) -> models.Findings:
        """Give the findings behind an event, the first ones of each kind; `known` ones when they are asked for."""
        judge = self._judge()
        return models.Findings(
            checked=True,
            profile=str(judge.profile),
            findings=tuple(
                finding_told(one, judge.count(one))
                for one in judge.findings
                if one.n > query.since and (query.known or not one.known)
            ),
            counts=self.counts(),
        )

    def counts(self) -> dict[str, int]:
        """Count the findings by severity; `known` are those that are accepted."""
        found: Counter[str] = Counter()
        for (rule, _, _, known), count in self._judge().counts.items():
            found["known" if known else str(RULES[rule].severity) if rule in RULES else "MUST"] += count
        return dict(found)


def finding_told(one: Finding, count: int) -> models.Finding:
    """Tell a finding."""
    return models.Finding(
        rule=one.rule,
        title=one.title,
        severity=str(one.severity),
        clause=one.clause,
        blame=None if one.blame is None else str(one.blame),
        conn=one.conn,
        at=round(one.at, 6),
        n=one.n,
        about=one.label,
        text=one.text,
        proof=tuple(
            models.Proof(
                n=proof.n,
                at=round(proof.at, 6),
                conn=proof.conn,
                text=proof.text,
                leg=str(proof.leg) if proof.leg is not None else "",
            )
            for proof in one.proof
        ),
        known=one.known,
        count=count,
    )


class Controlled(Control):
    """A run that can be controlled; what its judge finds is among the events."""

    def __init__(
        self, proxy: Proxy, run: Run, *, judge: LiveJudge | None, scenarios: tuple[Scenario, ...] = ()
    ) -> None:
        judged = None if judge is None else Judged(lambda: judge.judge)
        super().__init__(proxy, replace(run, findings=judged), scenarios=scenarios)
        if judge is not None:
            judge.also = self._found

    def _found(self, one: Finding) -> None:
        told = models.Event(
            n=self._relay.next_n(),  # of its own: who comes back behind an event is told what was found of it later
            at=round(self._relay.now, 6),
            conn=one.conn,
            event="finding",
            text=str(one),
            rule=one.rule,
            what=str(one.severity),
            of=one.n,
        )
        self.history.take(told)

    async def serve(
        self, where: str | None, screen: Screen, *, task_status: trio.TaskStatus[ApiAddress | None]
    ) -> None:
        """Serve the API at an address, by default a socket of its own, until cancelled; starts with where that is.

        Raises UsageError if it cannot be there; where nobody has asked for it that is no more than a warning.
        """
        from iscsiproxy.api.server.listening import default_address
        from iscsiproxy.api.server.serving import serve_api

        self.begin()
        try:
            address = default_address() if where is None else parse_api_address(where)
        except UsageError as error:
            if where is not None:
                raise
            screen.warn(f"nobody can control this run: {error}")
            task_status.started(None)
            return
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.keep_up)
                await serve_api(self, address, task_status=task_status)
        finally:
            self.close()


async def attend(api: ApiAddress, screen: Screen, asked: trio.Event) -> None:
    """Give the terminal to a console until that is left, or somebody has `asked` for the end of the run.

    If the console was only detached the run goes on, and the terminal is its own again.
    """
    screen.muted = True
    status = 0
    try:
        async with trio.open_nursery() as nursery:

            async def end() -> None:
                await asked.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(end)
            status = await _console(api)
            nursery.cancel_scope.cancel()
    finally:
        screen.muted = False
    if status == DETACHED and not asked.is_set():
        screen.line(
            f"the console is gone, the proxy goes on; `iscsiproxy console {api}` comes back, Ctrl-C ends it all"
        )
        await asked.wait()


async def _console(address: ApiAddress) -> int:
    """Run a console on this terminal until it ends; give its status. Cancelling ends it.

    The terminal is as it was behind it, whatever became of it.
    """
    argv = [sys.executable, "-m", "iscsiproxy", "console", str(address), "--attached"]
    environment = os.environ | ({} if address.token is None else {TOKEN_VARIABLE: address.token})
    with _terminal_kept():
        process = await trio.lowlevel.open_process(argv, env=environment)
        try:
            return await process.wait()
        finally:
            if process.poll() is None:
                with trio.CancelScope(shield=True):
                    process.terminate()
                    with trio.move_on_after(_PATIENCE):
                        await process.wait()
                    process.kill()
                    await process.wait()


@contextmanager
def _terminal_kept() -> Iterator[None]:
    """Put the terminal back into the state that it has now."""
    fd = sys.stdin.fileno()
    state = termios.tcgetattr(fd)
    try:
        yield
    finally:
        # We may be in the background by now, and must not be stopped for touching it.
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            with suppress(termios.error):
                termios.tcsetattr(fd, termios.TCSADRAIN, state)
        finally:
            signal.signal(signal.SIGTTOU, before)
        # Bracketed paste off, the cursor shown, colours as they were: what a console that crashed has left on.
        sys.stdout.write("\x1b[?2004l\x1b[?25h\x1b[0m")
        sys.stdout.flush()
