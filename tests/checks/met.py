"""Which rules have met evidence on a real wire, and which only in journals written by hand.

`python -m tests.checks.met JOURNAL...` writes `iscsiproxy/checks/README.md`: the reference of all rules, and of each
what it was seen at. It plays the embedded peers cleanly (with and without digests, in discovery, with unsolicited
data), then every scenario that ships, and judges the journals beside, which are of tgtd, libiscsi
and QEMU. Without journals only the reference is written anew, and the table keeps what it has.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from iscsiproxy.checks.catalogue import RULES
from iscsiproxy.checks.reference import reference
from iscsiproxy.runs.library import every, shipped
from tests.checks.test_quirks import CASES
from tests.real.process import run
from tests.runs.playing import hastened, play

__all__ = ["CLEAN", "PAGE", "SOURCES", "clean", "page", "read_page"]

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "iscsiproxy" / "checks" / "README.md"
#: Where evidence may come from, as the table names it
SOURCES = ("embedded", "faults", "quirks", "real")
#: Options of the embedded target, and of `iscsiproxy initiator`, whose clean traffic between them meets most rules
CLEAN: Sequence[tuple[tuple[str, ...], tuple[str, ...]]] = (
    ((), ("io", "{portal}", "--scratch", "--count", "60")),
    (("-k", "InitialR2T=Yes"), ("io", "{portal}", "--scratch", "--count", "60", "--header-digest", "crc32c",
                                "--data-digest", "crc32c")),
    (("--nop-interval", "0.2"), ("nop", "{portal}", "--count", "3")),
    ((), ("discover", "{portal}")),
    ((), ("text", "{portal}", "SendTargets=")),
)  # fmt: skip
_HEAD = """
## What they were seen at

*embedded*: clean traffic between the embedded peers. *faults*: the same with faults, by every scenario that ships and
every recipe of the tests. *quirks*: it finds a quirk of an embedded peer, live. *real*: tgt 1.0.85 with libiscsi 1.19
and QEMU 7.2. A rule without any mark has met its evidence only in journals that were written by hand: what it needs
(several connections in a session, ErrorRecoveryLevel 1 or 2, a tape, …) no peer here can do yet.

| rule | embedded | faults | quirks | real |
|---|---|---|---|---|
"""


async def clean(target: Sequence[str], initiator: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run an initiator on a target through the proxy, with nothing armed; give what the judge says of the journal."""
    from tests.real.embedded import running_target
    from tests.real.proxied import running_proxy

    journal = folder / "journal.jsonl"
    async with running_target(*target) as served:
        address = f"{served.host}:{served.port}"
        async with running_proxy(address, "--journal", str(journal)) as proxy:
            words = [word.replace("{portal}", f"{proxy.host}:{proxy.port}") for word in initiator]
            (await run(sys.executable, "-m", "iscsiproxy", "initiator", *words, within=60.0)).check()
    return await judged(journal)


async def judged(journal: Path) -> dict[str, Any]:
    """Give what `iscsiproxy check` comes to at the end of a journal."""
    finished = await run(sys.executable, "-m", "iscsiproxy", "check", str(journal), "--json", within=600.0)
    facts: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return facts


async def _faults() -> Counter[str]:
    """Play every scenario between the embedded peers; count the evidence."""
    met: Counter[str] = Counter()
    for scenario in every(shipped(), {}):
        result = await play(hastened(scenario), steady=bool(scenario.actor))
        met.update(result.evidence)
    return met


def page(met: Mapping[str, Mapping[str, int]]) -> str:
    """Write the page; `met` has the evidence of each rule by source."""
    rows = [
        f"| {name} | {' | '.join('yes' if met[source].get(name) else '' for source in SOURCES)} |" for name in RULES
    ]
    return reference() + _HEAD + "\n".join(rows) + "\n"


def read_page(text: str) -> dict[str, tuple[str, ...]]:
    """Give by which sources each rule of the page was met."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith(("| T-", "| I-", "| D-"))]
    return {
        name.strip(): tuple(source for source, mark in zip(SOURCES, marks, strict=True) if mark.strip())
        for name, *marks in rows
    }


async def _main(journals: Sequence[str]) -> None:
    import tempfile

    met: dict[str, Counter[str]] = {source: Counter() for source in SOURCES}
    met["quirks"].update(case.rule for cases in CASES.values() for case in cases)
    if not journals:
        for name, sources in read_page(PAGE.read_text(encoding="utf-8")).items():
            for source in sources:
                met[source][name] = 1
        PAGE.write_text(page(met), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as folder:
        for target, initiator in CLEAN:
            met["embedded"].update((await clean(target, initiator, Path(folder)))["evidence"])
    met["faults"] = await _faults()
    for journal in journals:
        met["real"].update((await judged(Path(journal)))["evidence"])
    PAGE.write_text(page(met), encoding="utf-8")


if __name__ == "__main__":
    trio.run(_main, sys.argv[1:])
