from __future__ import annotations

import pytest
import trio

from iscsiproxy.api import models
from iscsiproxy.api.server.injecting import Lookout
from iscsiproxy.api.server.refusal import Refusal
from iscsiproxy.session.events import Decided, Delivered, Received
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.api.server.stand import Stand, ping, response, stand, write
from tests.proxy.fakes import Peer, nop_in

__all__: list[str] = []


def injection(pdu: str, **values: object) -> models.Injection:
    return models.Injection(pdu=pdu, **values)  # type: ignore[arg-type] # a test names its fields


async def known(the: Stand) -> tuple[Peer, Peer]:
    """Log in, and let a command pass, so that every number is known."""
    initiator, target = await the.login()
    await initiator.send(write(2, 1))
    await target.pdu()
    await target.send(response(2, 2, ExpCmdSN=2))
    await initiator.pdu()
    return initiator, target


async def test_a_ping_is_sent_and_its_answer_told_and_the_initiator_sees_nothing() -> None:
    async with stand(always=True) as the, trio.open_nursery() as nursery:
        initiator, target = await known(the)
        done: list[models.Injected] = []

        async def inject() -> None:
            done.append(await the.control.inject(injection("NOP-Out")))

        nursery.start_soon(inject)
        asked = await target.pdu()
        assert (asked.opcode, asked["CmdSN"], asked["TTT"]) == (Opcode.NOP_OUT, 2, NO_TAG)
        await target.send(nop_in(asked["ITT"]).with_fields({"StatSN": 3}), nop_in(77).with_fields({"StatSN": 4}))
        seen = await initiator.pdu()
        assert (seen["ITT"], seen["StatSN"]) == (77, 3)
        while not done:
            await trio.lowlevel.checkpoint()
        ((one),) = done
        assert one.rule == "line-1/#1"
        assert one.sent is not None
        assert one.answer is not None
        assert (one.sent.leg, one.sent.event, one.sent.rules) == ("target", "delivered", ("line-1/#1",))
        assert (one.answer.leg, one.answer.event, one.answer.label) == ("target", "received", "NOP-In")


async def test_the_initiator_may_be_asked_too() -> None:
    async with stand(always=True) as the, trio.open_nursery() as nursery:
        initiator, _ = await known(the)
        done: list[models.Injected] = []

        async def inject() -> None:
            done.append(await the.control.inject(injection("NOP-In TTT=0x77")))

        nursery.start_soon(inject)
        asked = await initiator.pdu()
        assert (asked.opcode, asked["TTT"]) == (Opcode.NOP_IN, 0x77)
        await initiator.send(ping(NO_TAG).with_fields({"TTT": 0x77}))
        while not done:
            await trio.lowlevel.checkpoint()
        assert done[0].answer is not None
        assert done[0].answer.label == "NOP-Out"


@pytest.mark.parametrize("pdu", ["Async AsyncEvent=1", "NOP-In", "NOP-Out ITT=none"])
async def test_what_asks_for_no_answer_is_not_waited_for(pdu: str) -> None:
    async with stand(always=True) as the:
        await known(the)
        one = await the.control.inject(injection(pdu, wait=3600))
        assert one.sent is not None
        assert (one.asks, one.answer) == (False, None)


async def test_who_does_not_want_to_wait_is_told_when_it_has_gone() -> None:
    async with stand(always=True) as the:
        await known(the)
        one = await the.control.inject(injection("NOP-Out", wait=0))
        assert (one.sent is not None, one.answer) == (True, None)


async def test_an_answer_that_does_not_come_is_waited_for_so_long() -> None:
    async with stand(always=True) as the:
        await known(the)
        one = await the.control.inject(injection("NOP-Out", wait=0.01))
        assert (one.sent is not None, one.answer) == (True, None)


async def test_a_connection_that_is_lost_ends_the_wait() -> None:
    async with stand(always=True) as the, trio.open_nursery() as nursery:
        _, target = await known(the)

        async def lose() -> None:
            await target.pdu()
            target.reset()

        nursery.start_soon(lose)
        one = await the.control.inject(injection("NOP-Out", wait=3600))
        assert (one.asks, one.answer) == (True, None)


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        (injection("NOP-Out when R2T"), 400, "a PDU that is injected now goes with no moment"),
        (injection("NOP-Owt"), 400, "NOP-Owt"),
        (injection("NOP-Out", conn=9), 404, "there is no connection 9"),
        (injection('SCSI-Command CDB="WRITE lba=0 blocks=8"'), 409, "may corrupt data"),
        (injection("NOP-Out LUN=lost.LUN"), 400, "lost"),
        (injection("NOP-Out ITT=(key.Bogus)"), 400, "Bogus"),
    ],
)
async def test_what_cannot_be_sent_is_refused_and_nothing_is_left(
    asked: models.Injection, status: int, message: str
) -> None:
    async with stand(always=True) as the:
        await known(the)
        with pytest.raises(Refusal) as caught:
            await the.control.inject(asked)
        assert caught.value.status == status
        assert message in caught.value.problem.message
        assert len(the.relay._sinks) == 4


async def test_it_has_to_be_clear_on_which_connection() -> None:
    async with stand() as the:
        for connections in range(3):
            if connections != 1:
                with pytest.raises(Refusal) as caught:
                    await the.control.inject(injection("NOP-Out"))
                assert caught.value.status == 409
            await the.login_as(0x800000000000 + connections)


async def test_a_session_that_was_there_before_anybody_looked_is_asked_at_once() -> None:
    async with stand() as the:
        initiator, target = await known(the)
        one = await the.control.inject(injection("NOP-In TTT=0x77", wait=0))
        assert one.sent is not None
        asked = await initiator.pdu()
        assert [asked[name] for name in ("StatSN", "ExpCmdSN", "MaxCmdSN")] == [3, 2, 64]
        one = await the.control.inject(injection("NOP-Out", wait=0))
        assert one.sent is not None
        asked = await target.pdu()
        assert [asked[name] for name in ("CmdSN", "ExpStatSN")] == [2, 2]


async def test_a_session_that_has_only_logged_in_is_asked_at_once_too() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        await the.control.inject(injection("NOP-Out", wait=0))
        asked = await target.pdu()
        assert [asked[name] for name in ("CmdSN", "ExpStatSN")] == [1, 2]
        await the.control.inject(injection("NOP-In", wait=0))
        asked = await initiator.pdu()
        assert [asked[name] for name in ("StatSN", "ExpCmdSN", "MaxCmdSN")] == [2, 1, 64]


async def test_numbers_that_are_not_known_are_told() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        # Data alone has no StatSN.
        await target.send(Pdu.build(Opcode.DATA_IN, b"data", ITT=9, ExpCmdSN=1, MaxCmdSN=64))
        await initiator.pdu()
        with pytest.raises(Refusal) as caught:
            await the.control.inject(injection("NOP-In TTT=0x77"))
        assert (caught.value.status, caught.value.problem.message) == (409, "the number that is right now is not known")


async def test_it_is_looked_for_no_longer_than_needed() -> None:
    async with stand(always=True) as the:
        await known(the)
        before = [sink.take for sink in the.relay._sinks], the.relay.records
        await the.control.inject(injection("NOP-Out", wait=0))
        assert ([sink.take for sink in the.relay._sinks], the.relay.records) == before
        with trio.move_on_after(0.01):
            await the.control.inject(injection("NOP-Out", wait=3600))
        assert ([sink.take for sink in the.relay._sinks], the.relay.records) == before


async def test_what_was_injected_is_among_the_events_of_who_reads_pdus() -> None:
    async with stand(always=True) as the:
        await known(the)
        reader = the.read(pdus=True)
        await the.control.inject(injection("Async AsyncEvent=1", wait=0))
        event = await reader.kind("delivered", label="Async")
        assert (event.what, event.of, event.rules) == ("authored", None, ("line-1/#1",))


# --- by itself -----------------------------------------------------------------------------------------------------


def went(pdu: Pdu, **values: object) -> Delivered:
    fields: dict[str, object] = {"n": 2, "at": 0, "conn": 1, "of": None, "author": 3, "rules": ("x/#1",), **values}
    return Delivered(leg=pdu.sender.other, pdu=pdu, **fields)  # type: ignore[arg-type] # a test names its fields


def came(pdu: Pdu, leg: End = End.TARGET, conn: int = 1) -> Received:
    return Received(n=3, at=0, conn=conn, leg=leg, pdu=pdu)


def rejecting(pdu: Pdu) -> Pdu:
    return Pdu.build(Opcode.REJECT, pdu.bhs).with_fields({"F": 1, "ITT": NO_TAG, "Reason": 4})


_PING = ping(5)


@pytest.mark.parametrize(
    ("event", "answers"),
    [
        (came(nop_in(5)), True),
        (came(rejecting(_PING)), True),
        (came(rejecting(ping(6))), False),
        (came(nop_in(6)), False),
        (came(nop_in(5), conn=2), False),
        (came(ping(5), leg=End.INITIATOR), False),
    ],
)
def test_an_answer_is_known_by_its_tag_or_rejects_it(event: Received, answers: bool) -> None:
    one = Lookout("x/#1", 1)
    one(event)
    assert one.answer is None, "nothing was sent yet"
    one(went(_PING))
    one(event)
    assert (one.answer is event) is answers


def test_what_others_send_is_not_it() -> None:
    one = Lookout("x/#1", 1)
    one(went(_PING, author=0))
    one(went(_PING, rules=("y/#1",)))
    one(Decided(n=1, at=0, conn=1, rule="y/#1", what="failed", of=None, text="no"))
    one(Decided(n=1, at=0, conn=1, rule="x/#1", what="held", of=None, text="no"))
    assert (one.sent, one.failure) == (None, "")
    one(Decided(n=1, at=0, conn=1, rule="x/#1", what="failed", of=None, text="no"))
    assert one.failure == "no"
