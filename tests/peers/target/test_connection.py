from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.wire.fields import NO_TAG, lun_value
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.peers.target.wire import BLOCK, IQN, Initiator, node, one, pattern, sense

DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
ASKED = {"InitialR2T": "Yes", "ImmediateData": "No"}


def begun(keys: dict[str, str] | None = None, **values: Any) -> Initiator:
    return Initiator(node(**values)).start(keys)


def reason(pdus: list[Pdu], bad: Pdu) -> int:
    """Give the reason of the only PDU, a Reject of `bad`."""
    reject = one(pdus)
    assert reject.opcode == Opcode.REJECT
    assert reject.data == bad.bhs + bad.ahs
    return reject["Reason"]


def logged_in(initiator: Initiator) -> bool:
    return initiator.connection.logged_in


def stalled(initiator: Initiator) -> bool:
    return initiator.connection.stalled


def awaits_data(initiator: Initiator) -> bool:
    return initiator.connection.awaits_data


# --- login ---


def test_a_login_in_stages_and_then_full_feature_phase() -> None:
    initiator = Initiator(node())
    assert not logged_in(initiator)
    first = one(initiator.send(initiator.login_request({"AuthMethod": "None"}, CSG=0, NSG=1)))
    assert (first["T"], first["CSG"], first["NSG"], first["TSIH"]) == (1, 0, 1, 0)
    assert (first["ExpCmdSN"], first["MaxCmdSN"]) == (100, 100)
    last = one(initiator.send(initiator.login_request(target=IQN).with_data(b"")))
    assert (last["T"], last["NSG"], last["ExpCmdSN"], last["MaxCmdSN"]) == (1, 3, 100, 227)
    assert last["TSIH"] != 0
    assert logged_in(initiator)
    initiator.watch.segment = 8192
    assert initiator.alive()


def test_something_else_than_a_login_closes_at_once() -> None:
    initiator = Initiator(node())
    assert initiator.send(initiator.ready()) == []
    assert initiator.connection.closed


def test_a_refused_login_closes_behind_the_answer() -> None:
    initiator = Initiator(node())
    response = one(initiator.send(initiator.login_request(target="iqn.2026-01.example:nobody")))
    assert (response["Status-Class"], response["Status-Detail"]) == (2, 3)
    assert initiator.connection.closed
    assert initiator.send(initiator.login_request()) == []


def test_a_login_on_a_connection_that_is_logged_in_is_rejected() -> None:
    initiator = begun()
    assert reason(initiator.send(request := initiator.login_request()), request) == 0x04
    assert initiator.alive()


def test_digests_begin_behind_the_last_login_response() -> None:
    initiator = begun(DIGESTS)
    assert initiator.connection.receive_digests == (True, True)
    assert sense(initiator.do(initiator.write(0, 100), pattern(100))) == "00"
    assert initiator.contents(0, 100) == pattern(100)


def test_the_receive_segment_is_what_was_declared() -> None:
    initiator = begun(max_recv_data_segment_length=4096)
    assert initiator.connection.receive_segment == 4096


# --- digests ---


def test_a_wrong_header_digest_closes() -> None:
    initiator = begun(DIGESTS)
    assert initiator.send(initiator.write(0, 1, pattern(1)), bad_header=True) == []
    assert initiator.connection.closed
    assert Initiator(initiator.node).start().contents(0) == bytes(BLOCK)


def test_a_wrong_data_digest_leaves_a_gap_that_a_retry_fills() -> None:
    initiator = begun(DIGESTS)
    write, behind = initiator.write(0, 1, pattern(1)), initiator.read(0)
    assert reason(initiator.send(write, bad_data=True), write) == 0x02
    assert initiator.send(behind) == []
    assert initiator.session.exp == write["CmdSN"]
    status, data = initiator.send(write)
    assert (sense(status), data.data) == ("00", pattern(1))


def test_a_wrong_data_digest_of_a_ping_or_text() -> None:
    initiator = begun(DIGESTS)
    for bad in (initiator.ping(b"ping!"), initiator.text({"SendTargets": ""})):
        assert reason(initiator.send(bad, bad_data=True), bad) == 0x02
    assert initiator.alive()


def test_a_digest_without_its_padding_is_wrong() -> None:
    initiator = begun(DIGESTS)
    ping = initiator.ping(b"ping!")
    bare = ping.with_parts(pad=b"").sealed(header=True, data=True).data_digest
    initiator.connection.receive(ping.sealed(header=True, data=True).with_parts(data_digest=bare))
    assert one(initiator.collect())["Reason"] == 0x02


def test_padding_may_be_anything() -> None:
    initiator = begun(DIGESTS)
    ping = initiator.ping(b"ping!").with_parts(pad=b"abc")
    assert one(initiator.send(ping)).data == b"ping!"


# --- what is rejected ---


@pytest.mark.parametrize("opcode", [0x07, 0x0F, 0x11, 0x1C, 0x1E, 0x1F])
def test_an_unknown_opcode_is_not_supported(opcode: int) -> None:
    initiator = begun()
    pdu = Pdu.build(opcode, b"data", F=1, ITT=5)
    assert reason(initiator.send(pdu), pdu) == 0x05
    assert initiator.alive()


@pytest.mark.parametrize("opcode", [0x20, 0x21, 0x25, 0x31, 0x32, 0x3C, 0x3F])
def test_what_only_a_target_sends_is_a_protocol_error(opcode: int) -> None:
    initiator = begun()
    pdu = Pdu.build(opcode, ITT=5)
    assert reason(initiator.send(pdu), pdu) == 0x04
    assert initiator.alive()


@pytest.mark.parametrize("kind", range(16))
def test_a_SNACK_is_a_protocol_error_and_its_reject_takes_a_StatSN(kind: int) -> None:
    initiator = begun()
    snack = Pdu.build(Opcode.SNACK, F=1, Type=kind, ITT=NO_TAG, TTT=NO_TAG, BegRun=1, RunLength=1)
    before = initiator.watch.statsn
    assert before is not None
    assert reason(initiator.send(snack), snack) == 0x04
    assert initiator.watch.statsn == before + 1
    assert initiator.alive()


def test_a_Reject_holds_the_additional_headers_too() -> None:
    initiator = begun()
    command = initiator.ready(ATTR=1).with_ahs(b"\0\1\x07\0")
    assert reason(initiator.send(command), command) == 0x09


def test_a_rejected_command_has_not_been_received() -> None:
    initiator = begun()
    bad, behind = initiator.ready(ATTR=7), initiator.ready()
    assert reason(initiator.send(bad, behind), bad) == 0x09
    assert initiator.session.exp == bad["CmdSN"]
    good = initiator.ready(CmdSN=bad["CmdSN"])
    assert [pdu["ITT"] for pdu in initiator.send(good)] == [good["ITT"], behind["ITT"]]


def test_reserved_bits_are_ignored() -> None:
    initiator = begun()
    ready = initiator.ready(PRI=15)
    assert (
        sense(
            one(initiator.send(ready.with_bhs(bytes([ready.bhs[0] | 0x80]) + ready.bhs[1:3] + b"\xff" + ready.bhs[4:])))
        )
        == "00"
    )


# --- Data-Out that belongs to nothing ---


@pytest.mark.parametrize("fields", [{"TTT": 0x7777}, {"ITT": 0x7777}, {"TTT": NO_TAG}])
def test_data_with_wrong_tags_is_rejected_and_the_command_goes_on(fields: dict[str, int]) -> None:
    initiator = begun(ASKED)
    r2t = one(initiator.send(initiator.write(0, 1)))
    right = one(initiator.answer(r2t, pattern(1)))
    wrong = right.with_fields(fields)
    initiator.connection.receive(wrong)
    assert reason(initiator.collect(), wrong) == 0x09
    assert sense(one(initiator.send(right))) == "00"
    assert initiator.contents(0) == pattern(1)


def test_data_for_another_logical_unit_ends_the_command() -> None:
    initiator = begun(ASKED)
    r2t = one(initiator.send(initiator.write(0, 1)))
    wrong = one(initiator.answer(r2t, pattern(1))).with_fields({"LUN": lun_value(1)})
    reject, status = initiator.send(wrong)
    assert (reject["Reason"], reject.data, sense(status)) == (0x09, wrong.bhs, "B/0C/0D")
    assert initiator.contents(0) == bytes(BLOCK)


def test_data_for_a_read_or_a_command_that_is_over() -> None:
    initiator = begun()
    done = initiator.read(0)
    initiator.send(done)
    late = initiator.data_out(done["ITT"], pattern(1))
    assert reason(initiator.send(late), late) == 0x09


def test_data_behind_the_end_of_a_burst() -> None:
    initiator = begun(ASKED | {"MaxBurstLength": "512", "MaxOutstandingR2T": "2"})
    first, second = initiator.send(initiator.write(0, 2))
    answer = one(initiator.answer(first, pattern(2)))
    assert initiator.send(answer) == []
    assert reason(initiator.send(answer), answer) == 0x09
    assert sense(one(initiator.send(*initiator.answer(second, pattern(2))))) == "00"


def test_what_is_absorbed_is_bounded() -> None:
    initiator = begun(ASKED)
    r2ts = []
    for _ in range(1100):
        write = initiator.write(0, 1)
        r2ts += initiator.send(write)
        assert one(initiator.send(initiator.tmf(1, of=write)))["Response"] == 0
    assert "closed" not in repr(initiator.connection)
    oldest, newest = (one(initiator.answer(r2t, pattern(1))) for r2t in (r2ts[0], r2ts[-1]))
    assert initiator.send(newest) == []
    assert reason(initiator.send(newest), newest) == 0x09
    assert reason(initiator.send(oldest), oldest) == 0x09


# --- sending ---


def test_too_many_answers_stall_the_receiver() -> None:
    initiator = begun()
    assert not stalled(initiator)
    for _ in range(20):
        initiator.feed(initiator.read(0, 200))
    assert stalled(initiator)
    initiator.collect()
    assert not stalled(initiator)


def test_pings_that_nobody_listens_to_stall_too() -> None:
    initiator = begun()
    sent = 0
    while not stalled(initiator):
        initiator.feed(initiator.ping())
        sent += 1
    assert 500 < sent < 5000
    assert len(initiator.collect()) == sent


def test_output_is_announced() -> None:
    initiator = begun()
    told: list[bool] = []
    initiator.connection.on_output = lambda: told.append(initiator.connection.closed)
    initiator.send(initiator.ping())
    assert told
    initiator.connection.lost()
    assert told[-1]


def test_an_asynchronous_message_takes_a_StatSN() -> None:
    initiator = begun()
    before = initiator.watch.statsn
    initiator.connection.send_async(1, parameters=(0, 0, 5))
    message = one(initiator.collect())
    assert (message.opcode, message["AsyncEvent"], message["Parameter3"]) == (Opcode.ASYNC, 1, 5)
    assert initiator.watch.statsn == (before or 0) + 1
    assert initiator.alive()


def test_waiting_for_data_is_told() -> None:
    initiator = begun(ASKED)
    assert not awaits_data(initiator)
    r2t = one(initiator.send(initiator.write(0, 1)))
    assert awaits_data(initiator)
    initiator.send(*initiator.answer(r2t, pattern(1)))
    assert not awaits_data(initiator)


# --- the end ---


def test_a_garbled_stream_closes() -> None:
    initiator = begun()
    initiator.connection.garbled("bytes")
    assert initiator.connection.closed
    assert initiator.collect() == []
    assert "garbled" in initiator.connection.reason
    assert initiator.node.sessions() == ()


def test_after_the_end_nothing_is_taken_or_given() -> None:
    initiator = begun()
    initiator.feed(initiator.read(0, 8))
    initiator.lose()
    initiator.lose()
    assert initiator.send(initiator.ready()) == []
    initiator.connection.send_async(1)
    initiator.connection.ping()
    assert initiator.collect() == []


def test_closing_waits_for_what_is_queued() -> None:
    initiator = begun()
    initiator.feed(initiator.read(0, 8))
    initiator.connection.close_after_output("enough")
    assert len(initiator.collect()) == 1
    assert initiator.connection.closed


@given(st.lists(st.tuples(st.binary(min_size=48, max_size=48), st.binary(max_size=40)), max_size=8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_bytes_make_it_raise(headers: list[tuple[bytes, bytes]], logged_in: bool) -> None:
    initiator = Initiator(node())
    if logged_in:
        initiator.start()
    for header, data in headers:
        initiator.connection.receive(Pdu(header[:4] + b"\0" + header[5:]).with_data(data))
        while initiator.connection.next_pdu() is not None:
            pass


def test_a_reject_is_no_longer_than_the_initiator_takes() -> None:
    initiator = Initiator(node()).start({"MaxRecvDataSegmentLength": "512"})
    ahs = (1013).to_bytes(2, "big") + b"\x07" + bytes(1013)
    bad = initiator.command(bytes(6), ahs=ahs)
    rejected = one(initiator.send(bad))
    assert rejected.opcode == Opcode.REJECT
    assert rejected.data == (bad.bhs + bad.ahs)[:512]


# --- the watch can bark ---


@pytest.mark.parametrize(
    ("label", "wrong"),
    [
        ("NOP-In", {"StatSN": 7}),
        ("NOP-In", {"MaxCmdSN": 90, "ExpCmdSN": 90}),
        ("NOP-In", {"ExpCmdSN": 200}),
        ("NOP-In", {"TTT": 5}),
        ("NOP-In", {"LUN": 1}),
        ("NOP-In", {"ITT": 5}),
        ("Data-In", {"DataSN": 1}),
        ("Data-In", {"BufferOffset": 512}),
        ("Data-In", {"A": 1}),
        ("Data-In", {"F": 0}),
        ("Data-In", {"U": 1}),
        ("Data-In", {"U": 1, "ResidualCount": 512}),
        ("R2T", {"R2TSN": 1}),
        ("R2T", {"TTT": NO_TAG}),
        ("R2T", {"DesiredDataTransferLength": 513}),
        ("R2T", {"LUN": 5}),
        ("SCSI-Response", {"ExpDataSN": 1}),
        ("SCSI-Response", {"F": 0}),
        ("SCSI-Response", {"SNACKTag": 1}),
    ],
)
def test_the_watch_sees_what_is_wrong(label: str, wrong: dict[str, int]) -> None:
    initiator = begun(ASKED)
    for request in (initiator.ping(), initiator.read(0), initiator.write(1), initiator.ready()):
        initiator.feed(request)
    while (pdu := initiator.connection.next_pdu()) is not None:
        if pdu.label == label:
            with pytest.raises((AssertionError, KeyError)):
                initiator.watch.got(pdu.with_fields(wrong))
            return
        initiator.watch.got(pdu)
    pytest.fail(f"no {label} came")
