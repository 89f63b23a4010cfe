"""What may be written: nothing on a target that was not declared scratch, as a whole or in a range of blocks.

A scenario can write by its traffic, by commands that its rules or its actor make, and by changing a command into
another. What cannot be told beforehand counts as writing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from iscsiproxy.errors import UsageError
from iscsiproxy.language.harm import acts_of, writing_act
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.initiators import InitiatorSpec
from iscsiproxy.runs.targets import TargetSpec

__all__ = ["Extent", "Permission", "check_permission", "parse_extent", "writes"]

_EXTENT = re.compile(r"([0-9]+)\.\.([0-9]+)")
_WRITING_IO = frozenset({"verify", "write"})


@dataclass(frozen=True, slots=True)
class Extent:
    """Logical blocks from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"

    @property
    def blocks(self) -> int:
        """How many."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What the user has declared scratch: all of the target, or a range of blocks of the LUN, or nothing."""

    everything: bool = False
    extent: Extent | None = None


def parse_extent(text: str) -> Extent:
    """Read `LBA..LBA`. Raises UsageError."""
    found = _EXTENT.fullmatch(text.replace(" ", ""))
    if found is None or int(found[1]) > int(found[2]):
        raise UsageError(f"--scratch-range {text!r}: expected the first and the last block, as in 2048..4095")
    return Extent(int(found[1]), int(found[2]))


def writes(scenario: Scenario) -> str:
    """Say what of a scenario can write; empty if nothing can."""
    io = scenario.traffic.get("io", "verify")
    if io in _WRITING_IO:
        return f"traffic: {io}"
    return _acts_writing(scenario)


def _acts_writing(scenario: Scenario) -> str:
    return next((why for act in acts_of(scenario) if (why := writing_act(act))), "")


def check_permission(
    scenarios: Iterable[Scenario],
    target: TargetSpec,
    initiator: InitiatorSpec,
    permission: Permission,
    *,
    ways: str = "",
) -> None:
    """Refuse what may write where nothing was declared scratch. Raises UsageError that says what to add.

    `ways` are those in which it can be said, if not by the options of `iscsiproxy test`.
    """
    if target.kind == "embedded" or permission.everything:
        return
    scenarios = tuple(scenarios)
    if initiator.kind != "embedded" and scenarios:
        raise UsageError(
            f"nobody knows what the initiator writes to {target.shown}: say that all of it may be overwritten "
            f"with {ways or '--scratch'}"
        )
    refused = []
    for scenario in scenarios:
        why = _acts_writing(scenario) if permission.extent is not None else writes(scenario)
        if why:
            refused.append((scenario.name, why))
    if not refused:
        return
    names = list(dict.fromkeys(name for name, _ in refused))
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    what = f"{names[0]}{others} can write to {target.shown} ({refused[0][1]}): say that it may be overwritten with "
    if ways:
        raise UsageError(f"{what}{ways}")
    ways = "--scratch" if permission.extent is not None else "--scratch, or where with --scratch-range LBA..LBA"
    raise UsageError(f"{what}{ways}; or leave out with -k: {_short(names)}")


def _short(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
