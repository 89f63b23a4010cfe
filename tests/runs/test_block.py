from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from textwrap import dedent
from typing import TypeAlias

import pytest
import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import InternalError
from iscsiproxy.language import load
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.proxy import Address
from iscsiproxy.report.model import RunResult
from iscsiproxy.runs.block import Block, BlockDriver
from iscsiproxy.runs.driving import Behind, Context
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.scenario import run_scenario
from iscsiproxy.runs.targets import IQN, opened, parse_target
from iscsiproxy.session.events import Event, FullFeature, Received
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.runs.playing import shipped_one
from tests.testing.traffic import HOLE, SEEN

__all__: list[str] = []

Portal: TypeAlias = tuple[str, int]
Body: TypeAlias = Callable[[Portal], Awaitable[None]]


def _read(text: str) -> Scenario:
    return load(dedent(text), file="x", acts=SPECS)


async def _played(
    scenario: Scenario, body: Body, *, target: str = "embedded", limit: float = 20.0, block: Block | None = None
) -> RunResult:
    block = Block() if block is None else block
    results: list[RunResult] = []
    portal = ("127.0.0.1", await _free())
    with trio.fail_after(40):
        async with opened(parse_target(target)) as here, trio.open_nursery() as nursery:
            plan = RunPlan(
                name=scenario.name,
                scenario=scenario,
                target=here,
                initiator=parse_initiator("external"),
                seed=7,
                timeout=limit,
                fires=0.0,
                steady=False,
                listen=Address(*portal),
            )

            async def run() -> None:
                results.append(await run_scenario(plan, say=print, interrupt=trio.Event(), block=block))

            nursery.start_soon(run)
            await block.armed.wait()
            await body(portal)
            block.ended.set()
    return results[0]


async def _free() -> int:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port: int = listener.socket.getsockname()[1]
        return port


async def _write(portal: Portal, times: int = 1) -> list[bool]:
    async with open_session(portal, InitiatorSettings(target=IQN)) as session:
        await session.command(0, commands.test_unit_ready())
        cdb = commands.write10(0, 128)
        return [(await session.command(0, cdb, data_out=bytes(65536))).good for _ in range(times)]


def _about(run: RunResult, about: str) -> tuple[str, str]:
    return next((one.verdict, one.text) for one in run.findings if one.about == about)


# --- a run with a block ----------------------------------------------------------------------------------------------


async def test_a_block_is_the_traffic_and_shows_that_io_works_behind_the_fault() -> None:
    async def body(portal: Portal) -> None:
        assert await _write(portal, 3) == [False, True, True]

    run = await _played(_read(HOLE), body)
    assert run.verdict == "pass", run.findings
    assert _about(run, "aftermath")[1].endswith("the block did some behind the fault")


async def test_a_block_that_does_nothing_behind_the_fault_shows_nothing() -> None:
    async def body(portal: Portal) -> None:
        await _write(portal)

    run = await _played(_read(HOLE), body)
    assert run.verdict == "inconclusive"
    assert "nothing was done behind the fault that could tell" in _about(run, "aftermath")[1]


@pytest.mark.parametrize(("times", "verdict"), [(2, "pass"), (1, "inconclusive")])
async def test_a_connection_survives_where_it_does_good_io_itself(times: int, verdict: str) -> None:
    async def body(portal: Portal) -> None:
        await _write(portal, times)

    scenario = replace(_read(HOLE), aftermath="survives")
    assert (await _played(scenario, body)).verdict == verdict


@pytest.mark.parametrize(("again", "verdict"), [(True, "pass"), (False, "inconclusive")])
async def test_a_connection_that_has_to_end_is_followed_by_another_one(again: bool, verdict: str) -> None:
    async def body(portal: Portal) -> None:
        await _write(portal, 2)  # ends with the session, and what was good in it is over no new one
        if again:
            await _write(portal)

    scenario = replace(_read(HOLE), aftermath="ends")
    assert (await _played(scenario, body)).verdict == verdict


async def test_the_time_of_a_run_begins_behind_its_block() -> None:
    scenario = _read(SEEN + "    expect:\n      - {never: Reject, after: Async}\n")
    block = Block()

    async def body(portal: Portal) -> None:
        await _write(portal, 2)
        await trio.sleep(0.3)
        assert not block.decided.is_set()
        assert await _write(portal) == [True], "the run goes on, longer than its time-out"

    run = await _played(scenario, body, limit=0.2, block=block)
    assert _about(run, "time") == ("inconclusive", "0.2 s were over before all was decided")
    assert run.seconds < 5


async def test_a_block_is_told_when_all_is_decided() -> None:
    block = Block()

    async def body(portal: Portal) -> None:
        assert not block.decided.is_set()
        await _write(portal, 2)
        with trio.fail_after(5):
            await block.decided.wait()

    assert (await _played(_read(HOLE), body, block=block)).verdict == "pass"


async def test_a_block_goes_on_where_a_need_is_not_met() -> None:
    async def body(portal: Portal) -> None:
        assert await _write(portal, 2) == [True, True]
        assert await _write(portal, 2) == [True, True]

    run = await _played(_read(HOLE + "    needs: [key.MaxConnections >= 2]\n"), body)
    assert run.verdict == "skipped"


async def test_an_actor_is_not_for_a_block() -> None:
    async def behind(anew: bool) -> Behind:
        raise NotImplementedError

    block = Block(behind=behind)
    block.armed.set()  # nothing is ever armed

    async def body(_: Portal) -> None:
        await trio.lowlevel.checkpoint()

    run = await _played(shipped_one("connection_too_many"), body, block=block)
    assert run.verdict == "skipped"


async def test_the_function_of_a_block_is_asked_again_over_a_new_session() -> None:
    asked: list[bool] = []
    portals: list[Portal] = []

    async def behind(anew: bool) -> Behind:
        asked.append(anew)
        good = anew and await _write(portals[0]) == [True]
        return Behind(good=good, text="a write")

    async def body(portal: Portal) -> None:
        portals.append(portal)
        await _write(portal)

    run = await _played(_read(HOLE), body, block=Block(behind=behind))
    assert run.verdict == "pass", run.findings
    assert asked == [False, True]


# --- what counts as done behind the fault ----------------------------------------------------------------------------


def _driver(unmet: Callable[[], bool], block: Block | None = None) -> BlockDriver:
    context = Context(
        portal=Address("127.0.0.1", 1),
        target=None,  # type: ignore[arg-type] # nobody asks for it
        initiator=parse_initiator("external"),
        seed=1,
        patience=1.0,
        tell=lambda *_: None,
        say=print,
    )
    return BlockDriver(context, block or Block(), unmet=unmet, done=lambda _: None, hang_up=lambda: None)


def _command(n: int, conn: int, tag: int) -> Received:
    pdu = Pdu.build(Opcode.SCSI_COMMAND).with_fields({"ITT": tag})
    return Received(n=n, at=n / 10, conn=conn, leg=End.INITIATOR, pdu=pdu)


def _answer(n: int, conn: int, tag: int) -> Received:
    pdu = Pdu.build(Opcode.SCSI_RESPONSE).with_fields({"ITT": tag})
    return Received(n=n, at=n / 10, conn=conn, leg=End.TARGET, pdu=pdu)


async def _shown(events: list[tuple[Event, bool]], *, met_at: int) -> tuple[Behind, Behind]:
    """Give what the driver says of the same session and of a new one; the fault was met behind event `met_at`."""
    now = [0]
    driver = _driver(lambda: now[0] <= met_at)
    for event, good in events:
        now[0] = event.n
        driver.take(event, good=good)
    return await driver.behind(anew=False), await driver.behind(anew=True)


async def test_what_was_sent_before_the_fault_was_met_shows_nothing() -> None:
    same, anew = await _shown([(_command(1, 1, 7), False), (_answer(3, 1, 7), True)], met_at=2)
    assert (same.good, anew.good) == (None, None)
    same, anew = await _shown([(_command(3, 1, 7), False), (_answer(4, 1, 7), True)], met_at=2)
    assert (same.good, same.since, anew.good) == (True, 4, None)


async def test_an_answer_that_is_not_good_shows_nothing() -> None:
    same, _ = await _shown([(_command(3, 1, 7), False), (_answer(4, 1, 7), False)], met_at=2)
    assert same.good is None


async def test_a_session_is_new_that_came_behind_the_fault() -> None:
    came = FullFeature(n=3, at=0.3, conn=2, leg=End.INITIATOR, keys=())
    same, anew = await _shown([(came, False), (_command(4, 2, 7), False), (_answer(5, 2, 7), True)], met_at=2)
    assert (same.good, anew.good, anew.since) == (True, True, 5)


async def test_a_block_has_no_steady_state() -> None:
    with pytest.raises(InternalError):
        await _driver(lambda: True).steady()


async def test_a_driver_says_how_far_its_block_is() -> None:
    block = Block()
    driver = _driver(lambda: True, block)
    states = [repr(driver)]
    block.armed.set()
    states.append(repr(driver))
    block.ended.set()
    states.append(repr(driver))
    assert states == ["<BlockDriver not begun>", "<BlockDriver going on>", "<BlockDriver over>"]
    assert block.tell is not None
