"""The judge on clean traffic of real peers: it finds what they are known to do against the standard, and nothing else.

The lists of known deviations ship with the program. Each finding is on one of them, with the reason; and each entry is
met here, so that none stays for which a peer gives no occasion any more.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from iscsiproxy.cli.judging import known_lists
from tests.real import initiators
from tests.real.address import Address, Chap
from tests.real.embedded import Embedded, running_target
from tests.real.process import run
from tests.real.proxied import running_proxy
from tests.real.served import MODULE
from tests.real.tgtd import LARGE_SEGMENTS, MIB, Tgtd, running_tgtd

__all__: list[str] = []

pytestmark = [pytest.mark.slow, pytest.mark.peers("tgtd", "libiscsi", "qemu")]

TGT, LIBISCSI, COMPLIANCE = "tgt-1.0.85", "libiscsi-1.19", "iscsi-test-cu-1.19"

Traffic: TypeAlias = Callable[[Address], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a judge came to: its exit code, the findings that are on no list, and its summary."""

    status: int
    findings: Sequence[Mapping[str, Any]]
    facts: Mapping[str, Any]

    @property
    def known(self) -> set[str]:
        """The rules that were broken as it is known."""
        return {one["rule"] for one in self.facts["findings"] if one["known"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A run that was judged as it happened, and its journal."""

    judged: Judged
    journal: Path
    lists: Sequence[str]


def words_of(lists: Sequence[str]) -> list[str]:
    return [word for name in lists for word in ("--known", name)]


async def judged_live(target: Tgtd | Embedded, traffic: Traffic, journal: Path, lists: Sequence[str]) -> Live:
    """Let an initiator work on a target through a proxy that judges both; it is told where the LUN is then."""
    portal = f"{target.host}:{target.port}"
    async with running_proxy(portal, "--check", *words_of(lists), "--journal", str(journal)) as proxy:
        await traffic(target.address(host=proxy.host, port=proxy.port))
        status = await proxy.stop(within=60.0)
    assert proxy.named("warning") == []
    (facts,) = proxy.named("judged")
    judged = Judged(status=status, findings=proxy.named("finding"), facts=facts)
    return Live(judged=judged, journal=journal, lists=lists)


async def judged_again(live: Live) -> Judged:
    """Judge a journal."""
    command = ("-m", "iscsiproxy", "check", str(live.journal), "--json", *words_of(live.lists))  # no -X dev: 100 MB
    done = await run(sys.executable, *command, within=180.0)
    *findings, facts = map(json.loads, done.stdout.splitlines())
    fresh = [one for one in findings if "known" not in one]
    return Judged(status=done.returncode, findings=fresh, facts=facts)


# --- the runs --------------------------------------------------------------------------------------------------------


async def compliance(folder: Path) -> Live:
    """Judge the whole of iscsi-test-cu on tgtd.

    tgtd takes and sends segments and first bursts of 256 KiB: that makes fewer PDUs, and logins of two requests.
    """
    parameters = {**LARGE_SEGMENTS, "FirstBurstLength": "262144"}

    async def suite(address: Address) -> None:
        finished, suite = await initiators.compliance(address, within=300.0)
        assert suite.complete, finished.output[-2000:]

    async with running_tgtd(parameters=parameters) as tgtd:
        return await judged_live(tgtd, suite, folder / "compliance.jsonl", (TGT, LIBISCSI, COMPLIANCE))


async def _compares(address: Address) -> None:
    """Write 256 MiB with QEMU, half of it with another byte, and read them back."""
    halves = [f"-P {byte:#04x} {offset}M 128M" for byte, offset in ((0xA5, 0), (0x5A, 128))]
    orders = [f"{order} {half}" for order in ("write", "read") for half in halves]
    (await initiators.qemu_io(address, *orders, within=120.0)).check()


async def comparison(folder: Path) -> Live:
    """Judge QEMU writing and comparing on tgtd, both as they are out of the box."""
    async with running_tgtd(luns=(256 * MIB,)) as tgtd:
        return await judged_live(tgtd, _compares, folder / "comparison.jsonl", (TGT, LIBISCSI))


def _ours(*words: str) -> Traffic:
    """Make traffic of the embedded initiator; {url} is the LUN."""

    async def traffic(address: Address) -> None:
        filled = [word.replace("{url}", address.url) for word in words]
        await run(sys.executable, *MODULE, "initiator", *filled, within=30.0)

    return traffic


async def _digest_nobody_has(address: Address) -> None:
    (await initiators.qemu_io(address, "read 0 4k", header_digest="crc32c")).check()


#: What else brings deviations to light, a login each
SMALL: Mapping[str, Traffic] = {
    "CHAP": initiators.inquiry,
    "header digest": _digest_nobody_has,
    "data digest": _ours("io", "--count", "1", "--data-digest", "crc32c", "--scratch", "{url}"),
    "SendTargets": _ours("text", "{url}", "SendTargets="),
    "all targets": _ours("text", "{url}", "SendTargets=All"),
    "private key": _ours("text", "{url}", "X-com.example.a=1"),
}


async def small(folder: Path, name: str) -> Live:
    """Judge a short run on tgtd, by itself: a client that comes back with another ISID is none of ours."""
    async with running_tgtd(chap=Chap() if name == "CHAP" else None) as tgtd:
        return await judged_live(tgtd, SMALL[name], folder / f"{name}.jsonl", (TGT, LIBISCSI))


# --- what the judge makes of them ------------------------------------------------------------------------------------


def _is_clean(judged: Judged) -> None:
    assert judged.findings == []
    assert [one for one in judged.facts["findings"] if not one["known"]] == []
    assert judged.facts["crashes"] == []
    assert judged.facts["lost"] == 0
    assert (judged.facts["verdict"], judged.status) == ("pass", 0)


async def _is_the_same_offline(live: Live) -> None:
    again = await judged_again(live)
    assert again == live.judged


async def test_qemu_on_the_embedded_target_deviates_alone(tmp_path: Path) -> None:
    async with running_target("--lun", "256M") as target:
        live = await judged_live(target, _compares, tmp_path / "journal.jsonl", (LIBISCSI,))
    _is_clean(live.judged)
    assert live.judged.known == {"I-011"}
    await _is_the_same_offline(live)


async def test_on_tgtd_all_that_is_listed_is_met_and_nothing_else(tmp_path: Path) -> None:
    """In one test: what a list has too much is known when all have run."""
    whole = await compliance(tmp_path)
    assert whole.judged.known == {"I-004", "I-006", "I-011", "I-022", "I-047", "T-037", "T-065", "T-070"}
    large = await comparison(tmp_path)
    assert large.judged.known == {"I-011", "T-026"}
    assert large.judged.facts["disks"]["judged"] == 2 * 256 * MIB // 512, "all of it, on either leg"
    runs = [whole, large, *[await small(tmp_path, name) for name in SMALL]]
    for live in runs:
        _is_clean(live.judged)
        await _is_the_same_offline(live)
        live.journal.unlink()
    listed = known_lists((TGT, LIBISCSI, COMPLIANCE))
    assert len(listed) == len({str(one) for one in listed}), "no two entries are about the same"
    never = {str(one) for one in listed}
    for live in runs:
        never -= {str(one) for one in known_lists(live.lists)} - set(live.judged.facts["unmet"])
    assert never == set()
