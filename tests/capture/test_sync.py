from __future__ import annotations

import pytest

from iscsiproxy.capture.sync import Found, find, header_length, pdu_length
from iscsiproxy.wire.opcodes import End, label_of
from iscsiproxy.wire.pdu import Pdu
from tests.capture.traffic import dialogue
from tests.journal.story import command, data_in, login, response
from tests.wire.samples import SAMPLES, Sample

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET
DIGESTS = [(False, False), (True, False), (False, True), (True, True)]
digests = pytest.mark.parametrize(("header", "data"), DIGESTS)


def stream(sender: End, *, header: bool, data: bool, size: int = 512, rounds: int = 4) -> bytes:
    pdus = dialogue(rounds=rounds, size=size, header=header, data=data)[2:]
    return b"".join(pdu.raw for pdu in pdus if pdu.sender is sender)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: label_of(sample.opcode))
@digests
def test_lengths_are_those_of_the_PDU(sample: Sample, header: bool, data: bool) -> None:
    pdu = sample.built.sealed(header=header, data=data)
    assert pdu_length(pdu.bhs, header, data) == len(pdu)
    assert header_length(pdu.bhs, header) == len(pdu.bhs) + len(pdu.ahs) + len(pdu.header_digest)


@digests
@pytest.mark.parametrize("sender", End)
def test_a_row_of_PDUs_is_found_with_its_digests(sender: End, header: bool, data: bool) -> None:
    raw = stream(sender, header=header, data=data)
    assert find(raw, sender) == Found(offset=0, login=False, header_digest=header, data_digest=data)


@digests
@pytest.mark.parametrize("cut", [1, 2, 3, 7, 47, 48, 50, 100])
def test_it_is_found_behind_the_rest_of_another(cut: int, header: bool, data: bool) -> None:
    first = len(command(1).sealed(header=header, data=data))
    raw = stream(INITIATOR, header=header, data=data)
    found = find(raw[min(cut, first - 1) :], INITIATOR, starts=())
    if cut < first:
        assert found == Found(offset=first - min(cut, first - 1), login=False, header_digest=header, data_digest=data)
    else:
        assert found is not None
        assert found.header_digest is header


def test_three_headers_in_a_row_are_no_accident_but_two_may_be() -> None:
    pings = b"".join(response(n).raw for n in range(3))
    assert find(pings, TARGET) == Found(offset=0, login=False)
    assert find(pings[:143], TARGET) is None
    assert find(pings[:143], TARGET, final=True) == Found(offset=0, login=False)
    assert find(pings[:48], TARGET, final=True) is None


def test_one_is_enough_where_it_fits_a_packet_and_it_is_iSCSI_anyway() -> None:
    whole = response(1).raw
    assert find(whole, TARGET, trusted=True) == Found(offset=0, login=False)
    assert find(b"tail" + whole, TARGET, starts=(0, 4), trusted=True) == Found(offset=4, login=False)
    assert find(b"tail" + whole, TARGET, starts=(0,), trusted=True) is None
    assert find(data_in(1).raw[:1000], TARGET, trusted=True) is None
    assert find(data_in(1).raw[:1000], TARGET, trusted=True, final=True) == Found(offset=0, login=False)


def test_where_a_PDU_is_known_to_begin_only_its_digests_are_in_question() -> None:
    odd = bytearray(response(1).bhs)
    odd[10] = 1
    one = Pdu(bytes(odd)).raw
    assert find(one + one, TARGET) is None
    assert find(one + one, TARGET, starts=(), aligned=True) == Found(offset=0, login=False)
    assert find(one, TARGET, starts=(), aligned=True) == Found(offset=0, login=False)
    assert find(one + one[:20], TARGET, starts=(), aligned=True) is None
    assert find(one + one[:20], TARGET, starts=(), aligned=True, final=True) == Found(offset=0, login=False)
    assert find(b"noise" + one + one, TARGET, starts=(), aligned=True) is None


def test_one_digest_that_is_right_is_enough() -> None:
    assert find(b"tail!" + response(1).sealed(header=True, data=True).raw, TARGET) == Found(
        offset=5, login=False, header_digest=True
    )
    there = data_in(1, bytes(64)).sealed(header=False, data=True)
    assert find(b"tail!" + there.raw, TARGET) == Found(offset=5, login=False, data_digest=True)


def test_a_digest_that_is_wrong_is_none() -> None:
    pdus = [response(n).sealed(header=True, data=False) for n in range(4)]
    pdus[0] = pdus[0].with_parts(header_digest=b"\1\2\3\4")
    raw = b"".join(pdu.raw for pdu in pdus)
    assert find(raw, TARGET) == Found(offset=52, login=False, header_digest=True)


def test_whether_data_has_a_digest_is_open_as_long_as_nothing_shows_it() -> None:
    pings = b"".join(response(n).raw for n in range(3))
    found = find(pings, TARGET)
    assert found is not None
    assert found.data_digest is None
    found = find(pings, TARGET, digests=(False, True))
    assert found is not None
    assert found.data_digest is True
    found = find(pings + data_in(1, bytes(512)).raw, TARGET)
    assert found is not None
    assert found.data_digest is None  # a digest may follow
    found = find(pings + data_in(1, bytes(512)).raw + response(1).raw, TARGET)
    assert found is not None
    assert found.data_digest is False


def test_known_digests_are_taken_for_granted() -> None:
    raw = stream(TARGET, header=True, data=True)
    assert find(raw, TARGET, digests=(False, False), starts=()) is None
    assert find(raw, TARGET, digests=(True, True)) == Found(offset=0, login=False, header_digest=True, data_digest=True)


def test_a_login_has_no_digests_but_what_follows_may_have() -> None:
    pdus = [pdu for pdu in dialogue(header=True, data=True) if pdu.sender is INITIATOR]
    raw = b"".join(pdu.raw for pdu in pdus)
    assert find(raw, INITIATOR) == Found(offset=0, login=True)
    assert find(login("A=B").raw, INITIATOR, trusted=True) == Found(offset=0, login=True)


def test_who_cares_little_for_reserved_bits_is_found_by_a_longer_row() -> None:
    def odd(itt: int) -> Pdu:
        bhs = bytearray(response(itt).bhs)
        bhs[10] = 1
        return Pdu(bytes(bhs))

    raw = b"".join(odd(n).raw for n in range(6))
    assert find(raw[:-1], TARGET) is None
    assert find(raw, TARGET) == Found(offset=0, login=False)


def test_PDUs_inside_data_are_passed_over_where_the_row_breaks() -> None:
    trap = response(9).raw * 2
    raw = trap + bytes(100) + stream(TARGET, header=False, data=False)
    found = find(raw, TARGET, starts=())
    assert found is not None
    assert found.offset == len(trap) + 100


@pytest.mark.parametrize("sender", End)
def test_bytes_of_something_else_have_no_place(sender: End) -> None:
    for data in (b"", bytes(1000), b"GET / HTTP/1.1\r\n" * 100, bytes(range(256)) * 8):
        assert find(data, sender, final=True) is None
        assert find(data, sender, trusted=True, final=True) is None
