from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Literal

import pytest
import trio

from iscsiproxy.errors import PeerError, UsageError
from iscsiproxy.language.spec import Scenario, Timing
from iscsiproxy.peers.initiator.recovery import RecoveringSession
from iscsiproxy.peers.workload.load import WorkloadSettings
from iscsiproxy.runs.disks import Disk
from iscsiproxy.runs.driving import Context
from iscsiproxy.runs.embedded import EmbeddedDriver
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.scratch import Extent
from iscsiproxy.runs.targets import BLOCKS, opened, parse_target
from tests.faults.deviating import standing_before

__all__: list[str] = []

Told = list[tuple[str, str]]
Who = Literal["initiator", "target"]


@asynccontextmanager
async def _driver(
    told: Told,
    *,
    extent: Extent | None = None,
    busy: bool = True,
    victim: Who = "target",
    rules: str = "",
    **traffic: str,
) -> AsyncIterator[EmbeddedDriver]:
    given: Mapping[str, str] = {"io": "verify", "size": "4096", **traffic}
    with trio.fail_after(20):
        async with AsyncExitStack() as stack:
            target = await stack.enter_async_context(opened(parse_target("embedded")))
            portal = target.address
            if rules:
                portal = await stack.enter_async_context(standing_before(portal, rules))
            home = await stack.enter_async_context(trio.open_nursery())
            context = Context(
                portal=portal,
                target=target,
                initiator=parse_initiator("embedded"),
                seed=3,
                patience=2.0,
                tell=lambda what, text: told.append((what, text)),
                say=lambda _: None,
            )
            timing = Timing(hang=0.2, within=0.1) if rules else Timing()
            scenario = Scenario(name="x", victim=victim, traffic=given, timing=timing)
            yield EmbeddedDriver(context, scenario, home, extent=extent, busy=lambda: busy)
            home.cancel_scope.cancel()


async def _for_a_while(driver: EmbeddedDriver, told: Told, count: int) -> None:
    over = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.fault, over)
        while len(told) < count:
            await trio.sleep(0.01)
        over.set()


@pytest.mark.parametrize("io", ["verify", "read", "write", "discovery", "none"])
async def test_clean_io_goes_well(io: str) -> None:
    told: Told = []
    async with _driver(told, io=io) as driver:
        assert "went well" in await driver.steady()
        assert len(driver.disks) == 2
    assert told == []


@pytest.mark.parametrize(
    ("io", "first"),
    [
        ("verify", " on LUN 0, 4096 bytes"),
        ("read", "read on LUN 0, 4096 bytes"),
        ("write", "write on LUN 0, 4096 bytes"),
        ("discovery", "SendTargets named 1 targets"),
    ],
)
async def test_traffic_goes_on_until_it_is_over_and_its_session_does_good_io_behind_it(io: str, first: str) -> None:
    told: Told = []
    async with _driver(told, io=io) as driver:
        await driver.steady()
        await _for_a_while(driver, told, 10)
        assert {what for what, _ in told} == {"good"}
        assert any(first in text for _, text in told)
        keeper = driver._keeper
        assert (await driver.behind(anew=False)).good
        assert driver._keeper is keeper
        assert (await driver.behind(anew=True)).good
        assert driver._keeper is not keeper
        await driver.close()


async def test_a_new_session_waits_as_long_as_was_agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecoveringSession, "time2wait", 0.3)
    async with _driver([]) as driver:
        await driver.behind(anew=True)
        began = trio.current_time()
        assert (await driver.behind(anew=True)).good
        assert trio.current_time() - began >= 0.3


async def test_several_logical_units_at_once() -> None:
    told: Told = []
    async with _driver(told, luns="2", depth="3") as driver:
        await driver.steady()
        await _for_a_while(driver, told, 30)
    assert {text.partition(",")[0][-5:] for _, text in told if "LUN" in text} == {"LUN 0", "LUN 1"}


async def test_a_range_is_kept_to() -> None:
    async with _driver([], extent=Extent(100, 199)) as driver:
        await driver.steady()
        settings = driver._workload(driver.disks[0])
        assert (settings.first, settings.first + settings.blocks <= 200) == (100, True)


async def test_a_range_that_is_not_there_is_the_users_to_put_right() -> None:
    async with _driver([], extent=Extent(0, BLOCKS)) as driver:
        with pytest.raises(UsageError, match=rf"--scratch-range 0\.\.{BLOCKS}: LUN 0 has {BLOCKS} blocks"):
            await driver.steady()


async def test_a_login_that_fails_is_tried_again_and_is_no_io() -> None:
    told: Told = []
    async with _driver(told) as driver:
        driver._settings = driver._settings.changed(target="iqn.nobody:x")
        with pytest.raises(PeerError, match="login refused"):
            await driver.steady()
        over = trio.Event()
        with trio.move_on_after(0.3):
            await driver.fault(over)
        assert not (await driver.behind(anew=False)).good
    assert told == []


@pytest.mark.parametrize("busy", [True, False])
async def test_what_the_target_has_is_asked_anew_as_long_as_rules_wait_and_over_a_new_session(busy: bool) -> None:
    told: Told = []
    async with _driver(told, busy=busy) as driver:
        await driver.steady()
        found = driver.disks
        driver.disks = found[:1]
        await _for_a_while(driver, told, 60)
        assert driver.disks in ((found, ()) if busy else (found[:1],))
        driver.disks = found[:1]
        assert (await driver.behind(anew=False)).good
        assert driver.disks == found[:1]
        assert (await driver.behind(anew=True)).good
        assert driver.disks == found


@pytest.mark.parametrize("io", ["read", "write"])
async def test_io_that_leaves_some_bytes_out_has_not_gone_well(io: str) -> None:
    told: Told = []
    async with _driver(told, io=io) as driver:
        await driver.steady()
        size = driver.disks[0].block_size

        def larger(disk: Disk) -> WorkloadSettings:
            settings = EmbeddedDriver._workload(driver, disk)
            return replace(settings, block_size=2 * size)

        driver._workload = larger  # type: ignore[method-assign]
        await _for_a_while(driver, told, 4)
    assert {what for what, text in told if "bytes" in text} == {"error"}
    assert f"{io} on LUN 0, 8192 bytes: 4096 of them were left out" in {text for _, text in told}


_UNANSWERED = "victim: initiator\nrules: [{when: NOP-In where ITT != none, do: {drop: {numbers: translate}}}]\n"


@pytest.mark.parametrize(("victim", "lost"), [("initiator", True), ("target", False)])
async def test_a_ping_that_is_not_answered_ends_the_session_of_one_that_is_judged(victim: Who, lost: bool) -> None:
    async with _driver([], io="none", victim=victim, rules=_UNANSWERED) as driver, trio.open_nursery() as nursery:
        over = trio.Event()
        nursery.start_soon(driver.fault, over)
        while driver._keeper is None:
            await trio.sleep(0.01)
        with trio.move_on_after(10 if lost else 1):
            while not driver._keeper.recoveries:
                await trio.sleep(0.01)
        over.set()
        assert bool(driver._keeper.recoveries) is lost
