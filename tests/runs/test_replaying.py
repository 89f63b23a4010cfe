from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from iscsiproxy.journal import Lost, Record, record_of
from iscsiproxy.runs.replaying import Replay
from iscsiproxy.session.events import Delivered, Event, FullFeature, Received
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.opcodes import End, Opcode
from tests.journal.story import INITIATOR, KEYS, TARGET, Story, command, login, response


def replay(events: Sequence[Event]) -> Replay:
    return Replay(record_of(event) for event in events)


def seen(told: Story, leg: End, kind: type[Any], what: str) -> list[object]:
    """Give what a connection's snapshot says at each event of a kind on a leg."""
    run = replay(told.events)
    found = []
    for record in run:
        entry = record.entry
        if isinstance(entry, kind) and entry.leg is leg:
            view = run.state(entry.conn, leg, record.pdu)
            found.append(getattr(view.conn, what, None) or getattr(view.session, what, None))
    return found


def test_all_records_come_out_in_their_order() -> None:
    told = Story()
    told.logged_in()
    told.passed(command())
    told.ended()
    assert [record.entry for record in replay(told.events)] == told.events


@pytest.mark.parametrize(("leg", "kind"), [(INITIATOR, Received), (TARGET, Delivered)])
def test_a_pdu_comes_with_the_state_before_it(leg: End, kind: type[Any]) -> None:
    told = Story()
    told.logged_in()
    for number in (1, 2, 3):
        told.passed(command(number))
    assert seen(told, leg, kind, "CmdSN")[-3:] == [1, 2, 3]


def test_at_full_feature_the_login_is_over_though_its_response_is_recorded_behind() -> None:
    told = Story()
    told.connected()
    told.passed(login(*KEYS, "MaxBurstLength=8192"))
    answer = login("MaxBurstLength=4096", opcode=Opcode.LOGIN_RESPONSE, TSIH=1, ExpCmdSN=1, MaxCmdSN=32)
    n = told.came(answer)
    told.full_feature(TARGET)
    told.full_feature(INITIATOR)
    told.went(answer, n)
    run = replay(told.events)
    for record in run:
        if isinstance(record.entry, FullFeature):
            view = run.state(1, record.entry.leg, None)
            assert view.conn.phase is Phase.FULL_FEATURE
            assert view.keys["MaxBurstLength"] == "4096"
    assert run.state(1, INITIATOR, None).session is not None  # and the response was not taken twice


def test_a_connection_ends_when_all_its_sides_have() -> None:
    told = Story()
    told.logged_in()
    told.closed(INITIATOR)
    told.closed(TARGET, by="proxy")
    half = len(told.events)
    told.passed(response())
    told.closed(TARGET)
    told.closed(INITIATOR, by="proxy")
    run = replay(told.events)
    phases = [run.state(1, INITIATOR, None).conn.phase for _ in run]
    assert phases[half] is Phase.FULL_FEATURE
    assert run.state(1, INITIATOR, None).conn.phase is Phase.CLOSED
    assert run.state(1, TARGET, None).conn.phase is Phase.CLOSED


def test_what_was_not_recorded_is_not_known() -> None:
    told = Story()
    told.logged_in()
    told.passed(command(5))
    run = Replay([*map(record_of, told.events), Record(Lost(count=3)), record_of(told.events[-1])])
    records = list(run)
    assert len(records) == len(told.events) + 2
    view = run.state(1, INITIATOR, None)
    assert view.session is not None
    assert view.session.CmdSN is None
