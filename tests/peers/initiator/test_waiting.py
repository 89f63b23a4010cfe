from __future__ import annotations

import pytest
import trio
import trio.testing

from iscsiproxy.peers.initiator.errors import ConnectionLost
from iscsiproxy.peers.initiator.waiting import Events, Pending, Tap, flat_nursery
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu


def nop(itt: int) -> Pdu:
    return Pdu.build(Opcode.NOP_IN, ITT=itt)


async def test_the_first_answer_counts_and_everybody_hears_it() -> None:
    pending: Pending[int] = Pending()
    pending.settle(1)
    pending.settle(2)
    pending.fail(ConnectionLost("late"))
    assert [await pending.wait(), await pending.wait()] == [1, 1]


async def test_an_error_is_fresh_for_each_who_waits() -> None:
    pending: Pending[int] = Pending()
    pending.fail(ConnectionLost("gone", time2wait=3))
    await pending.over()
    caught = []
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="gone") as one:
            await pending.wait()
        caught.append(one.value)
    assert caught[0] is not caught[1]
    assert caught[0].time2wait == 3


async def test_a_tap_gives_what_came_in_order_and_forgets_the_oldest() -> None:
    gone: list[Tap] = []
    with Tap(2, gone.append) as tap:
        for itt in (1, 2, 3):
            tap.put(nop(itt))
        assert tap.missed == 1
        tap.close()
        assert [pdu["ITT"] async for pdu in tap] == [2, 3]
    assert gone == [tap]


async def test_a_tap_waits_and_finds() -> None:
    found = []
    tap = Tap(5, lambda _: None)

    async def look() -> None:
        found.append(await tap.find(Opcode.REJECT))
        found.append(await tap.find(Opcode.REJECT))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await trio.testing.wait_all_tasks_blocked()
        tap.put(nop(1))
        tap.put(Pdu.build(Opcode.REJECT, ITT=9))
        await trio.testing.wait_all_tasks_blocked()
        assert [pdu["ITT"] for pdu in found if pdu] == [9]
        tap.close()
    assert found[1] is None


async def test_events_are_kept_by_kind_and_not_without_end() -> None:
    events = Events()
    for opcode in (Opcode.ASYNC, Opcode.REJECT, Opcode.NOP_IN):
        for _ in range(300):
            events.add(Pdu.build(opcode))
    assert [len(kind) for kind in (events.asyncs, events.rejects, events.pings)] == [256, 256, 256]
    assert await events.until(lambda seen: bool(seen.rejects))
    events.close()
    assert not await events.until(lambda _: False)


async def test_a_flat_nursery_ends_with_its_block_and_wraps_nothing() -> None:
    async with flat_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)

    async def fail() -> None:
        async with flat_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await fail()
