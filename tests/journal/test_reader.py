from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from iscsiproxy.errors import JournalError
from iscsiproxy.journal import Ended, Journal, Lost, Reader, Record, Unknown, payload_of, read, record_of
from iscsiproxy.session.events import ConnectFailed, Delivered, Event, Received, Refused
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.journal.story import INITIATOR, TARGET, Story, change, command, data_in, login, response, text

__all__: list[str] = []

HEADER = '{"journal":1,"program":"p 1","started":"2023-11-14T22:13:20+00:00","hash":"xxh3-64","block":512}\n'


def journal_of(path: Path, events: Sequence[Event], **facts: Any) -> None:
    journal = Journal(path, started=1.0, **facts)
    for event in events:
        journal(event)
    assert journal.close()


def records(path: Path, events: Sequence[Event]) -> list[Record]:
    journal_of(path, events)
    with read(path) as reader:
        *found, last = reader
    assert last.entry == Ended(events=len(events), lost=0)
    assert reader.complete
    assert not reader.truncated
    return found


def entries(path: Path, events: Sequence[Event]) -> list[Any]:
    return [record.entry for record in records(path, events)]


def reader_of(*lines: str, header: str = HEADER) -> Reader:
    return read(io.BytesIO((header + "".join(lines)).encode()))


def without_data(pdu: Pdu) -> Pdu:
    return Pdu(pdu.bhs, pdu.ahs, pdu.header_digest, b"", pdu.pad, pdu.data_digest)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_events_come_back_as_they_were(path: Path) -> None:
    story = Story()
    story.logged_in("HeaderDigest=None")
    n = story.came(command(1))
    story.violated(TARGET, INITIATOR, n, "CmdSN skipped", "4.2.2.1")
    story.fired("r/1", "set", n, "CmdSN 1 -> 2", change("CmdSN", 1, 2))
    story.went(command(2), n, changes=[change("CmdSN", 1, 2)], rules=["r/1"], sent=40)
    story.decided("r/1", "shadowed", n, "drop comes second")
    story.noted("r/1", None, "a note")
    story.unframed(TARGET, "garbage")
    story.went(command(3), None, rules=["r/1"])
    story.ended()
    failed = ConnectFailed(n=len(story.events) + 1, at=1.0, conn=2, initiator="a:1", target="b:2", reason="refused")
    refused = Refused(n=failed.n + 1, at=1.0, conn=3, initiator="a:1", listen="b:2")
    events = [*story.events, failed, refused]
    assert entries(path, events) == events


PDUS = [
    command(1),
    login("A=1", "B=é"),
    login().with_data(b"A=1\0unfinished"),
    login().with_data(b"A=\xff\0"),
    login().with_data(b""),
    response(data=b"\0\x12" + bytes(18)),
    Pdu.build(Opcode.REJECT, command(1).bhs, Reason=4),
    Pdu.build(Opcode.ASYNC, b"\0\x02xx"),
    Pdu.build(Opcode.SCSI_COMMAND, b"", ahs=bytes([0, 5, 2, 0, 0, 0, 2, 0])),
    data_in(data=b"a capacity"),
    data_in(data=b"abc").with_parts(pad=b"x"),
    data_in(data=b"abc").with_parts(pad=b""),
    data_in(data=b"abc").with_fields({"DataSegmentLength": 200}),
    data_in(data=b"abcde").sealed(header=True, data=True),
    data_in(data=b"abcde").sealed(header=True, data=True).with_parts(header_digest=b"abcd"),
    Pdu(bytes([0xDC]) + bytes(47), data=b""),
]


@pytest.mark.parametrize("pdu", PDUS, ids=[f"{at}-{pdu.label}" for at, pdu in enumerate(PDUS)])
def test_a_PDU_that_is_kept_comes_back_byte_for_byte(path: Path, pdu: Pdu) -> None:
    story = Story()
    story.passed(pdu)
    story.went(pdu, None)
    for record in records(path, story.events):
        assert record.pdu == pdu
        assert record.data_length == len(pdu.data)
        assert record.payload == payload_of(pdu)


@pytest.mark.parametrize(("length", "offset"), [(65, 0), (512, 0), (4096, 512), (5000, 700), (1 << 18, 0)])
def test_user_data_comes_back_as_hashes(path: Path, length: int, offset: int) -> None:
    story = Story()
    pdu = data_in(data=bytes(at % 251 for at in range(length)), BufferOffset=offset).sealed(header=True, data=True)
    story.passed(pdu)
    story.went(pdu, None, rules=["inject/1"])
    came, went, authored = records(path, story.events)
    for record in (came, went, authored):
        assert record.pdu == without_data(pdu)
        assert record.data_length == length
        assert record.payload == payload_of(pdu)
        assert (record.header_digest_ok, record.data_digest_ok) == (True, True)
        assert not record.withheld
    assert [record.same for record in (came, went, authored)] == [False, True, False]


def test_what_was_delivered_unchanged_is_the_PDU_received(path: Path) -> None:
    story = Story()
    story.passed(command(1))
    came, went = entries(path, story.events)
    assert went.pdu is came.pdu


def test_a_live_record_says_the_same_as_one_read(path: Path) -> None:
    story = Story()
    story.logged_in("HeaderDigest=CRC32C", "DataDigest=CRC32C")
    for pdu in PDUS:
        story.passed(pdu)
        story.went(pdu, None)
    for read_one, live in zip(records(path, story.events), map(record_of, story.events), strict=True):
        assert read_one.data_length == live.data_length
        assert read_one.payload == live.payload
        assert read_one.header_digest_ok == live.header_digest_ok
        assert read_one.data_digest_ok == live.data_digest_ok


def test_a_header_alone_stays_a_header_alone(path: Path) -> None:
    story = Story()
    pdu = Pdu(data_in(data=bytes(300)).bhs)
    n = story.came(pdu, partial=True)
    story.went(pdu, n, sent=348)
    came, went = records(path, story.events)
    assert isinstance(came.entry, Received)
    assert isinstance(went.entry, Delivered)
    assert came.entry.partial
    assert came.pdu == went.pdu == pdu
    assert (came.data_length, came.payload, went.entry.sent) == (0, None, 348)


def test_whole_is_minus_one(path: Path) -> None:
    story = Story()
    story.went(command(1), None, sent=48)
    [entry] = entries(path, story.events)
    assert entry.sent == -1


def test_the_header_is_known_before_the_first_record(path: Path) -> None:
    journal_of(path, [], seed=7, maps=["a=b"], scenarios=["x"], facts={"any": ["thing"]})
    with read(str(path)) as reader:
        header = reader.header
    assert (header.version, header.seed, header.maps, header.scenarios) == (1, 7, ("a=b",), ("x",))
    assert (header.started, header.hash, header.block) == ("1970-01-01T00:00:01+00:00", "xxh3-64", 512)
    assert header.facts == {"any": ["thing"]}


def test_lines_are_numbered() -> None:
    reader = reader_of('{"e":"lost","count":2}\n', '{"e":"lost","count":3}\n')
    assert [(record.line, record.entry) for record in reader] == [(2, Lost(count=2)), (3, Lost(count=3))]
    assert reader.lost == 5
    assert not reader.complete


def test_a_last_line_cut_anywhere_is_left_out(path: Path) -> None:
    story = Story()
    story.noted("r/1", None, "a nöte")
    story.noted("r/1", None, "another")
    journal_of(path, story.events)
    *first, last, _ = path.read_bytes().splitlines(keepends=True)
    for end in range(1, len(last) - 1):
        with read(io.BytesIO(b"".join(first) + last[:end])) as reader:
            assert [record.entry for record in reader] == story.events[:1]
            assert reader.truncated
            assert not reader.complete
    for whole in (last, last.rstrip()):
        with read(io.BytesIO(b"".join(first) + whole)) as reader:
            assert [record.entry for record in reader] == story.events
            assert not reader.truncated


def test_unknown_kinds_and_members_are_kept_or_passed_over() -> None:
    reader = reader_of('{"e":"moon","n":1,"phase":"full"}\n', '{"e":"lost","count":2,"why":"disk"}\n')
    assert [record.entry for record in reader] == [
        Unknown(kind="moon", values={"e": "moon", "n": 1, "phase": "full"}),
        Lost(count=2),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "line 1: expected the first line of a journal, got an empty file"),
        ("rubbish\n", "line 1: expected the first line of a journal"),
        ("[1]\n", "line 1: expected the first line of a journal"),
        ('{"journal":1\n', "line 1: expected the first line of a journal"),
        ('{"e":"lost","count":1}\n', "line 1: expected the first line of a journal"),
        ("\udcff\n", "line 1: expected the first line of a journal"),
        ('{"journal":2}\n', "line 1: expected a journal of version 1, got version 2"),
        ('{"journal":"1"}\n', "line 1: expected a journal of version 1, got version '1'"),
        ('{"journal":1}\n', "line 1: Object missing required field `program`"),
    ],
)
def test_what_is_no_journal_is_refused_at_once(data: str, message: str) -> None:
    with pytest.raises(JournalError) as caught:
        read(io.BytesIO(data.encode("utf-8", "surrogateescape")))
    assert message in str(caught.value)


def bad(**values: Any) -> str:
    line = {"e": "received", "n": 1, "t": 0, "conn": 1, "leg": "initiator", "pdu": "x", "bhs": command(1).bhs.hex()}
    return json.dumps({**line, **values}) + "\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rubbish\n", "malformed"),
        ("\n", "truncated"),
        ("[]\n", "Expected `object`"),
        ("{}\n", "missing required field `e`"),
        ('{"e":7}\n', "Expected `str`"),
        ('{"e":"lost"}\n', "missing required field `count`"),
        (bad(leg="middle"), "Invalid enum value 'middle'"),
        (bad(n="one"), "Expected `int`, got `str`"),
        (bad(bhs="00"), "expected a header of 48 bytes, got 1"),
        (bad(bhs="zz"), "non-hexadecimal"),
        (bad(data="00"), "expected 0 bytes of data, got 1"),
        (bad(blocks="00" * 8), "expected 0 hashes of blocks, got 1"),
        (bad(blocks="00" * 12, length=600), "expected 2 hashes of blocks, got 1.5"),
        (bad(e="delivered", of=5, same=True), "expected a PDU received as 5, which is not there"),
        (bad(e="delivered", same=True), "expected a PDU received as None, which is not there"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(line: str, message: str) -> None:
    reader = reader_of('{"e":"lost","count":2}\n', line, '{"e":"lost","count":2}\n')
    assert next(reader).line == 2
    with pytest.raises(JournalError) as caught:
        next(reader)
    assert str(caught.value).startswith("journal: line 3: ")
    assert message in str(caught.value)


def test_nothing_follows_the_end() -> None:
    reader = reader_of('{"e":"end","events":0}\n', '{"e":"lost","count":2}\n')
    next(reader)
    with pytest.raises(JournalError, match="line 3: expected nothing after the line that ends the journal"):
        next(reader)


def test_the_name_of_the_file_is_in_the_message(path: Path) -> None:
    path.write_text(HEADER + "rubbish\n")
    with read(path) as reader, pytest.raises(JournalError, match=r"journal\.jsonl: line 2: "):
        next(reader)
    with pytest.raises(FileNotFoundError):
        read(path.with_name("other"))


def test_its_repr_tells_its_state() -> None:
    reader = reader_of('{"e":"end","events":0,"lost":3}\n')
    assert repr(reader) == "<Reader journal line 1 reading, 0 events lost>"
    list(reader)
    assert repr(reader) == "<Reader journal line 2 complete, 3 events lost>"


def test_text_is_put_together_from_its_pairs(path: Path) -> None:
    story = Story()
    story.came(login().with_data(text("A=1", "", "B=2")))
    [record] = records(path, story.events)
    assert record.pdu is not None
    assert record.pdu.data == b"A=1\0\0B=2\0"
