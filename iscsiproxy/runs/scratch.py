"""What may be written: nothing on a target that was not declared scratch, as a whole or in a range of blocks.

A scenario can write by its traffic, by commands that its rules or its actor make, and by changing a command into
another. What cannot be told beforehand counts as writing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from iscsiproxy.errors import UsageError
from iscsiproxy.language.spec import Act, Scenario
from iscsiproxy.runs.initiators import InitiatorSpec
from iscsiproxy.runs.targets import TargetSpec

__all__ = ["Extent", "Permission", "check_permission", "parse_extent", "writes"]

_EXTENT = re.compile(r"([0-9]+)\.\.([0-9]+)")
_WRITING_IO = frozenset({"verify", "write"})
#: Operation codes that leave a logical unit as it is: TEST UNIT READY, REQUEST SENSE, READ(6), INQUIRY, MODE SENSE(6),
#: READ CAPACITY(10), READ(10), MODE SENSE(10), READ(16), SERVICE ACTION IN(16), REPORT LUNS, READ(12) (SPC-4, SBC-3)
_HARMLESS = frozenset({0x00, 0x03, 0x08, 0x12, 0x1A, 0x25, 0x28, 0x5A, 0x88, 0x9E, 0xA0, 0xA8})
#: Parts of a PDU whose change can make another command, or the same one elsewhere
_TELLING = ("CDB", "BHS", "LUN", "Opcode")


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
    for act in _acts(scenario):
        if act.name == "io" and act.params.get("do") in (None, *_WRITING_IO):
            return f"its actor does {act.text or 'io'}"
        if any(name.partition(".")[0] in _TELLING for name in act.fields) and act.name == "set":
            return f"`{act.text or act.name}` can make another command"
        cdb = act.params.get("CDB") or act.fields.get("CDB")
        if cdb is not None and not _harmless(cdb):
            return f"`{act.text or act.name}` makes a command"
    return ""


def _harmless(cdb: object) -> bool:
    """Tell whether a CDB is known to leave the logical unit as it is; what is computed is not known."""
    value = getattr(cdb, "value", None)
    return isinstance(value, bytes) and len(value) > 0 and value[0] in _HARMLESS


def _acts(scenario: Scenario) -> Iterator[Act]:
    for rule in scenario.rules:
        yield from rule.do
    for machine in scenario.machines:
        for state in machine.states:
            for rule in state.rules:
                yield from rule.do
    yield from scenario.actor


def check_permission(
    scenarios: Iterable[Scenario], target: TargetSpec, initiator: InitiatorSpec, permission: Permission
) -> None:
    """Refuse what may write where nothing was declared scratch. Raises UsageError that says what to add."""
    if target.kind == "embedded" or permission.everything:
        return
    scenarios = tuple(scenarios)
    if initiator.kind != "embedded" and scenarios:
        raise UsageError(
            f"nobody knows what the initiator writes to {target.shown}: say that all of it may be overwritten "
            "with --scratch"
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
    ways = "--scratch" if permission.extent is not None else "--scratch, or where with --scratch-range LBA..LBA"
    raise UsageError(
        f"{names[0]}{others} can write to {target.shown} ({refused[0][1]}): say that it may be overwritten with "
        f"{ways}; or leave out with -k: {_short(names)}"
    )


def _short(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
