from __future__ import annotations

from typing import Any

import pytest

from iscsiproxy.api.models import Event as Told
from iscsiproxy.api.models import EventQuery
from iscsiproxy.api.server.history import Wanted
from iscsiproxy.api.server.watching import _REMEMBERED, wanted_by
from iscsiproxy.session.events import Bound, Change, Delivered, Event, Noted, Received
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.api.server.stand import refused
from tests.engine.dialogue import Dialogue, data_in, nop_in, nop_out, read, scsi_response, write

__all__: list[str] = []


def wanting(talk: Dialogue | None = None, **query: Any) -> Wanted:
    return wanted_by(EventQuery(**query), (talk or Dialogue()).state)


def came(pdu: Pdu, n: int = 1, conn: int = 1) -> Received:
    return Received(n=n, at=0, conn=conn, leg=pdu.sender, pdu=pdu)


def went(pdu: Pdu, n: int = 2, of: int | None = 1, conn: int = 1, **values: Any) -> Delivered:
    return Delivered(n=n, at=0, conn=conn, leg=pdu.sender.other, pdu=pdu, of=of, **values)


_PING = nop_out(9, 10)
_CHANGED = (Change(what="LUN", old="0", new="1"),)


def test_who_does_not_ask_for_pdus_gets_all_else() -> None:
    wants = wanting()
    assert wants(Noted(n=1, at=0, conn=1, rule="", of=None, text="x"))
    assert wants(Told(n=1, at=0, conn=1, event="finding", text="x"))
    assert not wants(came(_PING))
    assert not wants(went(_PING, changes=_CHANGED))
    assert not wants(Bound(n=1, at=0, conn=1, rule="x/a", name="n", of=1)), "that is for the journal"


@pytest.mark.parametrize(
    ("event", "deliveries", "wanted"),
    [
        (came(_PING), False, True),
        (went(_PING), False, False),
        (went(_PING), True, True),
        (went(_PING, changes=_CHANGED), False, True),
        (went(_PING, rules=("x/a",)), False, True),
        (went(_PING, author=3, of=None), False, True),
        (went(_PING, author=3), False, True),
        (went(_PING, sent=20), False, True),
        (went(_PING, start=20), False, True),
    ],
)
def test_of_what_goes_out_what_is_not_as_it_came_is_wanted(event: Event, deliveries: bool, wanted: bool) -> None:
    assert wanting(pdus=True, deliveries=deliveries)(event) is wanted


def test_what_is_of_another_connection_is_not_wanted() -> None:
    wants = wanting(conn=2, pdus=True)
    assert [wants(came(_PING, conn=conn)) for conn in (1, 2)] == [False, True]
    assert [wants(Noted(n=1, at=0, conn=conn, rule="", of=None, text="x")) for conn in (0, 1, 2)] == [True, False, True]


def test_a_pattern_narrows_pdus_and_nothing_else() -> None:
    wants = wanting(where="SCSI-Command where W")
    assert wants(came(write(2, 10)))
    assert not wants(came(read(3, 11)))
    assert not wants(came(_PING))
    assert wants(Noted(n=1, at=0, conn=1, rule="", of=None, text="x"))


def test_what_goes_out_of_a_pdu_is_wanted_as_that_was() -> None:
    wants = wanting(where="NOP-Out where LUN == 0", deliveries=True)
    other = nop_out(8, 10, LUN=1 << 48)
    assert wants(came(_PING, n=5))
    assert not wants(came(other, n=6))
    assert wants(went(_PING, n=7, of=5))
    assert wants(went(other, n=8, of=5, changes=_CHANGED)), "whatever has become of it"
    assert not wants(went(other, n=9, of=6))
    assert not wanting(where="NOP-Out")(went(_PING, n=7, of=5)), "as it came, and not asked for"


def test_what_the_proxy_has_made_is_wanted_when_the_pattern_says_so() -> None:
    authored = went(nop_in(9, 101), of=None, author=3)
    assert not wanting(where="NOP-In")(authored)
    assert wanting(where="NOP-In from proxy")(authored)
    assert not wanting(where="NOP-In from proxy")(came(nop_in(9, 101)))


def test_picks_count_what_this_reader_has_seen() -> None:
    wants = wanting(where="NOP-Out every 2")
    assert [wants(came(_PING, n=n)) for n in range(4)] == [False, True, False, True]


def test_a_test_may_ask_what_was_said_before() -> None:
    talk = Dialogue()
    wants = wanting(talk, where="Data-In or SCSI-Response or SCSI-Command where task.EDTL > 4096")
    for itt, length in ((2, 4096), (3, 8192)):
        command = read(itt, 8 + itt, EDTL=length)
        assert wants(came(command)) is (length > 4096)
        talk.say(command)
    assert [wants(came(data_in(itt, 0))) for itt in (2, 3)] == [False, True]
    assert wants(came(scsi_response(3, 101)))
    assert not wants(came(data_in(7, 0))), "that is of no task"


def test_a_test_may_ask_where_a_connection_is() -> None:
    talk = Dialogue()
    wants = wanting(talk, where='Any-PDU where session.type == "Normal" and conn.outstanding == 1')
    assert not wants(came(read(2, 10)))
    talk.say(read(2, 10))
    assert wants(came(read(3, 11)))


def test_only_so_many_are_remembered() -> None:
    wants = wanting(where="NOP-Out")
    for n in range(_REMEMBERED + 1):
        assert wants(came(_PING, n=n))
    assert not wants(went(_PING, n=9999, of=0, rules=("x/a",)))
    assert wants(went(_PING, n=9999, of=1, rules=("x/a",)))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("NOP-Owt", "NOP-Owt"),
        ("W", "a pattern begins with a PDU or an event"),
        ("NOP-Out as n", "`n` would be bound for nobody"),
        ("NOP-Out where CDB.LBA == 1", "CDB"),
        ("SCSI-Response of n", "n"),
    ],
)
def test_a_pattern_that_is_wrong_is_refused_with_its_place(where: str, message: str) -> None:
    refusal = refused(lambda: wanting(where=where))
    assert (refusal.status, refusal.problem.error, refusal.problem.line) == (400, "bad_request", 1)
    assert message in refusal.problem.message
    assert refusal.problem.column >= 1


def test_a_whole_that_is_not_there_is_no_error() -> None:
    partial = Received(n=1, at=0, conn=1, leg=End.INITIATOR, pdu=write(2, 10), partial=True)
    assert wanting(where='SCSI-Command where CDB.name == "WRITE(10)"')(partial)
    assert not wanting(where="SCSI-Command where uint(data, 0, 4) == 0")(partial)
    odd = Pdu(bytes([Opcode.SCSI_COMMAND]) + bytes(47))
    assert not wanting(where="SCSI-Command where CDB.blocks > 0")(came(odd))
