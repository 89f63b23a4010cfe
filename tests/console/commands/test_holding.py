"""PDUs in hand."""

from __future__ import annotations

from iscsiproxy.api.models import Timer
from tests.console.fake import FakeProxy, held_pdu, pdu_view
from tests.console.playing import answered, played, texts

SUMMARY = "SCSI-Command ITT=0x00000003 W WRITE(10) LBA=0 blocks=8"


def holding(*numbers: int) -> FakeProxy:
    return FakeProxy(held_={n: held_pdu(n) for n in numbers})


def test_what_is_held_is_listed_with_the_timer_that_runs_meanwhile() -> None:
    timer = Timer(n=7, what="NOP", end="target", left=4.25, why="")
    proxy = FakeProxy(held_={7: held_pdu(7, timer=timer, since=8.5)})
    _, row = answered(proxy, "held")
    assert row == f"7     1  I → T  1.5s  NOP 4.2s (target)  released  {SUMMARY}"


def test_a_held_pdu_is_shown_as_it_would_go_now() -> None:
    head, *_ = answered(holding(7), "show 7")
    assert head == "7 SCSI-Command  held from the initiator, conn 1, 1.000000s"


def test_a_pdu_that_is_not_held_is_shown_as_it_passed() -> None:
    proxy = FakeProxy(pdus_={9: pdu_view(9)}, held_={7: held_pdu(7)})
    head, *_ = answered(proxy, "show 9")
    assert head == "9 NOP-Out  received from the initiator, conn 1, 1.000000s"


def test_a_pdu_that_is_not_kept_is_told() -> None:
    [outcome] = played(FakeProxy(), "show 9")
    assert texts(outcome) == ["there is no PDU 9"]


def test_of_long_data_the_beginning_is_shown_unless_all_is_asked_for() -> None:
    dump = tuple(f"    {at:06x}  00 00" for at in range(0, 640, 16))
    proxy = FakeProxy(pdus_={9: pdu_view(9, lines=("NOP-Out", *dump, "  data digest  none"))})
    short, full = (answered(proxy, line) for line in ("show 9", "show 9 all"))
    assert len(full) - len(short) == 31
    assert "    … `show 9 all` shows more" in short
    assert "  data digest  none" in short


def test_fields_alone_are_set() -> None:
    proxy = holding(7)
    assert answered(proxy, "edit 7 CDB.LBA=2048 F=0") == [f"edited 7 {SUMMARY} (set CDB.LBA=2048 F=0)"]
    assert [one.acts for one in proxy.edits] == ["set CDB.LBA=2048 F=0"]


def test_acts_are_done_as_they_were_typed() -> None:
    proxy = holding(7)
    played(proxy, "edit last corrupt header-digest; set F=0")
    assert [one.acts for one in proxy.edits] == ["corrupt header-digest; set F=0"]


def test_an_edit_needs_changes() -> None:
    [outcome] = played(holding(7), "edit 7")
    assert outcome.problem is not None
    assert "`edit` needs changes" in outcome.problem.message


def test_a_pdu_is_let_go() -> None:
    proxy = holding(7, 8)
    assert answered(proxy, "release 7") == [f"released 7 {SUMMARY}"]
    assert list(proxy.held_) == [8]


def test_all_are_let_go_in_their_order() -> None:
    proxy = holding(7, 8)
    assert answered(proxy, "release all") == [f"released 7 {SUMMARY}", f"released 8 {SUMMARY}"]
    assert proxy.held_ == {}


def test_a_pdu_that_is_dropped_goes_nowhere() -> None:
    proxy = holding(7)
    assert answered(proxy, "drop 7") == [f"dropped 7 {SUMMARY}"]
    assert proxy.asked[-1] == "drop"


def test_a_step_lets_one_go() -> None:
    proxy = holding(7)
    assert answered(proxy, "step") == [f"released 7 {SUMMARY}"]
    assert proxy.asked[-1] == "step"


def test_a_long_line_is_cut_at_the_screen() -> None:
    [row] = answered(holding(7), "release 7", width=20)
    assert row == "released 7 SCSI-Com…"
