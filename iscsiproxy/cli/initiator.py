"""`iscsiproxy initiator`: an embedded iSCSI initiator, conforming unless a quirk is switched on."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import click
import msgspec
import trio

from iscsiproxy.cli.initiator_options import PeerOptions, io_settings, peer_options, read_peer_options
from iscsiproxy.cli.initiator_report import print_report, show_progress
from iscsiproxy.cli.initiator_session import (
    DISK,
    AnySession,
    ask,
    choose_lun,
    connector,
    find_capacity,
    list_luns,
    logged_in,
    nearest_target,
    recovering,
)
from iscsiproxy.cli.peers import Seconds
from iscsiproxy.cli.peers import list_quirks as show_quirks
from iscsiproxy.cli.screen import Screen
from iscsiproxy.errors import PeerError, UsageError
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.errors import LoginFailed
from iscsiproxy.peers.initiator.quirks import PERSONALITIES, QUIRKS
from iscsiproxy.peers.initiator.recovery import RecoveringSession, Recovery
from iscsiproxy.peers.initiator.session import discover, open_session
from iscsiproxy.peers.workload.contents import Ordering
from iscsiproxy.peers.workload.drive import RecoveringDrive, SessionDrive
from iscsiproxy.peers.workload.load import Workload, WorkloadSettings
from iscsiproxy.peers.workload.tally import WorkloadReport
from iscsiproxy.wire.secrecy import SECRET_KEYS

__all__ = ["command"]

#: The Control mode page and its QUEUE ALGORITHM MODIFIER (SPC-4 7.5.8)
_CONTROL_PAGE = 0x0A
#: How long commands in flight have to end after Ctrl-C, in seconds.
_PATIENCE = 5.0
#: The target is not here (RFC 7143 11.13.5)
_NOT_FOUND = 0x0203
#: Exit codes: something was wrong; nothing was done.
_WRONG, _NOTHING = 1, 3

_EPILOG = """\b
Exit codes: 0 all is well, 1 data or answers were wrong, 2 bad usage, 3 nothing could be done.

\b
Examples:
  iscsiproxy initiator discover storage:3260
  iscsiproxy initiator info iscsi://storage:3260/iqn.2004-01.com.example:t/1
  iscsiproxy initiator io storage --scratch --depth 32 --overlap --seconds 60
"""


@click.group(name="initiator", epilog=_EPILOG, invoke_without_command=True)
@click.option("--list-quirks", is_flag=True, help="List the deviations and whole initiators that --quirk takes.")
@click.pass_context
def command(ctx: click.Context, list_quirks: bool) -> None:
    """Be an iSCSI initiator.

    A URL is iscsi://[USER%SECRET@]HOST[:PORT][/TARGET[/LUN]], and iscsi:// may be left out. Without TARGET the portal's
    only one is taken, without LUN the first disk.
    """
    if list_quirks:
        show_quirks(QUIRKS, PERSONALITIES)
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(2)


@command.command(name="discover")
@click.argument("url", metavar="HOST[:PORT]")
@peer_options
def discover_command(url: str, **options: Any) -> None:
    """List the targets that a portal offers, with their addresses."""
    _main(read_peer_options(url, options), _discover)


@command.command()
@click.argument("url")
@peer_options
def info(url: str, **options: Any) -> None:
    """Log in, and show what was negotiated and what is there."""
    _main(read_peer_options(url, options), _info)


@command.command()
@click.argument("url")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many pings.")
@click.option("--data", default="ping", show_default=True, metavar="TEXT", help="What they carry.")
@peer_options
def nop(url: str, count: int, data: str, **options: Any) -> None:
    """Ping the target with NOP-Out."""

    async def work(peer: PeerOptions, screen: Screen) -> int:
        return await _nop(peer, screen, count, data.encode())

    _main(read_peer_options(url, options), work)


@command.command()
@click.argument("url")
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE...")
@peer_options
def text(url: str, pairs: tuple[str, ...], **options: Any) -> None:
    """Send a Text Request and print the answer.

    It goes over a discovery session if the URL has no TARGET.
    """
    keys = []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{pair!r}: expected KEY=VALUE")
        keys.append((key, value))

    async def work(peer: PeerOptions, screen: Screen) -> int:
        return await _text(peer, screen, keys)

    _main(read_peer_options(url, options), work)


@command.command()
@click.argument("url")
@click.option("--seconds", type=Seconds(0, min_open=True), metavar="SECONDS",
              help="How long.  [default: 10, without --count]")  # fmt: skip
@click.option("--count", type=click.IntRange(1), help="How many commands.")
@click.option("--depth", type=click.IntRange(1, 4096), default=8, show_default=True, help="Commands in flight.")
@click.option("--size", default="mix", show_default=True, metavar="4k|64k|mix|4k,64k",
              help="Bytes a command; several are mixed.")  # fmt: skip
@click.option("--read-percent", type=click.IntRange(0, 100), default=50, show_default=True, help="The share of reads.")
@click.option("--overlap", is_flag=True, help="Have writes in flight that overlap.")
@click.option("--attribute", type=click.Choice(["ordered", "simple"]), default="ordered", show_default=True,
              help="The task attribute with --overlap.")  # fmt: skip
@click.option("--flush", type=click.IntRange(1), metavar="N", help="SYNCHRONIZE CACHE after every N writes.")
@click.option("--range", "place", metavar="LBA+BLOCKS|SIZE", help="Where; writing it is allowed.")
@click.option("--scratch", is_flag=True, help="All of the LUN may be overwritten.")
@click.option("--recover", is_flag=True, help="Come back when the session is lost, within 60 seconds, and go on.")
@click.option("--seed", type=int, help="Reproduce the commands of a run.  [default: a fresh one, printed]")
@click.option("--verify/--no-verify", default=True, help="Check what is read, and read back what was written.")
@peer_options
def io(url: str, **options: Any) -> None:
    """Write and read, and check every block.

    What is on the LUN is lost where it writes: give --scratch or --range. Ctrl-C ends it with what was found so far.
    """
    if options["read_percent"] < 100 and not options["scratch"] and options["place"] is None:
        raise UsageError(
            "io overwrites the LUN: say that it may with --scratch, or where with --range (or --read-percent 100)"
        )
    peer = read_peer_options(url, options)

    async def work(peer: PeerOptions, screen: Screen) -> int:
        return await _io(peer, screen, options)

    _main(peer, work)


# --- how it is run ----------------------------------------------------------------------------------------------------


def _main(peer: PeerOptions, work: Callable[[PeerOptions, Screen], Awaitable[int]]) -> None:
    """Run it and exit. What a target did wrong is no error of this program."""
    screen = Screen(sys.stdout, as_json=peer.as_json, verbosity=0)
    try:
        status = trio.run(work, peer, screen)
    except PeerError as error:
        hint = trio.run(nearest_target, peer) if isinstance(error, LoginFailed) and error.status == _NOT_FOUND else ""
        if peer.as_json:
            screen.json({"event": "failed", "error": type(error).__name__, "text": str(error)})
        click.echo(f"iscsiproxy: {error}{hint}", err=True)
        status = _NOTHING
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    sys.exit(status)


# --- the subcommands --------------------------------------------------------------------------------------------------


async def _discover(peer: PeerOptions, screen: Screen) -> int:
    records = await discover(connector(peer), peer.settings, conduct=peer.conduct)
    if peer.as_json:
        screen.json({"event": "targets", "targets": [asdict(record) for record in records]})
        return 0
    for record in records:
        screen.line(record.name)
        for address in record.addresses:
            screen.line(f"  {address}")
    return 0


async def _info(peer: PeerOptions, screen: Screen) -> int:
    async with logged_in(peer) as session:
        units = []
        for lun in (peer.lun,) if peer.lun is not None else await list_luns(session):
            outcome = await ask(session, lun, commands.inquiry(), 255)
            found = commands.decode_inquiry(outcome.data) if outcome.good else None
            capacity = None
            if found is not None and (found.qualifier, found.device_type) == (0, DISK):
                capacity = await find_capacity(session, lun)
            units.append((lun, found, capacity))
        parameters = asdict(session.parameters)
        said = [(key, "*" if key in SECRET_KEYS else value) for key, value in session.login_keys]
        if peer.as_json:
            screen.json(
                {
                    "event": "info",
                    "target": session.settings.target,
                    "initiator": session.settings.initiator,
                    "isid": f"{session.settings.isid:012x}",
                    "tsih": session.tsih,
                    "said": said,
                    "parameters": parameters,
                    "units": [
                        {
                            "lun": lun,
                            "inquiry": found and asdict(found),
                            "capacity": capacity and asdict(capacity),
                        }
                        for lun, found, capacity in units
                    ],
                }
            )
            return 0
        screen.line(f"target     {session.settings.target}")
        screen.line(f"initiator  {session.settings.initiator}, ISID {session.settings.isid:012x}, TSIH {session.tsih}")
        screen.line("the target said")
        for key, value in said:
            screen.line(f"  {key}={value}")
        screen.line("in force")
        for name, value in parameters.items():
            screen.line(f"  {name:24}{value}")
        for lun, found, capacity in units:
            if found is None:
                screen.line(f"LUN {lun}: does not answer INQUIRY")
                continue
            if found.qualifier:
                screen.line(f"LUN {lun}: not there")
                continue
            kind = "disk" if found.device_type == DISK else f"device type {found.device_type:#04x}"
            room = f", {capacity.blocks} blocks of {capacity.block_length}" if capacity else ""
            screen.line(f"LUN {lun}: {kind}, {found.vendor} {found.product} {found.revision}{room}")
    return 0


async def _nop(peer: PeerOptions, screen: Screen, count: int, data: bytes) -> int:
    status = 0
    async with logged_in(peer) as session:
        for number in range(1, count + 1):
            began = trio.current_time()
            echo = await session.nop(data)
            seconds = trio.current_time() - began
            status = status if echo == data else _WRONG
            if peer.as_json:
                screen.json({"event": "nop", "number": number, "seconds": round(seconds, 6), "same": echo == data})
            elif echo == data:
                screen.line(f"ping {number}: {len(echo)} bytes in {seconds * 1000:.3f} ms")
            else:
                screen.line(f"ping {number}: sent {data!r}, got {echo!r}", fg="red")
    return status


async def _text(peer: PeerOptions, screen: Screen, keys: list[tuple[str, str]]) -> int:
    async with open_session(connector(peer), peer.settings, conduct=peer.conduct) as session:
        pairs = await session.text(keys)
        if peer.as_json:
            screen.json({"event": "text", "pairs": [list(pair) for pair in pairs]})
        for pair in () if peer.as_json else pairs:
            screen.line(f"{pair.key}={pair.value}")
    return 0


async def _io(peer: PeerOptions, screen: Screen, options: Mapping[str, Any]) -> int:
    async with recovering(peer) if options["recover"] else logged_in(peer) as session:
        lun = await choose_lun(peer, session)
        capacity = await find_capacity(session, lun)
        if capacity is None:
            there = await list_luns(session)
            hint = "" if lun in there else f": the target has LUN {', '.join(map(str, there)) or 'none'}"
            raise PeerError(f"LUN {lun} does not say how big it is{hint}")
        ordering = Ordering.ORDERED
        if options["attribute"] == "simple":
            ordering = await _queueing(session, lun)
        seed = random.SystemRandom().randrange(1 << 32) if options["seed"] is None else options["seed"]
        settings = io_settings(options, lun=lun, capacity=capacity, ordering=ordering)
        if not peer.as_json:
            where = f"blocks {settings.first}+{settings.blocks} of {capacity.block_length} bytes on LUN {lun}"
            screen.line(f"{where} of {session.settings.target}, seed {seed}")
        report = await _load(session, settings, seed, progress=not peer.as_json and sys.stderr.isatty())
        if isinstance(session, RecoveringSession):
            report = _still_away(report, session.recoveries)
    if peer.as_json:
        facts = msgspec.json.decode(msgspec.json.encode(report))
        screen.json({"event": "report", "seed": seed, "passed": report.passed, **facts})
    else:
        print_report(report, screen)
    if not report.commands:
        return _NOTHING if not report.mismatch_count else _WRONG
    return 0 if report.passed else _WRONG


def _still_away(report: WorkloadReport, recoveries: Sequence[Recovery]) -> WorkloadReport:
    """Have a run whose session was not back when it was stopped count as one that lost it."""
    if report.lost is not None or not recoveries or recoveries[-1].logged_in is not None:
        return report
    lost = f"{recoveries[-1].reason}, and it was not back yet"
    return replace(report, lost=lost, recoveries=max(0, report.recoveries - 1))


async def _queueing(session: AnySession, lun: int) -> Ordering:
    """Ask what SIMPLE tasks are promised."""
    outcome = await ask(session, lun, commands.mode_sense6(_CONTROL_PAGE, descriptors=False), 255)
    page = outcome.data[4:]
    restricted = outcome.good and len(page) > 3 and page[0] & 0x3F == _CONTROL_PAGE and page[3] >> 4 == 0
    return Ordering.RESTRICTED if restricted else Ordering.FREE


async def _load(session: AnySession, settings: WorkloadSettings, seed: int, *, progress: bool) -> WorkloadReport:
    """Run it to its end, or until a signal comes; a second signal does not wait for what is in flight."""
    drive = RecoveringDrive(session) if isinstance(session, RecoveringSession) else SessionDrive(session)
    workload = Workload(
        drive,
        settings,
        random.Random(seed),
        recoveries=drive.recoveries,
        on_progress=show_progress if progress else None,
        progress_every=0.5,
    )
    async with trio.open_nursery() as nursery:

        async def obey(*, task_status: trio.TaskStatus[None]) -> None:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for _ in signals:
                    break
                workload.stop()
                with trio.move_on_after(_PATIENCE):
                    async for _ in signals:
                        break
                nursery.cancel_scope.cancel()

        await nursery.start(obey)
        await workload.run()
        nursery.cancel_scope.cancel()
    if progress:
        click.echo("\r\033[K", nl=False, err=True)
    return workload.report()
