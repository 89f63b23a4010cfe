from __future__ import annotations

from iscsiproxy.runs.ladder import ladder
from iscsiproxy.session.events import Change, Closed, Connected, Delivered, Event, Received
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []

COMMAND = Pdu.build(Opcode.SCSI_COMMAND, F=1, ITT=1)
DATA = Pdu.build(Opcode.DATA_OUT, b"data", ITT=1)
RESPONSE = Pdu.build(Opcode.SCSI_RESPONSE, F=1, ITT=1)


def received(n: int, pdu: Pdu, leg: End = End.INITIATOR) -> Received:
    return Received(n=n, at=n / 10, conn=1, leg=leg, pdu=pdu)


def delivered(n: int, pdu: Pdu, of: int, *, leg: End = End.TARGET, changes: tuple[Change, ...] = ()) -> Delivered:
    return Delivered(
        n=n, at=n / 10, conn=1, leg=leg, pdu=pdu, of=of, changes=changes, rules=("a/b",) if changes else ()
    )


def arrivals(*events: Event) -> list[str]:
    return [rung.arrival for rung in ladder(events, lambda _: True)]


def test_what_went_on_as_it_came_is_whole() -> None:
    (rung,) = ladder([received(1, COMMAND), delivered(2, COMMAND, 1)], lambda _: True)
    assert (rung.sender, rung.pdu, rung.arrival, rung.rules) == (End.INITIATOR, COMMAND, "whole", ())


def test_what_went_nowhere_never_arrived() -> None:
    assert arrivals(received(1, DATA)) == ["never"]


def test_what_was_changed_says_so_and_by_whom() -> None:
    change = Change(what="DataSN", old="0", new="5")
    (rung,) = ladder([received(1, DATA), delivered(2, DATA, 1, changes=(change,))], lambda _: True)
    assert (rung.arrival, rung.changes, rung.rules) == ("changed", ("DataSN 0 -> 5",), ("a/b",))


def test_what_went_twice_is_repeated() -> None:
    assert arrivals(received(1, COMMAND), delivered(2, COMMAND, 1), delivered(3, COMMAND, 1)) == ["repeated"]


def test_only_what_is_wanted_is_shown_and_ends_of_connections_always() -> None:
    events: list[Event] = [
        Connected(n=1, at=0.0, conn=1, initiator="a", listen="b", local="c", target="d"),
        received(2, COMMAND),
        delivered(3, COMMAND, 2),
        received(4, RESPONSE, End.TARGET),
        delivered(5, RESPONSE, 4, leg=End.INITIATOR),
        Closed(n=6, at=0.6, conn=1, leg=End.TARGET, how="rst", by="peer"),
        Closed(n=7, at=0.7, conn=1, leg=End.INITIATOR, how="fin", by="proxy"),
    ]
    rungs = ladder(events, lambda event: event.pdu.label == "SCSI-Response")
    assert [(rung.sender.value, rung.pdu.label if rung.pdu else rung.text) for rung in rungs] == [
        ("initiator", "connects"),
        ("target", "SCSI-Response"),
        ("target", "resets the connection"),
    ]
