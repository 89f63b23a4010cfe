from __future__ import annotations

import pytest

from iscsiproxy.session.params import KEYS, Key, Kind, Scope, Stage, Use, normal, settle
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.secrecy import SECRET_KEYS

__all__: list[str] = []

INI, TGT, BOTH = {End.INITIATOR}, {End.TARGET}, set(End)
L, AND, OR, MIN, MAX, D = Kind
LO, IO, ALL, FFPO = Use
CO, SW = Scope
LONGEST = (1 << 24) - 1

#: RFC 7143 12 and 13 once more: kind, use, senders, scope, default, least, most.
STANDARD = {
    "AuthMethod": (L, IO, BOTH, CO, None, None, None),
    "HeaderDigest": (L, IO, BOTH, CO, "None", None, None),
    "DataDigest": (L, IO, BOTH, CO, "None", None, None),
    "MaxConnections": (MIN, LO, BOTH, SW, "1", 1, 65535),
    "SendTargets": (D, FFPO, INI, SW, None, None, None),
    "TargetName": (D, IO, BOTH, SW, None, None, None),
    "InitiatorName": (D, IO, INI, SW, None, None, None),
    "TargetAlias": (D, ALL, TGT, SW, None, None, None),
    "InitiatorAlias": (D, ALL, INI, SW, None, None, None),
    "TargetPortalGroupTag": (D, IO, TGT, SW, None, None, None),
    "InitialR2T": (OR, LO, BOTH, SW, "Yes", None, None),
    "ImmediateData": (AND, LO, BOTH, SW, "Yes", None, None),
    "MaxRecvDataSegmentLength": (D, ALL, BOTH, CO, "8192", 512, LONGEST),
    "MaxBurstLength": (MIN, LO, BOTH, SW, "262144", 512, LONGEST),
    "FirstBurstLength": (MIN, LO, BOTH, SW, "65536", 512, LONGEST),
    "DefaultTime2Wait": (MAX, LO, BOTH, SW, "2", 0, 3600),
    "DefaultTime2Retain": (MIN, LO, BOTH, SW, "20", 0, 3600),
    "MaxOutstandingR2T": (MIN, LO, BOTH, SW, "1", 1, 65535),
    "DataPDUInOrder": (OR, LO, BOTH, SW, "Yes", None, None),
    "DataSequenceInOrder": (OR, LO, BOTH, SW, "Yes", None, None),
    "ErrorRecoveryLevel": (MIN, LO, BOTH, SW, "0", 0, 2),
    "SessionType": (D, LO, INI, SW, "Normal", None, None),
    "TaskReporting": (L, LO, BOTH, SW, "RFC3720", None, None),
    "iSCSIProtocolLevel": (MIN, LO, BOTH, SW, "1", 0, 31),
}


@pytest.mark.parametrize("name", STANDARD)
def test_the_table_is_the_standards(name: str) -> None:
    key = KEYS[name]
    assert (key.kind, key.use, set(key.senders), key.scope, key.default, key.low, key.high) == STANDARD[name]


def test_every_row_is_sound() -> None:
    for name, key in KEYS.items():
        assert key.name == name
        assert key.section.startswith("RFC 7")
        assert key.senders
        if key.kind in (MIN, MAX) and key.default is not None:
            assert key.low is not None
            assert key.high is not None
            assert key.low <= int(key.default) <= key.high
        if key.kind in (AND, OR):
            assert key.default in ("Yes", "No")
        if key.default is not None:
            assert normal(key, key.default) == key.default


def test_secret_values_are_marked() -> None:
    assert {name for name in SECRET_KEYS if not KEYS[name].secret} == set()
    assert KEYS["CHAP_C"].secret
    assert not KEYS["CHAP_N"].secret


def test_stages() -> None:
    assert KEYS["AuthMethod"].stage is Stage.SECURITY
    assert KEYS["InitiatorName"].stage is Stage.ANY
    assert KEYS["MaxRecvDataSegmentLength"].stage is Stage.OPERATIONAL


def test_what_means_nothing_in_discovery() -> None:
    assert {name for name, key in KEYS.items() if not key.discovery} == {
        *("MaxConnections", "InitialR2T", "ImmediateData", "MaxBurstLength", "FirstBurstLength", "MaxOutstandingR2T"),
        *("DataPDUInOrder", "DataSequenceInOrder", "TaskReporting", "iSCSIProtocolLevel"),
    }


SETTLED = [
    # A boolean AND: the answer may stay away after No.
    ("ImmediateData", "Yes", "Yes", "Yes"),
    ("ImmediateData", "Yes", "No", "No"),
    ("ImmediateData", "No", "No", "No"),
    ("ImmediateData", "No", "Yes", "No"),
    ("ImmediateData", "No", None, "No"),
    ("ImmediateData", "Yes", None, None),
    ("ImmediateData", "yes", "Yes", None),
    ("ImmediateData", "Yes", "Irrelevant", None),
    # A boolean OR: the answer may stay away after Yes.
    ("InitialR2T", "No", "No", "No"),
    ("InitialR2T", "No", "Yes", "Yes"),
    ("InitialR2T", "Yes", "Yes", "Yes"),
    ("InitialR2T", "Yes", "No", "Yes"),
    ("InitialR2T", "Yes", None, "Yes"),
    ("InitialR2T", "No", None, None),
    # Numbers, decimal and hexadecimal; an answer against the rule does not win.
    ("MaxBurstLength", "1048576", "262144", "262144"),
    ("MaxBurstLength", "262144", "1048576", "262144"),
    ("MaxBurstLength", "0x40000", "0x20000", "131072"),
    ("MaxBurstLength", "0X40000", "262144", "262144"),
    ("MaxBurstLength", "9", "10", "9"),
    ("MaxBurstLength", "262144", None, None),
    ("MaxBurstLength", "262144", "Reject", None),
    ("MaxBurstLength", "262144", "lots", None),
    ("MaxBurstLength", "lots", "262144", None),
    ("MaxBurstLength", "9" * 30, "262144", None),
    ("DefaultTime2Wait", "0", "2", "2"),
    ("DefaultTime2Wait", "10", "9", "10"),
    ("ErrorRecoveryLevel", "2", "0", "0"),
    # Lists: the answer is the choice, also one that was not offered.
    ("HeaderDigest", "CRC32C,None", "CRC32C", "CRC32C"),
    ("HeaderDigest", "None,CRC32C", "None", "None"),
    ("HeaderDigest", "None", "CRC32C", "CRC32C"),
    ("HeaderDigest", "CRC32C", None, None),
    ("HeaderDigest", "CRC32C", "Reject", None),
    ("HeaderDigest", "CRC32C", "NotUnderstood", None),
    ("TaskReporting", "RFC3720,ResponseFence,FastAbort", "FastAbort", "FastAbort"),
    ("TaskReporting", "RFC3720,ResponseFence", "NotUnderstood", None),
    ("OFMarkInt", "2048~8192", "Reject", None),
    ("IFMarker", "No", None, "No"),
]


@pytest.mark.parametrize(("name", "offer", "answer", "result"), SETTLED)
def test_what_an_offer_and_an_answer_come_to(name: str, offer: str, answer: str | None, result: str | None) -> None:
    assert settle(KEYS[name], offer, answer) == result


def test_a_private_key_takes_the_answer() -> None:
    private = Key(name="X-org.example.a", kind=L, use=ALL, senders=frozenset(End), scope=CO, section="RFC 7143 13.22")
    assert settle(private, "a,b", "b") == "b"
    assert settle(private, "a,b", "NotUnderstood") is None
