"""The shipped scenarios between real peers: what was expected of each, what came, and the line that shows it.

`verdicts/GROUP.yaml` has an entry a run:

    run        the scenario, with `[axis=value,…]` for the run of a matrix
    with       the initiator, a name of `INITIATORS`
    target     what tgtd is set to otherwise than out of the box, a mapping of text keys (none)
    account    Yes where tgtd has to be logged in to with CHAP (No)
    expected   the verdict that the standard and a trace of the raw exchange let one expect, before the run
    because    why: the clause, and what the peers do
    verdict    what the tool says; a list where the peers race with each other, and each may come
    evidence   a part of what it shows for it, or a list of which one is there
    why        where the two verdicts are not the same: why the tool is right nevertheless
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
import yaml

from iscsiproxy.checks.known import Known
from iscsiproxy.cli.judging import known_lists
from iscsiproxy.language.spec import Scenario, Timing
from iscsiproxy.report.model import RunResult
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.library import every, shipped
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.scenario import run_scenario
from iscsiproxy.runs.selection import run_name
from iscsiproxy.runs.targets import opened, parse_target
from tests.real.address import Chap
from tests.real.tgtd import running_tgtd
from tests.runs.playing import hastened

__all__ = ["ENTRIES", "INITIATORS", "Entry", "played", "shown"]

_FOLDER = Path(__file__).with_name("verdicts")
#: The initiators by the name that entries give them; tgtd is the target of each
INITIATORS: Mapping[str, str] = {
    "embedded": "embedded",
    "qemu": "qemu-io -f raw -c 'write -P 0x5a 0 1M' -c 'read -P 0x5a 0 1M' {url}",
    "qemu-small": "qemu-io -f raw -c 'write -P 0x5a 0 4k' -c 'read -P 0x5a 0 4k' {url}",
    "qemu-read": "qemu-io -f raw -c 'read 0 1M' {url}",
    "qemu-write": "qemu-io -f raw -c 'write -P 0x5a 0 1M' {url}",
    "qemu-write-idle": "qemu-io -f raw -c 'write -P 0x5a 0 64k' -c 'sleep 3000' {url}",
    "qemu-deep": "qemu-io -f raw "
    + "".join(f"-c 'aio_write -P 0x5a {64 * n}k 64k' " for n in range(8))
    + "-c aio_flush {url}",
    "qemu-idle": "qemu-io -f raw -c 'read 0 4k' -c 'sleep 12000' -c 'read 0 4k' {url}",
    "qemu-silent": "qemu-io -f raw -c 'read 0 4k' -c 'sleep 26000' -c 'read 0 4k' {url}",
    "qemu-ping": "qemu-io -f raw -c 'read 0 4k' -c 'sleep 6000' -c 'read 0 4k' {url}",
    "qemu-digest": "qemu-io --image-opts -c 'write -P 0x5a 0 1M' -c 'read -P 0x5a 0 1M' "
    "driver=iscsi,transport=tcp,portal={portal},target={iqn},lun={lun},header-digest=crc32c",
    "perf": "iscsi-perf -b 64 -m 4 -t 1 {url}",
    "inq": "iscsi-inq {url}",
    "abort": "iscsi-test-cu -d -t iSCSI.iSCSITMF.AbortTaskSimpleAsync {url}",
    "ls": "iscsi-ls -s iscsi://{portal}",
}
_CHAP = Chap(user="user", password="sesamesesame")
_KNOWN = ("tgt-1.0.85", "libiscsi-1.19")
#: Seconds: real peers are no slower than ours, but commands of the shell are
_WITHIN, _HANG, _PATIENCE = 4.0, 5.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run, as the file has it."""

    group: str
    run: str
    initiator: str
    expected: str
    because: str
    verdicts: tuple[str, ...]
    evidence: tuple[str, ...]
    why: str = ""
    target: Mapping[str, str] = field(default_factory=dict)
    account: bool = False

    @property
    def name(self) -> str:
        """The scenario."""
        return self.run.partition("[")[0]

    @property
    def id(self) -> str:
        """What the test of it is called."""
        return f"{self.run} {self.initiator}"


def _entries() -> tuple[Entry, ...]:
    found = []
    for path in sorted(_FOLDER.glob("*.yaml")):
        for facts in yaml.safe_load(path.read_text(encoding="utf-8")):
            initiator = facts.pop("with")
            verdicts, evidence = (_several(facts.pop(key)) for key in ("verdict", "evidence"))
            found.append(Entry(group=path.stem, initiator=initiator, verdicts=verdicts, evidence=evidence, **facts))
    return tuple(found)


def _several(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


ENTRIES = _entries()


def _scenario(entry: Entry) -> Scenario:
    runs = every([str(shipped()[entry.name])], {})
    return next(one for one in runs if run_name(one) == entry.run)


async def played(entry: Entry, folder: Path | None = None) -> RunResult:
    """Play the run between tgtd and its initiator."""
    written = _scenario(entry)
    asks = written.timing.within  # a scenario that waits for a peer's own clock says for how long
    within = _WITHIN if asks == Timing().within else min(asks, _PATIENCE)
    scenario = hastened(written, hang=_HANG, within=within)
    words: list[str] = []
    with trio.fail_after(2 * _PATIENCE):
        chap = _CHAP if entry.account else None
        async with running_tgtd(parameters=entry.target, chap=chap) as tgtd, opened(parse_target(tgtd.url())) as target:
            return await run_scenario(
                RunPlan(
                    name=entry.run,
                    scenario=scenario,
                    target=target,
                    initiator=parse_initiator(INITIATORS[entry.initiator]),
                    seed=7,
                    timeout=_PATIENCE,
                    steady=bool(scenario.actor),
                    folder=folder,
                    capture=folder is not None,
                    known=Known(known_lists(_KNOWN)),
                ),
                say=words.append,
                interrupt=trio.Event(),
            )


def shown(run: RunResult) -> str:
    """Give all that a run was judged by, a line each."""
    lines: list[Any] = []
    for one in run.findings:
        lines += [f"{one.about}: {one.verdict}: {one.text}", *one.evidence]
    return "\n".join(map(str, lines))
