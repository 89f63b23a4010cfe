"""Run real programs: with a deadline, with all they printed, and ended by their own process id only."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.real.peers import program

__all__ = ["DEADLINE", "Finished", "ProgramError", "kill", "run", "running"]

#: Seconds that a program may take unless its caller knows better. None of the tools here needs a tenth of it; some of
#: them loop for ever on a peer that they dislike.
DEADLINE = 30.0

#: Variables that would change what an initiator does, and who it says that it is.
MEDDLING = ("LIBISCSI_", "QEMU_", "WIRESHARK_", "TGT_")


class ProgramError(Exception):
    """A program failed, or did not end in time, where the caller asked for success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a program ended and what it printed.

    `returncode` is negative where a signal ended it, which is what a missed deadline looks like as well: `timed_out`
    tells the two apart. What was printed before the deadline is kept.
    """

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    timed_out: bool
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.returncode == 0 and not self.timed_out

    @property
    def output(self) -> str:
        """All it printed: standard output, then standard error."""
        return self.stdout + self.stderr

    def check(self) -> Finished:
        """Return itself; raise `ProgramError`, with the end of what was printed, unless the program succeeded."""
        if self.ok:
            return self
        ending = "did not end in time" if self.timed_out else f"ended with status {self.returncode}"
        raise ProgramError(f"{' '.join(self.command)}\n{ending} after {self.seconds:.1f} s\n{self.output[-2000:]}")


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(MEDDLING)}
    return {**ours, "LC_ALL": "C.UTF-8", **(extra or {})}


async def kill(process: trio.Process) -> None:
    """End a process that we started, now, and reap it. One that has ended already is left alone."""
    with trio.CancelScope(shield=True):
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def _drain(stream: trio.abc.ReceiveStream, into: bytearray) -> None:
    async for chunk in stream:
        into += chunk


async def run(
    name: str,
    *arguments: str,
    within: float = DEADLINE,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Finished:
    """Run a program to its end and return what came of it, whatever that was.

    It reads nothing from us. After `within` seconds it is killed and what it had printed so far is returned; it is
    killed as well when the caller is cancelled. `env` is added to our own environment, which is passed on without the
    variables that the tools themselves look at.
    """
    command = (program(name), *arguments)
    stdout, stderr = bytearray(), bytearray()
    started = trio.current_time()
    process = await trio.lowlevel.open_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(env),
        cwd=cwd,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with trio.move_on_after(within) as deadline:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_drain, process.stdout, stdout)
                nursery.start_soon(_drain, process.stderr, stderr)
                await process.wait()
        finally:
            await kill(process)
    await process.stdout.aclose()
    await process.stderr.aclose()
    return Finished(
        command=(name, *arguments),
        returncode=await process.wait(),
        stdout=stdout.decode(errors="replace"),
        stderr=stderr.decode(errors="replace"),
        timed_out=deadline.cancelled_caught,
        seconds=trio.current_time() - started,
    )


@asynccontextmanager
async def running(
    name: str,
    *arguments: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    stdout: int | None = None,
) -> AsyncIterator[trio.Process]:
    """Start a program that stays, and kill it at the end of the block.

    All it prints goes to `log`, except that with `stdout=subprocess.PIPE` standard output is the caller's to read.
    """
    with log.open("ab") as sink:
        process = await trio.lowlevel.open_process(
            (program(name), *arguments),
            stdin=subprocess.DEVNULL,
            stdout=sink if stdout is None else stdout,
            stderr=sink,
            env=_environment(env),
        )
    try:
        yield process
    finally:
        await kill(process)
        if process.stdout is not None:
            with trio.CancelScope(shield=True):
                await process.stdout.aclose()
