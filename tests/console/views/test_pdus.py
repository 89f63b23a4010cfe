"""PDUs in full, and those in hand."""

from __future__ import annotations

import pytest

from iscsiproxy.api.models import Field, Injected, Timer
from iscsiproxy.console.views.pdus import dump, held, held_line, injected, pdu, timer_text
from tests.console.fake import held_pdu, pdu_view
from tests.console.playing import viewed


def test_bytes_are_laid_out_sixteen_a_line() -> None:
    assert list(dump((b"ABC" + bytes(15)).hex())) == [
        "  0000  41 42 43 00 00 00 00 00  00 00 00 00 00 00 00 00  ABC.............",
        "  0010  00 00                                             ..",
    ]


def test_bytes_that_are_hidden_stay_so() -> None:
    assert next(dump("41??42")).endswith("A?B")


def test_a_pdu_is_shown_with_what_was_done_to_it() -> None:
    one = pdu_view(9, event="delivered", leg="target", of=7, rules=("a/1",), changes=("F 1 -> 0",))
    shown = viewed(pdu(one, 0))
    assert shown[:4] == [
        "9 NOP-Out  delivered to the target, conn 1, 1.000000s",
        "of event 7",
        "rules a/1",
        "changed F 1 -> 0",
    ]


def test_the_header_is_dumped_with_its_additional_segments_and_without_the_data() -> None:
    one = pdu_view(9, fields=(Field(name="TotalAHSLength", value=2, text="2"),), raw=bytes(range(100)).hex(), size=100)
    shown = viewed(pdu(one, 0))
    at = shown.index("header, 56 bytes")
    assert [row.split()[0] for row in shown[at + 1 :]] == ["0000", "0010", "0020", "0030"]
    assert shown[-1].split()[1:9] == [f"{number:02x}" for number in range(48, 56)]


@pytest.mark.parametrize("width", [40, 80])
def test_a_pdu_fits_on_a_screen(width: int) -> None:
    one = pdu_view(9, lines=("x" * 200,), changes=("y" * 200,))
    assert max(map(len, viewed(pdu(one, width)))) <= width


def test_the_timer_tells_whose_patience_ends_when() -> None:
    timer = Timer(n=7, what="Data-Out", end="target", left=2.14, why="")
    assert timer_text(timer) == "Data-Out 2.1s (target)"
    assert timer_text(timer, 0.96) == "Data-Out 1.0s (target)"
    assert timer_text(timer, -1.0) == "Data-Out 0.0s (target)"


def test_changes_of_a_held_pdu_stand_below_it() -> None:
    shown = viewed(held([held_pdu(7, changes=("F 1 -> 0", "pad 00"))], 1.5, 0))
    assert shown[2:] == ["    F 1 -> 0", "    pad 00"]
    assert shown[1].split()[:6] == ["7", "1", "I", "→", "T", "0.5s"]


def test_what_became_of_a_held_pdu_is_one_line() -> None:
    [row] = viewed([held_line(held_pdu(7, changes=("F 1 -> 0",)), "released", 0)])
    assert row == "released 7 SCSI-Command ITT=0x00000003 W WRITE(10) LBA=0 blocks=8 (F 1 -> 0)"


def test_an_answer_that_did_not_come_is_told() -> None:
    assert viewed(injected(Injected(rule="x", sent=pdu_view(9), asks=True, answer=None), 0)) == [
        "sent   9 NOP-Out ITT=0x00000001",
        "answer none came in that time",
    ]
    assert viewed(injected(Injected(rule="x", sent=None, asks=False, answer=None), 0)) == [
        "sent   nothing",
        "answer none came in that time",
    ]


def test_where_no_answer_is_asked_for_it_is_told_how_to_ask() -> None:
    ping = pdu_view(9, label="NOP-In", summary="NOP-In ITT=none StatSN=3")
    assert viewed(injected(Injected(rule="x", sent=ping, asks=False, answer=None), 0)) == [
        "sent   9 NOP-In ITT=none StatSN=3",
        "answer none is asked for; `inject NOP-In TTT=1` asks",
    ]
    event = pdu_view(9, label="Async", summary="Async AsyncEvent=1")
    assert viewed(injected(Injected(rule="x", sent=event, asks=False, answer=None), 0))[1] == "answer none is asked for"
