"""The judge on clean traffic of real peers: it finds what they are known to do against the standard, and nothing else.

The lists of known deviations ship with the program. Each finding is on one of them, with the reason; and each entry is
met here, so that none stays for which a peer gives no occasion any more.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trio

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a place for journals, which are long and which nobody wants afterwards."""
    folder = tmp_path_factory.mktemp("judged")
    yield folder
    for journal in folder.iterdir():
        journal.unlink()


@pytest.fixture(scope="module")
def compliance(folder: Path) -> Live:
    """Judge the whole of iscsi-test-cu on tgtd.

    tgtd takes and sends segments and first bursts of 256 KiB: that makes fewer PDUs, and logins of two requests.
    """
    parameters = {**LARGE_SEGMENTS, "FirstBurstLength": "262144"}

    async def suite(address: Address) -> None:
        finished, suite = await initiators.compliance(address, within=300.0)
        assert suite.complete, finished.output[-2000:]

    async def play() -> Live:
        async with running_tgtd(parameters=parameters) as tgtd:
            return await judged_live(tgtd, suite, folder / "compliance.jsonl", (TGT, LIBISCSI, COMPLIANCE))

    return trio.run(play)


async def _compares(address: Address) -> None:
    """Write 256 MiB with QEMU, half of it with another byte, and read them back."""
    halves = [f"-P {byte:#04x} {offset}M 128M" for byte, offset in ((0xA5, 0), (0x5A, 128))]
    orders = [f"{order} {half}" for order in ("write", "read") for half in halves]
    (await initiators.qemu_io(address, *orders, within=120.0)).check()


@pytest.fixture(scope="module")
def comparison(folder: Path) -> Live:
    """Judge QEMU writing and comparing on tgtd, both as they are out of the box."""

    async def play() -> Live:
        async with running_tgtd(luns=(256 * MIB,)) as tgtd:
            return await judged_live(tgtd, _compares, folder / "comparison.jsonl", (TGT, LIBISCSI))

    return trio.run(play)


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


@pytest.fixture(scope="module")
def small(folder: Path) -> Mapping[str, Live]:
    """Judge short runs on tgtd, each by itself: a client that comes back with another ISID is none of ours."""

    async def play() -> Mapping[str, Live]:
        found = {}
        for name, traffic in SMALL.items():
            async with running_tgtd(chap=Chap() if name == "CHAP" else None) as tgtd:
                journal = folder / f"{name}.jsonl"
                found[name] = await judged_live(tgtd, traffic, journal, (TGT, LIBISCSI))
        return found

    return trio.run(play)


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


async def test_the_whole_libiscsi_suite_on_tgtd(compliance: Live) -> None:
    _is_clean(compliance.judged)
    assert compliance.judged.known == {"I-004", "I-006", "I-011", "I-022", "I-047", "T-037", "T-065", "T-070"}
    await _is_the_same_offline(compliance)


async def test_qemu_writes_and_compares_on_tgtd(comparison: Live) -> None:
    _is_clean(comparison.judged)
    assert comparison.judged.known == {"I-011", "T-026"}
    assert comparison.judged.facts["disks"]["judged"] == 2 * 256 * MIB // 512, "all of it, on either leg"
    await _is_the_same_offline(comparison)


@pytest.mark.parametrize("name", SMALL)
async def test_what_comes_to_light_in_small_things(small: Mapping[str, Live], name: str) -> None:
    _is_clean(small[name].judged)
    await _is_the_same_offline(small[name])


async def test_qemu_on_the_embedded_target_deviates_alone(tmp_path: Path) -> None:
    async with running_target("--lun", "256M") as target:
        live = await judged_live(target, _compares, tmp_path / "journal.jsonl", (LIBISCSI,))
    _is_clean(live.judged)
    assert live.judged.known == {"I-011"}
    await _is_the_same_offline(live)


def test_every_deviation_that_is_listed_was_met(compliance: Live, comparison: Live, small: Mapping[str, Live]) -> None:
    listed = {str(one) for one in known_lists((TGT, LIBISCSI, COMPLIANCE))}
    assert len(listed) == len(known_lists((TGT, LIBISCSI, COMPLIANCE))), "no two entries are about the same"
    never = set(compliance.judged.facts["unmet"])
    for live in (comparison, *small.values()):
        never -= {str(one) for one in known_lists(live.lists)} - set(live.judged.facts["unmet"])
    assert never == set()
