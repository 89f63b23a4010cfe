from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.errors import ProtocolError
from iscsiproxy.peers.initiator.tasks import ScsiTask
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.scsi.command import Status
from iscsiproxy.wire.ahs import parse_ahs
from iscsiproxy.wire.fields import NO_TAG, lun_value
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import SenseCode, encode_sense

READ = bytes([0x28]) + bytes(9)
WRITE = bytes([0x2A]) + bytes(9)
DATA = bytes(range(256)) * 40


def write(data: bytes = DATA, **parameters: object) -> ScsiTask:
    agreed = Parameters(send_segment=1024, first_burst_length=3000, max_burst_length=4096, **parameters)  # type: ignore[arg-type]
    return ScsiTask(itt=7, lun=3, cdb=WRITE, data_out=data, parameters=agreed)


def read(length: int = 4096, conduct: Conduct | None = None, **parameters: object) -> ScsiTask:
    agreed = Parameters(**parameters)  # type: ignore[arg-type]
    return ScsiTask(itt=7, lun=3, cdb=READ, read_length=length, parameters=agreed, conduct=conduct)


def r2t(offset: int, length: int, *, number: int = 0, tag: int = 5, lun: int = 3) -> Pdu:
    return Pdu.build(
        Opcode.R2T,
        F=1,
        LUN=lun_value(lun),
        ITT=7,
        TTT=tag,
        R2TSN=number,
        BufferOffset=offset,
        DesiredDataTransferLength=length,
    )


def data_in(data: bytes, offset: int, number: int, **fields: int) -> Pdu:
    return Pdu.build(Opcode.DATA_IN, data=data, ITT=7, TTT=NO_TAG, DataSN=number, BufferOffset=offset).with_fields(
        fields
    )


def response(**fields: int) -> Pdu:
    return Pdu.build(Opcode.SCSI_RESPONSE, F=1, ITT=7).with_fields(fields)


# --- what goes out ---


@pytest.mark.parametrize(
    ("initial_r2t", "immediate_data", "immediate", "unsolicited"),
    [(True, True, 1024, 0), (True, False, 0, 0), (False, True, 1024, 1976), (False, False, 0, 3000)],
)
def test_unsolicited_data_is_what_was_agreed(
    initial_r2t: bool, immediate_data: bool, immediate: int, unsolicited: int
) -> None:
    task = write(initial_r2t=initial_r2t, immediate_data=immediate_data)
    request = task.request()
    assert (request["W"], request["R"], request["EDTL"], request["LUN"]) == (1, 0, len(DATA), 3 << 48)
    assert len(request.data) == immediate
    assert request["F"] == (unsolicited == 0)
    outs = list(task.unsolicited(request))
    assert sum(len(pdu.data) for pdu in outs) == unsolicited
    assert [pdu["DataSN"] for pdu in outs] == list(range(len(outs)))
    assert [pdu["F"] for pdu in outs] == [0] * (len(outs) - 1) + [1] * bool(outs)
    assert all(pdu["TTT"] == NO_TAG and pdu["LUN"] == 0 for pdu in outs)
    assert request.data + b"".join(pdu.data for pdu in outs) == DATA[: immediate + unsolicited]


def test_all_immediate_data_means_final() -> None:
    request = write(DATA[:512], initial_r2t=False).request()
    assert (request["F"], request.data) == (1, DATA[:512])


def test_R2Ts_are_answered_with_their_tag_and_sequences_of_their_own() -> None:
    task = write()
    request = task.request()
    first = list(task.on_r2t(r2t(len(request.data), 4096, tag=11)))
    second = list(task.on_r2t(r2t(len(request.data) + 4096, 3000, number=1, tag=12)))
    assert [pdu["DataSN"] for pdu in first] == [0, 1, 2, 3]
    assert [(pdu["DataSN"], len(pdu.data)) for pdu in second] == [(0, 1024), (1, 1024), (2, 952)]
    assert {pdu["TTT"] for pdu in first} == {11}
    assert {pdu["TTT"] for pdu in second} == {12}
    assert {pdu["LUN"] for pdu in first} == {3 << 48}
    sent = request.data + b"".join(pdu.data for pdu in first + second)
    assert sent == DATA[: len(sent)]


@given(length=st.integers(1, 6000), segment=st.integers(512, 2000), burst=st.integers(512, 3000))
def test_every_byte_goes_once_and_in_order(length: int, segment: int, burst: int) -> None:
    data = DATA[:length]
    agreed = Parameters(send_segment=segment, first_burst_length=burst, max_burst_length=burst, initial_r2t=False)
    task = ScsiTask(itt=7, lun=0, cdb=WRITE, data_out=data, parameters=agreed)
    request = task.request()
    got = request.data + b"".join(pdu.data for pdu in task.unsolicited(request))
    assert len(got) == min(burst, length)
    number = 0
    while len(got) < length:
        outs = list(task.on_r2t(r2t(len(got), min(burst, length - len(got)), number=number, lun=0)))
        assert all(len(pdu.data) % 4 == 0 for pdu in outs[:-1])
        assert all(len(pdu.data) <= segment for pdu in outs)
        got += b"".join(pdu.data for pdu in outs)
        number += 1
    assert got == data


@pytest.mark.parametrize(
    "wrong",
    [
        r2t(1024, 0),
        r2t(1024, 4097),
        r2t(len(DATA) - 4, 8),
        r2t(2048, 512),
        r2t(1024, 512, number=1),
        r2t(1024, 512, tag=NO_TAG),
        r2t(1024, 512, lun=4),
    ],
    ids=["nothing", "more than a burst", "beyond the end", "a hole", "R2TSN", "no tag", "another LUN"],
)
def test_an_R2T_that_cannot_be_ends_the_session(wrong: Pdu) -> None:
    task = write()
    task.request()
    with pytest.raises(ProtocolError):
        task.on_r2t(wrong)


def test_too_many_R2Ts_at_once_end_the_session() -> None:
    task = write(max_outstanding_r2t=2)
    task.request()
    held = task.on_r2t(r2t(1024, 512))
    task.on_r2t(r2t(1536, 512, number=1))
    with pytest.raises(ProtocolError, match="outstanding"):
        task.on_r2t(r2t(2048, 512, number=2))
    list(held)
    task.on_r2t(r2t(2048, 512, number=2))


def test_a_quiet_task_sends_no_more() -> None:
    task = write()
    task.request()
    outs = task.on_r2t(r2t(1024, 4096))
    next(outs)
    task.quiet = True
    assert list(outs) == []


def test_a_long_CDB_and_a_bidirectional_read_are_additional_headers() -> None:
    task = ScsiTask(itt=7, lun=0, cdb=bytes(range(32)), data_out=b"out!", read_length=512)
    request = task.request()
    assert (request["R"], request["W"], request["EDTL"]) == (1, 1, 4)
    assert request.cdb == bytes(range(32))
    assert [segment.read_edtl for segment in parse_ahs(request.ahs)][1] == 512
    # One counter for R2T and Data-In (RFC 7143 4.2.2.4).
    task.on_data_in(data_in(bytes(512), 0, 0, F=1))
    with pytest.raises(ProtocolError):
        task.on_r2t(r2t(0, 4, number=0))
    task.on_response(response(Status=0, u=1, BidirectionalReadResidualCount=0))
    assert task.outcome is not None
    assert task.outcome.data == bytes(512)


# --- what comes in ---


def test_data_in_with_status_is_the_whole_answer() -> None:
    task = read()
    task.on_data_in(data_in(DATA[:2048], 0, 0))
    early = task.outcome
    task.on_data_in(data_in(DATA[2048:4096], 2048, 1, F=1, S=1))
    assert early is None
    assert task.outcome is not None
    assert task.outcome.good
    assert task.outcome.data == DATA[:4096]


def test_an_underflow_shortens_the_data() -> None:
    task = read(255)
    task.on_data_in(data_in(b"x" * 66, 0, 0, F=1, S=1, U=1, ResidualCount=189))
    assert task.outcome is not None
    assert (task.outcome.data, task.outcome.residual) == (b"x" * 66, 189)


def test_an_overflow_is_a_negative_residual() -> None:
    task = read(4)
    task.on_data_in(data_in(b"xxxx", 0, 0, F=1))
    task.on_response(response(O=1, ResidualCount=96, ExpDataSN=1))
    assert task.outcome is not None
    assert task.outcome.residual == -96


def test_sense_data_is_read() -> None:
    task = read()
    sense = encode_sense(SenseCode(5, 0x24, 0))
    task.on_response(response(Status=2, U=1, ResidualCount=4096).with_data(len(sense).to_bytes(2, "big") + sense))
    assert task.outcome is not None
    assert (task.outcome.status, task.outcome.sense, task.outcome.good) == (
        Status.CHECK_CONDITION,
        SenseCode(5, 0x24, 0),
        False,
    )


def test_sense_data_that_is_none_leaves_the_status() -> None:
    task = read()
    task.on_response(response(Status=2).with_data(b"\0\x12"))
    assert task.outcome is not None
    assert (task.outcome.status, task.outcome.sense) == (2, None)


@pytest.mark.parametrize("status", [0, 2])
def test_without_a_SCSI_status_neither_it_nor_the_flags_count(status: int) -> None:
    task = read()
    task.on_response(response(Response=1, Status=status, O=1, U=1, ResidualCount=9))
    assert task.outcome is not None
    assert (task.outcome.response, task.outcome.good, task.outcome.residual) == (1, False, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        data_in(bytes(512), 0, 1),
        data_in(bytes(512), 512, 0),
        data_in(bytes(513), 3584, 0),
        data_in(bytes(4096), 0, 0, S=1),
        data_in(bytes(4096), 0, 0, F=1, S=1, Status=2),
        data_in(bytes(512), 0, 0, F=1, S=1),
        data_in(bytes(4096), 0, 0, F=1, S=1, O=1, U=1),
        response(),
        response(Status=2, ExpDataSN=1),
        response(Status=2),
    ],
    ids=[
        *("DataSN", "offset", "beyond the buffer", "S without F", "a bad status in Data-In", "too little"),
        *("overflow and underflow", "no data at all", "a Data-In is missing", "no sense data"),
    ],
)
def test_an_answer_that_cannot_be_ends_the_session(wrong: Pdu) -> None:
    task = read()
    with pytest.raises(ProtocolError):
        task.on_data_in(wrong) if wrong.opcode == Opcode.DATA_IN else task.on_response(wrong)


def test_data_may_come_in_any_order_where_that_was_agreed() -> None:
    task = read(data_pdu_in_order=False)
    task.on_data_in(data_in(DATA[2048:4096], 2048, 0))
    task.on_data_in(data_in(DATA[:2048], 0, 1, F=1, S=1))
    assert task.outcome is not None
    assert task.outcome.data == DATA[:4096]


def test_a_conduct_may_let_things_pass() -> None:
    class Careless(Conduct):
        def wrong_datasn(self, message: str) -> None:
            pass

        def wrong_offset(self, message: str) -> None:
            pass

        def missing_data(self, message: str) -> None:
            pass

    task = read(conduct=Careless())
    task.on_data_in(data_in(b"late", 4000, 9))
    task.on_response(response(ExpDataSN=77))
    assert task.outcome is not None
    assert task.outcome.data == bytes(4000) + b"late"


def test_the_A_bit_and_a_long_sequence_are_let_pass() -> None:
    task = read(length=2048, max_burst_length=512)
    task.on_data_in(data_in(bytes(2048), 0, 0, A=1, F=1, S=1))
    assert task.outcome is not None
