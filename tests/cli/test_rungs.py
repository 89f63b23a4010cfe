from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.cli.rungs import HEAD, around, folded
from iscsiproxy.journal import Journal
from iscsiproxy.report.model import Evidence, Finding, RunResult
from iscsiproxy.runs.ladder import Rung
from iscsiproxy.session.events import Connected, Delivered, Event, Fired, Received
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []

DATA = Pdu.build(Opcode.DATA_OUT, b"data", ITT=1, TTT=2)


def rung(arrival: str = "whole", sender: End = End.INITIATOR, pdu: Pdu | None = DATA, text: str = "") -> Rung:
    return Rung(conn=1, at=0.0, sender=sender, pdu=pdu, arrival=arrival, text=text)  # type: ignore[arg-type]


def test_a_rung_says_without_colour_what_became_of_it() -> None:
    for arrival, mark in (("whole", "Data-Out"), ("never", "LOST"), ("changed", "CHANGED"), ("repeated", "TWICE")):
        ((_, text, _),) = folded([rung(arrival)])
        assert text.split()[0] == mark
    ((_, text, _),) = folded([rung(pdu=None, sender=End.TARGET, text="closes the connection")])
    assert text == "the target closes the connection"


def test_words_that_say_nothing_are_left_out() -> None:
    ((_, text, _),) = folded([rung()])
    ((_, less, _),) = folded([rung()], without=("ITT=",))
    assert set(text.split()) - set(less.split()) == {"ITT=0x00000001"}


def test_long_rows_of_like_rungs_are_folded() -> None:
    texts = [text for _, text, _ in folded([rung()] * 8 + [rung("never")] + [rung()] * 4)]
    assert texts[2] == "… 5 more"
    assert len(texts) == 4 + 1 + 4


def _journal(folder: Path) -> str:
    """Keep a ping a second on each of two connections; the one on the first at 20 s is lost."""
    path = folder / "journal.jsonl"
    journal = Journal(path)
    events: list[Event] = [
        Connected(n=conn, at=0.0, conn=conn, initiator="a:1", listen="b:1", local="c:1", target="d:1")
        for conn in (1, 2)
    ]
    for second in range(1, 31):
        for conn in (1, 2):
            n = 4 * second + 2 * (conn - 1)
            ping = Pdu.build(Opcode.NOP_OUT if second % 2 else Opcode.NOP_IN, ITT=second, TTT=0xFFFFFFFF)
            leg = End.INITIATOR if second % 2 else End.TARGET
            events.append(Received(n=n, at=float(second), conn=conn, leg=leg, pdu=ping))
            if (second, conn) != (20, 1):
                events.append(Delivered(n=n + 1, at=float(second), conn=conn, leg=leg.other, pdu=ping, of=n))
    events.append(Fired(n=200, at=31.0, conn=1, rule="x", act="drop", text="", label="", of=80))
    for event in events:
        journal(event)
    journal.close()
    return str(path)


def _fail(path: str | None, *evidence: Evidence) -> RunResult:
    finding = Finding(about="expectation", verdict="fail", text="it came", evidence=evidence)
    return RunResult(
        name="x", scenario="x", verdict="fail", findings=(finding,), files={} if path is None else {"journal": path}
    )


def test_what_is_around_the_evidence(tmp_path: Path) -> None:
    head, *lines = around(_fail(_journal(tmp_path), Evidence(n=80, conn=1, text="lost")))
    assert head == HEAD
    assert [line.split("ITT=0x000000")[1][:2] for line in lines] == [f"{number:02x}" for number in range(18, 23)]
    assert ["LOST" in line for line in lines] == [False, False, True, False, False]


def test_what_is_between_two_pieces_of_evidence_is_cut_short(tmp_path: Path) -> None:
    proofs = [Evidence(n=4 * second, conn=1, text="seen") for second in (5, 20)]
    _, *lines = around(_fail(_journal(tmp_path), *proofs))
    assert len(lines) == 10
    assert lines[5].split() == ["│", "│", "│", "…", "11", "more"]
    assert "ITT=0x00000003" in lines[0]
    assert "LOST" in lines[7]
    assert "ITT=0x00000016" in lines[9]


def test_data_that_the_journal_does_not_keep_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    pdu = Pdu.build(Opcode.DATA_OUT, bytes(512), ITT=1)
    journal(Received(n=1, at=0.0, conn=1, leg=End.INITIATOR, pdu=pdu))
    journal.close()
    _, line = around(_fail(str(tmp_path / "journal.jsonl"), Evidence(n=1, conn=1, text="seen")))
    assert "data=512" in line
    assert "DataSegmentLength" not in line


def test_without_evidence_it_is_what_is_around_the_fault(tmp_path: Path) -> None:
    lines = around(_fail(_journal(tmp_path)))
    assert "ITT=0x0000001e" in lines[-1]


@pytest.mark.parametrize("path", [None, "/nowhere/journal.jsonl", "/dev/null"])
def test_without_a_journal_there_is_nothing_to_draw(path: str | None) -> None:
    assert around(_fail(path)) == []
