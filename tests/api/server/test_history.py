from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from iscsiproxy.api.models import Event as Told
from iscsiproxy.api.server import history
from iscsiproxy.api.server.history import History, Item, Stream, told
from iscsiproxy.session.events import (
    Change,
    Closed,
    Connected,
    Decided,
    Delivered,
    Event,
    Fired,
    FullFeature,
    Noted,
    Received,
)
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text

__all__: list[str] = []


def note(n: int) -> Noted:
    return Noted(n=n, at=n / 10, conn=1, rule="", of=None, text=f"note {n}")


def came(n: int, size: int = 0) -> Received:
    pdu = Pdu.build(Opcode.DATA_OUT, bytes(range(256)) * (size // 256 + 1)).with_fields({"ITT": n})
    return Received(n=n, at=n / 10, conn=1, leg=End.INITIATOR, pdu=pdu.with_data(pdu.data[:size]))


def everything(_: object) -> bool:
    return True


def filled(numbers: Iterable[int], **bounds: int) -> History:
    kept = History(**bounds)
    for n in numbers:
        kept.take(note(n))
    return kept


def read(kept: History, **how: Any) -> Stream:
    return kept.read(how.pop("wanted", everything), **{"since": None, "follow": True, "limit": None, **how})


async def rest(stream: Stream) -> list[Told]:
    """Read to the end."""
    events: list[Told] = []
    while batch := await stream.batch():
        events += batch
    return events


def numbers(events: Iterable[Told]) -> list[int]:
    return [event.n for event in events]


# --- what is kept --------------------------------------------------------------------------------------------------


async def test_what_is_kept_is_told_again_from_a_number_on() -> None:
    kept = filled(range(1, 11))
    assert numbers(await rest(read(kept, since=0, follow=False))) == list(range(1, 11))
    assert numbers(await rest(read(kept, since=7, follow=False))) == [8, 9, 10]
    assert numbers(await rest(read(kept, since=10, follow=False))) == []
    assert numbers(await rest(read(kept, follow=False))) == [], "nobody has asked for what was"
    assert kept.last == 10


async def test_the_oldest_are_forgotten_by_number() -> None:
    kept = filled(range(1, 11), most=4)
    first, *others = await rest(read(kept, since=0, follow=False))
    assert (first.event, first.count, first.n) == ("left-out", 6, 7)
    assert numbers(others) == [7, 8, 9, 10]
    assert numbers(await rest(read(kept, since=6, follow=False))) == [7, 8, 9, 10], "nothing of that is missing"


async def test_the_oldest_are_forgotten_by_bytes() -> None:
    kept = History(size=10_000)
    for n in range(1, 11):
        kept.take(came(n, 1500))
    events = await rest(read(kept, since=0, follow=False))
    assert (events[0].event, events[0].count) == ("left-out", 6)
    assert numbers(events[1:]) == [7, 8, 9, 10]
    assert kept._size <= 10_000
    for n in range(11, 100):
        kept.take(note(n))
    assert kept._size == sum(size for _, size in kept._items) <= 10_000


async def test_what_was_never_told_of_is_not_missed() -> None:
    kept = filled([50, 51])
    assert numbers(await rest(read(kept, since=0, follow=False))) == [50, 51]


async def test_no_more_are_missed_than_were_forgotten() -> None:
    kept = filled([1, 100, 101], most=2)
    first, *_ = await rest(read(kept, since=0, follow=False))
    assert first.count == 1


def test_of_a_long_pdu_the_begin_is_kept_and_how_long_it_was() -> None:
    kept = History()
    event = came(1, 10_000)
    kept.take(event)
    found = kept.find(1)
    assert found is not None
    short, item = found
    assert short.pdu.bhs == event.pdu.bhs
    assert short.pdu.data == event.pdu.data[: history._DATA_KEPT]
    assert item.size == len(event.pdu)
    assert told(item).text == summary(event.pdu), "it is summed up as it was"


def test_a_pdu_is_found_by_its_number_as_long_as_it_is_kept() -> None:
    kept = History(most=3)
    for event in (came(1), note(2), came(3), came(9000)):
        kept.take(event)
    assert kept.find(1) is None, "it is forgotten"
    assert kept.find(2) is None, "it is no PDU"
    assert kept.find(4) is None
    for n in (3, 9000):
        found = kept.find(n)
        assert found is not None
        assert (found[0].n, found[1].size) == (n, 48)


# --- those who read ------------------------------------------------------------------------------------------------


async def test_who_follows_is_told_of_what_was_and_then_of_what_comes() -> None:
    kept = filled([1, 2])
    stream = read(kept, since=1)
    assert numbers(await stream.batch()) == [2]
    got: list[int] = []

    async def follow() -> None:
        got.extend(numbers(await stream.batch()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        assert got == []
        kept.take(note(3))
    assert got == [3]


async def test_readers_do_not_take_from_each_other() -> None:
    kept = filled([])
    all_of_it, even = read(kept), read(kept, wanted=lambda event: event.n % 2 == 0)
    for n in (1, 2, 3, 4):
        kept.take(note(n))
    assert numbers(await even.batch()) == [2, 4]
    assert numbers(await all_of_it.batch()) == [1, 2, 3, 4]


async def test_who_follows_is_told_no_more_often_than_so(autojump_clock: trio.testing.MockClock) -> None:
    kept = filled([1])
    stream, times = read(kept, since=0), []
    for n in (2, 3, 4):
        await stream.batch()
        times.append(autojump_clock.current_time())
        kept.take(note(n))
    assert [late - early for early, late in pairwise(times)] == pytest.approx([history._PACE] * 2)
    at_once = read(kept, since=0, follow=False)
    begun = trio.current_time()
    await rest(at_once)
    assert trio.current_time() == begun, "what was is told as fast as it is read"


async def test_a_slow_reader_loses_the_oldest_and_is_told_how_many_and_costs_others_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert autojump_clock.autojump_threshold == 0, "who has read waits a little, and nobody here for that"
    kept = filled([])
    slow, quick = read(kept), read(kept)
    seen: list[int] = []
    most = history._MAX_WAITING
    for n in range(1, most + 101):
        kept.take(note(n))
        if n % 100 == 0:
            seen += numbers(await quick.batch())
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) >= most
    first, *others = await slow.batch()
    assert (first.event, first.count, first.n) == ("left-out", 100, 101)
    assert numbers(others) == list(range(101, 101 + history._BATCH))
    assert "left-out" not in [event.event for event in await slow.batch()], "that is told once"


async def test_at_most_so_many_are_told() -> None:
    kept = filled(range(1, 11))
    assert numbers(await rest(read(kept, since=0, follow=False, limit=3))) == [1, 2, 3]
    stream = read(kept, since=8, limit=4)
    assert numbers(await stream.batch()) == [9, 10]
    for n in range(11, 20):
        kept.take(note(n))
    assert numbers(await stream.batch()) == [11, 12]
    kept.take(note(20))
    assert await stream.batch() == ()
    assert stream.closed


async def test_a_batch_is_no_longer_than_it_may_be() -> None:
    kept = filled(range(1, history._BATCH + 3))
    stream = read(kept, since=0, follow=False)
    assert len(await stream.batch()) == history._BATCH
    assert len(await stream.batch()) == 2
    assert await stream.batch() == ()


async def test_a_stream_that_is_closed_ends_for_who_waits() -> None:
    kept = filled([])
    stream = read(kept)
    called: list[str] = []
    stream.on_close = lambda: called.append("gone")

    async def end() -> None:
        assert await stream.batch() == ()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        await trio.testing.wait_all_tasks_blocked()
        kept.close()
    kept.take(note(1))
    stream.close()
    assert called == ["gone"]
    assert await stream.batch() == ()


async def test_to_give_up_waiting_costs_no_event() -> None:
    kept = filled([])
    stream = read(kept)
    with trio.move_on_after(0):
        await stream.batch()
    kept.take(note(1))
    assert numbers(await stream.batch()) == [1]


async def test_who_has_gone_is_told_no_more() -> None:
    kept = filled([])
    stream = read(kept)
    kept.forget(stream)
    kept.forget(stream)
    kept.take(note(1))
    assert "0 waiting" in repr(stream)


# --- in words ------------------------------------------------------------------------------------------------------

_PING = Pdu.build(Opcode.NOP_OUT, I=1, F=1, ITT=7)
_CHANGE = Change(what="CmdSN", old="1", new="2")


@pytest.mark.parametrize(
    ("event", "values"),
    [
        (
            Received(n=3, at=0.12345678, conn=2, leg=End.INITIATOR, pdu=_PING),
            {"event": "received", "leg": "initiator", "label": "NOP-Out", "text": summary(_PING), "at": 0.123457},
        ),
        (
            Delivered(
                n=4, at=1, conn=2, leg=End.TARGET, pdu=_PING, of=3, rules=("x/cut",), changes=(_CHANGE,), author=0
            ),
            {"event": "delivered", "leg": "target", "of": 3, "rules": ("x/cut",), "changes": ("CmdSN 1 -> 2",)},
        ),
        (Delivered(n=4, at=1, conn=2, leg=End.TARGET, pdu=_PING, of=None, author=5), {"what": "authored"}),
        (Delivered(n=4, at=1, conn=2, leg=End.TARGET, pdu=_PING, of=3, author=5), {"what": "copied"}),
        (Delivered(n=4, at=1, conn=2, leg=End.TARGET, pdu=_PING, of=3), {"what": "", "changes": ()}),
        (
            Fired(n=5, at=1, conn=2, rule="x/cut", act="set", of=3, label="NOP-Out", text="y", changes=(_CHANGE,)),
            {"event": "fired", "rule": "x/cut", "act": "set", "of": 3, "label": "NOP-Out"}
            | {"text": "FAULT x/cut set: y (CmdSN 1 -> 2): NOP-Out", "changes": ("CmdSN 1 -> 2",)},
        ),
        (
            Decided(n=6, at=1, conn=2, rule="x/cut", what="held", of=3, text="until 1s"),
            {"event": "decided", "what": "held", "rule": "x/cut", "of": 3, "text": "held x/cut: until 1s"},
        ),
        (Noted(n=7, at=1, conn=2, rule="x/cut", of=3, text="here"), {"event": "noted", "rule": "x/cut", "of": 3}),
        (FullFeature(n=8, at=1, conn=2, leg=End.TARGET, keys=()), {"event": "fullfeature", "leg": "target"}),
        (Closed(n=9, at=1, conn=2, leg=End.TARGET, how="rst", by="peer"), {"event": "closed", "leg": "target"}),
        (Connected(n=1, at=1, conn=2, initiator="a", listen="b", local="c", target="d"), {"event": "connected"}),
    ],
)
def test_an_event_is_told_with_what_there_is_of_it(event: Event, values: dict[str, object]) -> None:
    words = told(Item(event))
    assert (words.n, words.conn) == (event.n, 2)
    assert {name: getattr(words, name) for name in values} == values


def test_what_somebody_beside_the_proxy_tells_is_told_as_it_is() -> None:
    finding = Told(n=3, at=0.5, conn=1, event="finding", text="MUST x")
    assert told(Item(finding)) is finding


@pytest.mark.parametrize("secret", ["0x0123456789abcdef", "0bQUJDREVGR0g=", "hunter2"])
def test_no_secret_is_told(secret: str) -> None:
    data = encode_text([("CHAP_N", "me"), ("CHAP_R", secret)])
    login = Pdu.build(Opcode.LOGIN_REQUEST, data)
    label = summary(login)
    changes = (
        Change(what="text.CHAP_R", old=secret, new="removed"),
        Change(what="data+17", old=secret, new="00"),
        Change(what="data", old=f"40 bytes {secret}", new="1 byte 00"),
        Change(what="CSG", old="0", new="1"),
        Change(what="text.CHAP_N", old="me", new="you"),
    )
    events = (
        Received(n=1, at=0, conn=1, leg=End.INITIATOR, pdu=login),
        Delivered(n=2, at=0, conn=1, leg=End.TARGET, pdu=login, of=1, changes=changes),
        Fired(n=3, at=0, conn=1, rule="x/a", act="set", of=1, label=label, text="changed", changes=changes),
        Decided(n=4, at=0, conn=1, rule="x/a", what="failed", of=1, text=f"set: CHAP_R={secret} is wrong"),
    )
    for event in events:
        words = told(Item(event))
        assert secret not in repr(words)
    assert "CSG 0 -> 1" in told(Item(events[2])).text
    assert told(Item(events[0])).text == told(Item(events[2])).label == label, "the tags of it are no secrets"
    assert told(Item(events[1])).changes[3:] == ("CSG 0 -> 1", "text.CHAP_N me -> you")
