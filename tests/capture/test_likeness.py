from __future__ import annotations

from random import Random

import pytest

from iscsiproxy.capture.likeness import is_login, looks_alike, looks_exact, places
from iscsiproxy.wire.fields import BHS_LENGTH
from iscsiproxy.wire.opcodes import LABELS, End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.capture.traffic import dialogue
from tests.journal.story import command, login, response
from tests.wire.samples import SAMPLES, Sample

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET
NOTHING = [
    bytes(48),
    b"\xff" * 48,
    b" " * 48,
    b"CONNECT target.example:443 HTTP/1.1\r\nHost: target.ex",
    b"\x16\x03" * 24,
]

ASSIGNED = [sample for sample in SAMPLES if sample.opcode in LABELS]

sample = pytest.mark.parametrize("sample", ASSIGNED, ids=lambda sample: LABELS[sample.opcode])


@sample
def test_every_PDU_looks_like_one_of_its_sender_and_of_nobody_else(sample: Sample) -> None:
    pdu = sample.built
    assert looks_alike(pdu.bhs, pdu.sender)
    assert looks_exact(pdu.bhs, pdu.sender)
    assert not looks_alike(pdu.bhs, pdu.sender.other)
    assert next(places(pdu.raw, pdu.sender)) == 0
    assert 3 in places(b"xyz" + pdu.raw, pdu.sender)


@sample
def test_too_few_bytes_are_no_header(sample: Sample) -> None:
    bhs = sample.built.bhs
    for length in range(BHS_LENGTH):
        assert not looks_alike(bhs[:length], sample.built.sender)
        assert not looks_exact(bhs[:length], sample.built.sender)
        assert not is_login(bhs[:length])
        assert list(places(bhs[:length], sample.built.sender)) == []


@pytest.mark.parametrize("data", NOTHING)
def test_other_bytes_look_like_nothing(data: bytes) -> None:
    for end in End:
        assert not looks_alike(data[:48], end)
        assert list(places(data * 3, end)) == []
    assert not is_login(data[:48])


def test_noise_hardly_ever_looks_like_a_header() -> None:
    noise = Random(1).randbytes(1 << 18)
    assert [list(places(noise, end)) for end in End] == [[], []]


def test_all_places_are_found_those_inside_others_too() -> None:
    pdus = [pdu for pdu in dialogue(size=48) if pdu.sender is INITIATOR]
    inside = command(7, command(8).bhs)
    raw = b"".join(pdu.raw for pdu in pdus) + inside.raw
    starts, at = [], 0
    for pdu in pdus:
        starts.append(at)
        at += len(pdu)
    assert {*starts, at, at + 48} <= {*places(raw, INITIATOR)}


def test_a_reserved_bit_makes_it_less_exact() -> None:
    bhs = bytearray(response(1).bhs)
    bhs[10] = 1
    assert looks_alike(bytes(bhs), TARGET)
    assert not looks_exact(bytes(bhs), TARGET)
    assert list(places(bytes(bhs), TARGET)) == []


@pytest.mark.parametrize(
    "pdu",
    [
        response(1).with_fields({"F": 0}),
        response(1).with_fields({"TotalAHSLength": 1}),
        response(1).with_fields({"DataSegmentLength": 1 << 18}),
        Pdu.build(Opcode.R2T, F=1, ITT=1, DesiredDataTransferLength=512).with_fields({"DataSegmentLength": 4}),
        Pdu.build(0x1C),
        Pdu.build(0x3B),
    ],
)
def test_what_no_such_PDU_has_gives_it_away(pdu: Pdu) -> None:
    assert not looks_alike(pdu.bhs, pdu.sender)


def test_a_login_request_is_known() -> None:
    assert is_login(login("InitiatorName=iqn.a").bhs)
    assert is_login(login("InitiatorName=iqn.a").with_fields({"I": 0, "CSG": 0, "NSG": 1}).bhs)
    assert not is_login(login("InitiatorName=iqn.a").with_fields({"CSG": 3}).bhs)
    assert not is_login(login("InitiatorName=iqn.a").with_fields({"DataSegmentLength": 1 << 20}).bhs)
    assert not is_login(login(opcode=Opcode.LOGIN_RESPONSE).bhs)
    assert not is_login(command(1).bhs)
