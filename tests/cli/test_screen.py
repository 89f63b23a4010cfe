from __future__ import annotations

import json
from io import StringIO

import pytest

from iscsiproxy.cli.screen import Screen
from iscsiproxy.session.events import (
    Change,
    Closed,
    ConnectFailed,
    Decided,
    Delivered,
    Event,
    Fired,
    Noted,
    Received,
    Refused,
)
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

_PING = Pdu.build(Opcode.NOP_OUT, I=1, F=1, ITT=7)
_FIRED = Fired(
    n=4,
    at=1.25,
    conn=2,
    rule="made_up/cut",
    act="set",
    of=3,
    label="NOP-Out ITT=0x7",
    text="1 field",
    changes=(Change(what="CmdSN", old="1", new="2"),),
)
_EVENTS: tuple[Event, ...] = (
    ConnectFailed(n=1, at=0.0, conn=1, initiator="a:1", target="b:2", reason="Connection refused"),
    Received(n=3, at=1.0, conn=2, leg=End.INITIATOR, pdu=_PING),
    _FIRED,
    Delivered(n=5, at=1.5, conn=2, leg=End.TARGET, pdu=_PING, of=3, rules=("made_up/cut",)),
    Decided(n=6, at=1.5, conn=2, rule="made_up/cut", what="matched", of=3, text="x"),
    Decided(n=7, at=1.5, conn=2, rule="made_up/cut", what="failed", of=3, text="x"),
    Noted(n=8, at=1.5, conn=2, rule="", of=None, text="internal error"),
    Closed(n=9, at=2.0, conn=2, leg=End.TARGET, how="rst", by="fault"),
)


def _lines(verbosity: int, *, as_json: bool = False) -> list[str]:
    out = StringIO()
    screen = Screen(out, as_json=as_json, verbosity=verbosity)
    for event in _EVENTS:
        screen(event)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("verbosity", "shown"), [(0, [1, 4, 7, 8]), (1, [1, 4, 6, 7, 8, 9]), (2, [1, *range(3, 10)])])
def test_how_much_is_shown(verbosity: int, shown: list[int]) -> None:
    assert [json.loads(line)["n"] for line in _lines(verbosity, as_json=True)] == shown
    assert len(_lines(verbosity)) == len(shown)


def test_a_fault_is_one_line_with_everything_about_it() -> None:
    line = _lines(0)[1]
    for part in ("1.2500s", "conn 2", "made_up/cut", "set", "NOP-Out ITT=0x7", "CmdSN 1 -> 2"):
        assert part in line
    facts = json.loads(_lines(0, as_json=True)[1])
    assert facts["changes"] == [{"what": "CmdSN", "old": "1", "new": "2"}]
    assert (facts["event"], facts["conn"], facts["of"]) == ("fired", 2, 3)


def test_a_reader_that_has_gone_stops_the_printing_and_nothing_else() -> None:
    class Gone(StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    for as_json in (True, False):
        screen = Screen(Gone(), as_json=as_json, verbosity=2)
        for event in _EVENTS:
            screen(event)
        screen.warn("too late")


def test_a_refused_connection_is_shown_with_more() -> None:
    event = Refused(n=1, at=0.0, conn=3, initiator="127.0.0.1:40001", listen="127.0.0.1:3261")
    for verbosity, count in ((0, 0), (1, 1)):
        out = StringIO()
        Screen(out, as_json=False, verbosity=verbosity)(event)
        assert out.getvalue().count("127.0.0.1:40001 -> 127.0.0.1:3261 was refused") == count


def test_while_somebody_else_has_the_terminal_nothing_is_printed() -> None:
    for as_json in (False, True):
        out = StringIO()
        screen = Screen(out, as_json=as_json, verbosity=2)
        screen.muted = True
        for event in _EVENTS:
            screen(event)
        screen.warn("too late")
        screen.line("nothing")
        screen.json({})
        assert out.getvalue() == ""
        screen.muted = False
        screen(_FIRED)
        assert len(out.getvalue().splitlines()) == 1
