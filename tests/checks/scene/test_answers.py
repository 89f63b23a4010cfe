from __future__ import annotations

import pytest

from iscsiproxy.checks.scene.answers import (
    Place,
    flaw,
    foreign,
    inadmissible,
    may_be_unknown,
    method_key,
    misplaced,
    wants_answer,
)
from iscsiproxy.session.params import KEYS
from iscsiproxy.wire.opcodes import End

__all__: list[str] = []

LOGIN = Place(stage=1, leading=True, discovery=False)
SECURITY = Place(stage=0, leading=True, discovery=False)
FULL_FEATURE = Place(stage=None, leading=True, discovery=False)


@pytest.mark.parametrize(
    ("key", "value", "wrong"),
    [
        ("InitialR2T", "Yes", ""),
        ("InitialR2T", "yes", "neither Yes nor No"),
        ("MaxBurstLength", "0x200", ""),
        ("MaxBurstLength", "511", "not between 512 and 16777215"),
        ("MaxBurstLength", "0512", "not a number"),
        ("HeaderDigest", "CRC32C,None", ""),
        ("HeaderDigest", "", "a list with an empty item"),
        ("HeaderDigest", "CRC32C,Reject", "a list that proposes Reject"),
        ("MaxRecvDataSegmentLength", "16777216", "not between 512 and 16777215"),
        ("SessionType", "Normal", ""),
        ("SessionType", "None", "neither Normal nor Discovery"),
        ("InitiatorName", "i" * 224, "not 1 to 223 bytes"),
        ("TargetPortalGroupTag", "65536", "not a number up to 65535"),
        ("TargetAlias", "anything at all", ""),
        ("OFMarkInt", "1~65535", ""),
        ("CHAP_A", "", ""),
        ("InitiatorRecvDataSegmentLength", "0", ""),
    ],
)
def test_flaw(key: str, value: str, wrong: str) -> None:
    assert flaw(KEYS[key], value) == wrong


@pytest.mark.parametrize(
    ("key", "offer", "answer", "wrong"),
    [
        ("DefaultTime2Wait", "5", "4", "less than that"),
        ("DefaultTime2Wait", "5", "6", ""),
        ("DefaultTime2Retain", "5", "6", "more than that"),
        ("DataPDUInOrder", "Yes", "No", "Yes decides it"),
        ("DataPDUInOrder", "No", "Yes", ""),
        ("ImmediateData", "No", "Yes", "No decides it"),
        ("TaskReporting", "RFC3720", "FastAbort", "not one of those"),
        ("CHAP_A", "5,0x7", "7", ""),
        ("CHAP_A", "5", "7", "not one of those"),
        ("IFMarker", "Yes", "Yes", "obsolete, to be answered with Reject or No"),
        ("RDMAExtensions", "Yes", "Perhaps", ""),
        ("MaxConnections", "4", "Irrelevant", "it matters in every normal session"),
        ("DefaultTime2Wait", "4", "Irrelevant", ""),
        ("MaxOutstandingR2T", "4", "Reject", ""),
        ("MaxConnections", "4", "Reject", "that is admissible"),
        ("MaxConnections", "0", "Reject", ""),
        ("MaxConnections", "4", "NotUnderstood", ""),
    ],
)
def test_inadmissible(key: str, offer: str, answer: str, wrong: str) -> None:
    assert inadmissible(KEYS[key], offer, answer, place=LOGIN) == wrong


def test_in_discovery_operational_keys_are_irrelevant() -> None:
    place = Place(stage=1, leading=True, discovery=True)
    assert not inadmissible(KEYS["MaxBurstLength"], "512", "Irrelevant", place=place)
    assert inadmissible(KEYS["ErrorRecoveryLevel"], "2", "1", place=place)


@pytest.mark.parametrize(
    ("key", "offer", "wanted"),
    [("ImmediateData", "No", False), ("ImmediateData", "Yes", True), ("InitialR2T", "Yes", False),
     ("TargetAlias", "x", False), ("RDMAExtensions", "Yes", False), ("HeaderDigest", "None", True)],
)  # fmt: skip
def test_wants_answer(key: str, offer: str, wanted: bool) -> None:
    assert wants_answer(KEYS[key], offer) is wanted


def test_what_nobody_knows_wants_an_answer() -> None:
    assert wants_answer(None, "x")


@pytest.mark.parametrize(
    ("key", "by", "place", "wrong"),
    [
        ("HeaderDigest", End.INITIATOR, LOGIN, ""),
        ("HeaderDigest", End.INITIATOR, SECURITY, "for the operational stage only"),
        ("AuthMethod", End.INITIATOR, LOGIN, "for the security stage only"),
        ("TargetName", End.TARGET, LOGIN, "for the full feature phase only"),
        ("TargetName", End.TARGET, FULL_FEATURE, ""),
        ("TargetAddress", End.TARGET, SECURITY, ""),
        ("TargetPortalGroupTag", End.TARGET, FULL_FEATURE, "for a login only"),
        ("SendTargets", End.INITIATOR, LOGIN, "for the full feature phase only"),
        ("SendTargets", End.TARGET, FULL_FEATURE, "not for the target to say"),
        ("MaxBurstLength", End.INITIATOR, FULL_FEATURE, "for a login only"),
        ("MaxRecvDataSegmentLength", End.TARGET, FULL_FEATURE, ""),
        ("RDMAExtensions", End.TARGET, FULL_FEATURE, ""),
        ("SessionType", End.INITIATOR, Place(stage=1, leading=False, discovery=False),
         "for the leading login of a session only"),
    ],
)  # fmt: skip
def test_misplaced(key: str, by: End, place: Place, wrong: str) -> None:
    assert misplaced(KEYS[key], by, place) == wrong


def test_kinds_of_keys() -> None:
    assert method_key("CHAP_A")
    assert not method_key("AuthMethod")
    assert foreign(KEYS["RDMAExtensions"])
    assert not foreign(KEYS["IFMarker"])
    assert may_be_unknown("X-com.a")
    assert may_be_unknown("SRP_U")
    assert not may_be_unknown("CHAP_N")
    assert not may_be_unknown("IFMarkInt")
