from __future__ import annotations

from pathlib import Path

from iscsiproxy.journal import read
from iscsiproxy.session.events import Event, IoDone, Received
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.runs.playing import play, written

__all__: list[str] = []


#: Waits until all that an actor does is done: it is logged out at the end.
_RULES = "rules:\n  - {when: Login-Request nth 1, do: {note: here}}\n"
_EXPECT = "expect:\n  - never: Async\n    within: 50ms\n"


async def acted(steps: str, folder: Path, *, rules: str = "", expect: str = "") -> tuple[str, list[Event]]:
    """Let an actor do some steps; give the verdict, and what happened while it did."""
    text = f"victim: target\nactor:\n{steps}{rules or _RULES}{expect or _EXPECT}aftermath: none\n"
    run = await play(written(text, folder), folder=folder)
    with read(folder / "journal.jsonl") as reader:
        events = [record.entry for record in reader if isinstance(record.entry, Event)]
    first = next(event.n for event in events if getattr(event, "stage", "") == "fault")
    return run.verdict, [event for event in events if event.n > first]


def asked(events: list[Event]) -> list[Pdu]:
    """List the requests of the actor, without its logins and logouts."""
    apart = (Opcode.LOGIN_REQUEST, Opcode.LOGOUT_REQUEST)
    return [
        event.pdu
        for event in events
        if isinstance(event, Received) and event.leg.value == "initiator" and event.pdu.opcode not in apart
    ]


def logins(events: list[Event]) -> list[Pdu]:
    """List the login requests."""
    return [event.pdu for event in events if isinstance(event, Received) and event.pdu.opcode == Opcode.LOGIN_REQUEST]


async def test_it_does_its_steps_in_order_over_one_session(tmp_path: Path) -> None:
    verdict, events = await acted(
        "  - login: {as: A}\n"
        "  - send: {conn: A, pdu: SCSI-Command, CDB: TEST_UNIT_READY, as: t}\n"
        "  - send: {conn: A, pdu: SCSI-Command, CDB: WRITE lba=0 blocks=8, as: n}\n"
        "  - delay: SCSI-Response of n\n"
        "  - send: {pdu: TMF-Request, Function: ABORT_TASK, RefTaskTag: 0x1234, as: abort}\n"
        "  - delay: TMF-Response of abort\n",
        tmp_path,
        rules="rules:\n  - when: SCSI-Command of n nth 1\n    do: duplicate\n",
        expect=(
            "expect:\n  - exactly: 1 SCSI-Response of n\n    within: 5s\n"
            "  - first:\n      - pass: TMF-Response of abort where Response == 1\n"
        ),
    )
    assert verdict == "pass"
    first, second, *data, abort = asked(events)
    assert (first["CmdSN"] + 1) & 0xFFFFFFFF == second["CmdSN"]
    assert (second["W"], second["EDTL"], sum(pdu["DataSegmentLength"] for pdu in data)) == (1, 4096, 4096)
    assert {pdu.opcode for pdu in data} == {Opcode.DATA_OUT}
    assert (abort["I"], abort["RefTaskTag"], abort["CmdSN"]) == (1, 0x1234, (second["CmdSN"] + 1) & 0xFFFFFFFF)


async def test_what_it_does_not_answer_is_not_answered(tmp_path: Path) -> None:
    _, events = await acted(
        "  - login: {as: A}\n  - send: {pdu: SCSI-Command, CDB: TEST_UNIT_READY}\n"
        "  - send: {pdu: SCSI-Command, CDB: WRITE lba=0 blocks=8, data: none, as: n}\n"
        "  - delay: R2T of n\n",
        tmp_path,
        rules="rules:\n  - when: R2T of n\n    do: {note: asked}\n",
        expect="expect:\n  - never: SCSI-Response of n\n    after: R2T of n\n    within: 100ms\n",
    )
    assert [pdu.label for pdu in asked(events)] == ["SCSI-Command", "SCSI-Command"]


async def test_a_retry_is_the_same_command_again(tmp_path: Path) -> None:
    _, events = await acted(
        "  - login: {as: A}\n  - send: {pdu: SCSI-Command, CDB: READ lba=0 blocks=8, as: n}\n"
        "  - send: {again: n}\n  - delay: Status-PDU of n\n",
        tmp_path,
        rules="rules:\n  - when: SCSI-Command of n nth 2\n    do: {note: again}\n",
        expect="expect:\n  - exactly: 1 Status-PDU of n\n    after: n\n    within: 200ms\n",
    )
    once, again = asked(events)
    assert (once["ITT"], once["CmdSN"], once.cdb) == (again["ITT"], again["CmdSN"], again.cdb)


async def test_a_session_is_reinstated_and_one_of_its_own_is_another(tmp_path: Path) -> None:
    verdict, events = await acted(
        "  - login: {as: A}\n  - login: {as: B}\n  - login: {as: C, reinstate: A}\n"
        "  - io: {do: verify, conn: C, size: 4KiB}\n",
        tmp_path,
        rules="rules:\n  - when: close of A\n    do: {note: gone}\n",
    )
    assert verdict == "pass"
    first, second, third = logins(events)
    assert first["ISID"] == third["ISID"] != second["ISID"]
    assert (first["TSIH"], third["TSIH"]) == (0, 0)
    assert [event.what for event in events if isinstance(event, IoDone)] == ["good"]


async def test_the_same_connection_is_resumed(tmp_path: Path) -> None:
    _, events = await acted(
        "  - login: {as: A, CID: 7}\n  - login: {as: B, resume: A}\n",
        tmp_path,
        rules="rules:\n  - when: Login-Request where TSIH != 0\n    do: {note: resumed}\n",
    )
    first, second = logins(events)
    assert (first["CID"], first["TSIH"], second["CID"], second["ISID"]) == (7, 0, 7, first["ISID"])
    assert second["TSIH"] != 0


async def test_what_needs_a_refused_login_is_passed_over(tmp_path: Path) -> None:
    verdict, events = await acted(
        "  - login: {as: A}\n  - send: {conn: A, pdu: NOP-Out, as: ping}\n  - login: {as: B}\n",
        tmp_path,
        rules="rules:\n  - when: Login-Request nth 1\n    do:\n      - answer: {Status-Class: 2, Status-Detail: 3}\n",
        expect="expect:\n  - at_least: 1 full-feature of B\n    after: B\n",
    )
    assert verdict == "pass"
    assert asked(events) == []


async def test_a_step_that_cannot_be_done_proves_nothing(tmp_path: Path) -> None:
    verdict, _ = await acted("  - login: {as: A, NSG: 2}\n", tmp_path, rules="rules:\n  - {when: R2T as r}\n")
    assert verdict == "inconclusive"


async def test_fields_and_offers_are_those_it_is_told(tmp_path: Path) -> None:
    _, events = await acted(
        "  - login: {as: A, CmdSN: 0xffffffff, offer: {MaxBurstLength: 4096}}\n"
        "  - send: {pdu: NOP-Out, I: 0, as: one}\n  - send: {pdu: NOP-Out, I: 0, as: two}\n"
        "  - delay: NOP-In of two\n",
        tmp_path,
        rules="rules:\n  - when: NOP-Out of two\n    do: {note: wrapped}\n",
    )
    (login,) = logins(events)
    assert b"MaxBurstLength=4096\0" in login.data
    assert [pdu["CmdSN"] for pdu in asked(events)] == [0xFFFFFFFF, 0]


async def test_the_connection_that_met_the_fault_shows_that_it_survives(tmp_path: Path) -> None:
    """The actor's own connection does the good I/O, and is logged out behind it."""
    text = (
        "victim: target\nactor:\n  - login: {as: A}\n"
        "  - send: {conn: A, pdu: SCSI-Command, CDB: TEST_UNIT_READY, as: n}\n  - delay: Status-PDU of n\n"
        "rules:\n  - when: SCSI-Command of n nth 1\n    do: {note: here}\naftermath: survives\n"
    )
    run = await play(written(text, tmp_path), folder=tmp_path)
    assert run.verdict == "pass", [str(one) for one in run.findings]
    with read(tmp_path / "journal.jsonl") as reader:
        events = [record.entry for record in reader if isinstance(record.entry, Event)]
    behind = [
        one for one in events if one.n > next(one.n for one in events if getattr(one, "stage", "") == "aftermath")
    ]
    assert logins(behind) == []
    assert [one.pdu.opcode for one in behind if isinstance(one, Received)][-1] == Opcode.LOGOUT_RESPONSE


async def test_where_none_of_its_connections_lives_a_session_of_ours_does_the_io(tmp_path: Path) -> None:
    text = (
        "victim: target\nactor:\n  - login: {as: A}\n  - close: {how: rst, conn: A}\n  - delay: 100ms\n"
        "rules:\n  - when: Login-Request nth 1\n    do: {note: here}\n"
    )
    run = await play(written(text, tmp_path), folder=tmp_path)
    assert run.verdict == "pass", [str(one) for one in run.findings]


async def test_io_again_is_data_of_its_own(tmp_path: Path) -> None:
    verdict, events = await acted("  - login: {as: A}\n  - io: write\n  - io: verify\n  - io: verify\n", tmp_path)
    assert [event.what for event in events if isinstance(event, IoDone)] == ["good", "good", "good"]
    assert verdict == "pass"
