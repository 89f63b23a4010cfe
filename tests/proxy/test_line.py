from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from iscsiproxy.proxy.line import Chunk, Line, Out, Step
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu


class Wire:
    """Takes what a line writes; `gate` closed makes it block, as a full socket does."""

    def __init__(self) -> None:
        self.written: list[object] = []
        self.gate = trio.Event()
        self.gate.set()

    async def write(self, item: Chunk | Out) -> None:
        await self.gate.wait()
        self.written.append(bytes(item.data) if isinstance(item, Chunk) else (item.of, item.start, item.stop))


def out(n: int, *, start: int = 0, stop: int | None = None) -> Out:
    return Out(Pdu.build(Opcode.NOP_OUT, ITT=n), n, start=start, stop=stop)


async def test_an_idle_line_writes_at_once() -> None:
    wire = Wire()
    line = Line(wire.write, limit=100)
    await line.put(Chunk(b"a"))
    await line.put(out(2))
    assert wire.written == [b"a", (2, 0, None)]
    assert line.idle


async def test_what_is_behind_an_open_slot_waits() -> None:
    wire = Wire()
    line = Line(wire.write, limit=1000)
    slot = line.open(1, 48)
    view = bytearray(b"later")
    await line.put(Chunk(memoryview(view)))
    view[:] = b"xxxxx"  # the buffer is used again at once
    assert wire.written == []
    slot.items.append(out(1))
    slot.finished = True
    await line.drain()
    assert wire.written == [(1, 0, None), b"later"]
    assert line.idle


async def test_a_slot_sends_what_it_has_before_it_is_finished() -> None:
    wire = Wire()
    line = Line(wire.write, limit=1000)
    slot = line.open(1, 48)
    slot.items.append(out(1, stop=20))
    await line.drain()
    assert wire.written == [(1, 0, 20)]
    assert line.holding
    slot.items.append(out(1, start=20))
    slot.finished = True
    await line.drain()
    assert wire.written == [(1, 0, 20), (1, 20, None)]
    assert not line.holding


async def test_a_detached_slot_goes_between_two_pdus() -> None:
    wire = Wire()
    line = Line(wire.write, limit=1000)
    slot = line.open(1, 48)
    line.detach(slot)
    await line.put(Chunk(b"first half", boundary=False))
    slot.items.append(out(1))
    slot.finished = True
    await line.drain()
    assert wire.written == [b"first half"]
    await line.put(Chunk(b"second half"))
    assert wire.written == [b"first half", b"second half", (1, 0, None)]
    assert line.idle


async def test_steps_keep_their_turn() -> None:
    wire = Wire()
    line = Line(wire.write, limit=1000)
    slot = line.open(1, 48)
    line.step(lambda: wire.written.append("step"))
    await line.drain()
    assert wire.written == []
    slot.finished = True
    await line.drain()
    assert wire.written == ["step"]


async def test_a_full_line_stops_its_reader_and_forgets_nothing() -> None:
    wire = Wire()
    line = Line(wire.write, limit=10)
    slot = line.open(1, 48)
    done = []

    async def reader() -> None:
        await line.put(Chunk(b"x" * 20))
        done.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await wait_all_tasks_blocked()
        assert not done
        slot.finished = True
        await line.drain()
    assert done
    assert wire.written == [b"x" * 20]


async def test_only_one_drain_writes() -> None:
    wire = Wire()
    wire.gate = trio.Event()
    line = Line(wire.write, limit=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.put, Chunk(b"1"))
        await wait_all_tasks_blocked()
        nursery.start_soon(line.put, Chunk(b"2"))
        await wait_all_tasks_blocked()
        await line.drain()
        assert wire.written == []
        wire.gate.set()
    assert wire.written == [b"1", b"2"]


async def test_empty_returns_when_all_is_written() -> None:
    wire = Wire()
    line = Line(wire.write, limit=1000)
    slot = line.open(1, 48)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.empty)
        await wait_all_tasks_blocked()
        slot.finished = True
        await line.drain()


async def test_a_cleared_line_lets_everybody_go() -> None:
    wire = Wire()
    line = Line(wire.write, limit=10)
    line.open(1, 48)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.room)
        nursery.start_soon(line.empty)
        await wait_all_tasks_blocked()
        line.clear()
    assert line.idle


async def test_a_failing_write_leaves_the_line_usable() -> None:
    async def broken(_: Chunk | Out) -> None:
        raise OSError("gone")

    line = Line(broken, limit=10)
    with pytest.raises(OSError, match="gone"):
        await line.put(Chunk(b"1"))
    assert line.idle


@pytest.mark.parametrize("detach_first", [True, False])
async def test_nothing_goes_into_the_middle_of_a_PDU_that_a_slot_has_begun(detach_first: bool) -> None:
    wire = Wire()
    line = Line(wire.write, limit=1000)
    slot = line.open(1, 48)
    if detach_first:
        line.detach(slot)
    slot.items.append(out(1, stop=20))
    await line.drain()
    line.detach(slot)
    await line.put(Chunk(b"next"))
    other = line.open(2, 48)
    other.items.append(out(2))
    other.finished = True
    await line.drain()
    assert wire.written == [(1, 0, 20)]
    slot.items.append(out(1, start=20))
    slot.finished = True
    await line.drain()
    assert wire.written == [(1, 0, 20), (1, 20, None), b"next", (2, 0, None)]
    assert line.idle


async def test_whoever_waits_for_an_empty_line_hears_of_the_write_that_made_it_so() -> None:
    wire = Wire()
    wire.gate = trio.Event()
    line = Line(wire.write, limit=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.put, Chunk(b"slow"))
        await wait_all_tasks_blocked()
        nursery.start_soon(line.empty)
        await wait_all_tasks_blocked()
        wire.gate.set()
    assert line.idle


async def test_a_slot_that_was_cleared_can_still_be_detached() -> None:
    line = Line(Wire().write, limit=1000)
    slot = line.open(1, 48)
    line.clear()
    line.detach(slot)
    assert line.idle


async def test_a_step_behind_asides_is_done_when_they_have_gone() -> None:
    wire = Wire()
    line = Line(wire.write, limit=1000)
    assert not line.behind_asides(lambda: wire.written.append("step"))  # nothing to wait for
    line.open(1, 48)  # a rule has this one in hand: that is not waited for
    line.aside(out(2))
    line.aside(out(3))
    assert line.behind_asides(lambda: wire.written.append("step"))
    await line.drain()
    assert wire.written == [(2, 0, None), (3, 0, None), "step"]
    assert not line.behind_asides(lambda: wire.written.append("step"))


async def test_a_step_waits_until_it_is_ready_and_all_behind_it_waits_too() -> None:
    wire = Wire()
    line = Line(wire.write, limit=1000)
    waits = [1]
    slot = line.open(1, 48)
    slot.items.append(out(1, stop=20))
    slot.items.append(Step(lambda: wire.written.append("step"), ready=lambda: not waits))
    slot.finished = True
    await line.put(out(2))
    assert wire.written == [(1, 0, 20)]
    waits.clear()
    await line.drain()
    assert wire.written == [(1, 0, 20), "step", (2, 0, None)]
    slot = line.open(3, 48)
    slot.items.append(Step(lambda: wire.written.append("step"), ready=lambda: bool(waits)))
    slot.finished = True
    await line.put(out(4))
    assert len(wire.written) == 3
    waits.append(1)
    await line.drain()
    assert wire.written[3:] == ["step", (4, 0, None)]


def command(n: int, itt: int) -> Out:
    return Out(Pdu.build(Opcode.SCSI_COMMAND, ITT=itt, F=1), n)


def data(n: int, itt: int) -> Out:
    return Out(Pdu.build(Opcode.DATA_OUT, ITT=itt), n)


def mine(ticket: int) -> Out:
    return Out(Pdu.build(Opcode.NOP_OUT, ITT=900 + ticket, F=1), None, author=ticket)


class Window:
    """A target's window: so many more commands may go."""

    def __init__(self) -> None:
        self.left = 0
        self.written: list[object] = []
        self.late: list[object] = []
        self.line = Line(self.write, limit=10_000, ready=self.ready)

    def ready(self, item: Out) -> bool:
        return self.left > 0 or item.pdu.opcode == Opcode.DATA_OUT

    async def write(self, item: Chunk | Out) -> None:
        assert isinstance(item, Out)
        self.left -= item.pdu.opcode != Opcode.DATA_OUT
        name = item.of or f"mine {item.author}"
        self.written.append(name)
        if item.late:
            self.late.append(name)

    def hold(self, n: int, *items: Out) -> None:
        slot = self.line.open(n, 48)
        slot.items.extend(items)
        slot.finished = True


async def test_what_a_pdu_of_ours_was_put_before_does_not_wait_for_its_room() -> None:
    window = Window()
    window.hold(1, mine(1), data(1, 7))
    await window.line.drain()
    assert window.written == [1]
    window.left = 1
    await window.line.drain()
    assert window.written == [1, "mine 1"]
    assert window.line.idle


async def test_a_slot_without_room_stands_back_with_all_that_follows_it() -> None:
    window = Window()
    window.hold(1, mine(1), command(1, 8))
    await window.line.put(command(2, 9))
    window.hold(3, mine(2), data(3, 8))
    await window.line.put(data(4, 7))
    assert window.written == [4]
    assert window.line.blocked
    window.left = 2
    await window.line.drain()
    # The data of the first goes with it, although what was put before that has to wait.
    assert window.written == [4, "mine 1", 1, 3]
    window.left = 2
    await window.line.drain()
    assert window.written == [4, "mine 1", 1, 3, 2, "mine 2"]
    assert window.late == ["mine 1", 1, 3, 2, "mine 2"]
    assert window.line.idle


async def test_what_is_not_sent_has_its_turn_behind_what_waits() -> None:
    window = Window()
    await window.line.put(command(1, 8))
    slot = window.line.open(2, 48)
    slot.items.append(Step(lambda: window.written.append("unsent"), instead_of=command(2, 9).pdu))
    slot.finished = True
    await window.line.drain()
    assert window.written == []
    window.left = 1
    await window.line.drain()
    assert window.written == [1, "unsent"]


async def test_a_logout_goes_behind_the_commands_that_came_before_it() -> None:
    window = Window()
    line = Line(
        window.write, limit=10_000, ready=lambda item: window.left > 0 or item.pdu.opcode != Opcode.SCSI_COMMAND
    )
    await line.put(command(1, 5))
    await line.put(Out(Pdu.build(Opcode.LOGOUT_REQUEST, I=1, F=1, ITT=6), 2))
    assert window.written == []
    window.left = 1
    await line.drain()
    assert window.written == [1, 2]
