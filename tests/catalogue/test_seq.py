"""Sequence numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import Session
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.runs.stage import BLOCK
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import add
from tests.catalogue.acted import acted
from tests.catalogue.harness import Fields, Step, altered, at_initiator, at_target, live, play, row
from tests.engine.dialogue import (
    data_in,
    data_out,
    nop_in,
    nop_out,
    r2t,
    read,
    scsi_response,
    text_request,
    text_response,
    tmf,
    write,
)
from tests.session.dialogue import NAMES, TPGT, login_request, login_response, request, response

__all__: list[str] = []

#: A READ of four Data-Ins, and a WRITE of four Data-Outs.
READ, READ_DONE = read(2, 10), scsi_response(2, 101, ExpDataSN=4)
DATA_IN = [data_in(2, sn, bytes(1024), BufferOffset=1024 * sn, F=int(sn == 3)) for sn in range(4)]
WRITE, ASK, WRITE_DONE = write(2, 10), r2t(2, 7, DesiredDataTransferLength=4096), scsi_response(2, 101)
DATA_OUT = [data_out(2, sn, bytes(1024), ttt=7, BufferOffset=1024 * sn, F=int(sn == 3)) for sn in range(4)]
READING: tuple[Step, ...] = (READ, *DATA_IN, READ_DONE)
WRITING: tuple[Step, ...] = (WRITE, ASK, *DATA_OUT, WRITE_DONE)
ANOTHER = read(3, 11)


@row("SEQ-01")
def test_a_command_is_lost() -> None:
    played = at_target("- {when: SCSI-Command where not I nth 1, do: drop}", READ, ANOTHER)
    played.assert_missing(READ)


@row("SEQ-02")
def test_a_command_comes_again_while_it_is_carried_out() -> None:
    other = write(3, 11)
    played = at_target("cmdsn_duplicate_write", WRITE, other, ASK, *DATA_OUT, WRITE_DONE)
    played.assert_added(other, other)


@row("SEQ-03")
def test_an_immediate_command_far_outside_the_window() -> None:
    ping = nop_out(3, 11, I=1)
    rules = "- {when: NOP-Out where I nth 1, do: {set: {CmdSN: session.MaxCmdSN + 1000}}}"
    at_target(rules, READ, ping, ANOTHER).assert_changed(ping, {"CmdSN": 1040})


@row("SEQ-04")
def test_a_flood_of_immediate_commands() -> None:
    ping = nop_out(3, 11, I=1)
    played = at_target("- {when: NOP-Out where I nth 1, do: {duplicate: {count: 63, ITT: fresh}}}", ping, READ)
    tags = [pdu["ITT"] for pdu in played.victim if pdu.label == "NOP-Out"]
    assert len(set(tags)) == len(tags) == 64
    played.assert_added(ping, *(altered(ping, {"ITT": tag}) for tag in tags[1:]))


@row("SEQ-05")
def test_an_ordinary_command_becomes_immediate() -> None:
    first, second, third = read(2, 10), write(3, 11), read(4, 12)
    # The target has counted one command less than the initiator.
    window = {"ExpCmdSN": 12, "MaxCmdSN": 39}
    answer = scsi_response(3, 101).with_fields(window)
    rules = "- {when: SCSI-Command where not I nth 1, do: {set: {I: 1}}}"
    played = at_target(rules, first, second, third, answer)
    played.assert_changed(first, {"I": 1}, (second, {"CmdSN": 10}), (third, {"CmdSN": 11}))
    played.at(End.INITIATOR).assert_changed(answer, {"ExpCmdSN": 13, "MaxCmdSN": 40})


LEADING = login_request(NAMES), login_response(TPGT)


#: A constant is added to a number of one leg wherever it stands, and taken away wherever it comes back.
CMDSN_MOVED = """
params: {offset: 0xfffffff4}
rules:
  - when: Login-Request or SCSI-Command or NOP-Out or Text-Request or Logout-Request
    do: {set: {CmdSN: CmdSN + $offset}}
  - when: TMF-Request
    do: {set: {CmdSN: CmdSN + $offset, RefCmdSN: RefCmdSN + $offset}}
  - when: Target-PDU
    do: {set: {ExpCmdSN: ExpCmdSN - $offset, MaxCmdSN: MaxCmdSN - $offset}}
"""
STATSN_MOVED = """
params: {offset: 0xffffff9a}
rules:
  - when:
      - Data-In where S
      - Login-Response or SCSI-Response or TMF-Response or Text-Response or Logout-Response or NOP-In or R2T or Reject
    do: {set: {StatSN: StatSN + $offset}}
  - when:
      - Login-Request after 1 per connection
      - SCSI-Command or TMF-Request or Text-Request or Logout-Request or NOP-Out or Data-Out
    do: {set: {ExpStatSN: ExpStatSN - $offset}}
"""
TOP = 1 << 32


def conversation(cmd_sn: int, exp_cmd_sn: int, stat_sn: int, exp_stat_sn: int) -> list[Pdu]:
    """Make a session with requests of each kind: what each end says begins with these numbers, and goes on by one."""
    pairs = [
        LEADING,
        (write(2, 0), scsi_response(2, 0)),
        (tmf(3, 0, 1, 2, I=0, RefCmdSN=cmd_sn), response(Opcode.TMF_RESPONSE, 3, 0)),
        (nop_out(4, 0), nop_in(4, 0)),
        (text_request(5, 0, {"SendTargets": ""}), text_response(5, 0)),
        (read(6, 0), data_in(6, 0, bytes(4096), F=1, S=1)),
        (request(Opcode.LOGOUT_REQUEST, 7, 0), response(Opcode.LOGOUT_RESPONSE, 7, 0)),
    ]
    session = []
    for n, (asked, told) in enumerate(pairs):
        used, counted = max(n - 1, 0), n  # a login uses up no CmdSN
        ack = exp_stat_sn + n if n else 0
        numbers = {"StatSN": stat_sn + n, "ExpCmdSN": exp_cmd_sn + counted, "MaxCmdSN": exp_cmd_sn + counted + 30}
        session += [
            asked.with_fields({"CmdSN": (cmd_sn + used) % TOP, "ExpStatSN": ack % TOP}),
            told.with_fields({name: value % TOP for name, value in numbers.items()}),
        ]
    return session


def moved_by(offset: int, names: Sequence[str], *pdus: Pdu) -> list[tuple[Pdu, Fields]]:
    """Say what becomes of PDUs whose numbers are moved."""
    changes = [(pdu, {name: add(pdu[name], offset) for name in names if name in pdu.fields}) for pdu in pdus]
    return [(pdu, fields) for pdu, fields in changes if fields]


@row("SEQ-06")
def test_cmdsn_wraps_around() -> None:
    offset = 0xFFFFFFF4
    script = conversation(10, 10 + offset, 100, 101)
    played = play(CMDSN_MOVED, *script, login=False)
    asked = moved_by(offset, ("CmdSN", "RefCmdSN"), *script[::2])
    assert [fields["CmdSN"] for _, fields in asked[1:]] == [0xFFFFFFFE, 0xFFFFFFFF, 0, 1, 2, 3]
    played.assert_changed(*asked[0], *asked[1:])
    told = moved_by(-offset % TOP, ("ExpCmdSN", "MaxCmdSN"), *script[1::2])
    assert [fields["ExpCmdSN"] for _, fields in told] == [*range(10, 17)]
    played.at(End.INITIATOR).assert_changed(*told[0], *told[1:])


@row("SEQ-06")
async def test_cmdsn_wraps_around_between_the_embedded_peers(tmp_path: Path) -> None:
    text = """
victim: target
actor:
  - login: {as: A, CmdSN: 0xfffffff8}
  - io: {do: verify, conn: A, size: 4KiB}
rules:
  - when: SCSI-Command where CmdSN == 4 nth 1
    do: {note: wrapped}
aftermath: none
"""
    numbers = [event.pdu["CmdSN"] for event in await acted(text, tmp_path) if event.pdu.label == "SCSI-Command"]
    assert numbers == [add(0xFFFFFFF8, n) for n in range(len(numbers))]
    assert numbers[-1] < 0xFFFFFFF8


@row("SEQ-07")
def test_statsn_wraps_around() -> None:
    offset = 0xFFFFFF9A
    script = conversation(10, 10, 100, 100 + offset)
    played = play(STATSN_MOVED, *script, login=False).at(End.INITIATOR)
    told = moved_by(offset, ("StatSN",), *script[1::2])
    assert [fields["StatSN"] for _, fields in told] == [0xFFFFFFFE, 0xFFFFFFFF, 0, 1, 2, 3, 4]
    played.assert_changed(*told[0], *told[1:])
    acknowledged = moved_by(-offset % TOP, ("ExpStatSN",), *script[2::2])
    assert [fields["ExpStatSN"] for _, fields in acknowledged] == [*range(101, 107)]
    played.at(End.TARGET).assert_changed(*acknowledged[0], *acknowledged[1:])


@row("SEQ-08")
def test_the_window_is_closed_for_some_time() -> None:
    rules = """
    - when: SCSI-Response or Data-In or NOP-In or R2T
      until: SCSI-Response then 5s
      do: {set: {MaxCmdSN: ExpCmdSN - 1}}
    """
    early, later, last = scsi_response(2, 101), nop_in(3, 102), scsi_response(4, 103)
    played = at_initiator(rules, early, 4, later, 4, last)
    played.assert_changed(early, {"MaxCmdSN": 9}, (later, {"MaxCmdSN": 9}))


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        pytest.param("MaxCmdSN: MaxCmdSN - 5", {"MaxCmdSN": 35}, marks=row("SEQ-09")),
        pytest.param("MaxCmdSN: ExpCmdSN - 2", {"MaxCmdSN": 8}, marks=row("SEQ-10")),
        pytest.param("ExpCmdSN: ExpCmdSN + 100", {"ExpCmdSN": 110}, marks=row("SEQ-11")),
        pytest.param("StatSN: StatSN + 5", {"StatSN": 106}, marks=row("SEQ-12")),
        pytest.param("StatSN: StatSN + 0x80000000", {"StatSN": 0x80000065}, marks=row("SEQ-13")),
        pytest.param("ExpDataSN: ExpDataSN + 1", {"ExpDataSN": 5}, marks=row("SEQ-19")),
    ],
)
def test_a_number_of_the_response_is_wrong(fields: str, changes: Fields) -> None:
    rules = f"- {{when: SCSI-Response nth 1, do: {{set: {{{fields}}}}}}}"
    at_initiator(rules, *READING, ANOTHER, scsi_response(3, 102)).assert_changed(READ_DONE, changes)


@row("SEQ-14")
def test_a_response_comes_twice() -> None:
    played = at_initiator("- {when: SCSI-Response nth 1, do: duplicate}", *READING, scsi_response(3, 102))
    played.assert_added(READ_DONE, READ_DONE)


@pytest.mark.parametrize(
    ("pattern", "script", "lost"),
    [
        pytest.param("SCSI-Response nth 1", READING, READ_DONE, marks=row("SEQ-15")),
        pytest.param("Data-In where DataSN == 1 nth 1", READING, DATA_IN[1], marks=row("SEQ-16")),
        pytest.param("R2T nth 1", WRITING, ASK, marks=row("SEQ-20")),
    ],
)
def test_a_pdu_is_lost(pattern: str, script: tuple[Step, ...], lost: Pdu) -> None:
    at_initiator(f"- {{when: {pattern}, do: drop}}", *script).assert_missing(lost)


@pytest.mark.parametrize(
    ("pattern", "script", "twice"),
    [
        pytest.param("Data-In where DataSN == 1 nth 1", READING, DATA_IN[1], marks=row("SEQ-17")),
        pytest.param("R2T nth 1", WRITING, ASK, marks=row("SEQ-21")),
    ],
)
def test_a_pdu_comes_twice(pattern: str, script: tuple[Step, ...], twice: Pdu) -> None:
    at_initiator(f"- {{when: {pattern}, do: duplicate}}", *script).assert_added(twice, twice)


@row("SEQ-18")
def test_two_data_ins_change_places() -> None:
    rules = """
    - when: Data-In where DataSN == 1 nth 1 as early
      do:
        - delay: {until: Data-In of early where DataSN == 2 then 1ms, overtake: yes}
    """
    played = at_initiator(rules, READ, *DATA_IN[:3], 1, DATA_IN[3], READ_DONE)
    played.assert_order(DATA_IN[2], DATA_IN[1])


@row("SEQ-22")
def test_r2tsn_jumps() -> None:
    played = at_initiator("- {when: R2T nth 1, do: {set: {R2TSN: R2TSN + 1}}}", *WRITING)
    played.assert_changed(ASK, {"R2TSN": 1})


@row("SEQ-23")
def test_a_data_out_is_lost() -> None:
    at_target("data_out_lost", *WRITING).assert_missing(DATA_OUT[2])


@row("SEQ-23")
async def test_a_data_out_is_lost_between_the_embedded_peers() -> None:
    async def write_once(session: Session) -> None:
        await session.command(0, commands.test_unit_ready())  # the nexus is new
        await session.command(0, commands.write10(0, 128), data_out=bytes(BLOCK * 128))

    settings = TargetSettings(initial_r2t=True, immediate_data=False, max_recv_data_segment_length=8192)
    played = await live("data_out_lost", write_once, target=settings)
    played.assert_missing(played.pick("Data-Out", 2))


@row("SEQ-24")
def test_a_burst_begins_late() -> None:
    played = at_target("- {when: Data-Out, do: {set: {DataSN: DataSN + 5}}}", *WRITING)
    first, *others = ((pdu, {"DataSN": 5 + sn}) for sn, pdu in enumerate(DATA_OUT))
    played.assert_changed(*first, *others)


@row("SEQ-24")
def test_datasn_stands_still() -> None:
    played = at_target("- {when: Data-Out where DataSN == 2, do: {set: {DataSN: 1}}}", *WRITING)
    played.assert_changed(DATA_OUT[2], {"DataSN": 1})


@row("SEQ-25")
def test_nothing_is_acknowledged_any_more() -> None:
    rules = """
    - when: SCSI-Command nth 1 as first
    - when: SCSI-Command or Data-Out or NOP-Out where ExpStatSN > first.ExpStatSN
      until: SCSI-Command then 30s
      do: {set: {ExpStatSN: first.ExpStatSN}}
    """
    ping, late = nop_out(3, 11, ExpStatSN=102), nop_out(4, 12, ExpStatSN=103)
    played = at_target(rules, *READING, ping, nop_in(3, 102), 31, late)
    played.assert_changed(ping, {"ExpStatSN": 101})


@row("SEQ-26")
def test_what_was_never_sent_is_acknowledged() -> None:
    played = at_target("- {when: NOP-Out nth 1, do: {set: {ExpStatSN: conn.StatSN + 100}}}", ping := nop_out(3, 10))
    played.assert_changed(ping, {"ExpStatSN": 201})
