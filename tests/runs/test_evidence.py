from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Literal

from iscsiproxy.engine.facts import Look
from iscsiproxy.journal import record_of
from iscsiproxy.runs.evidence import Scene, evidence_of, evidence_of_name, told
from iscsiproxy.session.events import Bound, Closed, Decided, Event, Fired
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.opcodes import Opcode
from tests.engine.dialogue import data_out, nop_out, r2t, read, scsi_response, write
from tests.runs.tale import INITIATOR, TARGET, Tale

__all__: list[str] = []


def scene_of(tale: Tale, victim: Literal["initiator", "target", "both"] = "target") -> tuple[Scene, list[Look]]:
    """Show a scene a tale, and give what was looked at last."""
    scene = Scene(victim, Random(1))
    looks: list[Look] = []
    for event in tale.events:
        looks = list(scene.looks(event, event.at))
        if isinstance(event, Bound):
            assert scene.bind(event, connection=event.name == "A")
        scene.pass_on(event)
    return scene, looks


def show(scene: Scene, event: Event) -> list[Look]:
    looks = list(scene.looks(event, event.at))
    scene.pass_on(event)
    return looks


def test_the_state_is_that_before_a_pdu_and_of_its_leg() -> None:
    tale = Tale()
    tale.passed(write(1, 1))
    tale.passed(r2t(1, 5))
    n = tale.came(data_out(1, 0, bytes(512), ttt=5))
    scene, (at_initiator,) = scene_of(tale)
    tale.went(data_out(1, 0, bytes(512), ttt=5), n)
    (at_target,) = show(scene, tale.events[-1])
    for look in (at_initiator, at_target):
        assert look.view.task is not None
        assert (look.view.task.received, look.view.task.R2Ts) == (0, 1)
    task = scene.trackers[TARGET].snapshot(1, data_out(1, 0)).task
    assert task is not None
    assert task.received == 512


def test_a_capture_remembers_the_state_in_which_it_was_seen() -> None:
    tale = Tale()
    tale.passed(write(1, 1))
    n = tale.passed(scsi_response(1, 100))
    tale.bound("n", n)
    scene, _ = scene_of(tale)
    command = scene.book["n"].command
    assert command is not None  # the task is over by the time the name is bound
    assert command["CmdSN"] == 1


def test_a_name_of_a_connection_is_bound_to_that() -> None:
    tale = Tale()
    tale.bound("A", 2)
    tale.bound("n", 2)
    scene, _ = scene_of(tale)
    assert scene.book["A"].pdu is None
    assert scene.book["n"].pdu is not None
    assert scene.book["A"].look.conn == 1


def test_what_was_cut_is_not_seen() -> None:
    tale = Tale()
    n = tale.came(read(1, 1))
    tale.went(read(1, 1), n, sent=20)
    scene, looks = scene_of(tale)
    assert looks == []
    tale.went(read(1, 1), n, start=20)
    assert [look.pdu for look in show(scene, tale.events[-1])] == [read(1, 1)]


def test_what_goes_in_two_parts_has_passed_once() -> None:
    tale = Tale()
    tale.passed(write(1, 1))
    n = tale.came(data_out(1, 0, bytes(512)))
    tale.went(data_out(1, 0, bytes(512)), n, sent=100)
    tale.went(data_out(1, 0, bytes(512)), n, start=100)
    scene, _ = scene_of(tale)
    task = scene.trackers[TARGET].snapshot(1, data_out(1, 1)).task
    assert task is not None
    assert task.received == 512


def test_what_was_lost_is_not_known() -> None:
    tale = Tale()
    tale.passed(write(1, 1))
    scene, _ = scene_of(tale)
    assert scene.trackers[TARGET].snapshot(1, data_out(1, 0)).task is not None
    scene.lost()
    assert scene.trackers[TARGET].snapshot(1, data_out(1, 0)).task is None


def test_an_event_too_long_ago_is_not_known() -> None:
    tale = Tale()
    first = tale.came(read(1, 1))
    for number in range(5000):
        tale.passed(nop_out(number, 1))
    scene, _ = scene_of(tale)
    assert not scene.bind(Bound(n=0, at=0.0, conn=1, rule="x/1", name="n", of=first), connection=False)
    assert "n" not in scene.book


def test_who_ended_a_connection() -> None:
    def ended(*ends: tuple[object, str]) -> str:
        tale = Tale()
        for leg, by in ends:
            tale.closed(TARGET if leg is TARGET else INITIATOR, by=by)  # type: ignore[arg-type]
        return scene_of(tale)[0].who_ended(1)

    assert ended() == ""
    assert ended((TARGET, "peer")) == "victim"
    assert ended((INITIATOR, "peer"), (TARGET, "proxy"), (TARGET, "peer")) == "other"
    assert ended((INITIATOR, "fault"), (TARGET, "peer")) == "fault"
    assert ended((TARGET, "proxy")) == "other"


def test_a_session_logout_is_the_orderly_end_of_all_its_connections() -> None:
    def run(reason: int, cid: int) -> list[str]:
        tale = Tale()
        tale.conn = 2
        tale.connected()
        opening = [event.pdu for event in Tale().events if hasattr(event, "pdu")]
        tale.passed(opening[0].with_fields({"TSIH": 1, "CID": 7}))
        tale.passed(opening[2])
        fields = {"ITT": 3, "CmdSN": 3, "I": 1, "F": 1, "ReasonCode": reason, "CID": cid}
        logout = read(3, 3).build(Opcode.LOGOUT_REQUEST).with_fields(fields)
        tale.passed(logout)
        tale.passed(logout.build(Opcode.LOGOUT_RESPONSE).with_fields({"ITT": 3, "StatSN": 101}))
        scene, _ = scene_of(tale)
        found = []
        for conn in (1, 2):
            event = Closed(n=900 + conn, at=1.0, conn=conn, leg=TARGET, how="fin", by="peer")
            found.append("+".join(look.event for look in show(scene, event)))
        return found

    assert run(0, 0) == ["close", "close"]
    assert run(1, 7) == ["close+escalation", "close"]
    assert run(1, 0) == ["close", "close+escalation"]
    assert run(2, 7) == ["close+escalation", "close+escalation"]


def test_both_legs_are_over_when_both_have_ended() -> None:
    tale = Tale()
    tale.closed(INITIATOR)
    tale.closed(TARGET, by="proxy")
    scene, _ = scene_of(tale)
    assert not scene.living
    assert scene.trackers[TARGET].phase(1) is Phase.FULL_FEATURE
    tale.closed(TARGET)
    tale.closed(INITIATOR, by="proxy")
    for event in tale.events[-2:]:
        show(scene, event)
    assert {scene.trackers[leg].phase(1) for leg in (INITIATOR, TARGET)} == {Phase.CLOSED}


def test_how_events_are_told() -> None:
    tale = Tale()
    tale.events.clear()
    tale.connected()
    n = tale.came(read(1, 1))
    tale.went(read(1, 1), n)
    tale.authored(nop_out(9, 1))
    tale.bound("n", n)
    tale.closed(TARGET, "rst", by="fault")
    tale.closed(INITIATOR)
    tale.io("good")
    tale.sent()
    texts = [told(event, record_of(event)) for event in tale.events]
    command = "SCSI-Command ITT=0x00000001 CmdSN=1 R F READ(10) LBA=0 blocks=8"
    assert texts == [
        "connect from 127.0.0.1:40001",
        f"{command}, sent by the initiator",
        f"{command}, received by the target",
        "NOP-Out ITT=0x00000009 CmdSN=1 ExpStatSN=101, received by the target, authored by the proxy",
        f"n is #{n}",
        "closed by a fault (rst)",
        "closed by the initiator (fin)",
        "I/O good: a piece of I/O",
        "barrier 1 sent",
    ]
    closed = evidence_of(tale.events[-4])
    assert (closed.leg, closed.conn, closed.n) == (TARGET, 1, tale.events[-4].n)


def test_an_act_is_told_with_its_rule_and_what_it_was_done_on() -> None:
    act = Fired(n=9, at=0.5, conn=1, rule="x/hole", act="drop", of=7, label="Data-Out ITT=0x1", text="not sent")
    assert told(act) == "drop by rule x/hole on Data-Out ITT=0x1: not sent"
    assert told(replace(act, label="", of=None)) == "drop by rule x/hole: not sent"
    late = Decided(n=9, at=0.5, conn=1, rule="x/hole", what="expired", of=7, text="3s did not come in 1 s")
    assert told(late) == "expired: 3s did not come in 1 s"


def test_a_name_is_told_by_what_it_is_bound_to_with_the_length_that_no_journal_keeps() -> None:
    tale = Tale()
    tale.passed(write(1, 1))
    n = tale.passed(data_out(1, 2, bytes(512), ttt=5))
    tale.bound("lost", n)
    scene, _ = scene_of(tale)
    evidence = evidence_of_name("lost", scene.book["lost"])
    assert evidence is not None
    assert (evidence.n, evidence.conn, evidence.leg) == (n, 1, INITIATOR)
    assert evidence.text.startswith("lost is Data-Out ITT=0x00000001 ")
    assert evidence.text.endswith(" data=512")
