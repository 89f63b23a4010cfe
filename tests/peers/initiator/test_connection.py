from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.connection import Connection, Outgoing
from iscsiproxy.peers.initiator.errors import ConnectionLost, ProtocolError
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.stream import PduStream
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

CRC = Parameters(header_digest=True, data_digest=True)


def connected(
    parameters: Parameters = CRC, *, statsn: int = 10, conduct: Conduct | None = None
) -> tuple[Connection, PduStream]:
    ours, theirs = trio.testing.memory_stream_pair()
    other = PduStream(theirs)
    other.expect_digests(header=parameters.header_digest, data=parameters.data_digest)
    connection = Connection(
        PduStream(ours), parameters=parameters, exp_statsn=statsn, conduct=conduct or Conduct(), cid=1
    )
    return connection, other


@asynccontextmanager
async def writing(connection: Connection) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.write)
        yield
        nursery.cancel_scope.cancel()


def nop(itt: int, data: bytes = b"") -> Pdu:
    return Pdu.build(Opcode.NOP_OUT, data=data, ITT=itt, TTT=NO_TAG)


def status(statsn: int) -> Pdu:
    return Pdu.build(Opcode.SCSI_RESPONSE, ITT=1, StatSN=statsn)


async def test_what_is_queued_leaves_in_order_with_ExpStatSN_and_digests_of_the_moment() -> None:
    connection, other = connected()
    connection.put(Outgoing(nop(itt, b"x" * itt) for itt in (1, 2)))
    connection.exp_statsn = 0xFFFFFFFF
    last = Outgoing((nop(3),))
    connection.put(last)
    async with writing(connection):
        await last.sent.wait()
    for itt in (1, 2, 3):
        pdu = await other.receive()
        assert pdu is not None
        assert (pdu["ITT"], pdu["ExpStatSN"], pdu.header_digest_ok()) == (itt, 0xFFFFFFFF, True)
        assert pdu.data_digest_ok() is (True if pdu.data else None)


async def test_a_big_write_is_made_as_it_leaves() -> None:
    ours, theirs = trio.testing.lockstep_stream_pair()
    connection = Connection(PduStream(ours), parameters=Parameters(), exp_statsn=1, conduct=Conduct())
    made: list[int] = []

    def many() -> Iterator[Pdu]:
        for itt in range(1000):
            made.append(itt)
            yield nop(itt, bytes(8192))

    connection.put(Outgoing(many()))
    async with writing(connection):
        await trio.testing.wait_all_tasks_blocked()
        before = len(made)
        assert 0 < before < 100
        assert await PduStream(theirs).receive() is not None
        await theirs.receive_some(1 << 20)
        await trio.testing.wait_all_tasks_blocked()
        assert before < len(made) < 200


async def test_a_raw_PDU_leaves_as_it_is() -> None:
    connection, other = connected()
    odd = nop(1).with_parts(header_digest=b"oops")
    outgoing = Outgoing((odd,), stamp=False, seal=False)
    connection.put(outgoing)
    async with writing(connection):
        await outgoing.sent.wait()
    assert await other.receive() == odd


async def test_those_who_wait_go_on_when_the_stream_is_gone() -> None:
    connection, other = connected()
    await other.aclose()
    first, second = Outgoing((nop(1, bytes(300000)),)), Outgoing((nop(2),))
    connection.put(first)
    connection.put(second)
    with pytest.raises(ConnectionLost, match="sending"):
        await connection.write()
    connection.abandon()
    assert first.sent.is_set()
    assert second.sent.is_set()


@pytest.mark.parametrize(
    "wrong",
    [
        status(10).sealed(header=True, data=True).with_parts(header_digest=b"\0\0\0\0"),
        status(10).with_data(b"data").sealed(header=True, data=True).with_parts(data_digest=b"\0\0\0\0"),
        status(10).with_ahs(bytes(4)),
        status(10).with_data(bytes(8193)),
        status(11),
        status(9),
        Pdu.build(Opcode.R2T, StatSN=11),
    ],
    ids=["header digest", "data digest", "AHS", "too long", "a StatSN skipped", "a StatSN again", "one lost before"],
)
def test_what_cannot_be_ends_the_session(wrong: Pdu) -> None:
    connection, _ = connected()
    with pytest.raises(ProtocolError):
        connection.check(wrong)


def test_StatSN_counts_what_has_a_status_and_nothing_else() -> None:
    connection, _ = connected(statsn=0xFFFFFFFE)
    for pdu, expected in (
        (status(0xFFFFFFFE), 0xFFFFFFFF),
        (Pdu.build(Opcode.R2T, StatSN=0xFFFFFFFF), 0xFFFFFFFF),
        (Pdu.build(Opcode.DATA_IN, StatSN=77), 0xFFFFFFFF),
        (Pdu.build(Opcode.NOP_IN, ITT=NO_TAG, StatSN=0xFFFFFFFF), 0xFFFFFFFF),
        (Pdu.build(Opcode.NOP_IN, ITT=NO_TAG, StatSN=0xFFFFFFFE), 0xFFFFFFFF),
        (Pdu.build(Opcode.NOP_IN, ITT=4, StatSN=0xFFFFFFFF), 0),
        (Pdu.build(Opcode.DATA_IN, S=1, StatSN=0), 1),
        (Pdu.build(Opcode.ASYNC, ITT=NO_TAG, StatSN=1), 2),
        (Pdu.build(Opcode.REJECT, ITT=NO_TAG, StatSN=2), 3),
    ):
        assert connection.check(pdu)
        assert connection.exp_statsn == expected


def test_a_conduct_may_let_things_pass_or_drop_them() -> None:
    class Careless(Conduct):
        def digest_error(self, pdu: Pdu, *, header: bool) -> None:
            pass

        def wrong_statsn(self, pdu: Pdu, expected: int) -> None:
            pass

        def additional_header(self, pdu: Pdu) -> None:
            pass

    connection, _ = connected(conduct=Careless())
    assert not connection.check(status(10).with_parts(header_digest=b"oops"))
    assert connection.exp_statsn == 10
    assert connection.check(status(12).with_ahs(bytes(4)))
    assert connection.exp_statsn == 13


async def test_an_end_and_bytes_that_are_no_PDU_have_names() -> None:
    connection, other = connected()
    await other.aclose()
    with pytest.raises(ConnectionLost, match="closed"):
        await connection.receive()
    connection, other = connected()
    await other.send_bytes(bytes(20))
    await other.aclose()
    with pytest.raises(ProtocolError, match="inside a PDU"):
        await connection.receive()


def test_a_changed_segment_length_takes_effect() -> None:
    connection, _ = connected()
    connection.limit(replace(CRC, receive_segment=9000))
    assert connection.check(status(10).with_data(bytes(8193)))
