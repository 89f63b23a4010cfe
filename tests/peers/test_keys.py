"""Both sides of a negotiation: what is answered to an offer, and what an answer may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.peers.keys import (
    IRRELEVANT,
    KEYS,
    METHOD_KEYS,
    NO_VALUES,
    NOT_UNDERSTOOD,
    REJECT,
    Answer,
    Kind,
    NegotiationError,
    Use,
    declared_number,
    is_private,
    judge,
    respond,
    settle,
)
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.wire.opcodes import End

__all__: list[str] = []

#: key, what is offered, what we would have, what we answer; all of them settle what is answered
ANSWERED = [
    ("HeaderDigest", "CRC32C,None", "None,CRC32C", "CRC32C"),  # the order is the offerer's (6.2.1)
    ("HeaderDigest", "None,CRC32C", "None,CRC32C", "None"),
    ("DataDigest", "Y-x,CRC32C", "CRC32C", "CRC32C"),
    ("TaskReporting", "RFC3720,ResponseFence,FastAbort", "FastAbort,ResponseFence", "ResponseFence"),
    ("AuthMethod", "KRB5,CHAP,None", "CHAP", "CHAP"),
    ("ImmediateData", "Yes", "Yes", "Yes"),
    ("ImmediateData", "Yes", "No", "No"),
    ("ImmediateData", "No", "Yes", "No"),
    ("InitialR2T", "No", "No", "No"),
    ("InitialR2T", "No", "Yes", "Yes"),
    ("InitialR2T", "Yes", "No", "Yes"),
    ("MaxBurstLength", "512", "262144", "512"),
    ("MaxBurstLength", "262144", "512", "512"),
    ("MaxBurstLength", "0x400", "262144", "1024"),
    ("MaxBurstLength", "0XfF0", "262144", "4080"),
    ("MaxBurstLength", "16777215", "16777215", "16777215"),
    ("DefaultTime2Wait", "0", "2", "2"),
    ("DefaultTime2Wait", "3600", "2", "3600"),
    ("DefaultTime2Retain", "0", "20", "0"),
    ("ErrorRecoveryLevel", "2", "0", "0"),
    ("MaxConnections", "65535", "1", "1"),
    ("iSCSIProtocolLevel", "31", "2", "2"),
    ("iSCSIProtocolLevel", "0", "2", "0"),
]

#: key, offer: nothing we could have
REJECTED = [
    ("HeaderDigest", "Y-x"),
    ("HeaderDigest", ""),
    ("HeaderDigest", "crc32c"),
    ("ImmediateData", "yes"),
    ("ImmediateData", "Maybe"),
    ("InitialR2T", ""),
    ("MaxBurstLength", "511"),
    ("MaxBurstLength", "16777216"),
    ("MaxBurstLength", "-1"),
    ("MaxBurstLength", "0x"),
    ("MaxBurstLength", "0512"),
    ("MaxBurstLength", "1e3"),
    ("MaxBurstLength", "9" * 400),
    ("MaxConnections", "0"),
    ("ErrorRecoveryLevel", "3"),
    ("DefaultTime2Wait", "3601"),
    ("iSCSIProtocolLevel", "32"),
]

OURS = {
    Kind.LIST: "CRC32C,None,CHAP,RFC3720",
    Kind.AND: "Yes",
    Kind.OR: "No",
    Kind.OBSOLETE: "",
}


def ours(name: str) -> str:
    key = KEYS[name]
    return OURS.get(key.kind) or str(key.high)


# --- the side that answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "offer", "wish", "answer"), ANSWERED)
def test_an_offer_is_answered_and_settled(name: str, offer: str, wish: str, answer: str) -> None:
    assert respond(KEYS[name], offer, wish) == Answer(answer, answer)


@pytest.mark.parametrize(("name", "offer"), REJECTED)
def test_an_offer_that_cannot_be_is_rejected_and_settles_nothing(name: str, offer: str) -> None:
    assert respond(KEYS[name], offer, ours(name)) == Answer(REJECT, None)


@pytest.mark.parametrize("word", sorted(NO_VALUES))
@pytest.mark.parametrize("name", ["MaxBurstLength", "ImmediateData", "HeaderDigest", "IFMarker"])
def test_the_words_that_only_answer_are_not_offers(name: str, word: str) -> None:
    with pytest.raises(NegotiationError, match=name):
        respond(KEYS[name], word, ours(name))


@pytest.mark.parametrize(
    ("name", "offer", "answer"),
    [
        ("IFMarker", "Yes", "No"),
        ("OFMarker", "No", "No"),
        ("IFMarkInt", "1~65535", REJECT),
        ("OFMarkInt", "2048", REJECT),
        ("RDMAExtensions", "Yes", "No"),
        ("TargetRecvDataSegmentLength", "8192", IRRELEVANT),
        ("InitiatorRecvDataSegmentLength", "8192", IRRELEVANT),
    ],
)
def test_a_key_that_is_out_of_use_has_one_answer(name: str, offer: str, answer: str) -> None:
    assert respond(KEYS[name], offer, "") == Answer(answer, None)


# --- the side that has offered -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "offer", "answer"), [(name, offer, answer) for name, offer, _, answer in ANSWERED])
def test_our_own_answers_are_admissible(name: str, offer: str, answer: str) -> None:
    assert judge(KEYS[name], offer, answer) == answer


@pytest.mark.parametrize(
    ("name", "offer", "answer"),
    [
        ("HeaderDigest", "None", "CRC32C"),
        ("HeaderDigest", "CRC32C,None", "CRC32C,None"),
        ("HeaderDigest", "CRC32C,None", ""),
        ("MaxBurstLength", "512", "513"),
        ("MaxBurstLength", "512", "511"),
        ("MaxBurstLength", "512", "many"),
        ("DefaultTime2Wait", "2", "1"),
        ("DefaultTime2Wait", "2", "3601"),
        ("ImmediateData", "No", "Yes"),
        ("ImmediateData", "Yes", "yes"),
        ("InitialR2T", "Yes", "No"),
        ("MaxBurstLength", "512", NOT_UNDERSTOOD),
        ("HeaderDigest", "None", NOT_UNDERSTOOD),
    ],
)
def test_an_answer_that_the_offer_does_not_allow(name: str, offer: str, answer: str) -> None:
    with pytest.raises(NegotiationError, match=name):
        judge(KEYS[name], offer, answer)


@pytest.mark.parametrize(
    ("name", "offer", "answer"),
    [
        ("MaxBurstLength", "512", REJECT),
        ("FirstBurstLength", "512", IRRELEVANT),
        # Keys of a later standard than that of the other end (13.23, 13.24)
        ("TaskReporting", "RFC3720,ResponseFence", NOT_UNDERSTOOD),
        ("iSCSIProtocolLevel", "2", NOT_UNDERSTOOD),
        ("IFMarker", "No", "No"),
    ],
)
def test_an_answer_that_leaves_all_as_it_was(name: str, offer: str, answer: str) -> None:
    assert judge(KEYS[name], offer, answer) is None


def test_a_hexadecimal_answer_is_a_number_like_another() -> None:
    assert judge(KEYS["MaxBurstLength"], "0x800", "0x400") == "1024"


NEGOTIATED = sorted(name for name, key in KEYS.items() if key.negotiated and key.kind is not Kind.OBSOLETE)
VALUES = st.one_of(
    st.sampled_from(["Yes", "No", "None", "CRC32C", "CRC32C,None", "RFC3720", "CHAP", "0", "1", "512", "0x10"]),
    st.integers(0, 1 << 25).map(str),
    st.text(max_size=20),
)


@given(st.sampled_from(NEGOTIATED), VALUES, st.data())
def test_whatever_is_offered_both_ends_come_to_the_same(name: str, offer: str, data: st.DataObject) -> None:
    """The answer is always one that the offerer may take, and both then have the same value."""
    key = KEYS[name]
    wish = {
        Kind.LIST: st.sampled_from(["CRC32C,None", "None", "CHAP", "RFC3720"]),
        Kind.AND: st.sampled_from(["Yes", "No"]),
        Kind.OR: st.sampled_from(["Yes", "No"]),
    }.get(key.kind, st.integers(key.low, key.high).map(str))
    try:
        answer = respond(key, offer, data.draw(wish))
    except NegotiationError:
        assert offer in NO_VALUES
        return
    assert answer.text is not None
    assert judge(key, offer, answer.text) == answer.agreed


@given(st.sampled_from(sorted(KEYS)), VALUES, VALUES)
def test_any_answer_is_taken_or_refused(name: str, offer: str, answer: str) -> None:
    key = KEYS[name]
    if not key.negotiated:
        return
    try:
        agreed = judge(key, offer, answer)
    except NegotiationError:
        return
    assert agreed is None or agreed == answer or int(agreed) == int(answer, 0)


# --- what was declared, what was agreed ----------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "number"), [("512", 512), ("0x2000", 8192), ("16777215", 16777215)])
def test_a_declared_number(value: str, number: int) -> None:
    assert declared_number(KEYS["MaxRecvDataSegmentLength"], value) == number


@pytest.mark.parametrize("value", ["511", "16777216", "", "all", "-512", "512.0", "٥١٢"])
def test_a_declared_number_that_is_none(value: str) -> None:
    with pytest.raises(NegotiationError, match="MaxRecvDataSegmentLength"):
        declared_number(KEYS["MaxRecvDataSegmentLength"], value)


def test_without_a_word_the_defaults_hold() -> None:
    assert settle({}) == Parameters()


def test_what_was_agreed_takes_their_place() -> None:
    agreed = {
        "HeaderDigest": "CRC32C",
        "DataDigest": "CRC32C",
        "MaxConnections": "2",
        "InitialR2T": "No",
        "ImmediateData": "No",
        "MaxBurstLength": "4096",
        "FirstBurstLength": "0x800",
        "DefaultTime2Wait": "3",
        "DefaultTime2Retain": "4",
        "MaxOutstandingR2T": "5",
        "DataPDUInOrder": "No",
        "DataSequenceInOrder": "No",
        "ErrorRecoveryLevel": "1",
        "TaskReporting": "FastAbort",
        "iSCSIProtocolLevel": "2",
    }
    assert settle(agreed, theirs=512, ours=1024) == Parameters(
        header_digest=True,
        data_digest=True,
        max_connections=2,
        initial_r2t=False,
        immediate_data=False,
        send_segment=512,
        receive_segment=1024,
        max_burst_length=4096,
        first_burst_length=2048,
        time2wait=3,
        time2retain=4,
        max_outstanding_r2t=5,
        data_pdu_in_order=False,
        data_sequence_in_order=False,
        error_recovery_level=1,
        task_reporting="FastAbort",
        protocol_level=2,
    )


def test_the_first_burst_is_no_longer_than_any_burst() -> None:
    """RFC 7143 13.14; the default of one may well be over what was agreed for the other."""
    assert settle({"MaxBurstLength": "512"}).first_burst_length == 512


# --- the table ------------------------------------------------------------------------------------------------------


def test_defaults_are_values_of_their_keys() -> None:
    for key in KEYS.values():
        if key.default is not None and key.negotiated:
            assert respond(key, key.default, key.default) == Answer(key.default, key.default), key.name


def test_the_table_in_figures() -> None:
    """RFC 7143 13: what may be said after the login, by whom, and what a discovery session has no use for."""
    assert {name for name, key in KEYS.items() if key.use is Use.ALL} == {
        *("TargetAlias", "InitiatorAlias", "TargetAddress", "MaxRecvDataSegmentLength"),
    }
    assert {name for name, key in KEYS.items() if key.use is Use.TEXT} == {"SendTargets"}
    assert {name for name, key in KEYS.items() if key.sender is End.TARGET} == {
        *("TargetAlias", "TargetAddress", "TargetPortalGroupTag"),
    }
    assert {name for name, key in KEYS.items() if not key.discovery} == {
        *("MaxConnections", "InitialR2T", "ImmediateData", "MaxBurstLength", "FirstBurstLength", "MaxOutstandingR2T"),
        *("DataPDUInOrder", "DataSequenceInOrder", "TaskReporting", "iSCSIProtocolLevel"),
    }
    assert not {name for name in ("MaxRecvDataSegmentLength", "HeaderDigest", "InitialR2T") if KEYS[name].security}
    assert not METHOD_KEYS & KEYS.keys()


def test_private_keys() -> None:
    assert [name for name in ("X-com.example.a", "X#b", "Xylophone", "MaxConnections") if is_private(name)] == [
        *("X-com.example.a", "X#b"),
    ]
