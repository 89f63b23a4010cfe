from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import pytest
import trio
import trio.testing

from iscsiproxy.errors import PeerError
from iscsiproxy.proxy import Address
from iscsiproxy.runs.driving import CommandDriver, Context, ExternalDriver
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.targets import Target, parse_target

__all__: list[str] = []

_PORTAL = Address("127.0.0.1", 3261)
_SPEC = parse_target("iscsi://me%open-sesame@127.0.0.1:3260/iqn.x/0")


def _context(
    script: str = "", told: list[tuple[str, str]] | None = None, said: list[str] | None = None, **more: str
) -> Context:
    told, said = [] if told is None else told, [] if said is None else said
    environment: Mapping[str, str] = {**os.environ, **more}
    return Context(
        portal=_PORTAL,
        target=Target(spec=_SPEC, address=Address("127.0.0.1", 3260), name="iqn.x", lun=0),
        initiator=parse_initiator(f"{sys.executable} -c '{script}' {{url}}"),
        seed=1,
        patience=0.1,
        tell=lambda what, text: told.append((what, text)),
        say=said.append,
        environment=environment,
    )


async def test_a_command_is_told_where_to_go_in_its_arguments_and_its_environment() -> None:
    script = 'import os, sys; print(sys.argv[1], os.environ["ISCSIPROXY_PORTAL"]); sys.exit(5)'
    with trio.fail_after(20):
        behind = await CommandDriver(_context(script)).behind(anew=False)
    assert not behind.good
    assert behind.text.endswith("exit status 5: iscsi://me%***@127.0.0.1:3261/iqn.x/0 127.0.0.1:3261")


async def test_a_command_that_fails_with_nothing_armed_proves_nothing() -> None:
    with trio.fail_after(20), pytest.raises(PeerError, match=r"failed with nothing armed: exit status 7$"):
        await CommandDriver(_context("raise SystemExit(7)")).steady()
    with trio.fail_after(20):
        assert await CommandDriver(_context("")).steady() == "the initiator's command ended with status 0"


async def test_a_command_is_run_again_and_again_and_ended() -> None:
    told: list[tuple[str, str]] = []
    driver = CommandDriver(_context("import sys; sys.exit(9)", told))
    over = trio.Event()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.fault, over)
            while len(told) < 2:
                await trio.sleep(0.01)
            over.set()
    assert told[:2] == [("error", "exit status 9")] * 2


async def _ended_by_over(script: str) -> list[tuple[str, str]]:
    """Run a command whose end nobody sees before `over`."""
    told: list[tuple[str, str]] = []
    driver = CommandDriver(_context(script, told))
    over = trio.Event()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.fault, over)
            await trio.testing.wait_all_tasks_blocked()
            over.set()
    return told


async def test_a_command_may_come_to_its_end_when_the_fault_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iscsiproxy.runs.driving._GRACE", 50.0)
    script = "import sys, time; time.sleep(0.2); sys.exit(9)"
    assert await _ended_by_over(script) == [("error", "exit status 9")]


async def test_a_command_that_does_not_end_by_itself_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iscsiproxy.runs.driving._GRACE", 0.1)
    assert await _ended_by_over("import time; time.sleep(100)") == []


async def test_an_external_one_is_waited_for_and_made_to_come_back() -> None:
    said: list[str] = []
    good, hung_up = trio.Event(), []
    driver = ExternalDriver(_context(said=said), lambda: good, lambda: hung_up.append(True))
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.steady)
            await trio.testing.wait_all_tasks_blocked()
            assert (said, hung_up) == (["waiting for an initiator at 127.0.0.1:3261"], [])
            good.set()
        assert hung_up == [True]
        assert (await driver.behind(anew=False)).good
        good = trio.Event()
        assert not (await driver.behind(anew=False)).good
