"""Relays to compare: nothing at all, haproxy and socat as they are shipped, and iscsiproxy by its command line.

Each is an async context manager that starts one in front of a target and gives a `Relay` when it accepts connections.
Every process is ours and is killed by its id at the end of the block.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.real.process import running
from tests.real.tgtd import LOOK_AGAIN, reserved_port

__all__ = ["OURS", "Relay", "RelayError", "open_relay", "template"]

#: How iscsiproxy is started. `{target}` is the portal of the real target.
OURS = (sys.executable, "-m", "iscsiproxy", "run", "--listen", "127.0.0.1:0", "--target", "{target}", "--json")

#: Seconds until a relay that does not come up is given up.
READY_WITHIN = 20.0

_HAPROXY = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m

listen relay
    bind 127.0.0.1:{port}
    server target {target}
"""

_TICKS = os.sysconf("SC_CLK_TCK")


class RelayError(Exception):
    """A relay did not come up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Where to connect, and which process stands there (None: the target itself)."""

    name: str
    host: str
    port: int
    pid: int | None

    async def cpu(self) -> float | None:
        """Return the processor seconds used so far, with those of child processes that have ended.

        Waits until none are left: socat has one for each connection, and its time is counted when it is reaped.
        """
        if self.pid is None:
            return None
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        with trio.move_on_after(1.0):
            while children.exists() and children.read_text():
                await trio.sleep(LOOK_AGAIN)
        # The name of the program, in brackets, may hold spaces; the times are the 14th to 17th field.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS


async def _listening(process: trio.Process, port: int, log: Path) -> None:
    """Wait until somebody accepts on the port."""
    with trio.move_on_after(READY_WITHIN):
        while process.poll() is None:
            with socket.socket() as caller:
                if caller.connect_ex(("127.0.0.1", port)) == 0:
                    return
            await trio.sleep(LOOK_AGAIN)
    raise RelayError(f"nothing listens on port {port}:\n{log.read_text()}")


@asynccontextmanager
async def _direct(target: str, _directory: Path) -> AsyncIterator[Relay]:
    host, _, port = target.rpartition(":")
    yield Relay(name="direct", host=host, port=int(port), pid=None)


@asynccontextmanager
async def _haproxy(target: str, directory: Path) -> AsyncIterator[Relay]:
    config, log = directory / "haproxy.cfg", directory / "haproxy.log"
    with reserved_port() as port:
        config.write_text(_HAPROXY.format(port=port, target=target))
        async with running("haproxy", "-db", "-f", str(config), log=log) as process:
            await _listening(process, port, log)
            yield Relay(name="haproxy", host="127.0.0.1", port=port, pid=process.pid)


@asynccontextmanager
async def _socat(target: str, directory: Path) -> AsyncIterator[Relay]:
    log = directory / "socat.log"
    with reserved_port() as port:
        listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"
        async with running("socat", listen, f"TCP:{target}", log=log) as process:
            await _listening(process, port, log)
            yield Relay(name="socat", host="127.0.0.1", port=port, pid=process.pid)


async def _first_line(stream: trio.abc.ReceiveStream) -> str:
    """Read up to the end of a line, which may come in pieces; what follows it already is given up."""
    line = b""
    with trio.move_on_after(READY_WITHIN):
        while b"\n" not in line and (more := await stream.receive_some()):
            line += more
    return line.partition(b"\n")[0].decode(errors="replace")


async def _discard(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass


@asynccontextmanager
async def _announced(name: str, command: Sequence[str], target: str, directory: Path) -> AsyncIterator[Relay]:
    """Start a program that says where it listens on its first line: `{"event": "ready", "listen": ["HOST:PORT"]}`."""
    log = directory / f"{name}.log"
    words = [word.replace("{target}", target) for word in command]
    async with running(words[0], *words[1:], log=log, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = await _first_line(process.stdout)
        try:
            ready = json.loads(line)
            host, _, port = ready["listen"][0].rpartition(":")
            relay = Relay(name=name, host=host, port=int(port), pid=process.pid)
        except (ValueError, LookupError, TypeError):
            raise RelayError(
                f"{shlex.join(words)}\ndid not say that it is ready, but {line!r}\n{log.read_text()}"
            ) from None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_discard, process.stdout)
            yield relay
            nursery.cancel_scope.cancel()


def template(command: str) -> tuple[str, ...]:
    """Split a command as a shell would. It must hold `{target}`; raises `ValueError`."""
    words = tuple(shlex.split(command))
    if not any("{target}" in word for word in words):
        raise ValueError(f"no {{target}} in {command!r}")
    return words


def open_relay(
    name: str, target: str, directory: Path, command: Sequence[str] | None = None
) -> AbstractAsyncContextManager[Relay]:
    """Start a relay in front of `target` (`HOST:PORT`, IPv4), with its files in `directory`.

    `direct`, `haproxy` and `socat` are known; any other name needs its command, a `template`.
    """
    match name:
        case "direct":
            return _direct(target, directory)
        case "haproxy":
            return _haproxy(target, directory)
        case "socat":
            return _socat(target, directory)
        case _:
            assert command is not None
            return _announced(name, command, target, directory)
