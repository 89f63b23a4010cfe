from __future__ import annotations

from typing import Literal

import pytest

from iscsiproxy.journal import ConnectFailed, Drawn, Event, IoDone, Pinged, Refused, Staged, record_of
from iscsiproxy.report.html.happenings import event_row
from iscsiproxy.report.html.row import Row
from iscsiproxy.session.events import How
from iscsiproxy.wire.opcodes import End
from tests.journal.story import INITIATOR, TARGET, Story

__all__: list[str] = []


def row_of(event: Event) -> Row:
    return event_row(record_of(event), event)


@pytest.mark.parametrize(
    ("leg", "how", "by", "drawing", "sender", "said"),
    [
        (INITIATOR, "fin", "peer", "ended", INITIATOR, "initiator leg closed by the initiator"),
        (TARGET, "rst", "peer", "reset", TARGET, "target leg reset by the target"),
        (TARGET, "fin", "proxy", "shut", INITIATOR, "target leg closed by the proxy"),
        (INITIATOR, "rst", "fault", "cut", TARGET, "initiator leg reset by a fault of the proxy"),
        (INITIATOR, "fin", "fault", "cut", TARGET, "initiator leg closed by a fault of the proxy"),
    ],
)
def test_who_ended_a_connection_and_how(
    leg: End, how: How, by: Literal["peer", "proxy", "fault"], drawing: str, sender: End, said: str
) -> None:
    story = Story()
    story.closed(leg, how, by)
    row = row_of(story.events[0])
    assert (row.drawing, row.sender, f"{row.label} {row.text}") == (drawing, sender, said)


def test_what_else_happens() -> None:
    said = [
        Staged(n=1, at=0.0, conn=0, stage="steady"),
        ConnectFailed(n=2, at=0.0, conn=0, initiator="a:1", target="b:2", reason="refused"),
        Refused(n=3, at=0.0, conn=1, initiator="a:1", listen="c:3"),
        Pinged(n=4, at=0.0, conn=1, barrier=1, end=TARGET, what="hung", text="expectation 1"),
        IoDone(n=5, at=0.0, conn=1, what="mismatch", text="block 7 is zeros"),
        Drawn(n=6, at=0.0, conn=0, number=1, fault="data_out_lost", what="armed", commands=9),
    ]
    assert [(row_of(one).label, row_of(one).text) for one in said] == [
        ("steady state", ""),
        ("no connection", "a:1 to b:2: refused"),
        ("connection refused", "a:1 to c:3, by a rule"),
        ("barrier 1 hung", "expectation 1"),
        ("I/O mismatch", "block 7 is zeros"),
        ("fault armed", "data_out_lost"),
    ]
    assert [row_of(one).calm for one in said] == [False] * 6


def test_settled_keys_are_kept_for_who_opens_it() -> None:
    story = Story()
    story.full_feature(TARGET, "HeaderDigest=None")
    row = row_of(story.events[0])
    assert (row.label, row.pairs, row.calm) == ("full feature phase", (("HeaderDigest", "None"),), True)
