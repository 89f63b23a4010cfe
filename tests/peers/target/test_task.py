from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.wire.ahs import Ahs, AhsType, encode_ahs
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.peers.target.wire import BLOCK, Initiator, node, one, pattern, read_cdb, sense, write_cdb

#: The initiator may send data without being asked
FREE = {"InitialR2T": "No", "ImmediateData": "Yes"}
#: It may not
ASKED = {"InitialR2T": "Yes", "ImmediateData": "No"}
UNEXPECTED, INCORRECT, CRC = "B/0C/0C", "B/0C/0D", "B/47/05"


def begun(keys: dict[str, str] | None = None, **settings: Any) -> Initiator:
    return Initiator(node(**settings)).start(keys)


def unsolicited(initiator: Initiator, command: Pdu, data: bytes, *, step: int, final: bool = True) -> list[Pdu]:
    """Build the unsolicited Data-Out that brings `data` behind what came with the command."""
    start = len(command.data)
    offsets = range(start, start + len(data), step)
    return [
        initiator.data_out(
            command["ITT"],
            data[at - start : at - start + step],
            F=int(final and at + step >= start + len(data)),
            DataSN=number,
            BufferOffset=at,
        )
        for number, at in enumerate(offsets)
    ]


# --- reads ---


@pytest.mark.parametrize(("segment", "burst"), [(512, 512), (512, 2048), (1000, 4000), (8192, 8192), (262144, 262144)])
def test_a_read_comes_in_bursts_of_segments(segment: int, burst: int) -> None:
    initiator = begun({"MaxRecvDataSegmentLength": str(segment), "MaxBurstLength": str(burst)})
    initiator.do(initiator.write(0, 24), pattern(24))
    got = initiator.send(initiator.read(0, 24))
    assert b"".join(pdu.data for pdu in got) == pattern(24)
    ends = {pdu["BufferOffset"] + len(pdu.data) for pdu in got if pdu["F"]}
    assert ends == {*range(burst, 24 * BLOCK, burst), 24 * BLOCK}
    assert [pdu["S"] for pdu in got] == [0] * (len(got) - 1) + [1]


def test_a_long_read_is_made_as_it_is_sent() -> None:
    initiator = begun({"MaxRecvDataSegmentLength": "512"})
    read = initiator.read(0, 1000)
    initiator.feed(read)
    connection = initiator.connection
    first = connection.next_pdu()
    assert first is not None
    assert (len(first.data), first["DataSN"]) == (512, 0)
    initiator.watch.got(first)
    assert len(initiator.collect()) == 999


def test_what_is_read_is_what_was_there() -> None:
    initiator = begun({"MaxRecvDataSegmentLength": "512"})
    initiator.do(initiator.write(0, 4), pattern(4))
    initiator.feed(initiator.read(0, 4))
    initiator.feed(initiator.write(0, 4, pattern(4, 9)))
    got = initiator.collect()
    assert b"".join(pdu.data for pdu in got) == pattern(4)
    assert initiator.contents(0, 4) == pattern(4, 9)


@pytest.mark.parametrize(
    ("fields", "flags"),
    [
        ({"EDTL": 512}, ("", 0)),
        ({"EDTL": 1024}, ("U", 512)),
        ({"EDTL": 200}, ("O", 312)),
        ({"EDTL": 0}, ("O", 512)),
        ({"EDTL": 0, "R": 0}, ("O", 512)),
        ({"R": 0, "W": 1, "EDTL": 512}, ("U", 512)),
    ],
)
def test_residuals_of_a_read(fields: dict[str, Any], flags: tuple[str, int]) -> None:
    initiator = begun(FREE)
    status = initiator.send(initiator.read(0, 1, **fields))[-1]
    assert status["Status"] == 0
    assert residual(status) == flags


@pytest.mark.parametrize(
    ("fields", "flags"),
    [
        ({"EDTL": 1024}, ("", 0)),
        ({"EDTL": 4096}, ("U", 3072)),
        ({"EDTL": 512}, ("O", 512)),
        ({"EDTL": 0}, ("O", 1024)),
        ({"W": 0, "EDTL": 0}, ("O", 1024)),
        ({"W": 0, "R": 1, "EDTL": 1024}, ("U", 1024)),
    ],
)
def test_residuals_of_a_write(fields: dict[str, Any], flags: tuple[str, int]) -> None:
    initiator = begun(ASKED)
    status = initiator.do(initiator.write(0, 2, **fields), pattern(8))
    assert status["Status"] == 0
    assert residual(status) == flags
    moved = min(2, fields["EDTL"] // BLOCK) if "R" not in fields else 0
    assert initiator.contents(0, 3) == pattern(8)[: moved * BLOCK] + bytes((3 - moved) * BLOCK)


def residual(status: Pdu) -> tuple[str, int]:
    return "O" * status["O"] + "U" * status["U"], status["ResidualCount"]


def test_a_failed_command_has_moved_nothing() -> None:
    initiator = begun()
    assert residual(one(initiator.send(initiator.read(99999, 1)))) == ("U", 512)
    assert residual(one(initiator.send(initiator.write(99999, 1)))) == ("U", 512)


# --- writes, as negotiated ---


@pytest.mark.parametrize("keys", [ASKED, FREE, {"InitialR2T": "Yes", "ImmediateData": "Yes"}])
@pytest.mark.parametrize("outstanding", [1, 2, 8])
@pytest.mark.parametrize("step", [512, 700, 4096])
def test_solicited_data_in_bursts(keys: dict[str, str], outstanding: int, step: int) -> None:
    initiator = begun(keys | {"MaxBurstLength": "4096", "MaxOutstandingR2T": str(outstanding)})
    write = initiator.write(3, 50)
    r2ts = initiator.send(write)
    assert [r2t["DesiredDataTransferLength"] for r2t in r2ts] == ([4096] * 6 + [1024])[:outstanding]
    status = None
    while r2ts:
        got = initiator.send(*initiator.answer(r2ts.pop(0), pattern(50), step=step))
        r2ts += [pdu for pdu in got if pdu.opcode == Opcode.R2T]
        status = next((pdu for pdu in got if pdu.opcode == Opcode.SCSI_RESPONSE), None)
    assert status is not None
    assert sense(status) == "00"
    assert initiator.contents(3, 50) == pattern(50)


def test_r2ts_may_be_answered_in_any_order() -> None:
    initiator = begun({"MaxBurstLength": "512", "MaxOutstandingR2T": "4"})
    r2ts = initiator.send(initiator.write(0, 4))
    assert len(r2ts) == 4
    got = [pdu for r2t in reversed(r2ts) for pdu in initiator.send(*initiator.answer(r2t, pattern(4)))]
    assert sense(one(got)) == "00"
    assert initiator.contents(0, 4) == pattern(4)


@pytest.mark.parametrize("immediate", [0, 1, 4])
def test_unsolicited_data_up_to_FirstBurstLength(immediate: int) -> None:
    initiator = begun(FREE | {"FirstBurstLength": "2048", "MaxBurstLength": "2048"})
    data = pattern(9)
    cut = immediate * BLOCK
    final = int(cut == 2048)
    write = initiator.write(0, 9, data[:cut], F=final)
    got = initiator.send(write)
    if not final:
        assert got == []
        got = initiator.send(*unsolicited(initiator, write, data[cut:2048], step=512))
    r2t = one(got)
    assert r2t["BufferOffset"] == 2048
    while got[0].opcode == Opcode.R2T:
        got = initiator.send(*initiator.answer(one(got), data))
    assert sense(one(got)) == "00"
    assert initiator.contents(0, 9) == data


def test_unsolicited_data_that_is_all_there_is() -> None:
    initiator = begun(FREE)
    write = initiator.write(0, 4, pattern(1), F=0)
    assert initiator.send(write) == []
    assert sense(one(initiator.send(*unsolicited(initiator, write, pattern(4)[512:], step=512)))) == "00"
    assert initiator.contents(0, 4) == pattern(4)


def test_data_may_come_before_the_command_has_its_turn() -> None:
    initiator = begun(FREE)
    missing = initiator.ready()
    write = initiator.write(0, 4, F=0)
    assert initiator.send(write, *unsolicited(initiator, write, pattern(4), step=1024)) == []
    assert [pdu["ITT"] for pdu in initiator.send(missing)] == [missing["ITT"], write["ITT"]]
    assert initiator.contents(0, 4) == pattern(4)


def test_a_data_out_without_data_is_fine() -> None:
    initiator = begun(ASKED)
    write = initiator.write(0, 1)
    r2t = one(initiator.send(write))
    itt, tag = r2t["ITT"], r2t["TTT"]
    assert initiator.send(initiator.data_out(itt, F=0, TTT=tag)) == []
    assert initiator.send(initiator.data_out(itt, pattern(1), F=0, TTT=tag, DataSN=1)) == []
    last = initiator.data_out(itt, TTT=tag, DataSN=2, BufferOffset=512)
    assert sense(one(initiator.send(last))) == "00"
    assert initiator.contents(0) == pattern(1)


@given(st.permutations(range(8)))
def test_the_order_of_data_pdus_is_free_where_that_was_agreed(order: list[int]) -> None:
    initiator = begun(ASKED | {"DataPDUInOrder": "No"}, data_pdu_in_order=False)
    r2t = one(initiator.send(initiator.write(0, 8)))
    parts = initiator.answer(r2t, pattern(8), step=512)
    shuffled = [parts[at].with_fields({"DataSN": sn, "F": int(sn == 7)}) for sn, at in enumerate(order)]
    assert sense(one(initiator.send(*shuffled))) == "00"
    assert initiator.contents(0, 8) == pattern(8)


@pytest.mark.parametrize("twice", range(3))
def test_a_hole_is_seen_where_the_order_is_free(twice: int) -> None:
    initiator = begun(ASKED | {"DataPDUInOrder": "No"}, data_pdu_in_order=False)
    r2t = one(initiator.send(initiator.write(0, 4)))
    parts = initiator.answer(r2t, pattern(4), step=512)
    parts[(twice + 1) % 3] = parts[twice]
    numbered = [part.with_fields({"DataSN": sn}) for sn, part in enumerate(parts)]
    assert sense(one(initiator.send(*numbered))) == INCORRECT
    assert initiator.contents(0, 4) == bytes(4 * BLOCK)


# --- writes, not as negotiated ---


def nothing_written(initiator: Initiator) -> bool:
    return initiator.contents(0, 16) == bytes(16 * BLOCK) and initiator.alive()


def test_immediate_data_beyond_FirstBurstLength() -> None:
    initiator = begun({"FirstBurstLength": "512"})
    assert sense(one(initiator.send(initiator.write(0, 2, pattern(2))))) == UNEXPECTED
    assert nothing_written(initiator)


@pytest.mark.parametrize("keys", [ASKED, {"ImmediateData": "No", "InitialR2T": "No"}])
def test_immediate_data_that_was_not_agreed(keys: dict[str, str]) -> None:
    initiator = begun(keys)
    assert sense(one(initiator.send(initiator.write(0, 1, pattern(1))))) == UNEXPECTED
    assert nothing_written(initiator)


def test_unsolicited_data_that_was_not_agreed_is_taken_in_before_the_answer() -> None:
    initiator = begun({"InitialR2T": "Yes"})
    write = initiator.write(0, 4, F=0)
    assert initiator.send(write) == []
    parts = unsolicited(initiator, write, pattern(4), step=1024)
    assert initiator.send(parts[0]) == []
    assert sense(one(initiator.send(parts[1]))) == UNEXPECTED
    assert nothing_written(initiator)


@pytest.mark.parametrize("length", [1, 3, 5, 8])
def test_an_unsolicited_burst_of_another_length(length: int) -> None:
    initiator = begun(FREE | {"FirstBurstLength": "2048"})
    write = initiator.write(0, 8, F=0)
    initiator.send(write)
    assert sense(one(initiator.send(*unsolicited(initiator, write, pattern(length), step=512)))) == INCORRECT
    assert nothing_written(initiator)


def test_more_immediate_data_than_the_command_has() -> None:
    initiator = begun()
    assert sense(one(initiator.send(initiator.write(0, 1, pattern(2), EDTL=512)))) == INCORRECT
    assert nothing_written(initiator)


def test_what_is_too_much_is_not_kept() -> None:
    initiator = begun(FREE | {"FirstBurstLength": "1024"})
    write = initiator.write(0, 16, F=0)
    initiator.send(write)
    session = initiator.connection.session
    assert session is not None
    task = session.tasks[write["ITT"]]
    assert initiator.send(*unsolicited(initiator, write, pattern(16), step=512, final=False)) == []
    assert "1024 bytes" in repr(task)


@pytest.mark.parametrize("length", [1, 3, 5])
def test_an_r2t_answered_with_another_length(length: int) -> None:
    initiator = begun(ASKED)
    r2t = one(initiator.send(initiator.write(0, 4)))
    answer = initiator.data_out(r2t["ITT"], pattern(length), TTT=r2t["TTT"])
    assert sense(one(initiator.send(answer))) == INCORRECT
    assert nothing_written(initiator)


@pytest.mark.parametrize(
    "wrong",
    [
        {"DataSN": 2},
        {"DataSN": 0},
        {"DataSN": 0xFFFFFFFF},
        {"BufferOffset": 0},
        {"BufferOffset": 1024},
        {"BufferOffset": 0xFFFFFF00},
    ],
)
def test_a_data_out_that_does_not_follow(wrong: dict[str, int]) -> None:
    initiator = begun(ASKED)
    r2t = one(initiator.send(initiator.write(0, 4)))
    parts = initiator.answer(r2t, pattern(4), step=512)
    parts[1] = parts[1].with_fields(wrong)
    assert initiator.send(*parts[:3]) == []
    assert sense(one(initiator.send(parts[3]))) == INCORRECT
    assert nothing_written(initiator)


@pytest.mark.parametrize("missing", range(3))
def test_a_data_out_that_never_came(missing: int) -> None:
    initiator = begun(ASKED)
    r2t = one(initiator.send(initiator.write(0, 4)))
    parts = initiator.answer(r2t, pattern(4), step=512)
    del parts[missing]
    assert sense(one(initiator.send(*parts))) == INCORRECT
    assert nothing_written(initiator)


def test_no_status_before_all_the_data_that_was_asked_for() -> None:
    initiator = begun({"MaxBurstLength": "512", "MaxOutstandingR2T": "4"})
    r2ts = initiator.send(initiator.write(0, 8))
    assert len(r2ts) == 4
    assert initiator.send(initiator.data_out(r2ts[0]["ITT"], b"shrt", TTT=r2ts[0]["TTT"])) == []
    assert initiator.send(*initiator.answer(r2ts[1], pattern(8))) == []
    assert initiator.send(*initiator.answer(r2ts[2], pattern(8))) == []
    assert sense(one(initiator.send(*initiator.answer(r2ts[3], pattern(8))))) == INCORRECT
    assert nothing_written(initiator)


def test_an_error_of_the_command_waits_for_its_unsolicited_data() -> None:
    initiator = begun(FREE)
    write = initiator.write(99999, 4, F=0)
    assert initiator.send(write) == []
    assert sense(one(initiator.send(*unsolicited(initiator, write, pattern(4), step=4096)))) == "5/21/00"


# --- digests ---


def test_a_wrong_data_digest_costs_the_command() -> None:
    initiator = begun(ASKED | {"DataDigest": "CRC32C"})
    r2t = one(initiator.send(initiator.write(0, 4)))
    parts = initiator.answer(r2t, pattern(4), step=1024)
    reject = one(initiator.send(parts[0], bad_data=True))
    assert (reject.opcode, reject["Reason"], reject.data) == (Opcode.REJECT, 0x02, parts[0].bhs)
    assert sense(one(initiator.send(parts[1]))) == CRC
    assert nothing_written(initiator)


def test_a_wrong_data_digest_at_the_end_of_a_burst() -> None:
    initiator = begun(FREE | {"DataDigest": "CRC32C"})
    write = initiator.write(0, 1, F=0)
    initiator.send(write)
    reject, status = initiator.send(*unsolicited(initiator, write, pattern(1), step=512), bad_data=True)
    assert (reject["Reason"], sense(status)) == (0x02, CRC)
    assert nothing_written(initiator)


# --- order ---


def test_statuses_come_in_the_order_that_task_attributes_ask_for() -> None:
    initiator = begun(ASKED)
    simple = initiator.write(0, 1)
    r2t = one(initiator.send(simple))
    ordered = initiator.read(0, 1, ATTR=2)
    behind = initiator.ready()
    assert initiator.send(ordered, behind) == []
    got = initiator.send(*initiator.answer(r2t, pattern(1)))
    assert [pdu["ITT"] for pdu in got] == [simple["ITT"], ordered["ITT"], behind["ITT"]]
    assert got[1].data == pattern(1)


def test_head_of_queue_goes_first() -> None:
    initiator = begun(ASKED)
    r2t = one(initiator.send(initiator.write(0, 1, ATTR=2)))
    assert initiator.send(initiator.ready()) == []
    head = initiator.ready(ATTR=3)
    assert [pdu["ITT"] for pdu in initiator.send(head)] == [head["ITT"]]
    assert len(initiator.send(*initiator.answer(r2t, pattern(1)))) == 2


# --- odd commands ---


def test_there_are_no_bidirectional_commands() -> None:
    initiator = begun()
    ahs = encode_ahs([Ahs.build(AhsType.BIDIRECTIONAL_READ_EDTL, bytes(5))])
    command = initiator.command(write_cdb(0, 1), pattern(1), ahs=ahs, R=1, W=1, EDTL=512)
    assert sense(one(initiator.send(command))) == "5/24/00"
    assert nothing_written(initiator)


def test_a_logical_unit_that_is_not_there() -> None:
    initiator = begun()
    assert sense(one(initiator.send(initiator.command(read_cdb(0, 1), lun=5, R=1, EDTL=512)))) == "5/25/00"
    assert sense(initiator.do(initiator.write(0, 4, lun=5), pattern(4))) == "5/25/00"
    inquiry = initiator.send(initiator.command(b"\x12\0\0\0\x24\0", lun=5, R=1, EDTL=36))
    assert one(inquiry).data[0] == 0x7F


def test_its_repr_tells_where_it_is() -> None:
    initiator = begun(ASKED)
    write = initiator.write(0, 1)
    initiator.send(write)
    session = initiator.connection.session
    assert session is not None
    assert repr(session.tasks[write["ITT"]]).endswith("delivered, 0 bytes, 1 bursts>")
