"""The target of a run: one of our own, one that is there, or a command that starts one.

A `TargetSpec` is what the user asked for; `opened` has it ready for a while. What is shown of it never has a secret.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import IO, Final, Literal

import trio

from iscsiproxy.errors import PeerError, UsageError, meant
from iscsiproxy.peers.chap import Account
from iscsiproxy.peers.deviation import Deviation
from iscsiproxy.peers.initiator.url import DEFAULT_PORT, parse_url
from iscsiproxy.peers.initiator.waiting import flat_nursery
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.peers.target.conduct import with_quirks
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.quirks import PERSONALITIES, QUIRKS
from iscsiproxy.peers.target.server import TargetServer
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.proxy import Address, parse_address

__all__ = [
    "BLOCK",
    "BLOCKS",
    "HURRY",
    "IQN",
    "Target",
    "TargetSpec",
    "child",
    "masked",
    "opened",
    "parse_target",
    "quirk_names",
    "split_line",
]

IQN: Final = "iqn.2026-01.example.iscsiproxy:test"
#: The logical units of the embedded target: how many, blocks of each, bytes of a block
UNITS: Final = 2
BLOCKS: Final = 16384
BLOCK: Final = 512
_LOOPBACK = "127.0.0.1"
#: How long a command has to open its port, and to end once it was asked to, in seconds
_READY_WITHIN = 15.0
_PATIENCE = 5.0
_LOOK_AGAIN = 0.02
#: Set when nobody wants to wait any more: then children are not given time to end
HURRY: ContextVar[trio.Event | None] = ContextVar("HURRY", default=None)
#: What is told of the output of a command that went wrong, in bytes
_TAIL = 1000
_PASSWORD = re.compile(r"(iscsi://[^\s%/@]*)%[^\s@]*@")
#: Small segments and little unsolicited data, so that a write of 64 KiB has all that a write can have: immediate data,
#: unsolicited Data-Outs for whoever offers InitialR2T=No, R2Ts, bursts of several Data-Outs.
_SETTINGS = TargetSettings(
    max_recv_data_segment_length=8192,
    initial_r2t=False,
    immediate_data=True,
    first_burst_length=16384,
    max_burst_length=65536,
    time2wait=0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """A target as the user named it; `shown` is fit to be printed.

    `name` and `lun` are None where the user gave none. `credentials` is `user%password` as it stood in the URL.
    """

    kind: Literal["embedded", "external", "command"]
    shown: str
    quirks: tuple[str, ...] = ()
    address: Address | None = None
    name: str | None = None
    lun: int | None = None
    credentials: str = field(default="", repr=False)
    account: Account | None = field(default=None, repr=False)
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target that is ready. `name`, and `units`, the number of its LUNs, are None where they are not known.

    `lun` is the first disk that is to be used. `crashes` are those of our own one.
    """

    spec: TargetSpec
    address: Address
    name: str | None
    lun: int | None = None
    units: int | None = None
    crashes: list[Exception] = field(default_factory=list)


def quirk_names(
    text: str, quirks: Mapping[str, type[Deviation]], personalities: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Read `quirk,quirk`, where a personality stands for all of its own. Raises UsageError."""
    found: dict[str, None] = {}
    for name in filter(None, (word.strip() for word in text.split(","))):
        if name not in quirks and name not in personalities:
            hint = meant(name, (*quirks, *personalities), "`--list-quirks` of the peer lists them")
            raise UsageError(f"no quirk is called {name!r} ({hint})")
        found.update(dict.fromkeys(personalities.get(name, (name,))))
    return tuple(found)


def parse_target(text: str) -> TargetSpec:
    """Read `embedded[:QUIRK,…]`, an iscsi:// URL, `HOST[:PORT]`, `command:LINE` or a command line.

    Raises UsageError; no message shows a password.
    """
    head, colon, rest = text.partition(":")
    if head == "embedded":
        names = quirk_names(rest, QUIRKS, PERSONALITIES)
        return TargetSpec(kind="embedded", shown=text, quirks=names)
    if head == "command" and colon:
        return _command(rest)
    if text.startswith("iscsi://"):
        return _url(text)
    if any(sign in text for sign in (" ", "{", "/")):
        return _command(text)
    if not text:
        raise UsageError("--target: expected embedded, HOST:PORT, an iscsi:// URL or a command")
    if not rest.isdigit() and get_close_matches(head, ["embedded"], cutoff=0.8):
        raise UsageError(f"--target {text}: did you mean embedded{colon}{rest}? (a host of that name: {head}:3260)")
    address = parse_address(text, default_host=_LOOPBACK, default_port=DEFAULT_PORT)
    return TargetSpec(kind="external", shown=str(address), address=address)


def _url(text: str) -> TargetSpec:
    found = parse_url(text)
    authority, _, path = text.removeprefix("iscsi://").partition("/")
    credentials = authority.rpartition("@")[0]
    address = Address(found.host, found.port)
    return TargetSpec(
        kind="external",
        shown=f"iscsi://{address}{'/' if path else ''}{path}",
        address=address,
        name=found.target,
        lun=found.lun if "/" in path else None,
        credentials=credentials,
        account=found.account,
    )


def _command(line: str) -> TargetSpec:
    argv = split_line(line, "--target")
    if not any(word in line for word in ("{port}", "{portal}")):
        raise UsageError("--target: the command has to be told its port: put {port} or {portal} where it belongs")
    return TargetSpec(kind="command", shown=masked(line), argv=argv, name=IQN if "{iqn}" in line else None)


def split_line(line: str, option: str) -> tuple[str, ...]:
    """Cut a command line into words as a shell does. Raises UsageError."""
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        raise UsageError(f"{option}: {error}: {line}") from error
    if not words:
        raise UsageError(f"{option}: expected a command")
    return words


def masked(line: str) -> str:
    """Hide the password of every iscsi:// URL in a text."""
    return _PASSWORD.sub(r"\1%***@", line)


@asynccontextmanager
async def opened(spec: TargetSpec) -> AsyncIterator[Target]:
    """Have the target ready in the block; what was started for it ends with it.

    Raises UsageError if a command cannot be run, PeerError if it ends or does not open its port.
    """
    if spec.kind == "embedded":
        async with _embedded(spec) as target:
            yield target
    elif spec.kind == "command":
        async with _started(spec) as target:
            yield target
    else:
        assert spec.address is not None
        yield Target(spec=spec, address=spec.address, name=spec.name, lun=spec.lun)


@asynccontextmanager
async def _embedded(spec: TargetSpec) -> AsyncIterator[Target]:
    units = {
        lun: LogicalUnit(lun, MemoryMedium(BLOCKS, BLOCK), UnitIdentity.derive(IQN, lun), target_name=IQN)
        for lun in range(UNITS)
    }
    node = Node({IQN: Device(units)}, _SETTINGS, with_quirks(QUIRKS[name] for name in spec.quirks))
    server = TargetServer(node)
    async with flat_nursery() as nursery:
        ((host, port), *_) = await nursery.start(server.serve, ((_LOOPBACK, 0),))
        yield Target(spec=spec, address=Address(host, port), name=IQN, lun=0, units=UNITS, crashes=server.crashes)


@asynccontextmanager
async def _started(spec: TargetSpec) -> AsyncIterator[Target]:
    address = Address(_LOOPBACK, _free_port())
    words = {"{portal}": str(address), "{host}": address.host, "{port}": str(address.port), "{iqn}": IQN}
    argv = []
    for word in spec.argv:
        for placeholder, value in words.items():
            word = word.replace(placeholder, value)
        argv.append(word)
    with tempfile.TemporaryFile() as log:
        async with child(argv, log) as process:
            await _listening(process, address, log)
            yield Target(spec=spec, address=address, name=spec.name)


@asynccontextmanager
async def child(
    argv: list[str], log: IO[bytes], *, environment: Mapping[str, str] | None = None
) -> AsyncIterator[trio.Process]:
    """Run a program in the block, its output to `log`; at the end it is asked to end, then made to.

    It has a session of its own: Ctrl-C is for us, and we tell it, and what it has started. Raises UsageError if it
    cannot be run; the message has its name only, since arguments may hold secrets.
    """
    try:
        process = await trio.lowlevel.open_process(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment
        )
    except OSError as error:
        raise UsageError(f"cannot run {argv[0]}: {error.strerror or error}") from error
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                _signal(process, signal.SIGTERM)
                await _ended(process)
                _signal(process, signal.SIGKILL)  # what a script has started does not always end with it
                await process.wait()


async def _ended(process: trio.Process) -> None:
    """Wait until a child has ended, as long as it is given time for that."""
    hurry = HURRY.get()
    async with trio.open_nursery() as nursery:
        if hurry is not None:

            async def give_up() -> None:
                await hurry.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(give_up)
        with trio.move_on_after(_PATIENCE):
            await process.wait()
        nursery.cancel_scope.cancel()


def _signal(process: trio.Process, number: signal.Signals) -> None:
    """Send a signal to a child and to what it has started: they are one process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def _listening(process: trio.Process, address: Address, log: IO[bytes]) -> None:
    """Wait until the port answers. Raises PeerError."""
    with trio.move_on_after(_READY_WITHIN):
        while process.poll() is None:
            try:
                stream = await trio.open_tcp_stream(address.host, address.port)
            except OSError:
                await trio.sleep(_LOOK_AGAIN)
            else:
                await stream.aclose()
                return
        raise PeerError(f"the target ended with status {process.returncode} before it listened{_tail(log)}")
    raise PeerError(f"the target did not listen at {address} in {_READY_WITHIN:g} s{_tail(log)}")


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    said = log.read()[-_TAIL:].decode(errors="replace").strip()
    return f": {said}" if said else ""


def _free_port() -> int:
    with socket.socket() as holder:
        holder.bind((_LOOPBACK, 0))
        port: int = holder.getsockname()[1]
        return port
