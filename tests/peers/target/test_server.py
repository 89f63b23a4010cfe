from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from iscsiproxy.errors import UsageError
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.peers.stream import PduStream
from iscsiproxy.peers.target.conduct import Conduct
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.server import Notice, TargetServer, portal_text
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text

__all__: list[str] = []

IQN = "iqn.2026-01.example:disk"
BLOCKS = 8192

#: Settings without the server's own patience, for tests that are about something else.
FOR_EVER = TargetSettings(login_timeout=0, data_timeout=0)


def login(*pairs: tuple[str, str], isid: int = 1, tsih: int = 0) -> Pdu:
    """Build a whole login in one request."""
    keys = [("InitiatorName", "iqn.2026-01.example:host"), ("TargetName", IQN), ("SessionType", "Normal"), *pairs]
    return Pdu.build(
        Opcode.LOGIN_REQUEST, encode_text(keys), I=1, T=1, CSG=1, NSG=3, ISID=isid, TSIH=tsih, ITT=1, CmdSN=100
    )


def ping(tag: int = 2, data: bytes = b"ping!") -> Pdu:
    return Pdu.build(Opcode.NOP_OUT, data, I=1, F=1, ITT=tag, TTT=NO_TAG, CmdSN=100)


def logout() -> Pdu:
    return Pdu.build(Opcode.LOGOUT_REQUEST, I=1, F=1, ITT=9, CmdSN=100)


def read(blocks: int, *, tag: int, cmdsn: int) -> Pdu:
    cdb = b"\x28" + bytes(6) + blocks.to_bytes(2, "big") + b"\0"
    return Pdu.build(Opcode.SCSI_COMMAND, F=1, R=1, ATTR=1, ITT=tag, EDTL=512 * blocks, CmdSN=cmdsn, CDB=cdb)


def write(blocks: int, *, tag: int, cmdsn: int) -> Pdu:
    cdb = b"\x2a" + bytes(6) + blocks.to_bytes(2, "big") + b"\0"
    return Pdu.build(Opcode.SCSI_COMMAND, F=1, W=1, ATTR=1, ITT=tag, EDTL=512 * blocks, CmdSN=cmdsn, CDB=cdb)


def test_unit_ready(*, tag: int, cmdsn: int) -> Pdu:
    return Pdu.build(Opcode.SCSI_COMMAND, F=1, ATTR=1, ITT=tag, CmdSN=cmdsn)


test_unit_ready.__test__ = False  # type: ignore[attr-defined]


class Client(PduStream):
    """The initiator's end."""

    async def get(self) -> Pdu:
        """Receive a PDU; there has to be one."""
        pdu = await self.receive()
        assert pdu is not None, "the target has closed the connection"
        return pdu

    async def ask(self, pdu: Pdu) -> Pdu:
        await self.send([pdu])
        return await self.get()

    async def log_in(self, *pairs: tuple[str, str], isid: int = 1) -> Pdu:
        response = await self.ask(login(*pairs, isid=isid))
        assert (response.opcode, response["Status-Class"], response["T"]) == (Opcode.LOGIN_RESPONSE, 0, 1)
        return response

    async def settle(self, cmdsn: int = 100) -> None:
        """Take the unit attention that a new nexus meets."""
        response = await self.ask(test_unit_ready(tag=0x77, cmdsn=cmdsn))
        assert response.opcode == Opcode.SCSI_RESPONSE

    async def over(self) -> bool:
        """Wait for the end, and tell whether nothing came before it."""
        return await self.receive() is None


@dataclass
class Bench:
    """A server in a nursery, and the notices it has given."""

    server: TargetServer
    nursery: trio.Nursery
    notices: list[Notice] = field(default_factory=list)

    def dial(self, ends: tuple[trio.abc.Stream, trio.abc.Stream] | None = None) -> Client:
        near, far = ends or trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.serve, far)
        return Client(near, max_segment=1 << 20)

    async def serve(self, stream: trio.abc.Stream) -> None:
        await self.server.serve_stream(stream, portal="192.0.2.1:3260", peer="test")

    def told(self, what: str) -> list[str]:
        return [notice.text for notice in self.notices if notice.what == what]

    async def until(self, what: str) -> str:
        while not self.told(what):
            await trio.testing.wait_all_tasks_blocked()
        return self.told(what)[0]


def node(settings: TargetSettings = FOR_EVER, conduct: Conduct | None = None) -> Node:
    unit = LogicalUnit(0, MemoryMedium(BLOCKS), UnitIdentity.derive(IQN, 0), target_name=IQN)
    return Node({IQN: Device({0: unit})}, settings, conduct)


@asynccontextmanager
async def bench(
    settings: TargetSettings = FOR_EVER, conduct: Conduct | None = None, **options: Any
) -> AsyncIterator[Bench]:
    notices: list[Notice] = []
    server = TargetServer(node(settings, conduct), on_notice=notices.append, **options)
    async with trio.open_nursery() as nursery:
        yield Bench(server, nursery, notices)
        nursery.cancel_scope.cancel()


# --- a connection's life ------------------------------------------------------------------------------------------


async def test_a_login_a_ping_and_a_logout() -> None:
    async with bench() as here:
        client = here.dial()
        await client.log_in()
        pong = await client.ask(ping())
        assert (pong.opcode, pong["ITT"], pong.data) == (Opcode.NOP_IN, 2, b"ping!")
        assert (await client.ask(logout())).opcode == Opcode.LOGOUT_RESPONSE
        assert await client.over()
        await client.aclose()
        await here.until("closed")
        assert here.told("connected") == ["at 192.0.2.1:3260"]
        assert not here.server.crashes


@pytest.mark.parametrize("header", ["None", "CRC32C"])
@pytest.mark.parametrize("data", ["None", "CRC32C"])
async def test_digests_hold_for_the_PDU_right_behind_the_login(header: str, data: str) -> None:
    async with bench() as here:
        client = here.dial()
        first = login(("HeaderDigest", header), ("DataDigest", data))
        digests = {"header": header == "CRC32C", "data": data == "CRC32C"}
        # In one piece: nobody waits for the response.
        await client.send([first, ping().sealed(**digests), ping(3).sealed(**digests)])
        await client.get()
        client.expect_digests(**digests)
        for tag in (2, 3):
            pong = await client.get()
            assert (pong.opcode, pong["ITT"], pong.data) == (Opcode.NOP_IN, tag, b"ping!")
            assert pong.header_digest_ok() is (True if digests["header"] else None)
            assert pong.data_digest_ok() is (True if digests["data"] else None)


async def test_the_segment_that_was_declared_is_taken_and_a_longer_one_ends_it() -> None:
    async with bench() as here:
        client = here.dial()
        await client.log_in(("MaxRecvDataSegmentLength", "262144"))
        longest = here.server.node.settings.max_recv_data_segment_length
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, [ping(data=bytes(longest))])
            assert len((await client.get()).data) == longest
        await client.send([ping().with_fields({"DataSegmentLength": 0xFFFFFF})])
        while await client.receive() is not None:
            pass
        await client.aclose()
        assert "data segment of 16777215 bytes" in await here.until("closed")


async def test_the_initiator_ends_it() -> None:
    async with bench() as here:
        client = here.dial()
        await client.log_in()
        await client.aclose()
        assert await here.until("closed") == "by the initiator"


async def test_garbage_ends_one_connection_and_no_other() -> None:
    async with bench() as here:
        client, vandal = here.dial(), here.dial()
        await client.log_in()
        await vandal.send_bytes(b"GET / HTTP/1.1\r\nHost: storage.example\r\n\r\n" * 10)
        assert await vandal.over()
        cut = here.dial()
        await cut.send_bytes(bytes(20))
        await cut.aclose()
        assert (await client.ask(ping())).data == b"ping!"
        await vandal.aclose()
        await client.aclose()
        while len(here.told("closed")) < 3:
            await trio.testing.wait_all_tasks_blocked()
        assert not here.server.crashes


async def test_a_refused_login_is_answered_before_the_end() -> None:
    async with bench() as here:
        client = here.dial()
        request = login(("TargetName", IQN))  # twice
        response = await client.ask(request)
        assert (response.opcode, response["Status-Class"]) == (Opcode.LOGIN_RESPONSE, 2)
        assert await client.over()


async def test_a_session_that_is_taken_over_ends_the_old_connection() -> None:
    async with bench() as here:
        old, new = here.dial(), here.dial()
        await old.log_in(isid=7)
        await new.log_in(isid=7)
        while await old.receive() is not None:
            pass
        await old.aclose()
        assert (await new.ask(ping())).data == b"ping!"


async def test_every_PDU_is_shown_to_the_tap() -> None:
    seen: list[tuple[int, int]] = []
    async with bench(tap=lambda conn, pdu: seen.append((conn, pdu.opcode))) as here:
        client = here.dial()
        await client.log_in()
        await client.ask(ping())
    login_and_ping = [Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.NOP_OUT, Opcode.NOP_IN]
    assert seen == [(1, opcode) for opcode in login_and_ping]


# --- our own errors -----------------------------------------------------------------------------------------------


class Broken(Conduct):
    def missing_task_response(self, *, inside_window: bool) -> int:
        raise ZeroDivisionError("a bug")


async def test_an_error_of_our_own_ends_one_connection_and_is_told() -> None:
    async with bench(conduct=Broken()) as here:
        client, other = here.dial(), here.dial()
        await client.log_in(isid=1)
        await other.log_in(isid=2)
        abort = Pdu.build(Opcode.TMF_REQUEST, I=1, F=1, Function=1, ITT=5, RefTaskTag=0x1234, RefCmdSN=50, CmdSN=100)
        await client.send([abort])
        assert await client.over()
        (crash,) = here.server.crashes
        assert isinstance(crash, ZeroDivisionError)
        assert here.told("crashed") == ["ZeroDivisionError('a bug')"]
        assert (await other.ask(ping())).data == b"ping!"
        assert "1 crashes" in repr(here.server)


# --- patience -----------------------------------------------------------------------------------------------------


async def test_a_login_that_takes_too_long(autojump_clock: trio.testing.MockClock) -> None:
    async with bench(TargetSettings(login_timeout=30.0)) as here:
        client = here.dial()
        await client.send_bytes(login().raw[:60])
        await trio.sleep(29)
        assert not here.told("closed")
        assert await client.over()
        assert autojump_clock.current_time() == pytest.approx(30.0)
        await client.aclose()
        assert await here.until("closed") == "no login in 30 s"


async def test_a_login_in_time_stays(autojump_clock: trio.testing.MockClock) -> None:
    async with bench(TargetSettings(login_timeout=30.0)) as here:
        client = here.dial()
        await client.log_in()
        await trio.sleep(1000)
        assert (await client.ask(ping())).data == b"ping!"
        assert autojump_clock.current_time() == pytest.approx(1000)


async def test_an_idle_connection_is_asked_for_a_sign_of_life(autojump_clock: trio.testing.MockClock) -> None:
    async with bench(TargetSettings(nop_interval=10.0)) as here:
        client = here.dial()
        await client.log_in()
        for count in (1, 2, 3):
            asked = await client.get()
            assert (asked.opcode, asked["ITT"]) == (Opcode.NOP_IN, NO_TAG)
            assert asked["TTT"] != NO_TAG
            assert autojump_clock.current_time() == pytest.approx(10.0 * count)
            answer = Pdu.build(Opcode.NOP_OUT, I=1, F=1, LUN=asked["LUN"], ITT=NO_TAG, TTT=asked["TTT"], CmdSN=100)
            await client.send([answer])
        await client.get()
        assert await client.over()
        assert autojump_clock.current_time() == pytest.approx(50.0)
        await client.aclose()
        assert await here.until("closed") == "no sign of life for 20 s"


async def test_Data_Out_that_does_not_come(autojump_clock: trio.testing.MockClock) -> None:
    async with bench(TargetSettings(data_timeout=5.0)) as here:
        client = here.dial()
        await client.log_in(("InitialR2T", "Yes"), ("ImmediateData", "No"))
        await client.settle()
        await trio.sleep(100)
        r2t = await client.ask(write(8, tag=3, cmdsn=101))
        assert r2t.opcode == Opcode.R2T
        await trio.sleep(4)
        part = Pdu.build(Opcode.DATA_OUT, bytes(512), ITT=3, TTT=r2t["TTT"])
        await client.send([part])
        before = autojump_clock.current_time()
        while await client.receive() is not None:
            pass
        assert autojump_clock.current_time() - before == pytest.approx(5.0)
        await client.aclose()
        assert await here.until("closed") == "no Data-Out for 5 s"


# --- backpressure -------------------------------------------------------------------------------------------------


async def test_nothing_more_is_received_while_too_much_waits_to_be_sent() -> None:
    async with bench() as here:
        near, far = trio.testing.lockstep_stream_pair()
        client = here.dial((near, far))
        await client.log_in(("MaxRecvDataSegmentLength", "65536"))
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for tag in range(10_000):
                await client.send([ping(tag, bytes(8192))])
                sent += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await trio.testing.wait_all_tasks_blocked()
            assert 1 < sent < 2000, "the target takes what it cannot answer"
            held, sent_before = sent, sent
            for tag in range(held):
                assert (await client.get())["ITT"] == tag
            await trio.testing.wait_all_tasks_blocked()
            assert sent > sent_before, "the target does not go on"
            nursery.cancel_scope.cancel()


async def test_a_long_read_is_made_as_it_is_sent() -> None:
    made = 0

    def tap(_conn: int, pdu: Pdu) -> None:
        nonlocal made
        made += pdu.opcode == Opcode.DATA_IN

    async with bench(tap=tap) as here:
        near, far = trio.testing.lockstep_stream_pair()
        client = here.dial((near, far))
        await client.log_in(("MaxRecvDataSegmentLength", "8192"))
        await client.settle()
        await client.send([read(4096, tag=5, cmdsn=101)])  # 2 MiB
        await trio.testing.wait_all_tasks_blocked()
        assert 0 < made <= 40  # 256 KiB and a PDU
        length = 0
        while (pdu := await client.get()).opcode == Opcode.DATA_IN and not pdu["S"]:
            length += len(pdu.data)
        assert length + len(pdu.data) == 2 << 20
        assert made == 256


# --- TCP ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(
    *addresses: tuple[str, int], settings: TargetSettings = FOR_EVER
) -> AsyncIterator[tuple[TargetServer, list[tuple[str, int]]]]:
    server = TargetServer(node(settings))
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(server.serve, addresses)
        yield server, list(bound)
        nursery.cancel_scope.cancel()


async def test_it_listens_where_it_says_and_tells_discovery_the_same() -> None:
    async with listening(("127.0.0.1", 0), ("::1", 0)) as (_, bound):
        assert [host for host, _ in bound] == ["127.0.0.1", "::1"]
        for host, port in bound:
            client = Client(await trio.open_tcp_stream(host, port))
            keys = [("InitiatorName", "iqn.2026-01.example:host"), ("SessionType", "Discovery")]
            request = Pdu.build(Opcode.LOGIN_REQUEST, encode_text(keys), I=1, T=1, CSG=1, NSG=3, ISID=1, ITT=1, CmdSN=1)
            assert (await client.ask(request))["Status-Class"] == 0
            targets = encode_text([("SendTargets", "All")])
            answer = await client.ask(Pdu.build(Opcode.TEXT_REQUEST, targets, F=1, ITT=2, TTT=NO_TAG, CmdSN=1))
            assert f"TargetAddress={portal_text(host, port)},1".encode() in answer.data
            await client.aclose()


async def test_a_logout_ends_with_FIN_and_the_response_arrives_though_more_came() -> None:
    async with listening(("127.0.0.1", 0)) as (server, bound):
        client = Client(await trio.open_tcp_stream(*bound[0]))
        await client.log_in()
        await client.send([logout(), *(ping(tag) for tag in range(100))])
        assert (await client.get()).opcode == Opcode.LOGOUT_RESPONSE
        assert await client.over()  # RST would raise
        await client.aclose()
        assert not server.crashes


async def test_resets_at_any_point_disturb_nobody() -> None:
    async with listening(("127.0.0.1", 0)) as (server, bound):
        client = Client(await trio.open_tcp_stream(*bound[0]))
        await client.log_in(isid=1)
        said = login(isid=2).raw + ping().raw + read(64, tag=4, cmdsn=100).raw
        for length in range(0, len(said), 17):
            stream = await trio.open_tcp_stream(*bound[0])
            await stream.send_all(said[:length])
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await stream.aclose()
        assert (await client.ask(ping())).data == b"ping!"
        await client.aclose()
        assert not server.crashes


async def test_cancelling_closes_every_connection() -> None:
    async with listening(("127.0.0.1", 0)) as (server, bound):
        client = Client(await trio.open_tcp_stream(*bound[0]))
        await client.log_in()
    assert await client.over()
    assert "0 connections of 1" in repr(server)
    await client.aclose()
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream(*bound[0])


async def test_an_address_that_cannot_be_listened_at() -> None:
    async with listening(("127.0.0.1", 0)) as (_, bound):
        server = TargetServer(node())
        with pytest.raises(UsageError, match=rf"cannot listen at 127\.0\.0\.1:{bound[0][1]}: Address already in use"):
            await server.serve([("127.0.0.1", 0), bound[0]])


async def test_a_session_without_connection_is_kept_as_long_as_agreed(autojump_clock: trio.testing.MockClock) -> None:
    async with listening(("127.0.0.1", 0), settings=TargetSettings(time2retain=10)) as (server, _):

        async def connect_and_vanish(tsih: int) -> int:
            near, far = trio.testing.memory_stream_pair()
            client = Client(near)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(server.serve_stream, far, portal="192.0.2.1:3260"))
                response = await client.ask(login(("DefaultTime2Retain", "10"), tsih=tsih))
                assert response["Status-Class"] == 0
                await client.aclose()
            return response["TSIH"]

        tsih = await connect_and_vanish(0)
        await trio.sleep(9)
        assert await connect_and_vanish(tsih) == tsih
        await trio.sleep(9)
        assert [session.tsih for session in server.node.sessions()] == [tsih]
        await trio.sleep(1.5)
        assert server.node.sessions() == ()
        assert autojump_clock.current_time() == pytest.approx(19.5)
        await connect_and_vanish(0)
    assert server.node.sessions() == ()


@pytest.mark.parametrize(
    ("host", "text"), [("127.0.0.1", "127.0.0.1:3260"), ("::1", "[::1]:3260"), ("storage", "storage:3260")]
)
def test_portals_are_spelled_as_iSCSI_does(host: str, text: str) -> None:
    assert portal_text(host, 3260) == text
