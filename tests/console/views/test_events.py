"""Events, one line each."""

from __future__ import annotations

import pytest

from iscsiproxy.api.models import Event
from iscsiproxy.console.lines import plain
from iscsiproxy.console.views.events import event_line, is_shown, timed
from tests.console.fake import event


@pytest.mark.parametrize(
    ("kind", "leg", "way"),
    [
        ("received", "initiator", "I→ "),
        ("delivered", "target", " →T"),
        ("received", "target", " ←T"),
        ("delivered", "initiator", "I← "),
    ],
)
def test_the_way_of_a_pdu_is_drawn_between_the_ends(kind: str, leg: str, way: str) -> None:
    one = event(1234, kind, leg=leg, of=1233, text="NOP-Out ITT=0x00000001")
    assert plain(event_line(one)) == f"  1234    1.234   1 {way} NOP-Out         ITT=0x00000001"


@pytest.mark.parametrize(
    ("more", "mark"),
    [
        ({"of": 1}, " "),
        ({"of": 1, "rules": ("a/1",)}, "*"),
        ({"of": 1, "changes": ("F 1 -> 0",)}, "*"),
        ({"what": "authored"}, "+"),
        ({"what": "copied", "of": 1}, "+"),
    ],
)
def test_what_left_otherwise_than_it_came_is_marked(more: dict[str, object], mark: str) -> None:
    shown = plain(event_line(event(1, "delivered", leg="target", **more)))
    assert shown[22:24] == f"T{mark}"


def test_changes_are_told_behind_the_pdu() -> None:
    shown = plain(event_line(event(1, "delivered", of=1, changes=("F 1 -> 0", "pad 00"))))
    assert shown.endswith("  (F 1 -> 0; pad 00)")


def test_the_columns_of_pdus_and_other_events_are_the_same() -> None:
    pdu = plain(event_line(event(7)))
    fired = plain(event_line(event(7, "fired", text="FAULT a/1 drop", rule="a/1")))
    assert pdu.index("NOP-Out") == fired.index("FAULT")
    assert pdu[:19] == fired[:19]


def test_what_is_held_is_named_by_the_number_that_commands_take() -> None:
    one = event(8, "decided", what="held", of=7, text="held a/1: until released")
    assert plain(event_line(one)).endswith("held a/1: until released (PDU 7)")


def test_a_gap_is_told() -> None:
    assert plain(event_line(event(8, "left-out", count=12))).endswith("up to 12 events were left out here")


def test_a_line_is_cut_at_the_screen() -> None:
    shown = plain(event_line(event(1, text="NOP-Out " + "x" * 100), 60))
    assert len(shown) == 60
    assert shown.endswith("…")


@pytest.mark.parametrize(
    ("one", "shown"),
    [
        (event(1), True),
        (event(1, "fired"), True),
        (event(1, "closed"), True),
        (event(1, "finding"), True),
        (event(1, "left-out"), True),
        (event(1, "decided", what="held"), True),
        (event(1, "decided", what="failed"), True),
        (event(1, "decided", what="matched"), False),
        (event(1, "decided", what="chance"), False),
        (event(1, "bound"), False),
        (event(1, "pinged"), False),
    ],
)
def test_what_only_a_journal_needs_is_not_shown(one: Event, shown: bool) -> None:
    assert is_shown(one) is shown


def test_times_are_aligned() -> None:
    assert (timed(0.5), timed(1234.5)) == ("   0.500", "1234.500")
