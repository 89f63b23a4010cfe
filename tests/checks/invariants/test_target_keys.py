from __future__ import annotations

import pytest

from iscsiproxy.checks.profiles import Profile
from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, Judged, judged, prove

__all__: list[str] = []

NAMES = "InitiatorName=iqn.x:i TargetName=iqn.x:t"
TPGT = "TargetPortalGroupTag=1"


def login(asked: str = "", answered: str = "", *, fields: str = "") -> str:
    """Make a login of one round."""
    flags = f"T CSG=1 NSG=3 {fields}"
    return f"""
        > Login-Request {flags} {text_of(f"{NAMES} {asked}")}
        < Login-Response {flags} TSIH=5 {text_of(f"{TPGT} {answered}")}
    """


def text_of(pairs: str) -> str:
    """Make the words of a text; one with a `#` cannot stand in a line as it is."""
    if "#" not in pairs:
        return f"text='{pairs}'"
    return f"data=hex:{''.join(pair + chr(0) for pair in pairs.split()).encode().hex()}"


def rounds(first: str, first_answer: str, second: str, second_answer: str) -> str:
    """Make a login of two rounds in the operational stage."""
    return f"""
        > Login-Request CSG=1 text='{NAMES} {first}'
        < Login-Response CSG=1 text='{TPGT} {first_answer}'
        > Login-Request T CSG=1 NSG=3 text='{second}'
        < Login-Response T CSG=1 NSG=3 TSIH=5 text='{second_answer}'
    """


def of(rule: str, text: str, profile: Profile = Profile.RFC7144) -> bool:
    result: Judged = judged(text, profile=profile)
    return bool(result.of(rule))


REFUSED = f"> Login-Request CSG=1 text='{NAMES}'\n< Login-Response Status-Class=3\nclose target"

CASES = (
    Case(
        rule="T-066",
        good=login("", "ImmediateData=No"),
        bad=login("", "MaxBurstLength=512"),
        short=REFUSED,
        mutant=("ImmediateData=No", "ImmediateData=Yes"),
    ),
    Case(
        rule="T-069",
        good=login("MaxBurstLength=8192 HeaderDigest=CRC32C,None", "MaxBurstLength=4096 HeaderDigest=None"),
        bad=login("MaxBurstLength=8192", "MaxBurstLength=16384"),
        short=REFUSED,
        mutant=("HeaderDigest=None", "DataDigest=None"),
    ),
    Case(
        rule="T-070",
        good=login("MaxBurstLength=8192", "MaxBurstLength=8192"),
        bad=login("MaxBurstLength=8192", "MaxBurstLength=8192 MaxBurstLength=4096"),
        short=REFUSED,
        mutant=(f"{NAMES} ", f"{NAMES} MaxBurstLength=512 "),
    ),
    Case(
        rule="T-071",
        good=login("X-com.a=1", "X-com.a=NotUnderstood"),
        bad=login("MaxBurstLength=512", "MaxBurstLength=NotUnderstood"),
        short=REFUSED,
        mutant=("X-com.a=NotUnderstood", ""),
    ),
    Case(
        rule="T-072",
        good=login("MaxBurstLength=8192", "MaxBurstLength=8192"),
        bad=f"> Login-Request CSG=0 text='{NAMES}'\n< Login-Response CSG=0 text='{TPGT} MaxBurstLength=512'",
        short=REFUSED,
        mutant=(f"{TPGT} ", f"{TPGT} InitiatorAlias=me "),
    ),
    Case(
        rule="T-073",
        good=login("X-com.a=1", "X-com.a=NotUnderstood"),
        bad=f"> Login-Request CSG=1 text='{NAMES}'\n< Login-Response CSG=1 data=hex:{TPGT.encode().hex()}",
        short=REFUSED,
        mutant=(f"{TPGT} ", f"{TPGT} X-com.b={'b' * 256} "),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- T-066 -----------------------------------------------------------------------------------------------------------


def test_what_needs_no_answer_may_come_last() -> None:
    """A declaration, and a boolean that decides alone (RFC 7143 6.2.2)."""
    text = login("", "ImmediateData=No InitialR2T=Yes MaxRecvDataSegmentLength=65536 X-com.a=1")
    assert not of("T-066", text)
    assert of("T-066", text.replace("ImmediateData=No", "ImmediateData=Yes"))


def test_the_last_text_response_asks_nothing_either() -> None:
    text = "login\n> Text-Request text='InitiatorAlias=me'\n< Text-Response text='{}'"
    assert not of("T-066", text.format("TargetAlias=it"))
    assert of("T-066", text.format("TaskReporting=RFC3720"))


# --- T-069 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("ImmediateData=No InitialR2T=Yes", ""),
        ("IFMarker=No OFMarker=No IFMarkInt=1~65535", "IFMarker=Reject OFMarker=No IFMarkInt=Reject"),
        ("HeaderDigest=CRC32C", "HeaderDigest=Reject"),
        ("MaxBurstLength=100", "MaxBurstLength=Reject"),
        ("MaxBurstLength=100", "MaxBurstLength=512"),
        ("InitialR2T=Maybe", "InitialR2T=No"),
        ("MaxBurstLength=0x2000", "MaxBurstLength=0x1000"),
        ("DefaultTime2Wait=2", "DefaultTime2Wait=5"),
        ("InitialR2T=Yes ImmediateData=No FirstBurstLength=512",
         "InitialR2T=Yes ImmediateData=No FirstBurstLength=Irrelevant"),
        ("iSCSIProtocolLevel=2 TaskReporting=RFC3720,FastAbort", "iSCSIProtocolLevel=1 TaskReporting=RFC3720"),
        ("MaxRecvDataSegmentLength=512", "MaxRecvDataSegmentLength=65536"),
        ("RDMAExtensions=Yes", "RDMAExtensions=No"),
        ("X#NodeArchitecture=None", ""),
    ],
)  # fmt: skip
def test_answers_that_may_be(asked: str, answered: str) -> None:
    assert not {rule for rule in judged(login(asked, answered)).rules() if rule.startswith("T")}


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("ImmediateData=Yes", ""),
        ("ImmediateData=No", "ImmediateData=Yes"),
        ("InitialR2T=Yes", "InitialR2T=No"),
        ("HeaderDigest=CRC32C,None", "HeaderDigest=CRC32C,None"),
        ("HeaderDigest=CRC32C", "HeaderDigest=None"),
        ("HeaderDigest=None", "HeaderDigest=Irrelevant"),
        ("DefaultTime2Wait=5", "DefaultTime2Wait=2"),
        ("MaxBurstLength=8192", "MaxBurstLength=many"),
        ("MaxBurstLength=8192", "MaxBurstLength=100"),
        ("MaxBurstLength=8192", "MaxBurstLength=Reject"),
        ("IFMarkInt=1~65535", "IFMarkInt=2048"),
        ("MaxRecvDataSegmentLength=512", "MaxRecvDataSegmentLength=Reject"),
        ("FirstBurstLength=512", "FirstBurstLength=Irrelevant"),
        ("", "MaxRecvDataSegmentLength=511"),
    ],
)
def test_answers_that_may_not_be(asked: str, answered: str) -> None:
    assert of("T-069", login(asked, answered))


def test_markers_were_negotiated_once() -> None:
    text = login("IFMarker=Yes IFMarkInt=1~65535", "IFMarker=Yes IFMarkInt=2048")
    assert [one.severity for one in judged(text).of("T-069")] == [Severity.SHOULD]
    assert not of("T-069", text, Profile.RFC3720)


def test_an_answer_may_come_in_a_later_round() -> None:
    assert not of("T-069", rounds("MaxBurstLength=8192", "", "", "MaxBurstLength=8192"))


def test_an_answer_is_held_against_the_offer_that_was_given() -> None:
    """A fault has made the offer smaller; what the initiator sent does not matter."""
    given = f"{NAMES} MaxBurstLength=4096".replace(" ", "\0") + "\0"
    text = f"""
        > Login-Request T CSG=1 NSG=3 text='{NAMES} MaxBurstLength=8192' ! data=hex:{given.encode().hex()}
        < Login-Response T CSG=1 NSG=3 TSIH=5 text='{TPGT} MaxBurstLength=8192'
    """
    assert of("T-069", text)


def test_a_key_for_another_login_may_be_turned_down() -> None:
    asked = login("MaxConnections=4", "MaxConnections=Reject", fields="TSIH=5")
    assert not of("T-069", asked)
    text = "login\n> Text-Request text='MaxConnections=4'\n< Text-Response text='MaxConnections=Reject'"
    assert not of("T-069", text)


@pytest.mark.parametrize(("answer", "wrong"), [("0", False), ("Irrelevant", False), ("Reject", False), ("1", True)])
def test_discovery_has_no_error_recovery(answer: str, wrong: bool) -> None:
    asked = "InitiatorName=iqn.x:i SessionType=Discovery ErrorRecoveryLevel=2"
    text = f"""
        > Login-Request T CSG=1 NSG=3 text='{asked}'
        < Login-Response T CSG=1 NSG=3 TSIH=5 text='ErrorRecoveryLevel={answer}'
    """
    assert of("T-069", text) is wrong


# --- T-070 -----------------------------------------------------------------------------------------------------------


def test_target_addresses_come_as_often_as_they_like() -> None:
    assert not of("T-070", login("", "TargetAddress=192.0.2.1 TargetAddress=192.0.2.2"))


def test_records_of_targets_repeat_their_key() -> None:
    text = "login SessionType=Discovery\n> Text-Request text='SendTargets=All'\n< Text-Response text='{0} {0}'"
    assert not of("T-070", text.format("TargetName=iqn.x:t TargetAddress=h,1"))


def test_a_key_that_the_initiator_says_again_is_refused() -> None:
    accepted = rounds("MaxBurstLength=8192", "MaxBurstLength=8192", "MaxBurstLength=4096", "")
    assert of("T-070", accepted)
    last = "< Login-Response T CSG=1 NSG=3 TSIH=5 text=''"
    refused = accepted.replace(last, "< Login-Response Status-Class=2\nclose target")
    assert not of("T-070", refused)
    assert judged(refused).evidence["T-070"] == 2
    assert not of("T-070", accepted.replace(last, "close target"))


def test_a_key_that_comes_again_in_a_text_is_rejected() -> None:
    text = "login\n> Text-Request text='InitiatorAlias=a InitiatorAlias=b' as asked\n{}"
    [found] = judged(text.format("< Text-Response")).of("T-070")
    assert found.clause == "RFC 7143 6.4"
    assert not of("T-070", text.format("< Reject Reason=4 reject=asked"))


# --- T-071 -----------------------------------------------------------------------------------------------------------


def test_a_word_that_answers_nothing() -> None:
    assert of("T-071", login("", "MaxBurstLength=Reject"))
    assert of("T-071", login("", "X-com.a=NotUnderstood"))
    assert not of("T-071", login("", "X#NodeArchitecture=None"))


@pytest.mark.parametrize("key", ["iSCSIProtocolLevel=2", "X#NodeArchitecture=None", "SRP_U=me", "X-com.a=1"])
def test_what_a_target_need_not_know(key: str) -> None:
    assert not of("T-071", login(key, f"{key.partition('=')[0]}=NotUnderstood"))


def test_task_reporting_came_with_rfc_5048() -> None:
    text = login("TaskReporting=RFC3720", "TaskReporting=NotUnderstood")
    assert of("T-071", text)
    assert not of("T-071", text, Profile.RFC3720)


def test_a_login_that_is_not_understood_is_refused() -> None:
    accepted = rounds("", "", "TargetPortalGroupTag=NotUnderstood", "")
    assert of("T-071", accepted)
    assert not of("T-071", accepted, Profile.RFC3720)
    last = "< Login-Response T CSG=1 NSG=3 TSIH=5 text=''"
    assert not of("T-071", accepted.replace(last, "< Login-Response Status-Class=2\nclose target"))


def test_an_unknown_key_in_two_parts_is_answered_too() -> None:
    begin, end = f"{NAMES} X-com.a=".replace(" ", "\0").encode().hex(), b"1\0".hex()
    text = f"""
        > Login-Request C CSG=1 data=hex:{begin}
        < Login-Response CSG=1
        > Login-Request T CSG=1 NSG=3 data=hex:{end}
        < Login-Response T CSG=1 NSG=3 TSIH=5 text='{TPGT}'
    """
    assert judged(text).rules() == {"T-071"}


def test_a_pair_that_is_none_leaves_open_what_is_answered() -> None:
    asked = "\0".join([*NAMES.split(), "MaxBurstLength"]) + "\0"
    text = f"""
        > Login-Request T CSG=1 NSG=3 data=hex:{asked.encode().hex()}
        < Login-Response T CSG=1 NSG=3 TSIH=5 text='{TPGT} MaxBurstLength=Reject'
    """
    assert not of("T-071", text)


def test_a_text_that_is_not_there_says_nothing() -> None:
    text = login("MaxBurstLength=8192", "")
    assert of("T-069", text)
    assert not of("T-069", f"> Login-Request CSG=1 text='{NAMES}'\nlost 2\n{text}")


# --- T-072, T-073 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["TargetName=iqn.x:t", "SendTargets=All", "CHAP_A=5", "AuthMethod=None"])
def test_a_key_out_of_its_place(key: str) -> None:
    assert of("T-072", login("", key))


def test_a_key_of_the_login_in_full_feature_phase() -> None:
    text = "login\n> Text-Request text='MaxBurstLength=512'\n< Text-Response text='MaxBurstLength={}'"
    assert of("T-072", text.format("512"))
    assert not of("T-072", text.format("Reject"))


def test_private_keys_are_for_normal_sessions() -> None:
    text = "login SessionType=Discovery\n> Text-Request text='X-com.a=1'\n< Text-Response text='X-com.a={}'"
    assert of("T-072", text.format("2"))
    assert not of("T-072", text.format("NotUnderstood"))


def test_a_key_that_the_initiator_named_so_is_not_the_targets_fault() -> None:
    assert not of("T-073", login("x-com.a=1", "x-com.a=NotUnderstood"))
    assert of("T-073", login("", "x-com.a=1"))
