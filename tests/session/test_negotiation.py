from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.session.negotiation import Negotiation
from iscsiproxy.session.params import KEYS, Kind
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.text import encode_text

__all__: list[str] = []

INI, TGT = End.INITIATOR, End.TARGET
DEFAULTS = {key.name: key.default for key in KEYS.values() if key.default and key.kind is not Kind.DECLARED}

#: What libiscsi 1.19 offers, as captured from iscsi-inq; QEMU 7.2 with header-digest=crc32c offers HeaderDigest=CRC32C.
LIBISCSI = {
    "InitiatorName": "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq",
    "TargetName": "iqn.2001-04.example:target",
    "SessionType": "Normal",
    "HeaderDigest": "None,CRC32C",
    "DataDigest": "None",
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxBurstLength": "262144",
    "FirstBurstLength": "262144",
    "DefaultTime2Wait": "2",
    "DefaultTime2Retain": "0",
    "MaxOutstandingR2T": "1",
    "ErrorRecoveryLevel": "0",
    "IFMarker": "No",
    "OFMarker": "No",
    "MaxConnections": "1",
    "MaxRecvDataSegmentLength": "262144",
    "DataPDUInOrder": "Yes",
    "DataSequenceInOrder": "Yes",
}
#: What tgtd 1.0.85 answers; it declares no MaxRecvDataSegmentLength, and answers the same in a Discovery session.
TGTD = {
    "TargetPortalGroupTag": "1",
    "HeaderDigest": "None",
    "DataDigest": "None",
    "InitialR2T": "Yes",
    "ImmediateData": "Yes",
    "MaxBurstLength": "262144",
    "FirstBurstLength": "65536",
    "DefaultTime2Wait": "2",
    "DefaultTime2Retain": "0",
    "MaxOutstandingR2T": "1",
    "ErrorRecoveryLevel": "0",
    "IFMarker": "No",
    "OFMarker": "No",
    "MaxConnections": "1",
    "DataPDUInOrder": "Yes",
    "DataSequenceInOrder": "Yes",
}


def say(negotiation: Negotiation, by: End, keys: dict[str, str], *, full_feature: bool = False) -> None:
    negotiation.hear(by, encode_text(keys.items()), more=False, full_feature=full_feature)


def negotiated(*turns: tuple[End, dict[str, str]]) -> Negotiation:
    negotiation = Negotiation()
    for by, keys in turns:
        say(negotiation, by, keys)
    return negotiation


def test_before_anything_is_said_the_defaults_hold() -> None:
    negotiation = Negotiation()
    assert dict(negotiation.settled) == DEFAULTS
    assert negotiation.declared[INI] == {"MaxRecvDataSegmentLength": "8192", "SessionType": "Normal"}
    assert negotiation.declared[TGT] == {"MaxRecvDataSegmentLength": "8192"}
    assert not negotiation.header_digest
    assert not negotiation.data_digest


def test_libiscsi_with_tgtd() -> None:
    negotiation = negotiated((INI, LIBISCSI), (TGT, TGTD))
    assert dict(negotiation.settled) == DEFAULTS | {"DefaultTime2Retain": "0"}
    assert negotiation.declared[INI]["InitiatorName"] == "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq"
    assert negotiation.declared[INI]["TargetName"] == "iqn.2001-04.example:target"
    assert negotiation.declared[TGT]["TargetPortalGroupTag"] == "1"
    assert negotiation.max_recv_data_segment_length(INI) == 262144
    assert negotiation.max_recv_data_segment_length(TGT) == 8192
    assert (negotiation.header_digest, negotiation.data_digest) == (False, False)


def test_libiscsi_with_a_tgtd_that_takes_more() -> None:
    answers = TGTD | {"HeaderDigest": "CRC32C", "InitialR2T": "No", "FirstBurstLength": "262144"}
    negotiation = negotiated((INI, LIBISCSI | {"HeaderDigest": "CRC32C"}), (TGT, answers))
    assert negotiation.header_digest
    assert not negotiation.data_digest
    assert negotiation.settled["InitialR2T"] == "No"
    assert negotiation.number("FirstBurstLength") == 262144


def test_the_target_may_offer_and_the_initiator_answer() -> None:
    negotiation = negotiated((INI, {"InitiatorName": "iqn.a"}), (TGT, {"MaxBurstLength": "65536"}))
    assert negotiation.settled["MaxBurstLength"] == "262144"
    say(negotiation, INI, {"MaxBurstLength": "4096"})
    assert negotiation.settled["MaxBurstLength"] == "4096"


def test_an_offer_that_decides_alone() -> None:
    negotiation = negotiated((INI, {"ImmediateData": "No", "InitialR2T": "No", "DataPDUInOrder": "Yes"}))
    assert negotiation.settled["ImmediateData"] == "No"
    assert negotiation.settled["InitialR2T"] == "Yes"
    say(negotiation, TGT, {"ImmediateData": "Irrelevant"})
    assert negotiation.settled["ImmediateData"] == "Yes"


@pytest.mark.parametrize("word", ["Reject", "Irrelevant", "NotUnderstood"])
def test_words_that_settle_nothing(word: str) -> None:
    offers = {"MaxBurstLength": "4096", "HeaderDigest": "CRC32C", "InitialR2T": "No", "TaskReporting": "FastAbort"}
    negotiation = negotiated((INI, offers), (TGT, dict.fromkeys(offers, word)))
    assert dict(negotiation.settled) == DEFAULTS


def test_a_key_named_again_changes_nothing() -> None:
    negotiation = negotiated(
        (INI, {"MaxBurstLength": "65536"}),
        (INI, {"MaxBurstLength": "512"}),
        (TGT, {"MaxBurstLength": "65536"}),
        (TGT, {"MaxBurstLength": "1024"}),
        (INI, {"MaxBurstLength": "2048"}),
    )
    assert negotiation.settled["MaxBurstLength"] == "65536"


def test_the_last_word_of_a_declaration_holds() -> None:
    negotiation = negotiated((INI, {"MaxRecvDataSegmentLength": "65536"}), (INI, {"MaxRecvDataSegmentLength": "0x400"}))
    assert negotiation.max_recv_data_segment_length(INI) == 1024
    assert negotiation.max_recv_data_segment_length(TGT) == 8192


def test_declarations_of_the_wrong_end_or_without_sense() -> None:
    negotiation = negotiated(
        (TGT, {"InitiatorName": "iqn.forged", "SessionType": "Discovery"}),
        (INI, {"TargetPortalGroupTag": "9", "MaxRecvDataSegmentLength": "much"}),
        (TGT, {"MaxRecvDataSegmentLength": "NotUnderstood"}),
    )
    assert negotiation.declared[INI] == {"MaxRecvDataSegmentLength": "8192", "SessionType": "Normal"}
    assert negotiation.declared[TGT] == {"MaxRecvDataSegmentLength": "8192"}


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_segment_cut_anywhere(cut: int) -> None:
    negotiation = Negotiation()
    text = encode_text([("MaxBurstLength", "65536"), ("HeaderDigest", "CRC32C"), ("InitialR2T", "No")])
    assert negotiation.hear(INI, text[:cut], more=True) == ()
    assert negotiation.hear(TGT, b"", more=False) == ()
    pairs = negotiation.hear(INI, text[cut:], more=False)
    assert [str(pair) for pair in pairs] == ["MaxBurstLength=65536", "HeaderDigest=CRC32C", "InitialR2T=No"]
    say(negotiation, TGT, {"MaxBurstLength": "65536", "HeaderDigest": "CRC32C", "InitialR2T": "No"})
    assert negotiation.settled["MaxBurstLength"] == "65536"
    assert negotiation.header_digest
    assert negotiation.settled["InitialR2T"] == "No"


def test_secret_values_are_not_kept() -> None:
    negotiation = Negotiation()
    text = encode_text([("CHAP_N", "user"), ("CHAP_R", "0x1234567890abcdef"), ("CHAP_C", "0xfedcba")])
    negotiation.hear(INI, text[:30], more=True)
    pairs = negotiation.hear(INI, text[30:], more=False)
    assert [tuple(pair) for pair in pairs] == [("CHAP_N", "user"), ("CHAP_R", ""), ("CHAP_C", "")]
    assert negotiation.declared[INI]["CHAP_N"] == "user"
    kept = [getattr(negotiation, name) for name in Negotiation.__slots__]
    assert "1234567890" not in repr(kept)
    assert "CHAP_R" not in repr(kept)
    assert "CHAP_C" not in repr(kept)


def test_the_security_stage() -> None:
    negotiation = negotiated(
        (INI, {"AuthMethod": "CHAP,None"}),
        (TGT, {"AuthMethod": "CHAP"}),
        (INI, {"CHAP_A": "7,5"}),
        (TGT, {"CHAP_A": "5", "CHAP_I": "17", "CHAP_C": "0xabcd"}),
    )
    assert negotiation.settled["AuthMethod"] == "CHAP"
    assert negotiation.settled["CHAP_A"] == "5"
    assert negotiation.declared[TGT]["CHAP_I"] == "17"


def test_unknown_keys_take_the_answer_and_are_bounded() -> None:
    negotiation = negotiated((INI, {"X-org.example.a": "1,2", "X-org.example.b": "1"}))
    say(negotiation, TGT, {"X-org.example.a": "2", "X-org.example.b": "NotUnderstood"})
    assert negotiation.settled["X-org.example.a"] == "2"
    assert "X-org.example.b" not in negotiation.settled
    for number in range(500):
        say(negotiation, INI, {f"X-{number}": "x"})
        say(negotiation, TGT, {f"X-{number}": "x", "X" * 64: "x"})
    assert len(negotiation.settled) <= len(DEFAULTS) + 64


def test_full_feature_phase_changes_only_what_it_may() -> None:
    negotiation = negotiated((INI, LIBISCSI), (TGT, TGTD))
    say(
        negotiation,
        INI,
        {"MaxRecvDataSegmentLength": "4096", "MaxOutstandingR2T": "8", "SendTargets": "All"},
        full_feature=True,
    )
    say(
        negotiation,
        TGT,
        {"TargetName": "iqn.other", "TargetAddress": "[::1]:3260,1", "TargetAlias": "disks"},
        full_feature=True,
    )
    assert negotiation.max_recv_data_segment_length(INI) == 4096
    assert negotiation.settled["MaxOutstandingR2T"] == "1"
    assert "SendTargets" not in negotiation.declared[INI]
    assert negotiation.declared[TGT] == {
        "MaxRecvDataSegmentLength": "8192",
        "TargetPortalGroupTag": "1",
        "TargetAlias": "disks",
    }


def test_SendTargets_is_nothing_in_a_login() -> None:
    assert "SendTargets" not in negotiated((INI, {"SendTargets": "All"})).declared[INI]


def test_a_further_connection_has_the_sessions_keys_and_its_own() -> None:
    leading = negotiated((INI, LIBISCSI | {"MaxConnections": "4"}), (TGT, TGTD | {"MaxConnections": "2"}))
    joining = negotiated(
        (INI, {"HeaderDigest": "CRC32C", "MaxRecvDataSegmentLength": "512", "MaxBurstLength": "512"}),
        (TGT, {"HeaderDigest": "CRC32C", "MaxBurstLength": "512"}),
    )
    joining.adopt(leading)
    assert joining.header_digest
    assert joining.settled["MaxConnections"] == "2"
    assert joining.settled["MaxBurstLength"] == "262144"
    assert joining.max_recv_data_segment_length(INI) == 512
    assert not leading.header_digest


def test_what_was_given_out_never_changes() -> None:
    negotiation = Negotiation()
    settled, declared = negotiation.settled, negotiation.declared
    assert negotiation.settled is settled
    assert negotiation.declared is declared
    say(negotiation, INI, {"ImmediateData": "No", "InitiatorAlias": "me"})
    assert settled["ImmediateData"] == "Yes"
    assert "InitiatorAlias" not in declared[INI]
    assert negotiation.settled["ImmediateData"] == "No"
    assert negotiation.declared[INI]["InitiatorAlias"] == "me"


def test_a_segment_without_end_is_given_up() -> None:
    negotiation = Negotiation()
    for _ in range(20):
        assert negotiation.hear(INI, bytes(8192), more=True) == ()
    negotiation.hear(INI, bytes(8192), more=False)
    say(negotiation, INI, {"ImmediateData": "No"})
    assert negotiation.settled["ImmediateData"] == "No"


def test_repr() -> None:
    assert repr(negotiated((INI, {"InitialR2T": "No"}))) == "<Negotiation 1 offered, 0 settled>"


@given(st.lists(st.tuples(st.sampled_from(End), st.binary(max_size=200), st.booleans(), st.booleans()), max_size=20))
def test_any_bytes_will_do(turns: list[tuple[End, bytes, bool, bool]]) -> None:
    negotiation = Negotiation()
    for by, data, more, full_feature in turns:
        negotiation.hear(by, data, more=more, full_feature=full_feature)
        assert negotiation.settled.keys() >= DEFAULTS.keys()
        assert negotiation.max_recv_data_segment_length(by) >= 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(End),
            st.dictionaries(
                st.sampled_from(sorted(KEYS)),
                st.sampled_from(["Yes", "No", "0", "0x200", "None", "Reject", "CRC32C", ""]),
            ),
        ),
        max_size=8,
    )
)
def test_settled_numbers_are_always_numbers(turns: list[tuple[End, dict[str, str]]]) -> None:
    negotiation = negotiated(*turns)
    for name, value in negotiation.settled.items():
        if KEYS[name].kind in (Kind.MIN, Kind.MAX):
            assert str(negotiation.number(name)) == value
        if KEYS[name].kind in (Kind.AND, Kind.OR):
            assert value in ("Yes", "No")
