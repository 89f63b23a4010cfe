from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.wire.framing import (
    EVERYTHING,
    NEED_DATA,
    NOTHING,
    Framer,
    Header,
    Interest,
    NeedData,
    Run,
    Unframeable,
)
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.wire.samples import SAMPLES, Sample

__all__: list[str] = []

Event = Run | Header | Pdu | Unframeable
HEADERS = (Interest.HEADER,) * 64
DIGESTS = [(False, False), (True, False), (False, True), (True, True)]


def table(**levels: Interest) -> tuple[Interest, ...]:
    """Make an interest table that names the opcodes looked at."""
    opcodes = {Opcode[name]: level for name, level in levels.items()}
    return tuple(opcodes.get(opcode, Interest.NONE) for opcode in range(64))  # type: ignore[call-overload]


def frozen(event: Event) -> Event:
    """Take a run out of the buffer it is a view of."""
    return Run(memoryview(bytes(event.data))) if isinstance(event, Run) else event


def pull(framer: Framer) -> list[Event]:
    """Pull all events there are."""
    events: list[Event] = []
    while not isinstance(event := framer.next_event(), NeedData):
        events.append(frozen(event))
    return events


def feed(framer: Framer, chunks: Iterable[bytes]) -> list[Event]:
    """Receive chunks, pulling all events after each."""
    events: list[Event] = []
    for chunk in chunks:
        framer.receive_data(chunk)
        events += pull(framer)
    return events


def spilled(event: Event) -> bytes:
    """Give the bytes that an event takes out of the stream."""
    if isinstance(event, Run):
        return bytes(event.data)
    if isinstance(event, Unframeable):
        return event.rest
    return event.raw if isinstance(event, Pdu) else b""


def joined(events: Iterable[Event]) -> bytes:
    return b"".join(map(spilled, events))


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.fixture(params=[1, 7, 48, 64, 1 << 18])
def buffer_size(request: pytest.FixtureRequest) -> int:
    size: int = request.param
    return size


# --- one PDU after another -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("header", "data"), DIGESTS)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.built.label)
def test_every_sample_a_byte_at_a_time(sample: Sample, header: bool, data: bool) -> None:
    pdu = sample.built.sealed(header=header, data=data)
    framer = Framer()
    framer.header_digest, framer.data_digest = header, data
    assert feed(framer, bytewise(pdu.raw)) == [pdu]
    assert not framer.inside_pdu
    assert pdu.header_digest_ok() is (True if header else None)
    assert pdu.data_digest_ok() is (True if data and pdu.data else None)


def test_every_sample_in_one_stream(buffer_size: int) -> None:
    pdus = [sample.built.sealed(header=True, data=True) for sample in SAMPLES]
    framer = Framer(buffer_size=buffer_size)
    framer.header_digest = framer.data_digest = True
    assert feed(framer, [b"".join(pdu.raw for pdu in pdus)]) == pdus


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.built.label)
def test_a_truncated_pdu_is_held_and_can_be_taken(sample: Sample) -> None:
    wire = sample.wire
    for length in range(len(wire)):
        framer = Framer()
        assert feed(framer, [wire[:length]]) == []
        assert framer.pending == length
        assert framer.inside_pdu is (length > 0)
        assert framer.take_rest() == wire[:length]
        assert not framer.inside_pdu
        assert framer.pending == 0


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.built.label)
def test_trailing_bytes_wait_for_more(sample: Sample) -> None:
    wire = sample.wire
    framer = Framer()
    assert [spilled(event) for event in feed(framer, [wire + wire[:20]])] == [wire]
    assert framer.pending == 20
    assert [spilled(event) for event in feed(framer, [wire[20:]])] == [wire]


def test_bytes_put_into_space_are_framed() -> None:
    framer = Framer()
    wire = SAMPLES[0].wire
    framer.space()[: len(wire)] = wire
    framer.received(len(wire))
    assert framer.next_event() == SAMPLES[0].built
    assert framer.next_event() is NEED_DATA


# --- runs ----------------------------------------------------------------------------------------------------------


def test_what_nobody_wants_is_one_run() -> None:
    stream = b"".join(sample.wire for sample in SAMPLES)
    assert [spilled(event) for event in feed(Framer(interest=NOTHING), [stream])] == [stream]


def test_a_run_goes_on_before_its_pdu_is_complete() -> None:
    wire = Pdu.build(Opcode.DATA_IN, bytes(1000)).raw
    framer = Framer(interest=NOTHING)
    assert [spilled(event) for event in feed(framer, [wire[:100], wire[100:500], wire[500:]])] == [
        wire[:100],
        wire[100:500],
        wire[500:],
    ]


def test_a_run_tells_whether_it_ends_inside_a_pdu() -> None:
    wire = Pdu.build(Opcode.DATA_IN, bytes(100)).raw
    framer = Framer(interest=HEADERS)
    framer.receive_data(wire + wire[:60])
    told = []
    while not isinstance(event := framer.next_event(), NeedData):
        if isinstance(event, Run):
            told.append((len(event.data), framer.mid_pdu))
    framer.receive_data(wire[60:] + wire[:4])
    assert isinstance(framer.next_event(), Run)
    assert [*told, framer.mid_pdu, framer.inside_pdu] == [(len(wire) + 60, True), False, True]
    framer.strict = True
    feed(framer, [b"\xff" * 48])
    assert framer.mid_pdu


def test_half_a_header_stays_behind_a_run() -> None:
    wire = Pdu.build(Opcode.DATA_IN, bytes(100)).raw
    framer = Framer(interest=NOTHING)
    assert [spilled(event) for event in feed(framer, [wire + wire[:47]])] == [wire]
    assert [spilled(event) for event in feed(framer, [wire[47:]])] == [wire]


def test_a_wanted_pdu_comes_behind_the_run_before_it() -> None:
    data = Pdu.build(Opcode.DATA_IN, bytes(100))
    status = Pdu.build(Opcode.SCSI_RESPONSE)
    framer = Framer(interest=table(SCSI_RESPONSE=Interest.WHOLE))
    events = feed(framer, [data.raw + data.raw + status.raw + data.raw])
    assert [spilled(event) for event in events] == [data.raw * 2, status.raw, data.raw]
    assert events[1] == status


def test_a_header_is_given_once_and_its_bytes_come_in_runs(buffer_size: int) -> None:
    pdu = Pdu.build(Opcode.DATA_IN, bytes(range(100)), ahs=bytes(8)).sealed(header=True, data=True)
    framer = Framer(interest=HEADERS, buffer_size=buffer_size)
    framer.header_digest = framer.data_digest = True
    events = feed(framer, bytewise(pdu.raw * 3))
    assert joined(events) == pdu.raw * 3
    header = Header(Pdu(pdu.bhs, pdu.ahs), size=len(pdu))
    assert [event for event in events if isinstance(event, Header)] == [header] * 3


def test_a_header_needs_all_of_its_ahs() -> None:
    wire = Pdu.build(Opcode.SCSI_COMMAND, ahs=bytes(1020)).raw
    framer = Framer(interest=HEADERS)
    assert feed(framer, [wire[:-1]]) == []
    assert feed(framer, [wire[-1:]]) == [Header(Pdu(wire[:48], wire[48:]), size=len(wire)), Run(memoryview(wire))]


def test_more_may_be_received_before_all_events_are_pulled() -> None:
    """A header is given, its bytes are not, and the buffer must move: nothing may be lost or given twice."""
    status = Pdu.build(Opcode.SCSI_RESPONSE)
    ping = Pdu.build(Opcode.NOP_IN)
    data = Pdu.build(Opcode.DATA_IN, bytes(range(200)))
    framer = Framer(interest=table(SCSI_RESPONSE=Interest.WHOLE, DATA_IN=Interest.HEADER), buffer_size=256)
    framer.receive_data(status.raw + ping.raw + data.raw[:60])
    assert framer.next_event() == status
    assert isinstance(framer.next_event(), Header)
    framer.receive_data(data.raw[60:] + status.raw * 20)
    events = pull(framer)
    assert [spilled(event) for event in events] == [ping.raw + data.raw, *[status.raw] * 20]


def test_a_run_stays_valid_until_more_is_received() -> None:
    small = Pdu.build(Opcode.DATA_IN, b"\x11" * 200).raw
    large = Pdu.build(Opcode.SCSI_RESPONSE, b"\x22" * 2000).raw
    framer = Framer(interest=table(SCSI_RESPONSE=Interest.WHOLE), buffer_size=4096)
    framer.receive_data(small * 10 + large[:500])
    run = framer.next_event()
    assert isinstance(run, Run)
    while framer.next_event() is not NEED_DATA:
        pass
    assert bytes(run.data) == small * 10


# --- caps ----------------------------------------------------------------------------------------------------------


def test_a_pdu_above_the_cap_is_a_header_at_its_very_place(buffer_size: int) -> None:
    small = Pdu.build(Opcode.NOP_IN)
    large = Pdu.build(Opcode.DATA_IN, bytes(5000))
    framer = Framer(
        interest=table(DATA_IN=Interest.WHOLE), max_pdu=len(large) - 1, buffer_size=max(buffer_size, 1 << 14)
    )
    events = feed(framer, [small.raw + large.raw + small.raw])
    assert [spilled(event) for event in events] == [small.raw, b"", large.raw + small.raw]
    assert events[1] == Header(Pdu(large.bhs), oversize=True, size=len(large))


def test_a_pdu_at_the_cap_is_whole() -> None:
    large = Pdu.build(Opcode.DATA_IN, bytes(5000))
    assert feed(Framer(max_pdu=len(large)), [large.raw]) == [large]


def test_a_pdu_longer_than_the_buffer_is_collected(buffer_size: int) -> None:
    pdu = Pdu.build(Opcode.DATA_IN, bytes(range(256)) * 64)
    stream = pdu.raw * 4
    framer = Framer(buffer_size=buffer_size)
    chunks = [stream[at : at + 1000] for at in range(0, len(stream), 1000)]
    assert feed(framer, chunks) == [pdu] * 4


def test_a_header_that_announces_much_costs_nothing() -> None:
    framer = Framer(buffer_size=4096, max_pdu=1 << 24)
    framer.receive_data(Pdu.build(Opcode.DATA_IN).raw[:5] + b"\xff\xff\x00" + bytes(40))
    assert framer.next_event() is NEED_DATA
    for _ in range(10):
        assert len(framer.space()) <= 8192
        assert framer.next_event() is NEED_DATA


def test_space_is_never_empty() -> None:
    framer = Framer(buffer_size=4096)
    for _ in range(6):  # nothing is pulled
        room = framer.space()
        assert len(room) > 0
        room[:] = b"\x25" * len(room)
        framer.received(len(room))
    assert framer.pending >= 6 * 4096


def test_a_buffer_grown_for_one_large_pdu_shrinks_again() -> None:
    large = Pdu.build(Opcode.DATA_IN, bytes(100_000))
    small = Pdu.build(Opcode.NOP_IN)
    framer = Framer(buffer_size=4096)
    assert feed(framer, [large.raw[at : at + 4096] for at in range(0, len(large), 4096)]) == [large]
    assert len(framer.space()) > 50_000
    for _ in range(100):
        assert feed(framer, [small.raw]) == [small]
    assert len(framer.space()) == 4096


# --- login ---------------------------------------------------------------------------------------------------------


def test_a_long_data_segment_in_login_is_garbage() -> None:
    login = Pdu.build(Opcode.LOGIN_REQUEST, b"SessionType=Normal\0", I=1)
    garbage = b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: a-browser\r\n\r\n"
    framer = Framer()
    framer.strict = True
    assert feed(framer, [login.raw + garbage, b"more"]) == [
        login,
        Unframeable("a data segment of 2115668 bytes during login", garbage),
        Run(memoryview(b"more")),
    ]


def test_the_run_before_garbage_is_given_first() -> None:
    nop = Pdu.build(Opcode.NOP_OUT).raw
    framer = Framer(interest=NOTHING, max_login=1000)
    framer.strict = True
    events = feed(framer, [nop + nop[:5] + b"\xff\xff\xff" + bytes(40)])
    assert [type(event) for event in events] == [Run, Unframeable]
    assert spilled(events[0]) == nop


def test_strict_holds_during_login_only() -> None:
    pdu = Pdu.build(Opcode.DATA_IN, bytes(1001))
    framer = Framer(max_login=1000)
    assert feed(framer, [pdu.raw]) == [pdu]
    framer.strict = True
    assert feed(framer, [pdu.with_data(bytes(1000)).raw]) == [pdu.with_data(bytes(1000))]
    assert isinstance(feed(framer, [pdu.raw])[0], Unframeable)


# --- changes in the middle of the stream ---------------------------------------------------------------------------


def test_digests_change_with_the_final_login_response() -> None:
    login = Pdu.build(Opcode.LOGIN_RESPONSE, b"HeaderDigest=CRC32C\0", T=1)
    after = Pdu.build(Opcode.DATA_IN, b"abc").sealed(header=True, data=True)
    framer = Framer()
    framer.receive_data(login.raw + after.raw + after.raw)
    assert framer.next_event() == login
    framer.header_digest = framer.data_digest = True
    assert pull(framer) == [after, after]


@pytest.mark.parametrize("level", [Interest.NONE, Interest.WHOLE])
def test_interest_changed_behind_a_header_holds_from_the_next_pdu(level: Interest) -> None:
    pdu = Pdu.build(Opcode.DATA_IN, bytes(100))
    framer = Framer(interest=HEADERS)
    framer.receive_data(pdu.raw * 2)
    assert isinstance(framer.next_event(), Header)
    framer.interest = (level,) * 64
    rest = pull(framer)
    if level is Interest.NONE:
        assert [spilled(event) for event in rest] == [pdu.raw * 2]
        framer.interest = HEADERS
        assert feed(framer, [pdu.raw])[0] == Header(Pdu(pdu.bhs), size=len(pdu))
    else:
        assert [spilled(event) for event in rest] == [pdu.raw] * 2
        assert rest[1] == pdu


def test_digests_changed_behind_a_header_hold_from_the_next_pdu() -> None:
    pdu = Pdu.build(Opcode.DATA_IN, bytes(100))
    framer = Framer(interest=HEADERS)
    framer.receive_data(pdu.raw + pdu.sealed(header=True, data=True).raw + pdu.raw[:4])
    assert isinstance(framer.next_event(), Header)
    framer.header_digest = framer.data_digest = True
    framer.interest = EVERYTHING
    assert [spilled(event) for event in pull(framer)] == [pdu.raw, pdu.sealed(header=True, data=True).raw]
    assert framer.take_rest() == pdu.raw[:4]


def test_a_pdu_half_collected_goes_as_a_run_when_interest_ends() -> None:
    wire = Pdu.build(Opcode.DATA_IN, bytes(1000)).raw
    framer = Framer()
    assert feed(framer, [wire[:500]]) == []
    framer.interest = NOTHING
    assert [spilled(event) for event in feed(framer, [wire[500:600], wire[600:]])] == [wire[:600], wire[600:]]


def test_a_run_inside_a_pdu_is_finished_when_interest_begins() -> None:
    wire = Pdu.build(Opcode.DATA_IN, bytes(1000)).raw
    framer = Framer(interest=NOTHING)
    assert [spilled(event) for event in feed(framer, [wire[:500]])] == [wire[:500]]
    framer.interest = EVERYTHING
    assert [spilled(event) for event in feed(framer, [wire[500:] + wire])] == [wire[500:], wire]


def test_repr_names_the_state() -> None:
    framer = Framer()
    framer.header_digest = True
    framer.receive_data(bytes(20))
    assert repr(framer) == "<Framer digests=H- 20 bytes held, 0 to skip>"
    framer.take_rest()
    framer.strict = True
    feed(framer, [b"\xff" * 48])
    assert repr(framer) == "<Framer digests=H- broken>"


# --- whatever the bytes, the chunks and the tables -----------------------------------------------------------------

levels = st.sampled_from(list(Interest))
tables = st.one_of(
    st.sampled_from([EVERYTHING, NOTHING, HEADERS]), st.lists(levels, min_size=64, max_size=64).map(tuple)
)
known = st.sampled_from([sample.built for sample in SAMPLES])
made = st.builds(
    lambda opcode, data, words: Pdu.build(opcode, data, ahs=bytes(4 * words)),
    st.integers(0, 63),
    st.binary(max_size=300),
    st.integers(0, 3),
)


def cut(stream: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Cut a stream into chunks of these sizes, round and round."""
    chunks = []
    at = turn = 0
    while at < len(stream):
        size = sizes[turn % len(sizes)] if sizes else len(stream)
        chunks.append(stream[at : at + size])
        at += size
        turn += 1
    return chunks


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    stream=st.binary(max_size=600),
    sizes=st.lists(st.integers(1, 200), max_size=4),
    interests=st.lists(tables, min_size=1, max_size=3),
    digests=st.sampled_from(DIGESTS),
    strict=st.booleans(),
    size=st.sampled_from([16, 300, 1 << 18]),
    max_pdu=st.sampled_from([60, 400, 1 << 21]),
)
def test_any_bytes_come_out_as_they_went_in(
    stream: bytes,
    sizes: list[int],
    interests: list[tuple[Interest, ...]],
    digests: tuple[bool, bool],
    strict: bool,
    size: int,
    max_pdu: int,
) -> None:
    framer = Framer(buffer_size=size, max_pdu=max_pdu)
    framer.strict = strict
    out = b""
    for turn, chunk in enumerate(cut(stream, sizes)):
        framer.interest = interests[turn % len(interests)]
        framer.header_digest, framer.data_digest = digests if turn % 2 else (False, False)
        out += joined(feed(framer, [chunk]))
        assert stream.startswith(out)
        assert len(out) + framer.pending <= len(stream)
    assert out + framer.take_rest() == stream


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    pdus=st.lists(known | made, max_size=12),
    sizes=st.lists(st.integers(1, 700), max_size=5),
    interests=st.lists(tables, min_size=1, max_size=4),
    digests=st.sampled_from(DIGESTS),
    switch=st.integers(1, 5),
    size=st.sampled_from([16, 300, 1 << 18]),
    max_pdu=st.sampled_from([100, 400, 1 << 21]),
)
def test_pdus_are_found_whatever_the_chunks_and_tables(
    pdus: list[Pdu],
    sizes: list[int],
    interests: list[tuple[Interest, ...]],
    digests: tuple[bool, bool],
    switch: int,
    size: int,
    max_pdu: int,
) -> None:
    """Interest changes after every `switch` events, wherever in the stream that is."""
    pdus = [pdu.sealed(header=digests[0], data=digests[1]) for pdu in pdus]
    stream = b"".join(pdu.raw for pdu in pdus)
    starts = dict(zip(_starts(pdus), pdus, strict=True))
    framer = Framer(buffer_size=size, max_pdu=max_pdu)
    framer.header_digest, framer.data_digest = digests
    framer.interest = interests[0]
    out = b""
    count = 0
    for chunk in cut(stream, sizes):
        framer.receive_data(chunk)
        while not isinstance(event := framer.next_event(), NeedData):
            assert not isinstance(event, Unframeable)
            if isinstance(event, Pdu):
                assert starts[len(out)] == event
                assert len(event) <= max_pdu
            elif isinstance(event, Header):
                assert any(event.pdu.bhs == pdu.bhs and event.size == len(pdu) for pdu in starts.values())
                if event.oversize:
                    assert starts[len(out)].bhs == event.pdu.bhs
            out += spilled(event)
            count += 1
            passed = [pdu.bhs for start, pdu in starts.items() if start < len(out)]
            if not isinstance(event, Header):
                assert framer.latest == passed[-1]
            else:
                assert framer.latest == event.pdu.bhs
            framer.interest = interests[count // switch % len(interests)]
    assert out == stream
    assert not framer.inside_pdu


def _starts(pdus: Sequence[Pdu]) -> list[int]:
    starts = []
    at = 0
    for pdu in pdus:
        starts.append(at)
        at += len(pdu)
    return starts


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pdus=st.lists(known | made, max_size=10), sizes=st.lists(st.integers(1, 300), max_size=4))
def test_headers_are_given_once_each_in_order(pdus: list[Pdu], sizes: list[int]) -> None:
    framer = Framer(interest=HEADERS, buffer_size=64)
    events = feed(framer, cut(b"".join(pdu.raw for pdu in pdus), sizes))
    headers = [event.pdu for event in events if isinstance(event, Header)]
    assert headers == [Pdu(pdu.bhs, pdu.ahs) for pdu in pdus]
