"""What the subcommands of `iscsiproxy initiator` take on the command line, read into settings."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from iscsiproxy.cli.peers import Seconds, choose_quirks, parse_account
from iscsiproxy.errors import UsageError
from iscsiproxy.peers.initiator.commands import Capacity
from iscsiproxy.peers.initiator.conduct import Conduct, with_quirks
from iscsiproxy.peers.initiator.quirks import PERSONALITIES, QUIRKS
from iscsiproxy.peers.initiator.settings import DEFAULT_INITIATOR, Account, InitiatorSettings, random_isid
from iscsiproxy.peers.initiator.url import parse_url
from iscsiproxy.peers.workload.contents import Ordering
from iscsiproxy.peers.workload.load import WorkloadSettings

__all__ = ["PeerOptions", "io_settings", "peer_options", "read_peer_options"]

_F = TypeVar("_F", bound=Callable[..., Any])

_SIZE = re.compile(r"([0-9]+)([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
#: `--size mix`: bytes and how often
_MIX = ((4096, 8), (8192, 2), (65536, 2), (262144, 1))
#: What READ(10) and WRITE(10) can transfer, in blocks (SBC-3 5.8)
_MOST_BLOCKS = 65535
#: What is used of a LUN that is given as a whole, in bytes: the model of its contents is kept in memory.
_MOST_BYTES = 1 << 30
_DIGESTS = {"crc32c": ("CRC32C",), "none": ("None",), "prefer": ("CRC32C", "None")}
_SECONDS = 10.0

_OPTIONS = (
    click.option("--initiator-name", metavar="IQN", default=DEFAULT_INITIATOR, show_default=True, help="Who we are."),
    click.option("--isid", metavar="HEX", help="The session's ISID, 12 digits.  [default: a fresh one]"),
    click.option("-k", "keys", multiple=True, metavar="KEY=VALUE", help="A login key to offer; an empty one: not to."),
    click.option("--header-digest", type=click.Choice(list(_DIGESTS)), help="Ask for header digests, or not."),
    click.option("--data-digest", type=click.Choice(list(_DIGESTS)), help="Likewise for data digests."),
    click.option("--chap", metavar="USER:SECRET", help="The account to log in with; or in ISCSIPROXY_CHAP."),
    click.option(
        "--mutual-chap",
        metavar="USER:SECRET",
        help="The account that the target has to prove; or in ISCSIPROXY_MUTUAL_CHAP.",
    ),
    click.option(
        "--timeout",
        type=Seconds(0),
        metavar="SECONDS",
        help="Abort commands that go unanswered for so long; 0: never.  [default: 60]",
    ),
    click.option(
        "--quirk",
        "quirks",
        multiple=True,
        metavar="NAME",
        help="A deviation, or an initiator with all that it has; may be repeated.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON lines."),
    click.option("-v", "--verbose", is_flag=True, help="Show every PDU, on stderr."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """Which target, and how to be its initiator. `lun` is None where the first disk is meant."""

    portal: tuple[str, int]
    lun: int | None
    settings: InitiatorSettings
    conduct: Conduct
    as_json: bool
    verbose: bool


def peer_options(function: _F) -> _F:
    """Give a command the options that all of them have."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def read_peer_options(url: str, options: Mapping[str, Any]) -> PeerOptions:
    """Read the address and the options that all have. Raises UsageError; no message shows a secret."""
    full = url if "://" in url else f"iscsi://{url}"
    found = parse_url(full)
    lun_given = bool(full.partition("://")[2].partition("/")[2].partition("/")[2])
    settings: dict[str, Any] = {
        "initiator": options["initiator_name"],
        "isid": _isid(options["isid"]),
        "target": found.target,
        "offers": _pairs(options["keys"]),
        "account": _account("--chap", options["chap"], "ISCSIPROXY_CHAP") or found.account,
        "mutual": _account("--mutual-chap", options["mutual_chap"], "ISCSIPROXY_MUTUAL_CHAP"),
    }
    if settings["mutual"] is not None and settings["account"] is None:
        raise UsageError("--mutual-chap needs --chap too")
    for key in ("header_digest", "data_digest"):
        if options[key] is not None:
            settings[f"{key}s"] = _DIGESTS[options[key]]
    if options["timeout"] is not None:
        settings["command_timeout"] = options["timeout"]
    return PeerOptions(
        portal=found.portal,
        lun=found.lun if lun_given else None,
        settings=InitiatorSettings(**settings),
        conduct=with_quirks(QUIRKS[name] for name in choose_quirks(options["quirks"], QUIRKS, PERSONALITIES)),
        as_json=options["as_json"],
        verbose=options["verbose"],
    )


def io_settings(options: Mapping[str, Any], *, lun: int, capacity: Capacity, ordering: Ordering) -> WorkloadSettings:
    """Read the options of `io` for a LUN of that capacity. Raises UsageError for what does not go with it."""
    first, blocks = _place(options["place"], capacity)
    sizes = _sizes(options["size"], capacity.block_length)
    fitting = tuple((size, weight) for size, weight in sizes if size <= blocks)
    if not fitting:
        raise UsageError(f"--size {options['size']}: more than the {blocks} blocks there are")
    seconds, count = options["seconds"], options["count"]
    return WorkloadSettings(
        lun=lun,
        first=first,
        blocks=blocks,
        block_size=capacity.block_length,
        sizes=fitting,
        reads=options["read_percent"] / 100,
        depth=options["depth"],
        count=count,
        seconds=_SECONDS if seconds is None and count is None else seconds,
        flush_every=options["flush"] or 0,
        overlap=options["overlap"],
        ordering=ordering,
        verify=options["verify"],
        # Even a run with the same seed must not take the data of an earlier one for its own.
        run=random.SystemRandom().randrange(1 << 32),
    )


def _bytes(text: str) -> int | None:
    found = _SIZE.fullmatch(text)
    return int(found[1]) * _UNITS[found[2].upper()] if found else None


def _place(text: str | None, capacity: Capacity) -> tuple[int, int]:
    """Read `LBA+BLOCKS` or a size in bytes from the first block on."""
    size = capacity.block_length
    if text is None:
        return 0, min(capacity.blocks, max(1, _MOST_BYTES // size))
    lba, plus, count = text.partition("+")
    if plus and lba.isascii() and lba.isdecimal() and count.isascii() and count.isdecimal():
        first, blocks = int(lba), int(count)
    elif (length := _bytes(text)) is not None:
        first, blocks = 0, length // size
    else:
        raise UsageError(f"--range {text!r}: expected LBA+BLOCKS or a size, as in 2048+1024 or 64M")
    if not blocks or first + blocks > capacity.blocks:
        raise UsageError(f"--range {text!r}: expected 1 block or more of the {capacity.blocks} there are")
    return first, blocks


def _sizes(text: str, block: int) -> tuple[tuple[int, int], ...]:
    """Read sizes in bytes, or `mix`; give blocks and weights."""
    if text == "mix":
        return tuple((max(1, size // block), weight) for size, weight in _MIX)
    sizes = []
    for part in text.split(","):
        length = _bytes(part)
        if length is None:
            raise UsageError(f"--size {text!r}: expected a size like 4k, several like 4k,64k, or mix")
        if not length or length % block or length // block > _MOST_BLOCKS:
            raise UsageError(f"--size {part}: expected 1 to {_MOST_BLOCKS} whole blocks of {block} bytes")
        sizes.append((length // block, 1))
    return tuple(sizes)


def _isid(text: str | None) -> int:
    if text is None:
        # Two that run at once are not to end each other's sessions (RFC 7143 6.3.5).
        return random_isid(str(random.SystemRandom().random()))
    try:
        isid = int(text, 16)
    except ValueError:
        isid = -1
    if not 0 <= isid < 1 << 48:
        raise UsageError(f"--isid {text!r}: expected 12 hexadecimal digits")
    return isid


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"-k {text!r}: expected KEY=VALUE")
        pairs[key] = value
    return pairs


def _account(option: str, given: str | None, variable: str) -> Account | None:
    text = given or os.environ.get(variable)
    return parse_account(option, text) if text else None
