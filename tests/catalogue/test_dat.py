"""Data transfer."""

from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.catalogue.harness import Fields, Step, altered, at_initiator, at_target, row
from tests.engine.dialogue import NO_TAG, Dialogue, data_in, data_out, r2t, read, scsi_response, write
from tests.session.dialogue import NAMES, TPGT, login_request, login_response

__all__: list[str] = []

#: A READ of four Data-Ins, and a WRITE of four Data-Outs.
READ, READ_DONE = read(2, 10), scsi_response(2, 101, ExpDataSN=4)
DATA_IN = [data_in(2, sn, bytes(1024), BufferOffset=1024 * sn, F=int(sn == 3)) for sn in range(4)]
WRITE, ASK, WRITE_DONE = write(2, 10), r2t(2, 7, DesiredDataTransferLength=4096), scsi_response(2, 101)
DATA_OUT = [data_out(2, sn, bytes(1024), ttt=7, BufferOffset=1024 * sn, F=int(sn == 3)) for sn in range(4)]
READING: tuple[Step, ...] = (READ, *DATA_IN, READ_DONE)
WRITING: tuple[Step, ...] = (WRITE, ASK, *DATA_OUT, WRITE_DONE)
#: Another task, which the fault borrows from.
OTHER_READ, OTHER_WRITE = read(3, 11), write(3, 11)

# --- towards the target ---


@pytest.mark.parametrize(
    ("pattern", "fields", "at", "changes"),
    [
        pytest.param("DataSN == 3", "BufferOffset: task.EDTL", 3, {"BufferOffset": 4096}, marks=row("DAT-01")),
        pytest.param("DataSN == 2", "BufferOffset: BufferOffset - 512", 2, {"BufferOffset": 1536}, marks=row("DAT-02")),
        pytest.param("DataSN == 2", "BufferOffset: BufferOffset + 512", 2, {"BufferOffset": 2560}, marks=row("DAT-03")),
        pytest.param("DataSN == 1", "TTT: 0x12345678", 1, {"TTT": 0x12345678}, marks=row("DAT-04")),
        pytest.param("DataSN == 1", "LUN: 5", 1, {"LUN": 5 << 48}, marks=row("DAT-06")),
        pytest.param("DataSN == 0", "F: 1", 0, {"F": 1}, marks=row("DAT-07")),
        pytest.param("F", "F: 0", 3, {"F": 0}, marks=row("DAT-08")),
    ],
)
def test_a_data_out_is_changed(pattern: str, fields: str, at: int, changes: Fields) -> None:
    played = at_target(f"- {{when: Data-Out where {pattern}, do: {{set: {{{fields}}}}}}}", *WRITING)
    played.assert_changed(DATA_OUT[at], changes)


@row("DAT-05")
def test_a_data_out_for_no_task() -> None:
    played = at_target("- {when: Data-Out where DataSN == 1 nth 1, do: {duplicate: {ITT: fresh}}}", *WRITING)
    (copy,) = (pdu for pdu in played.victim if pdu.label == "Data-Out" and pdu["ITT"] != 2)
    played.assert_added(DATA_OUT[1], altered(DATA_OUT[1], {"ITT": copy["ITT"]}))


@row("DAT-09")
def test_an_empty_data_out_among_the_others() -> None:
    rules = """
    - when: Data-Out where DataSN == 0 nth 1 as first
      do: {duplicate: {data: "", DataSN: 1, BufferOffset: BufferOffset + length, F: 0}}
    - when: Data-Out of first where DataSN > 0
      do: {set: {DataSN: DataSN + 1}}
    """
    played = at_target(rules, *WRITING)
    empty = altered(DATA_OUT[0], {"data": b"", "DataSN": 1, "BufferOffset": 1024})
    played.assert_got(WRITE, DATA_OUT[0], empty, *(altered(DATA_OUT[sn], {"DataSN": sn + 1}) for sn in (1, 2, 3)))


@row("DAT-10")
def test_data_outs_come_in_small_pieces() -> None:
    played = at_target("- {when: Data-Out, do: {split: 512}}", *WRITING)
    pieces = [data_out(2, sn, bytes(512), ttt=7, BufferOffset=512 * sn, F=int(sn == 7)) for sn in range(8)]
    played.assert_got(WRITE, *pieces)


@row("DAT-11")
def test_data_outs_are_merged_beyond_what_the_target_takes() -> None:
    rules = """
    - when: Data-Out where DataSN == 0 and declared.target.MaxRecvDataSegmentLength < 4096 nth 1
      do: {merge: 4}
    """

    def login(talk: Dialogue) -> None:
        """Log in; the target takes no more than 1024 bytes."""
        talk.say(login_request(NAMES), login_response({**TPGT, "MaxRecvDataSegmentLength": "1024"}))

    played = at_target(rules, login, *WRITING, login=False)
    merged = data_out(2, 0, bytes(4096), ttt=7, F=1)
    played.assert_got(WRITE, merged)
    assert merged["DataSegmentLength"] == 4096


@pytest.mark.parametrize(
    ("of", "script", "changes"),
    [
        (
            "SCSI-Command where R nth 1 as other",
            (OTHER_READ, *WRITING),
            {"ITT": 3, "TTT": NO_TAG},
        ),
        (
            "SCSI-Response nth 1 as other",
            (OTHER_READ, scsi_response(3, 101), WRITE, ASK, *DATA_OUT, scsi_response(2, 102)),
            {"ITT": 3, "TTT": NO_TAG},
        ),
    ],
    ids=["read", "finished"],
)
@row("DAT-12")
def test_a_data_out_for_a_task_that_takes_none(of: str, script: tuple[Step, ...], changes: Fields) -> None:
    rules = f"""
    - when: {of}
    - when: Data-Out nth 1
      do: {{duplicate: {{ITT: other.ITT, TTT: none}}}}
    """
    played = at_target(rules, *script)
    played.assert_added(DATA_OUT[0], altered(DATA_OUT[0], changes))


@row("DAT-13")
def test_a_data_out_behind_the_end_of_its_burst() -> None:
    rules = "- {when: Data-Out where F, do: {duplicate: {DataSN: DataSN + 1, BufferOffset: BufferOffset + length}}}"
    played = at_target(rules, *WRITING)
    played.assert_added(DATA_OUT[3], altered(DATA_OUT[3], {"DataSN": 4, "BufferOffset": 4096}))


@pytest.mark.parametrize(
    ("command", "act", "changes"),
    [
        pytest.param(write(2, 10, bytes(4096)), "{resize: EDTL + 512}", {"data": bytes(4608)}, marks=row("DAT-14")),
        pytest.param(write(2, 10), "{set: {EDTL: EDTL * 2}}", {"EDTL": 8192}, marks=row("DAT-15")),
        pytest.param(write(2, 10), "{set: {EDTL: EDTL - 2048}}", {"EDTL": 2048}, marks=row("DAT-15")),
        pytest.param(read(2, 10), "{set: {EDTL: EDTL * 2}}", {"EDTL": 8192}, marks=row("DAT-16")),
        pytest.param(read(2, 10), "{set: {EDTL: EDTL - 2048}}", {"EDTL": 2048}, marks=row("DAT-16")),
        pytest.param(write(2, 10), "{set: {R: 0, W: 0}}", {"R": 0, "W": 0}, marks=row("DAT-17")),
        pytest.param(write(2, 10), "{set: {R: 1, W: 1}}", {"R": 1, "W": 1}, marks=row("DAT-17")),
        pytest.param(write(2, 10, bytes(4096)), "{set: {F: 0}}", {"F": 0}, marks=row("DAT-18")),
    ],
)
def test_a_command_is_changed(command: Pdu, act: str, changes: Fields) -> None:
    played = at_target(f"- {{when: SCSI-Command where EDTL > 0 nth 1, do: {act}}}", command, read(5, 11))
    played.assert_changed(command, changes)


@row("DAT-19")
def test_unsolicited_data_out_of_order() -> None:
    rules = """
    - when: SCSI-Command where W nth 1 as n
    - when: SCSI-Command where W nth 2 as m
    - when: Data-Out of n where TTT == none nth 1
      do:
        - delay: {until: Data-Out of m then 1ms, overtake: yes}
    """
    first, second = write(2, 10, F=0), write(3, 11, F=0)
    of_first, of_second = data_out(2, 0, bytes(512), F=1), data_out(3, 0, bytes(512), F=1)
    played = at_target(rules, first, second, of_first, of_second, 1)
    played.assert_order(of_second, of_first)


# --- towards the initiator ---


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        pytest.param("DesiredDataTransferLength: 0", {"DesiredDataTransferLength": 0}, marks=row("DAT-20")),
        pytest.param(
            "DesiredDataTransferLength: key.MaxBurstLength + 512",
            {"DesiredDataTransferLength": 262656},
            marks=row("DAT-20"),
        ),
        pytest.param("TTT: none", {"TTT": NO_TAG}, marks=row("DAT-20")),
        pytest.param("BufferOffset: task.EDTL", {"BufferOffset": 4096}, marks=row("DAT-21")),
        pytest.param("LUN: 5", {"LUN": 5 << 48}, marks=row("DAT-23")),
    ],
)
def test_an_r2t_is_changed(fields: str, changes: Fields) -> None:
    played = at_initiator(f"- {{when: R2T nth 1, do: {{set: {{{fields}}}}}}}", *WRITING)
    played.assert_changed(ASK, changes)


@row("DAT-22")
@pytest.mark.parametrize("name", ["read", "done", "fresh"])
def test_an_r2t_for_something_else(name: str) -> None:
    tag = "fresh" if name == "fresh" else f"{name}.ITT"
    rules = f"""
    - when: SCSI-Command where R nth 1 as read
    - when: SCSI-Response nth 1 as done
    - when: R2T nth 1
      do: {{duplicate: {{ITT: {tag}}}}}
    """
    script = (OTHER_READ, read(4, 12), scsi_response(4, 101), WRITE, ask := r2t(2, 7, StatSN=102))
    played = at_initiator(rules, *script)
    copy = played.victim[-1]
    assert copy["ITT"] == {"read": 3, "done": 4}.get(name, copy["ITT"]) != 2
    played.assert_added(ask, altered(ask, {"ITT": copy["ITT"]}))


@pytest.mark.parametrize(
    ("pattern", "act", "at", "changes"),
    [
        pytest.param("F", "{set: {BufferOffset: task.EDTL}}", 3, {"BufferOffset": 4096}, marks=row("DAT-26")),
        pytest.param(
            "DataSN == 2", "{set: {BufferOffset: BufferOffset - 512}}", 2, {"BufferOffset": 1536}, marks=row("DAT-26")
        ),
        pytest.param(
            "DataSN == 2", "{set: {BufferOffset: BufferOffset + 512}}", 2, {"BufferOffset": 2560}, marks=row("DAT-26")
        ),
        pytest.param(
            "DataSN == 1",
            "{resize: declared.initiator.MaxRecvDataSegmentLength + 4}",
            1,
            {"data": bytes(8196)},
            marks=row("DAT-27"),
        ),
        pytest.param("DataSN == 1", "{set: {ITT: other.ITT}}", 1, {"ITT": 3}, marks=row("DAT-28")),
        pytest.param("DataSN == 1", "{set: {ITT: 0x7777}}", 1, {"ITT": 0x7777}, marks=row("DAT-28")),
        pytest.param("DataSN == 1", "{set: {A: 1}}", 1, {"A": 1}, marks=row("DAT-30")),
        pytest.param("DataSN == 1", "{set: {F: 1}}", 1, {"F": 1}, marks=row("DAT-34")),
    ],
)
def test_a_data_in_is_changed(pattern: str, act: str, at: int, changes: Fields) -> None:
    rules = f"""
    - when: SCSI-Command where W nth 1 as other
    - when: Data-In where {pattern}
      do: {act}
    """
    at_initiator(rules, OTHER_WRITE, *READING).assert_changed(DATA_IN[at], changes)


@row("DAT-29")
@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ("F: 0", {"F": 0}),
        ("Status: CHECK_CONDITION", {"Status": 2}),
        ("O: 1, U: 1", {"O": 1, "U": 1}),
    ],
)
def test_a_data_in_with_a_status_is_changed(fields: str, changes: Fields) -> None:
    both = data_in(2, 0, bytes(4096), F=1, S=1, StatSN=101)
    played = at_initiator(f"- {{when: Data-In where S nth 1, do: {{set: {{{fields}}}}}}}", READ, both)
    played.assert_changed(both, changes)


@row("DAT-31")
def test_an_acknowledgement_is_asked_for() -> None:
    rules = """
    - when: Data-In where F and key.ErrorRecoveryLevel > 0 nth 1
      do: {set: {A: 1, TTT: 0x1234, LUN: task.LUN}}
    """
    command = read(2, 10, LUN=3 << 48)
    played = at_initiator(rules, command, *DATA_IN, READ_DONE, keys={"ErrorRecoveryLevel": "1"})
    played.assert_changed(DATA_IN[3], {"A": 1, "TTT": 0x1234, "LUN": 3 << 48})


@row("DAT-32")
def test_the_status_gets_a_response_of_its_own() -> None:
    rules = "- {when: Data-In where S nth 1, do: {split: {status: apart}}}"
    both = data_in(2, 1, bytes(512), F=1, S=1, U=1, StatSN=101, BufferOffset=1024, ResidualCount=2560)
    later = scsi_response(3, 102)
    played = at_initiator(rules, READ, DATA_IN[0], both, later)
    response = scsi_response(2, 101, U=1, ResidualCount=2560, ExpDataSN=2)
    plain = altered(both, {"S": 0, "U": 0, "StatSN": 0, "ResidualCount": 0})
    played.assert_got(DATA_IN[0], plain, response, later)


@row("DAT-33")
def test_the_status_moves_into_the_last_data_in() -> None:
    rules = "- {when: Data-In where F and not S nth 1, do: {merge: {count: 1, status: folded}}}"
    done, later = scsi_response(2, 101, ExpDataSN=4, U=1, ResidualCount=8), scsi_response(3, 102)
    played = at_initiator(rules, READ, *DATA_IN, done, read(3, 11), later)
    folded = altered(DATA_IN[3], {"S": 1, "StatSN": 101, "U": 1, "ResidualCount": 8})
    played.assert_got(*DATA_IN[:3], folded, later)


@row("DAT-35")
def test_an_empty_data_in_among_the_others() -> None:
    rules = """
    - when: Data-In where DataSN == 0 nth 1 as first
      do: {duplicate: {data: "", DataSN: 1, BufferOffset: BufferOffset + length}}
    - when: Data-In of first where DataSN > 0
      do: {set: {DataSN: DataSN + 1}}
    - when: SCSI-Response of first
      do: {set: {ExpDataSN: ExpDataSN + 1}}
    """
    played = at_initiator(rules, *READING)
    empty = altered(DATA_IN[0], {"data": b"", "DataSN": 1, "BufferOffset": 1024})
    later = [altered(DATA_IN[sn], {"DataSN": sn + 1}) for sn in (1, 2, 3)]
    played.assert_got(DATA_IN[0], empty, *later, altered(READ_DONE, {"ExpDataSN": 5}))


@row("DAT-36")
def test_the_end_of_the_data_is_missing() -> None:
    rules = """
    - when: Data-In where F and not S nth 1 as lost
      do: drop
    - when: SCSI-Response of lost where Status == GOOD
      do: {set: {ExpDataSN: lost.DataSN}}
    """
    played = at_initiator(rules, *READING)
    played.assert_got(*DATA_IN[:3], altered(READ_DONE, {"ExpDataSN": 3}))


@row("DAT-37")
@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ("U: 1, ResidualCount: 512", {"U": 1, "ResidualCount": 512}),
        ("O: 1, ResidualCount: 512", {"O": 1, "ResidualCount": 512}),
        ("U: 1, O: 1, ResidualCount: task.EDTL", {"U": 1, "O": 1, "ResidualCount": 4096}),
    ],
)
def test_residual_counts_that_lie(fields: str, changes: Fields) -> None:
    played = at_initiator(f"- {{when: SCSI-Response nth 1, do: {{set: {{{fields}}}}}}}", *READING)
    played.assert_changed(READ_DONE, changes)


@row("DAT-38")
def test_the_response_overtakes_the_data() -> None:
    rules = """
    - when: Data-In where F and not S nth 1 as last
      do:
        - delay: {until: SCSI-Response of last then 1ms, overtake: yes}
    """
    played = at_initiator(rules, *READING, 1)
    played.assert_order(READ_DONE, DATA_IN[3])


@row("DAT-39")
def test_data_comes_behind_the_status() -> None:
    rules = """
    - when: Data-In where F nth 1 as last
    - when: SCSI-Response of last
      do: [pass, {replay: last}]
    """
    played = at_initiator(rules, *READING)
    played.assert_added(READ_DONE, DATA_IN[3])


@row("DAT-24")
def test_two_r2ts_where_one_was_agreed_on() -> None:
    rules = "- {when: R2T where key.MaxOutstandingR2T == 1 nth 1, do: {split: {into: 2, in_turn: no}}}"
    half = [r2t(2, 7, DesiredDataTransferLength=2048, BufferOffset=2048 * n, R2TSN=n) for n in (0, 1)]
    behind = r2t(2, 9, 1, DesiredDataTransferLength=512)
    played = at_initiator(rules, WRITE, ASK, behind)
    tag = played.victim[2]["TTT"]
    assert tag not in (7, NO_TAG)
    played.assert_got(half[0], altered(half[1], {"TTT": tag}), altered(behind, {"R2TSN": 2}))


@row("DAT-25")
def test_r2ts_come_in_small_pieces() -> None:
    # Each piece comes when the one before it is answered; to the target the answers are the burst it asked for.
    rules = "- {when: R2T nth 1, do: {split: 1024}}"

    def burst(sn: int) -> Step:
        def say(talk: Dialogue) -> Pdu:
            asked = talk.sent(End.INITIATOR)[-1].pdu
            if asked["DesiredDataTransferLength"] == 4096:
                return DATA_OUT[sn]
            return altered(DATA_OUT[sn], {"TTT": asked["TTT"], "DataSN": 0, "F": 1})

        return say

    played = at_initiator(rules, WRITE, ASK, *(burst(sn) for sn in range(4)), WRITE_DONE)
    tags = [pdu["TTT"] for pdu in played.victim if pdu.label == "R2T"]
    assert len(set(tags)) == 4
    pieces = [r2t(2, tag, n, DesiredDataTransferLength=1024, BufferOffset=1024 * n) for n, tag in enumerate(tags)]
    played.assert_got(*pieces, WRITE_DONE)
    played.at(End.TARGET).assert_got(WRITE, *DATA_OUT)


@row("DAT-40")
def test_read_data_is_changed_under_right_digests() -> None:
    digests = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
    played = at_initiator("payload_corrupt_valid_digest", *READING, keys=digests)
    played.assert_corrupted(DATA_IN[0], "data", 3)
    assert played.victim[0].opcode == Opcode.LOGIN_RESPONSE
