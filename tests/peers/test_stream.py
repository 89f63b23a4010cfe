from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TypeAlias

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.errors import FramingError
from iscsiproxy.peers.stream import PduStream
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []

PING = Pdu.build(Opcode.NOP_OUT, data=b"ping!", F=1, ITT=7, TTT=0xFFFFFFFF)
READ = Pdu.build(Opcode.SCSI_COMMAND, F=1, R=1, ITT=8, EDTL=512, CDB=b"\x28")
LONG = Pdu.build(Opcode.SCSI_COMMAND, ahs=bytes.fromhex("0005020000000200"), F=1, R=1, W=1, ITT=9)
ALL = (PING, READ, LONG)


Memory: TypeAlias = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]


def pair() -> tuple[PduStream, Memory]:
    ours, theirs = trio.testing.memory_stream_pair()
    return PduStream(ours), theirs


async def tcp_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        near = await trio.open_tcp_stream(*listener.getsockname())
        far, _ = await listener.accept()
    return near, trio.SocketStream(far)


def raw(pdus: Sequence[Pdu]) -> bytes:
    return b"".join(pdu.raw for pdu in pdus)


async def received(stream: PduStream) -> list[Pdu]:
    pdus = []
    while (pdu := await stream.receive()) is not None:
        pdus.append(pdu)
    return pdus


async def test_what_is_sent_is_received_with_every_part() -> None:
    near, far = (PduStream(one) for one in trio.testing.memory_stream_pair())
    await near.send(ALL)
    await near.aclose()
    assert [pdu.parts for pdu in await received(far)] == [pdu.parts for pdu in ALL]


@pytest.mark.parametrize("piece", [1, 3, 47, 49, 1000])
async def test_PDUs_may_come_in_any_pieces(piece: int) -> None:
    stream, other = pair()
    whole = raw(ALL)
    got: list[Pdu] = []

    async def receive() -> None:
        while (pdu := await stream.receive()) is not None:
            got.append(pdu)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        for at in range(0, len(whole), piece):
            await other.send_all(whole[at : at + piece])
            await trio.testing.wait_all_tasks_blocked()
            assert len(got) == sum(len(raw(ALL[:count])) <= at + piece for count in (1, 2, 3))
        await other.aclose()
    assert got == list(ALL)


async def test_a_cancelled_receive_loses_nothing() -> None:
    stream, other = pair()
    await other.send_all(PING.raw[:50])
    await trio.testing.wait_all_tasks_blocked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.receive)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await other.send_all(PING.raw[50:])
    assert await stream.receive() == PING


async def test_what_is_buffered_needs_no_waiting() -> None:
    stream, other = pair()
    assert stream.buffered() is None
    await other.send_all(raw(ALL) + PING.raw[:20])
    assert await stream.receive() == PING
    assert [stream.buffered(), stream.buffered(), stream.buffered()] == [READ, LONG, None]


async def test_digests_hold_from_the_next_PDU_on_even_if_it_is_buffered() -> None:
    stream, other = pair()
    sealed = PING.sealed(header=True, data=True)
    await other.send_all(PING.raw + sealed.raw + sealed.raw + PING.raw)
    assert await stream.receive() == PING
    stream.expect_digests(header=True, data=True)
    for _ in range(2):
        pdu = stream.buffered()
        assert pdu is not None
        assert pdu.parts == sealed.parts
        assert pdu.header_digest_ok()
        assert pdu.data_digest_ok()
    stream.expect_digests(header=False, data=False)
    assert stream.buffered() == PING


async def test_wrong_digests_are_kept_as_they_came() -> None:
    stream, other = pair()
    stream.expect_digests(header=True, data=True)
    wrong = PING.with_parts(header_digest=b"HHHH", data_digest=b"DDDD")
    await other.send_all(wrong.raw)
    pdu = await stream.receive()
    assert pdu is not None
    assert (pdu.header_digest, pdu.data_digest) == (b"HHHH", b"DDDD")
    assert pdu.header_digest_ok() is False


async def test_the_end_between_two_PDUs_is_None_for_ever() -> None:
    stream, other = pair()
    await other.send_all(PING.raw)
    await other.aclose()
    assert [await stream.receive() for _ in range(3)] == [PING, None, None]


@pytest.mark.parametrize("length", [1, 47, 48, 55])
async def test_the_end_inside_a_PDU_is_an_error(length: int) -> None:
    stream, other = pair()
    await other.send_all(PING.raw[:length])
    await other.aclose()
    with pytest.raises(FramingError, match="inside a PDU"):
        await stream.receive()


@pytest.mark.parametrize("limit", [5, 8, 4096])
async def test_a_segment_up_to_the_limit_is_taken(limit: int) -> None:
    stream, other = pair()
    stream.limit(limit)
    longest = Pdu.build(Opcode.NOP_OUT, data=bytes(limit))
    await other.send_all(longest.raw)
    assert await stream.receive() == longest


async def test_a_segment_that_is_too_long_is_an_error_before_it_has_come() -> None:
    stream, other = pair()
    stream.limit(8192)
    header = Pdu.build(Opcode.NOP_OUT, data=bytes(16 << 10)).bhs
    await other.send_all(PING.raw + header)
    assert await stream.receive() == PING
    with pytest.raises(FramingError, match="NOP-Out: a data segment of 16384 bytes"):
        await stream.receive()


async def test_a_limit_may_be_raised_later() -> None:
    stream, other = pair()
    stream.limit(512)
    stream.limit(1 << 20)
    big = Pdu.build(Opcode.DATA_OUT, data=bytes(range(256)) * 4096)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.send_all, big.raw)
        assert await stream.receive() == big


async def test_a_closed_stream_raises_as_trio_does() -> None:
    stream, other = pair()
    await stream.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive()
    with pytest.raises(trio.BrokenResourceError):
        await other.send_all(b"x")


async def test_any_bytes_can_be_sent() -> None:
    stream, other = pair()
    await stream.send_bytes(b"no PDU")
    assert await other.receive_some() == b"no PDU"


async def test_finish_ends_one_way_and_waits_for_the_other() -> None:
    stream, other = pair()
    await other.send_all(bytes(100))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.finish, 60.0)
        assert await other.receive_some() == b""
        await other.send_all(bytes(100))
        await other.aclose()


async def test_finish_waits_no_longer_than_it_may(autojump_clock: trio.testing.MockClock) -> None:
    stream, _other = pair()
    before = autojump_clock.current_time()
    await stream.finish(2.0)
    assert autojump_clock.current_time() - before == pytest.approx(2.0)


async def test_finish_saves_the_last_words_over_TCP() -> None:
    near, far = await tcp_pair()
    async with near, far:
        await far.send_all(bytes(1000))  # which nobody reads: closing now would send RST
        stream = PduStream(near)
        await stream.send([PING])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.finish, 5.0)
            assert await PduStream(far).receive() == PING
            assert await far.receive_some() == b""
            await far.aclose()
        await stream.aclose()


async def test_finish_does_not_mind_a_stream_that_is_gone() -> None:
    near, far = await tcp_pair()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await far.aclose()
    await PduStream(near).finish(5.0)
    await near.aclose()
    await PduStream(near).finish(5.0)


async def test_reset_makes_closing_a_RST_over_TCP_and_nothing_in_memory() -> None:
    near, far = await tcp_pair()
    stream = PduStream(near)
    stream.reset()
    await stream.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await far.receive_some()
    await far.aclose()
    stream, other = pair()
    stream.reset()
    await stream.aclose()
    assert await other.receive_some() == b""


@given(st.binary(max_size=400), st.booleans(), st.booleans())
def test_any_bytes_give_PDUs_or_a_framing_error(data: bytes, header: bool, digest: bool) -> None:
    async def check() -> None:
        stream, other = pair()
        stream.limit(64)
        stream.expect_digests(header=header, data=digest)
        await other.send_all(data)
        await other.aclose()
        pdus: list[Pdu] = []
        try:
            pdus = await received(stream)
        except FramingError:
            return
        assert raw(pdus) == data

    trio.run(check)


def test_it_names_its_state() -> None:
    stream, _ = pair()
    assert repr(stream) == "<PduStream <Framer digests=-- 0 bytes held, 0 to skip>>"
