from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from iscsiproxy import __version__
from iscsiproxy.journal import Journal, Lost, read
from iscsiproxy.journal.writer import REMEMBERED
from iscsiproxy.session.events import ConnectFailed, Event
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.journal.story import INITIATOR, TARGET, Story, change, command, data_in, login, response, text

__all__: list[str] = []

STARTED = 1_700_000_000.25


def record(path: Path, events: Iterable[Event], **facts: Any) -> list[dict[str, Any]]:
    """Write events as a journal and give its lines, without the first and the last."""
    journal = Journal(path, started=STARTED, **facts)
    for event in events:
        journal(event)
    assert journal.close()
    first, *lines, last = map(json.loads, path.read_text().splitlines())
    assert first["journal"] == 1
    assert last == {"e": "end", "events": len(lines)}
    return lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_the_first_line_says_what_run_this_is(path: Path) -> None:
    record(path, [], seed=7, maps=[":3261=host:3260"], scenarios=["cmdsn_duplicate"], facts={"target": "tgt"})
    assert json.loads(path.read_text().splitlines()[0]) == {
        "journal": 1,
        "program": f"iscsiproxy {__version__}",
        "started": "2023-11-14T22:13:20.250000+00:00",
        "hash": "xxh3-64",
        "block": 512,
        "seed": 7,
        "maps": [":3261=host:3260"],
        "scenarios": ["cmdsn_duplicate"],
        "facts": {"target": "tgt"},
    }


def test_a_line_has_only_what_there_is_to_say(path: Path) -> None:
    story = Story()
    pdu = command(5)
    story.passed(pdu)
    assert record(path, story.events) == [
        {
            "e": "received",
            "n": 1,
            "t": 0.001,
            "conn": 1,
            "leg": "initiator",
            "pdu": "SCSI-Command",
            "bhs": pdu.bhs.hex(),
        },
        {
            "e": "delivered",
            "n": 2,
            "t": 0.002,
            "conn": 1,
            "leg": "target",
            "pdu": "SCSI-Command",
            "of": 1,
            "same": True,
        },
    ]


def test_times_have_six_decimals(path: Path) -> None:
    story = Story()
    story.connected()
    [line] = record(path, [replace(story.events[0], at=1.23456789)])
    assert line["t"] == 1.234568


def test_text_is_readable(path: Path) -> None:
    story = Story()
    story.came(login("InitiatorName=iqn.é", "SessionType=Normal").with_data(text("A=1", "B=ü") + b"tail"))
    [line] = record(path, story.events)
    assert (line["text"], line["tail"]) == (["A=1", "B=ü"], "tail")
    assert "data" not in line


def test_text_that_is_not_UTF_8_is_hexadecimal(path: Path) -> None:
    story = Story()
    story.came(login().with_data(b"A=\xff\0"))
    [line] = record(path, story.events)
    assert line["data"] == "413dff00"
    assert "text" not in line


def test_digests_are_told_with_their_value(path: Path) -> None:
    story = Story()
    pdu = data_in(data=bytes(512)).sealed(header=True, data=True).with_parts(header_digest=b"\1\2\3\4")
    story.came(pdu, header_digest_ok=False, data_digest_ok=True)
    [line] = record(path, story.events)
    assert (line["header_digest"], line["header_digest_ok"]) == ("01020304", False)
    assert (line["data_digest"], line["data_digest_ok"]) == (pdu.data_digest.hex(), True)


def test_user_data_is_hashed_and_protocol_data_kept(path: Path) -> None:
    story = Story()
    for pdu in (data_in(data=bytes(1536)), data_in(data=b"capacity"), response(data=b"\0\x12" + bytes(18))):
        story.came(pdu)
    blocks, capacity, sense = record(path, story.events)
    assert len(blocks["blocks"]) == 3 * 16
    assert "data" not in blocks
    assert capacity["data"] == b"capacity".hex()
    assert sense["data"] == "0012" + "00" * 18


def test_odd_padding_and_lengths_are_told(path: Path) -> None:
    story = Story()
    odd = data_in(data=b"abc")
    story.came(odd)
    story.came(odd.with_parts(pad=b"x"))
    story.came(odd.with_parts(pad=b""))
    story.came(odd.with_fields({"DataSegmentLength": 100}))
    assert [(line.get("pad"), line.get("length")) for line in record(path, story.events)] == [
        (None, None),
        ("78", None),
        ("", None),
        (None, 3),
    ]


def test_what_a_fault_changed_is_told_in_full(path: Path) -> None:
    story = Story()
    pdu = command(1)
    n = story.came(pdu)
    changed = pdu.with_fields({"CmdSN": 9}).sealed(header=True, data=False)
    story.went(changed, n, changes=[change("CmdSN", 1, 9)], rules=["cmdsn/1"])
    story.went(pdu, n, rules=["delay/1"], sent=20)
    story.went(pdu, None, rules=["inject/1"])
    story.went(pdu, n, sent=10)
    story.went(pdu, n, start=10)
    _, first, second, third, fourth, fifth = record(path, story.events)
    assert first["changes"] == [["CmdSN", "1", "9"]]
    assert first["rules"] == ["cmdsn/1"]
    assert first["bhs"] == changed.bhs.hex()
    assert first["header_digest_ok"] is True
    assert (second["bhs"], second["rules"], second["sent"]) == (pdu.bhs.hex(), ["delay/1"], 20)
    assert "of" not in third
    assert (fourth["same"], fourth["sent"]) == (True, 10)
    assert (fifth["same"], fifth["start"]) == (True, 10)
    assert "sent" not in fifth


def test_a_PDU_that_differs_is_never_called_the_same(path: Path) -> None:
    story = Story()
    n = story.came(command(1))
    story.went(command(2), n)
    story.went(command(1), n + 100)
    _, differs, unheard = record(path, story.events)
    assert "same" not in differs
    assert "same" not in unheard


def test_a_PDU_received_long_ago_is_told_again(path: Path) -> None:
    story = Story()
    n = story.came(command(1))
    later = Story(first=REMEMBERED + n)
    later.came(command(2))
    later.went(command(1), n)
    assert "same" not in record(path, story.events + later.events)[-1]


def test_bytes_that_are_not_UTF_8_are_escaped_in_words(path: Path) -> None:
    story = Story()
    story.noted("rule/1", None, "key \udcff of é")
    story.full_feature(INITIATOR, "A=\udcff")
    noted, full = record(path, story.events)
    assert noted["text"] == "key \\xff of é"
    assert full["keys"] == [["A", "\\xff"]]


def test_every_other_kind_of_line(path: Path) -> None:
    story = Story()
    story.connected()
    n = story.came(command(1))
    story.full_feature(TARGET, "HeaderDigest=None")
    story.violated(TARGET, INITIATOR, n, "CmdSN skipped", "4.2.2.1")
    story.fired("r/1", "set", n, "CmdSN 1 -> 2", change("CmdSN", 1, 2))
    story.decided("r/1", "shadowed", n, "drop comes second")
    story.noted("r/1", None, "a note")
    story.unframed(TARGET, "garbage")
    story.closed(TARGET, "rst", "fault")
    failed = ConnectFailed(n=10, at=1.0, conn=2, initiator="a:1", target="b:2", reason="refused")
    lines = record(path, [*story.events, failed])
    assert [{name: value for name, value in line.items() if name not in ("n", "t", "conn")} for line in lines] == [
        {
            "e": "connected",
            "initiator": "127.0.0.1:40001",
            "listen": "127.0.0.1:3261",
            "local": "127.0.0.1:40002",
            "target": "127.0.0.1:3260",
        },
        {"e": "received", "leg": "initiator", "pdu": "SCSI-Command", "bhs": command(1).bhs.hex()},
        {"e": "full-feature", "leg": "target", "keys": [["HeaderDigest", "None"]]},
        {
            "e": "violated",
            "leg": "target",
            "by": "initiator",
            "text": "CmdSN skipped",
            "section": "4.2.2.1",
            "of": 2,
        },
        {
            "e": "fired",
            "rule": "r/1",
            "act": "set",
            "label": "SCSI-Command ITT=0x1",
            "text": "CmdSN 1 -> 2",
            "of": 2,
            "changes": [["CmdSN", "1", "2"]],
        },
        {"e": "decided", "rule": "r/1", "what": "shadowed", "text": "drop comes second", "of": 2},
        {"e": "noted", "rule": "r/1", "text": "a note"},
        {"e": "unframed", "leg": "target", "reason": "garbage"},
        {"e": "closed", "leg": "target", "how": "rst", "by": "fault"},
        {"e": "connect-failed", "initiator": "a:1", "target": "b:2", "reason": "refused"},
    ]


def test_what_the_disk_does_not_take_is_counted_and_told() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader:
        story = Story()
        limit = 4 << 16
        large = Pdu.build(Opcode.TEXT_RESPONSE, b"x" * (3 << 16))
        lost = story.came(large.with_fields({"ITT": 1}))
        story.came(large.with_fields({"ITT": 2}))
        story.came(command(3))
        story.went(large.with_fields({"ITT": 2}), lost + 1)
        journal = Journal(write_end, started=STARTED, limit=limit)
        assert [journal.record(event) for event in story.events[:3]] == [True, False, True]
        assert (journal.lost, journal.events) == (1, 2)
        lines = [json.loads(reader.readline()) for _ in range(4)]
        assert [line.get("e") for line in lines] == [None, "received", "lost", "received"]
        assert lines[2]["count"] == 1
        assert journal.flush()
        assert journal.record(story.events[3])
        assert "same" not in json.loads(reader.readline())
        assert not journal.close()
        assert json.loads(reader.readline()) == {"e": "end", "events": 3, "lost": 1}
        os.close(write_end)


def test_its_repr_tells_its_state(path: Path) -> None:
    journal = Journal(path)
    assert repr(journal).startswith("<Journal 0 events, <BackgroundFile journal open")
    assert journal.failure is None
    journal.close()


CHILD = """
import sys
import time
from iscsiproxy.journal import Journal
from tests.journal.story import Story, command, data_in

journal, story = Journal(sys.argv[1]), Story()
print("ready", flush=True)
while True:
    story.passed(command(1))
    story.passed(data_in(data=bytes(65536)))
    for event in story.events:
        journal(event)
    story.events.clear()
"""


def test_a_kill_leaves_a_readable_journal(path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], cwd=root, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        child.stdout.readline()
        deadline = time.monotonic() + 60.0
        while path.stat().st_size < 1 << 20:
            assert child.poll() is None
            assert time.monotonic() < deadline
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    with read(path) as reader:
        records = list(reader)
        assert not reader.complete
    numbers = [record.entry.n for record in records if isinstance(record.entry, Event)]
    missing = sum(record.entry.count for record in records if isinstance(record.entry, Lost))
    assert numbers[0] == 1
    assert numbers[-1] == len(numbers) + missing
    assert len(numbers) > 1000
