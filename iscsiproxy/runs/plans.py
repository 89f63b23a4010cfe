"""Plans of chaos as files: read with the scenarios that they name, kept beside what came of them, read again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import UsageError
from iscsiproxy.journal import Header, read
from iscsiproxy.language.plans import ChaosPlan, load_plan
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.library import arm
from iscsiproxy.runs.storm import Decision, decisions_in

__all__ = ["Earlier", "keep_plan", "read_earlier", "read_plan", "scaled"]

#: What a plan and its journal are called in the folder of a run
_PLAN, _JOURNAL = "plan.yaml", "journal.jsonl"


def read_plan(path: Path) -> ChaosPlan:
    """Read a plan; files that it names are looked for beside it. Raises UsageError, FileError."""
    return _load(path, path)


def scaled(plan: ChaosPlan, factor: float) -> ChaosPlan:
    """Give a plan whose phases last `factor` times as long."""
    phases = tuple(replace(phase, seconds=phase.seconds * factor) for phase in plan.phases)
    return replace(plan, phases=phases, scale=plan.scale * factor)


def keep_plan(plan: ChaosPlan, folder: Path) -> None:
    """Copy the file of a plan to the folder of its run. Raises UsageError."""
    try:
        shutil.copyfile(plan.file, folder / _PLAN)
    except OSError as error:
        raise UsageError(f"cannot keep {plan.file} in {folder}: {error.strerror}") from error


class Earlier:
    """A run that was kept: its plan, what was decided in it, and between whom it was."""

    def __init__(self, plan: ChaosPlan, decisions: tuple[Decision, ...], header: Header) -> None:
        self.plan = plan
        self.decisions = decisions
        self.seed = int(header.seed or 0)
        self.target = str(header.facts.get("target") or plan.target)
        self.initiator = str(header.facts.get("initiator") or plan.initiator)

    def __repr__(self) -> str:
        return f"<Earlier {self.plan.name}: {len(self.decisions)} decisions>"


def read_earlier(folder: Path) -> Earlier:
    """Read what a run of chaos has left in its folder. Raises UsageError, FileError."""
    path = folder / _JOURNAL
    if not path.is_file() or not (folder / _PLAN).is_file():
        raise UsageError(f"{folder} is no folder of a run of chaos: it has no {_PLAN} and {_JOURNAL}")
    with path.open("rb") as file:
        journal = read(file)
        decisions = decisions_in(journal)
        header = journal.header
    original = Path(str(header.facts.get("file") or folder / _PLAN))
    scale = header.facts.get("params", {}).get("scale", "1")
    plan = scaled(_load(folder / _PLAN, original), float(scale))
    known = {fault.name for fault in plan.faults}
    for one in decisions:
        if one.fault not in known:
            raise UsageError(f"{folder}: the journal speaks of a fault {one.fault!r} that the plan does not have")
    return Earlier(plan, decisions, header)


def _load(path: Path, original: Path) -> ChaosPlan:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: byte {error.start} cannot be read") from error

    def find(name: str, params: Mapping[str, str]) -> Scenario:
        beside = original.parent / name
        (scenario,) = arm([str(beside) if beside.is_file() else name], params)
        return scenario

    return load_plan(text, file=str(original), acts=SPECS, find=find)
