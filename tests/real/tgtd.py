"""A private tgtd: its own control socket, its own port, its own LUNs, gone at the end of the block.

Three of its ways decide the shape of this module. Where it cannot have the portal that it was told to listen on, it
goes on and listens on port 3260 of *every* address: so the port is reserved first and what it listens on is read
back. It ignores SIGTERM and SIGINT, and refuses an orderly end while somebody is logged in: so it is killed. And its
control socket answers before anything else is ready: so readiness is a portal that it lists, not a socket that opens.
"""

from __future__ import annotations

import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.real.address import Address, Chap, host_and_port
from tests.real.process import Finished, ProgramError, kill, run, running

__all__ = ["IQN", "LARGE_SEGMENTS", "MIB", "Tgtd", "TgtdError", "reserved_port", "running_tgtd"]

MIB = 1024 * 1024

IQN = "iqn.2026-01.example.iscsiproxy:disk"

#: Parameters that let data segments be 256 KiB, the most that libiscsi takes; tgtd starts with 8 KiB.
LARGE_SEGMENTS: Mapping[str, str] = {
    "MaxRecvDataSegmentLength": "262144",
    "MaxXmitDataSegmentLength": "262144",
}

#: Seconds until a tgtd that does not come up is given up. It takes about ten milliseconds.
READY_WITHIN = 10.0

#: Pause between two looks at something that is still coming up.
LOOK_AGAIN = 0.005


class TgtdError(Exception):
    """A tgtd did not come up, or refused an order. The message ends with its log."""


@contextmanager
def reserved_port(host: str = "127.0.0.1") -> Iterator[int]:
    """Reserve a free TCP port: nobody is given it while the block lasts, and a program that is told it may listen.

    The socket that holds the port never listens; Linux lets another one with SO_REUSEADDR listen beside it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, 0))
        port: int = holder.getsockname()[1]
        yield port


@contextmanager
def _scratch() -> Iterator[Path]:
    """Make a directory in memory where there is such a place: LUNs are written a lot and kept by nobody."""
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="iscsiproxy-tgtd-", dir=memory if memory.is_dir() else None))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tgtd:
    """A running tgtd with one target. Made by `running_tgtd`, which owns the process and ends it."""

    host: str
    port: int
    iqn: str
    lun_files: tuple[Path, ...]
    directory: Path
    process: trio.Process
    chap: Chap | None

    def __repr__(self) -> str:
        """Name the portal, the process and whether it lives."""
        state = "alive" if self.alive else "dead"
        return f"<Tgtd {host_and_port(self.host, self.port)} pid {self.process.pid} {state}>"

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        return self.process.poll() is None

    @property
    def log(self) -> str:
        """All that it has printed so far."""
        return _log(self.directory)

    @property
    def at(self) -> Address:
        """The first LUN, directly, with the right account."""
        return Address(host=self.host, port=self.port, iqn=self.iqn, chap=self.chap)

    def address(
        self, *, host: str | None = None, port: int | None = None, lun: int = 1, chap: Chap | None = None
    ) -> Address:
        """Return the address of a LUN.

        With the host and port of a proxy it leads through the proxy; with an account it logs in with that one.
        """
        return Address(
            host=self.host if host is None else host,
            port=self.port if port is None else port,
            iqn=self.iqn,
            lun=lun,
            chap=chap or self.chap,
        )

    def url(self, *, host: str | None = None, port: int | None = None, lun: int = 1, chap: Chap | None = None) -> str:
        """Return the URL of a LUN; the arguments are those of `address`."""
        return self.address(host=host, port=port, lun=lun, chap=chap).url

    async def admin(self, *arguments: str) -> Finished:
        """Give an order through tgtadm, and return what came of it."""
        return await _tgtadm(self.directory, *arguments)

    async def update(self, parameters: Mapping[str, str]) -> None:
        """Set parameters of the target, which hold from the next login on."""
        for name, value in parameters.items():
            await _order(
                self.directory, "--mode", "target", "--op", "update", "--tid", "1", "--name", name, "--value", value
            )

    async def sessions(self) -> int:
        """Count the sessions that are logged in, discovery sessions not among them."""
        shown = await self.admin("--mode", "conn", "--op", "show", "--tid", "1")
        return len(re.findall(r"^Session:", shown.stdout, re.MULTILINE))

    async def kill(self) -> None:
        """End it now, as a crash would. Every connection is closed by the kernel."""
        await kill(self.process)


def _log(directory: Path) -> str:
    return (directory / "log").read_text(encoding="utf-8", errors="replace")


async def _tgtadm(directory: Path, *arguments: str) -> Finished:
    return await run("tgtadm", "-C", "0", "--lld", "iscsi", *arguments, env=_control(directory), within=5.0)


def _control(directory: Path) -> dict[str, str]:
    return {"TGT_IPC_SOCKET": str(directory / "ctl")}


async def _order(directory: Path, *arguments: str) -> None:
    try:
        (await _tgtadm(directory, *arguments)).check()
    except ProgramError as error:
        raise TgtdError(f"{error}\n{_log(directory)}") from None


async def _ready(directory: Path, process: trio.Process, portal: str) -> None:
    """Wait until tgtd listens on the portal, and on nothing else."""
    shown = None
    with trio.move_on_after(READY_WITHIN):
        while process.poll() is None:
            shown = await _tgtadm(directory, "--mode", "portal", "--op", "show")
            listening = re.findall(r"^Portal: (\S+),\d+$", shown.stdout, re.MULTILINE)
            if listening == [portal]:
                return
            if listening:
                break
            await trio.sleep(LOOK_AGAIN)
    answer = shown.output if shown else "no answer"
    raise TgtdError(f"tgtd does not listen on {portal}: {answer}\n{_log(directory)}")


async def _furnish(
    directory: Path, iqn: str, files: Sequence[Path], chap: Chap | None, parameters: Mapping[str, str]
) -> None:
    target = ("--mode", "target", "--tid", "1")
    await _order(directory, *target, "--op", "new", "--targetname", iqn)
    for number, file in enumerate(files, start=1):
        await _order(
            directory,
            *("--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", str(number)),
            *("--bstype", "rdwr", "--backing-store", str(file)),
        )
    for name, value in parameters.items():
        await _order(directory, *target, "--op", "update", "--name", name, "--value", value)
    if chap:
        account = ("--mode", "account", "--user", chap.user)
        await _order(directory, *account, "--op", "new", "--password", chap.password)
        await _order(directory, *account, "--op", "bind", "--tid", "1")
    await _order(directory, *target, "--op", "bind", "--initiator-address", "ALL")


@asynccontextmanager
async def running_tgtd(
    *,
    luns: Sequence[int] = (64 * MIB,),
    iqn: str = IQN,
    host: str = "127.0.0.1",
    chap: Chap | None = None,
    parameters: Mapping[str, str] | None = None,
) -> AsyncIterator[Tgtd]:
    """Start a tgtd with one target and wait until initiators can log in.

    `luns` are sizes in bytes, of sparse files, numbered from 1. `parameters` are tgtd's names and values, as in
    `{"InitialR2T": "No"}`; see `LARGE_SEGMENTS`. `host` is a loopback address, IPv4 or IPv6. At the end of the block
    the process is killed, whoever is still logged in, and its files are removed. Raises `TgtdError`.
    """
    with _scratch() as directory, reserved_port(host) as port:
        files = [directory / f"lun-{number}" for number, _ in enumerate(luns, start=1)]
        for file, size in zip(files, luns, strict=True):
            with file.open("wb") as image:
                image.truncate(size)
        portal = host_and_port(host, port)
        async with running(
            *("tgtd", "-f", "-C", "0", "--iscsi", f"portal={portal}"),
            log=directory / "log",
            env=_control(directory),
        ) as process:
            await _ready(directory, process, portal)
            await _furnish(directory, iqn, files, chap, parameters or {})
            yield Tgtd(
                host=host,
                port=port,
                iqn=iqn,
                lun_files=tuple(files),
                directory=directory,
                process=process,
                chap=chap,
            )
