"""`iscsiproxy target`: an embedded iSCSI target, conforming unless a quirk is switched on."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from iscsiproxy import __version__
from iscsiproxy.cli.peers import Seconds, choose_quirks, near, parse_account
from iscsiproxy.cli.peers import list_quirks as show_quirks
from iscsiproxy.cli.screen import Screen
from iscsiproxy.cli.signals import listen_to_signals
from iscsiproxy.errors import UsageError
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import BLOCK_SIZES, FileMedium, Medium, MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.peers.target.conduct import with_quirks
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.quirks import PERSONALITIES, QUIRKS
from iscsiproxy.peers.target.server import Notice, TargetServer
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.proxy import Address, parse_address
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["command"]

_LOOPBACK = "127.0.0.1"
_IQN = "iqn.2026-01.example.iscsiproxy:target"
_SIZE = re.compile(r"([0-9]+)([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
#: iSCSI names (RFC 7143 4.2.7.3 to 4.2.7.6), as far as a mistake would go unnoticed.
_NAME = re.compile(r"(iqn\.[0-9]{4}-[0-9]{2}\.[^\s/]+|eui\.[0-9A-Fa-f]{16}|naa\.([0-9A-Fa-f]{16}){1,2})")
_DIGESTS = {"none": ("None",), "crc32c": ("CRC32C",), "any": ("CRC32C", "None")}

#: What READ CAPACITY(16) can tell, in bytes, whatever the block (SBC-3 5.16.2); what fits into a file is less.
_MOST_BYTES = 1 << 63

_EPILOG = """
LUNs are numbered from 0 in the order given; N= chooses a number. SIZE is a LUN in memory; a FILE holds its contents
over restarts, and is made if it is given with a SIZE. A file whose name looks like a size is written ./64M.

\b
Examples:
  iscsiproxy target --listen :3260
  iscsiproxy target --lun 1G --lun 5=/srv/disk.img --lun /tmp/new.img:256M
  ISCSIPROXY_CHAP=user:secret-of-12-bytes iscsiproxy target --personality windows-server-2012
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lun:
    """A logical unit as the command line asks for it: in memory where there is no `path`."""

    number: int
    size: int | None
    path: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A target as the command line asks for it."""

    listen: tuple[Address, ...]
    iqn: str
    luns: tuple[_Lun, ...]
    block_size: int
    read_only: bool
    settings: TargetSettings
    quirks: tuple[str, ...]


@click.command(name="target", epilog=_EPILOG)
@click.option("--listen", multiple=True, metavar="A:P", default=("127.0.0.1:0",), show_default=True,
              help="Where initiators connect; port 0 picks a free one; may be repeated.")  # fmt: skip
@click.option("--iqn", metavar="NAME", default=_IQN, show_default=True, help="The target's name.")
@click.option("--lun", "luns", multiple=True, metavar="[N=]SIZE|FILE[:SIZE]", default=("64M",), show_default=True,
              help="A logical unit; may be repeated.")  # fmt: skip
@click.option("--block-size", type=click.Choice([str(size) for size in BLOCK_SIZES]), default="512", show_default=True,
              help="Bytes a block.")  # fmt: skip
@click.option("--read-only", is_flag=True, help="Write-protect every LUN.")
@click.option("--chap", multiple=True, metavar="USER:SECRET",
              help="An account that initiators must log in with; may be repeated; or in ISCSIPROXY_CHAP.")  # fmt: skip
@click.option("--mutual-chap", metavar="USER:SECRET",
              help="The account that the target proves itself with; or in ISCSIPROXY_MUTUAL_CHAP.")  # fmt: skip
@click.option("--discovery-chap", is_flag=True, help="Ask for the account in discovery sessions too.")
@click.option("--header-digest", type=click.Choice(list(_DIGESTS)), default="any", show_default=True,
              help="What is accepted of what an initiator offers.")  # fmt: skip
@click.option("--data-digest", type=click.Choice(list(_DIGESTS)), default="any", show_default=True,
              help="Likewise.")  # fmt: skip
@click.option("-k", "keys", multiple=True, metavar="KEY=VALUE", help="Our side of a text key, as in InitialR2T=Yes.")
@click.option("--window", type=click.IntRange(1, 65536), metavar="N", help="Commands an initiator may send at once.")
@click.option("--nop-interval", type=Seconds(0), metavar="SECONDS", help="Ping connections idle for so long.")
@click.option("--quirk", "quirks", multiple=True, metavar="NAME", help="A deviation to show; may be repeated.")
@click.option("--personality", "personalities", multiple=True, metavar="NAME", help="All deviations of a real target.")
@click.option("--list-quirks", is_flag=True, help="List quirks and personalities, and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines.")
@click.option("-v", "--verbose", count=True, help="Show connections; twice: every PDU.")
def command(
    listen: tuple[str, ...],
    iqn: str,
    luns: tuple[str, ...],
    block_size: str,
    read_only: bool,
    chap: tuple[str, ...],
    mutual_chap: str | None,
    discovery_chap: bool,
    header_digest: str,
    data_digest: str,
    keys: tuple[str, ...],
    window: int | None,
    nop_interval: float | None,
    quirks: tuple[str, ...],
    personalities: tuple[str, ...],
    list_quirks: bool,
    as_json: bool,
    verbose: int,
) -> None:
    """Be an iSCSI target.

    It conforms to RFC 7143, but where a quirk says otherwise. The first line printed says where it is ready; it serves
    until Ctrl-C or SIGTERM. What is in memory is gone then.
    """
    if list_quirks:
        show_quirks(QUIRKS, PERSONALITIES)
        return
    settings = replace(
        _with_keys(TargetSettings(), keys),
        header_digests=_DIGESTS[header_digest],
        data_digests=_DIGESTS[data_digest],
        discovery_chap=discovery_chap,
    )
    accounts = chap or tuple(filter(None, (os.environ.get("ISCSIPROXY_CHAP"),)))
    mutual = mutual_chap or os.environ.get("ISCSIPROXY_MUTUAL_CHAP")
    settings = replace(settings, accounts=tuple(parse_account("--chap", one) for one in accounts))
    if mutual:
        settings = replace(settings, mutual=parse_account("--mutual-chap", mutual))
    if (mutual or discovery_chap) and not accounts:
        raise UsageError(f"--{'mutual-chap' if mutual else 'discovery-chap'} needs --chap too")
    if window is not None:
        settings = replace(settings, command_window=window)
    if nop_interval is not None:
        settings = replace(settings, nop_interval=nop_interval)
    if not _NAME.fullmatch(iqn) or len(iqn.encode()) > 223:
        raise UsageError(f"--iqn {iqn!r}: expected an iSCSI name, as in {_IQN}")
    plan = _Plan(
        listen=tuple(parse_address(one, default_host=_LOOPBACK) for one in listen),
        iqn=iqn,
        luns=_luns(luns),
        block_size=int(block_size),
        read_only=read_only,
        settings=settings,
        quirks=choose_quirks((*personalities, *quirks), QUIRKS, PERSONALITIES),
    )
    screen = Screen(sys.stdout, as_json=as_json, verbosity=verbose)
    sys.exit(trio.run(_run, plan, screen, verbose))


# --- what the command line says ---------------------------------------------------------------------------------------


def _number(least: int, most: int, text: str) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ValueError(f"a number from {least} to {most}")
    return int(text)


def _boolean(text: str) -> bool:
    if text not in ("Yes", "No"):
        raise ValueError("Yes or No")
    return text == "Yes"


def _text(text: str) -> str:
    if not text or len(text.encode()) > 255:
        raise ValueError("1 to 255 bytes of text")
    return text


_SEGMENT = partial(_number, 512, (1 << 24) - 1)
_SECONDS = partial(_number, 0, 3600)

#: The keys whose value is ours to choose (RFC 7143 13), with the setting and what it takes.
_KEYS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "MaxRecvDataSegmentLength": ("max_recv_data_segment_length", _SEGMENT),
    "InitialR2T": ("initial_r2t", _boolean),
    "ImmediateData": ("immediate_data", _boolean),
    "MaxBurstLength": ("max_burst_length", _SEGMENT),
    "FirstBurstLength": ("first_burst_length", _SEGMENT),
    "MaxOutstandingR2T": ("max_outstanding_r2t", partial(_number, 1, 65535)),
    "DataPDUInOrder": ("data_pdu_in_order", _boolean),
    "DataSequenceInOrder": ("data_sequence_in_order", _boolean),
    "DefaultTime2Wait": ("time2wait", _SECONDS),
    "DefaultTime2Retain": ("time2retain", _SECONDS),
    "iSCSIProtocolLevel": ("protocol_level", partial(_number, 0, 31)),
    "TargetAlias": ("alias", _text),
    "TargetPortalGroupTag": ("portal_group", partial(_number, 0, 65535)),
}


def _with_keys(settings: TargetSettings, pairs: Sequence[str]) -> TargetSettings:
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"-k {pair!r}: expected KEY=VALUE")
        if key not in _KEYS:
            raise UsageError(f"-k {key}: no key that can be set here{near(key, _KEYS)}")
        name, read = _KEYS[key]
        try:
            values[name] = read(value)
        except ValueError as error:
            raise UsageError(f"-k {pair}: expected {error}") from None
    found = replace(settings, **values)
    if found.first_burst_length > found.max_burst_length:
        if "first_burst_length" in values:
            raise UsageError(
                f"FirstBurstLength={found.first_burst_length}: more than MaxBurstLength={found.max_burst_length}"
            )
        found = replace(found, first_burst_length=found.max_burst_length)
    return found


def _size(text: str) -> int | None:
    found = _SIZE.fullmatch(text)
    return int(found[1]) * _UNITS[found[2].upper()] if found else None


def _luns(texts: Sequence[str]) -> tuple[_Lun, ...]:
    luns: dict[int, _Lun] = {}
    for text in texts:
        number, rest = len(luns) and max(luns) + 1, text
        if chosen := re.match(r"([0-9]+)=", text):
            number, rest = int(chosen[1]), text[chosen.end() :]
        if number > 0x3FFF:
            raise UsageError(f"--lun {text!r}: LUN numbers go from 0 to {0x3FFF}")
        if number in luns:
            raise UsageError(f"--lun {text!r}: there is a LUN {number} already")
        size, path = _size(rest), None
        if size is None:
            name, colon, length = rest.rpartition(":")
            if colon and (size := _size(length)) is not None:
                rest = name
            path = Path(rest)
            if not rest or rest.endswith("/"):
                raise UsageError(f"--lun {text!r}: expected [N=]SIZE or [N=]FILE[:SIZE], as in 64M or disk.img:1G")
        if size is not None and size >= _MOST_BYTES:
            raise UsageError(f"--lun {text!r}: expected less than 8388608T")
        for other in luns.values():
            if path is not None and other.path is not None and path.resolve() == other.path.resolve():
                raise UsageError(f"--lun {text!r}: LUN {other.number} has this file already")
        luns[number] = _Lun(number=number, size=size, path=path)
    return tuple(luns.values())


# --- the target -------------------------------------------------------------------------------------------------------


async def _run(plan: _Plan, screen: Screen, verbosity: int) -> int:
    try:
        with ExitStack() as media:
            units = {}
            for lun in plan.luns:
                medium = _medium(lun, plan)
                media.callback(medium.close)
                units[lun.number] = _unit(lun.number, medium, plan)
            return await _serve(plan, units, screen, verbosity)
    except OSError as error:
        screen.warn(f"a file could not be written to its end: {error.strerror or error}")
        return 1


async def _serve(plan: _Plan, units: Mapping[int, LogicalUnit], screen: Screen, verbosity: int) -> int:
    """Serve until a signal comes; give the exit status."""
    asked = trio.Event()
    node = Node({plan.iqn: Device(units)}, plan.settings, with_quirks(QUIRKS[name] for name in plan.quirks))
    server = TargetServer(
        node,
        on_notice=partial(_show_notice, screen, verbosity),
        tap=partial(_show_pdu, screen) if verbosity > 1 else None,
    )
    async with trio.open_nursery() as nursery:
        # Before anybody is told that we are ready: from then on a signal may come, and a second one while we end.
        await nursery.start(listen_to_signals, asked)
        bound = await nursery.start(server.serve, [(one.host, one.port) for one in plan.listen])
        _ready([Address(*one) for one in bound], plan, units, screen)
        await asked.wait()
        nursery.cancel_scope.cancel()
    if server.crashes:
        screen.warn(f"{len(server.crashes)} internal errors; the run proves nothing")
        return 70
    return 0


def _medium(lun: _Lun, plan: _Plan) -> Medium:
    """Make or open what a LUN is kept in. Raises UsageError."""
    try:
        if lun.path is None:
            assert lun.size is not None
            return MemoryMedium(lun.size // plan.block_size, plan.block_size)
        if lun.size is not None and lun.path.exists() and (length := lun.path.stat().st_size) > lun.size:
            raise UsageError(f"--lun {lun.path}: has {length} bytes, and would be cut to {lun.size}")
        return FileMedium(lun.path, lun.size, block_size=plan.block_size, read_only=plan.read_only)
    except FileNotFoundError as error:
        can_be_made = lun.path is not None and lun.size is None and lun.path.parent.is_dir()
        hint = f"; it is made if a size is given, as in {lun.path}:64M" if can_be_made else ""
        raise UsageError(f"--lun {lun.path}: {error.strerror}{hint}") from error
    except OSError as error:
        raise UsageError(f"--lun {lun.path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"--lun {lun.path or lun.size}: {error}") from error


def _unit(number: int, medium: Medium, plan: _Plan) -> LogicalUnit:
    return LogicalUnit(
        number,
        medium,
        UnitIdentity.derive(plan.iqn, number),
        write_protected=plan.read_only,
        target_name=plan.iqn,
        portal_group=plan.settings.portal_group,
    )


def _ready(bound: Sequence[Address], plan: _Plan, units: Mapping[int, LogicalUnit], screen: Screen) -> None:
    if screen.as_json:
        screen.json(
            {
                "event": "ready",
                "version": __version__,
                "pid": os.getpid(),
                "listen": [str(address) for address in bound],
                "iqn": plan.iqn,
                "luns": {str(number): unit.medium.blocks * unit.medium.block_size for number, unit in units.items()},
                "quirks": list(plan.quirks),
            }
        )
        return
    luns = ",".join(map(str, units))
    for address in bound:
        screen.line(f"ready listen={address} iqn={plan.iqn} luns={luns}")
    for name in plan.quirks:
        screen.line(f"deviates {name}: {QUIRKS[name].summary()}")


def _show_notice(screen: Screen, verbosity: int, notice: Notice) -> None:
    crashed = notice.what == "crashed"
    if not (crashed or verbosity):
        return
    if screen.as_json:
        screen.json({"event": notice.what, "conn": notice.conn, "peer": notice.peer, "text": notice.text})
    else:
        screen.line(
            f"conn {notice.conn:<3} {notice.peer} {notice.what} {notice.text}", **({"fg": "red"} if crashed else {})
        )


def _show_pdu(screen: Screen, conn: int, pdu: Pdu) -> None:
    if screen.as_json:
        screen.json({"event": "pdu", "conn": conn, "sender": str(pdu.sender), "pdu": summary(pdu)})
    else:
        screen.line(f"conn {conn:<3} {'>' if pdu.sender is End.INITIATOR else '<'} {summary(pdu)}", dim=True)
