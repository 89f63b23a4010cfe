"""What stands before the target of a test: a plain proxy, or for a while a run of a scenario. One at a time.

All of it is for the thread of trio.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import trio

from iscsiproxy.errors import UsageError
from iscsiproxy.proxy import Address, Proxy, Route, Sink
from iscsiproxy.report.model import Finding, RunResult
from iscsiproxy.runs.block import Block
from iscsiproxy.runs.driving import Behind
from iscsiproxy.runs.judging import Bench
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.recording import Recording
from iscsiproxy.runs.scenario import only, run_scenario

__all__ = ["Play", "Unarmed", "held"]


class Unarmed:
    """A proxy with nothing armed, whose ends are held to the standard."""

    def __init__(self, plan: RunPlan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._bench = Bench(plan) if plan.check else None
        self._proxy: Proxy | None = None
        self._over = trio.Event()

    def __repr__(self) -> str:
        return f"<Unarmed {self._proxy!r}>"

    async def run(self, *, task_status: trio.TaskStatus[tuple[Route, ...]]) -> None:
        """Serve until `close`."""
        plan = self._plan
        assert plan.listen is not None
        try:
            with Recording(plan, started=time.time(), say=self._say) as recording:
                sinks = [*recording.sinks, *([Sink(self._bench, pdus=True)] if self._bench is not None else [])]
                self._proxy = Proxy([Route(plan.listen, plan.target.address)], rng=Random(plan.seed), sinks=sinks)
                await self._proxy.run(task_status=task_status)
        finally:
            self._over.set()

    async def close(self) -> None:
        """Let what is on its way go out, and end."""
        if self._proxy is not None:
            await self._proxy.shutdown()
            await self._over.wait()

    def findings(self) -> tuple[Finding, ...]:
        """Give what speaks against an end, so far."""
        if self._bench is None or self._proxy is None or self._proxy.relay is None:
            return ()
        return tuple(one for one in self._bench.findings(self._proxy.relay.now) if one.verdict != "pass")

    @property
    def crashes(self) -> list[Exception]:
        """Errors of this program."""
        return self._proxy.relay.crashes if self._proxy is not None and self._proxy.relay is not None else []


class Play:
    """A run while it lasts."""

    def __init__(
        self, plan: RunPlan, say: Callable[[str], None], block: Block | None, *, aftermath: bool = False
    ) -> None:
        self.plan = plan
        self.block = Block() if block is None else block
        self.begun = self.block.armed
        self.over = trio.Event()
        self.interrupt = trio.Event()
        self.result: RunResult | None = None
        self.error: Exception | None = None
        self._say = say
        self._with_block = block is not None
        self._ask, self._asked = trio.open_memory_channel[bool](0)
        self._answer, self._answered = trio.open_memory_channel[Behind](0)
        if aftermath:
            self.block.behind = self._behind

    def __repr__(self) -> str:
        return f"<Play {self.plan.name}, {'over' if self.over.is_set() else 'not over'}>"

    async def run(self) -> None:
        """Do it; what goes wrong is kept for whoever waits for it."""
        block = self.block if self._with_block else None
        try:
            self.result = await run_scenario(self.plan, say=self._say, interrupt=self.interrupt, block=block)
        except Exception as error:  # noqa: BLE001 - as the docstring says
            self.error = only(error)
        finally:
            self.over.set()
            self.begun.set()
            self._ask.close()

    async def _behind(self, anew: bool) -> Behind:
        await self._ask.send(anew)
        return await self._answered.receive()

    async def wanted(self) -> bool | None:
        """Wait until good I/O is wanted, and tell whether over a new session; None when the run is over."""
        async for anew in self._asked:
            return anew
        return None

    async def answer(self, behind: Behind) -> None:
        """Tell what the good I/O came to."""
        await self._answer.send(behind)


@contextmanager
def held(listen: Address) -> Iterator[Address]:
    """Hold a free port, if none was asked for: nobody else is given it, also while nobody listens."""
    if listen.port:
        yield listen
        return
    with socket.socket(socket.AF_INET6 if ":" in listen.host else socket.AF_INET) as holder:
        # It never listens, so another socket with the same option may.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((listen.host, 0))
        except OSError as error:
            raise UsageError(f"cannot listen at {listen.host}: {error.strerror or error}") from error
        yield replace(listen, port=holder.getsockname()[1])
