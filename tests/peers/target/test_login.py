"""A login as the target holds it: requests in, responses out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.peers.chap import Account, Challenge, parse_challenge, proves, response
from iscsiproxy.peers.keys import KEYS, METHOD_KEYS
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.target.conduct import Conduct, Disconnect, with_quirks
from iscsiproxy.peers.target.login import Login
from iscsiproxy.peers.target.quirks import W11, W16, W17, W19
from iscsiproxy.peers.target.settings import Identity, LoggedIn, TargetSettings
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.peers.target.desk import INITIATOR, ISID, NAMES, TARGET, TSIH, Desk, login_request, said, status

__all__: list[str] = []

#: Of every Login Request made here
ITT = 0x11
PLAIN = TargetSettings(alias="")
ALICE, BOB = Account(name="alice", secret=b"alice has a secret"), Account(name="bob", secret=b"bob has another one")
TARGET_ACCOUNT = Account(name="disk", secret=b"and so has the disk")
GUARDED = replace(PLAIN, accounts=(BOB, ALICE), mutual=TARGET_ACCOUNT)
#: What an initiator offers that offers everything
OFFERS = {
    "HeaderDigest": "CRC32C,None",
    "DataDigest": "None,CRC32C",
    "MaxConnections": "4",
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxRecvDataSegmentLength": "65536",
    "MaxBurstLength": "0x80000",
    "FirstBurstLength": "131072",
    "DefaultTime2Wait": "0",
    "DefaultTime2Retain": "60",
    "MaxOutstandingR2T": "4",
    "DataPDUInOrder": "No",
    "DataSequenceInOrder": "No",
    "ErrorRecoveryLevel": "2",
    "TaskReporting": "RFC3720,ResponseFence,FastAbort",
    "iSCSIProtocolLevel": "2",
}


def begin(settings: TargetSettings = PLAIN, conduct: Conduct | None = None, refuse: int | None = None) -> Login:
    """Make a login whose challenges are all 5a."""
    desk = Desk(settings, conduct or Conduct(), turned_away=refuse)
    return Login(desk, random_bytes=lambda count: bytes([0x5A]) * count)


def one(responses: tuple[Pdu, ...]) -> Pdu:
    """Take the only response, and hold it against what every response has to be (RFC 7143 11.13)."""
    (found,) = responses
    assert found.opcode == Opcode.LOGIN_RESPONSE
    assert (found["Version-max"], found["Version-active"]) == (0, 0)
    assert len(found.data) <= 8192
    assert not (found["T"] and found["C"])
    assert found["NSG"] == 0 or found["T"]
    return found


def ask(login: Login, text: dict[str, str] | Iterable[tuple[str, str]] | bytes = b"", **values: int) -> Pdu:
    """Say one request and take the response, which has to be its own and no refusal."""
    request = login_request(text, **values)
    found = one(login.receive(request))
    assert (status(found), login.failed, login.reason) == (0, False, "")
    assert [found[name] for name in ("ITT", "ISID", "CSG")] == [request[name] for name in ("ITT", "ISID", "CSG")]
    return found


def refused(login: Login, text: dict[str, str] | Iterable[tuple[str, str]] | bytes = b"", **values: int) -> int:
    """Say a request that ends the login, and give the status."""
    found = one(login.receive(login_request(text, **values)))
    assert status(found) != 0
    assert (found["T"], found["C"], found["CSG"], found["NSG"], found.data) == (0, 0, 0, 0, b"")
    assert login.failed
    assert login.reason
    assert login.logged_in is None
    assert login.receive(login_request(NAMES)) == ()
    return status(found)


def done(login: Login) -> LoggedIn:
    assert login.logged_in is not None
    assert login.receive(login_request(NAMES)) == ()
    return login.logged_in


# --- the way through the stages --------------------------------------------------------------------------------------


def test_one_request_logs_in() -> None:
    login = begin()
    final = ask(login, NAMES)
    assert (final["T"], final["NSG"], final["TSIH"]) == (1, 3, TSIH)
    assert said(final) == {"TargetPortalGroupTag": "1", "MaxRecvDataSegmentLength": "262144"}
    assert done(login) == LoggedIn(
        identity=Identity(initiator=INITIATOR, target=TARGET, isid=ISID, tsih=0, cid=7, portal_group=1),
        parameters=Parameters(receive_segment=262144),
        exp_cmdsn=100,
        declared=NAMES,
    )


def test_every_key_that_is_offered_is_answered() -> None:
    login = begin()
    answers = said(ask(login, NAMES | OFFERS))
    assert answers == {
        "TargetPortalGroupTag": "1",
        "HeaderDigest": "CRC32C",
        "DataDigest": "None",
        "MaxConnections": "1",
        "InitialR2T": "No",
        "ImmediateData": "Yes",
        "MaxRecvDataSegmentLength": "262144",
        "MaxBurstLength": "524288",
        "FirstBurstLength": "131072",
        "DefaultTime2Wait": "2",
        "DefaultTime2Retain": "0",
        "MaxOutstandingR2T": "4",
        "DataPDUInOrder": "Yes",
        "DataSequenceInOrder": "Yes",
        "ErrorRecoveryLevel": "0",
        "TaskReporting": "RFC3720",
        "iSCSIProtocolLevel": "2",
    }
    assert done(login).parameters == Parameters(
        header_digest=True,
        initial_r2t=False,
        send_segment=65536,
        receive_segment=262144,
        max_burst_length=524288,
        first_burst_length=131072,
        time2retain=0,
        max_outstanding_r2t=4,
        protocol_level=2,
    )


def test_through_both_stages_round_by_round() -> None:
    login = begin(TargetSettings(portal_group=3))
    first = ask(login, NAMES | {"AuthMethod": "CHAP,None"}, CSG=0, T=0)
    assert (first["T"], first["TSIH"]) == (0, 0)
    assert said(first) == {
        "TargetPortalGroupTag": "3",
        "TargetAlias": "iscsiproxy embedded target",
        "AuthMethod": "None",
    }
    second = ask(login, CSG=0, NSG=1)
    assert (second["T"], second["NSG"], second["TSIH"], second.data) == (1, 1, 0, b"")
    third = ask(login, {"MaxBurstLength": "4096"}, CSG=1, T=0)
    assert (third["T"], third["TSIH"]) == (0, 0)
    assert said(third) == {"MaxRecvDataSegmentLength": "262144", "MaxBurstLength": "4096"}
    final = ask(login, CSG=1, NSG=3)
    assert (final["T"], final["NSG"], final["TSIH"], final.data) == (1, 3, TSIH, b"")
    assert done(login).parameters.max_burst_length == 4096


def test_from_security_straight_to_full_feature() -> None:
    login = begin()
    final = ask(login, NAMES, CSG=0, NSG=3)
    assert said(final) == {"TargetPortalGroupTag": "1"}
    # Nobody has declared a length: MaxRecvDataSegmentLength has no place in the security stage (13.12).
    assert done(login).parameters == Parameters()


@pytest.mark.parametrize(("csg", "nsg"), [(2, 3), (3, 3), (1, 0), (1, 1), (0, 0), (0, 2), (1, 2), (3, 0)], ids=str)
def test_a_way_that_there_is_not(csg: int, nsg: int) -> None:
    assert refused(begin(), NAMES, CSG=csg, NSG=nsg) == 0x0200


@pytest.mark.parametrize("csg", [0, 2, 3])
def test_another_stage_than_it_is(csg: int) -> None:
    login = begin()
    ask(login, NAMES, CSG=1, T=0)
    assert refused(login, CSG=csg, T=0) == 0x0200


def test_NSG_without_T_means_nothing() -> None:
    login = begin()
    assert ask(login, NAMES, T=0, NSG=2)["T"] == 0
    assert ask(login)["T"] == 1


def test_T_and_C_do_not_go_together() -> None:
    assert refused(begin(), NAMES, T=1, C=1) == 0x0200


@pytest.mark.parametrize(
    ("name", "value"), [("ITT", 2), ("ISID", 1), ("TSIH", 1), ("CID", 8), ("Version-max", 1), ("CmdSN", 101)]
)
def test_the_whole_login_is_one_task(name: str, value: int) -> None:
    login = begin()
    ask(login, NAMES, T=0)
    assert refused(login, b"", **{name: value}) == 0x0200


def test_the_cmdsn_of_a_session_goes_on_while_it_gets_another_connection() -> None:
    login = begin()
    ask(login, NAMES, T=0, TSIH=9, CmdSN=100)
    ask(login, TSIH=9, CmdSN=105)
    assert done(login).identity.tsih == 9


def test_a_version_that_we_do_not_speak() -> None:
    login = begin()
    assert refused(login, NAMES, **{"Version-min": 1, "Version-max": 1}) == 0x0205


def test_a_version_range_with_ours_in_it() -> None:
    assert ask(begin(), NAMES, **{"Version-max": 5})["Version-active"] == 0


def test_a_login_that_never_ends() -> None:
    login = begin()
    ask(login, NAMES, T=0)
    for _ in range(63):
        ask(login, T=0)
    assert refused(login, T=0) == 0x0200


def test_no_AHS_in_a_login() -> None:
    login = begin()
    assert status(one(login.receive(login_request(NAMES).with_ahs(bytes(4))))) == 0x0200


# --- who comes to whom -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"TargetName": TARGET},
        {"InitiatorName": INITIATOR},
        {"InitiatorName": "", "TargetName": TARGET},
        {"TargetName": TARGET, "SessionType": "Discovery"},
        {"InitiatorName": INITIATOR, "TargetName": ""},
    ],
)
def test_names_are_needed_from_the_first_request_on(names: dict[str, str]) -> None:
    assert refused(begin(), names, T=0) == 0x0207


def test_a_name_that_is_too_long() -> None:
    assert refused(begin(), NAMES | {"InitiatorName": "iqn." + 220 * "n"}) == 0x0200


def test_a_session_type_that_there_is_not() -> None:
    assert refused(begin(), NAMES | {"SessionType": "Foo"}) == 0x0209


def test_the_session_type_stays() -> None:
    login = begin()
    ask(login, NAMES, T=0)
    assert refused(login, {"SessionType": "Discovery"}) == 0x0200


def test_the_session_type_may_come_late() -> None:
    login = begin()
    ask(login, NAMES, T=0)
    ask(login, {"SessionType": "Normal"})
    assert not done(login).identity.discovery


@pytest.mark.parametrize("reason", [0x0203, 0x020A, 0x0302, 0x0101])
def test_the_node_refuses_as_soon_as_the_names_are_there(reason: int) -> None:
    login = begin(refuse=reason)
    assert refused(login, NAMES | {"AuthMethod": "CHAP"}, CSG=0, T=0) == reason


def test_a_refusal_has_the_TSIH_of_its_request() -> None:
    found = one(begin(refuse=0x020A).receive(login_request(NAMES, TSIH=77)))
    assert (found["TSIH"], found["ISID"], found["ITT"]) == (77, ISID, ITT)


def test_a_discovery_session() -> None:
    login = begin(TargetSettings(alias="here"))
    names = {"InitiatorName": INITIATOR, "SessionType": "Discovery"}
    answers = said(ask(login, names | OFFERS))
    irrelevant = {name for name, value in answers.items() if value == "Irrelevant"}
    assert irrelevant == {name for name, key in KEYS.items() if not key.discovery}
    assert {name: value for name, value in answers.items() if name not in irrelevant} == {
        "HeaderDigest": "CRC32C",
        "DataDigest": "None",
        "MaxRecvDataSegmentLength": "262144",
        "DefaultTime2Wait": "2",
        "DefaultTime2Retain": "0",
        "ErrorRecoveryLevel": "0",
    }
    found = done(login)
    assert found.identity.discovery
    assert found.parameters == Parameters(header_digest=True, send_segment=65536, receive_segment=262144, time2retain=0)


def test_a_discovery_that_names_a_target_is_told_its_portal_group_and_takes_no_other() -> None:
    """RFC 7143 13.9: the tag answers TargetName, whatever the session."""
    login = begin(TargetSettings(portal_group=4))
    assert said(ask(login, NAMES | {"SessionType": "Discovery"}, T=0)) == {
        "TargetPortalGroupTag": "4",
        "MaxRecvDataSegmentLength": "262144",
    }
    ask(login)
    assert done(login).identity.target is None


def test_the_portal_group_comes_with_the_first_answer_to_a_whole_text() -> None:
    """RFC 7143 6.3.1, 13.9: not with the empty one to a part, and not a second time."""
    login = begin()
    assert ask(login, encode_text(NAMES.items())[:-4], CSG=0, C=1, T=0).data == b""
    assert said(ask(login, encode_text(NAMES.items())[-4:], CSG=0, T=0)) == {"TargetPortalGroupTag": "1"}
    assert ask(login, CSG=0, NSG=1).data == b""
    assert "TargetPortalGroupTag" not in said(ask(login))


def test_a_second_connection_has_no_say_in_what_the_session_has() -> None:
    """RFC 7143 13: "LO" keys belong to the leading login; the connection's own are negotiated as ever."""
    login = begin()
    final = ask(login, NAMES | OFFERS, TSIH=9)
    assert final["TSIH"] == 9
    answers = said(final)
    assert {name for name, value in answers.items() if value == "Reject"} == {
        *("MaxConnections", "InitialR2T", "ImmediateData", "MaxBurstLength", "FirstBurstLength"),
        *("MaxOutstandingR2T", "DataPDUInOrder", "DataSequenceInOrder", "ErrorRecoveryLevel"),
        *("DefaultTime2Wait", "DefaultTime2Retain", "TaskReporting", "iSCSIProtocolLevel"),
    }
    assert answers["HeaderDigest"] == "CRC32C"
    assert done(login).parameters == Parameters(header_digest=True, send_segment=65536, receive_segment=262144)


# --- what may be said ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        ("Foo", "1", "NotUnderstood"),
        ("X-com.example.proxy", "1", "NotUnderstood"),
        ("X#Nothing", "", "NotUnderstood"),
        ("X#NodeArchitecture", "a,b", None),
        ("InitiatorAlias", "me", None),
        ("IFMarker", "Yes", "No"),
        ("OFMarkInt", "1~10", "Reject"),
        ("RDMAExtensions", "Yes", "No"),
        ("iSERHelloRequired", "Yes", None),
        ("HeaderDigest", "Y-x", "Reject"),
        ("MaxBurstLength", "511", "Reject"),
        ("MaxConnections", "0", "Reject"),
        ("ErrorRecoveryLevel", "7", "Reject"),
        ("ImmediateData", "yes", "Reject"),
        ("InitialR2T", "Maybe", "Reject"),
    ],
)
def test_one_key_and_its_answer(key: str, value: str, answer: str | None) -> None:
    login = begin()
    ask(login, NAMES, T=0)
    assert said(ask(login, {key: value})) == ({} if answer is None else {key: answer})
    assert done(login).parameters == Parameters(receive_segment=262144)


@pytest.mark.parametrize(
    "text",
    [
        {"MaxBurstLength": "NotUnderstood"},
        {"MaxBurstLength": "Irrelevant"},
        {"HeaderDigest": "Reject"},
        {"TargetPortalGroupTag": "NotUnderstood"},
        {"InitiatorAlias": "Reject"},
        {"X-k": "Irrelevant"},
        {"TargetPortalGroupTag": "1"},
        {"TargetAlias": "you"},
        {"TargetAddress": "192.0.2.1"},
        {"SendTargets": "All"},
        {"AuthMethod": "None"},
        {"MaxRecvDataSegmentLength": "511"},
        {"MaxRecvDataSegmentLength": "much"},
        *({key: "1"} for key in sorted(METHOD_KEYS)),
        b"MaxBurstLength",
        b"=1\0",
        b"MaxBurstLength=512",
        b"MaxBurstLength=512\0\0",
        b"X-" + 64 * b"k" + b"=1\0",
        b"X-k=" + 256 * b"v" + b"\0",
        b"InitiatorAlias=\xff\0",
        b"maxburstlength=512\0",
    ],
    ids=str,
)
def test_what_ends_the_login(text: dict[str, str] | bytes) -> None:
    login = begin()
    ask(login, NAMES, T=0)
    assert refused(login, text) == 0x0200


@pytest.mark.parametrize("key", ["MaxBurstLength", "HeaderDigest", "MaxRecvDataSegmentLength", "IFMarker"])
def test_operational_keys_have_no_place_in_the_security_stage(key: str) -> None:
    assert refused(begin(), NAMES | {key: "512"}, CSG=0) == 0x0200


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ImmediateData": "Yes"}, {"ImmediateData": "Yes"}),
        ({"MaxBurstLength": "262144"}, {"MaxBurstLength": "32524"}),
        ({"X-k": "1"}, {"X-k": "2"}),
        ({}, {"InitiatorName": INITIATOR}),
        ({}, [("DataDigest", "None"), ("DataDigest", "CRC32C")]),
    ],
)
def test_nothing_is_said_twice(first: dict[str, str], second: dict[str, str] | list[tuple[str, str]]) -> None:
    """RFC 7143 6.3."""
    login = begin()
    ask(login, NAMES | first, T=0)
    assert refused(login, second) == 0x0200


@pytest.mark.parametrize(
    ("accepted", "offered", "agreed"),
    [
        (("CRC32C", "None"), "None,CRC32C", False),
        (("CRC32C", "None"), "CRC32C,None", True),
        (("None",), "CRC32C,None", False),
        (("CRC32C",), "None,CRC32C", True),
    ],
)
def test_the_first_digest_of_the_initiator_that_we_take(accepted: tuple[str, ...], offered: str, agreed: bool) -> None:
    login = begin(replace(PLAIN, header_digests=accepted, data_digests=accepted))
    ask(login, NAMES | {"HeaderDigest": offered, "DataDigest": offered})
    parameters = done(login).parameters
    assert (parameters.header_digest, parameters.data_digest) == (agreed, agreed)


@pytest.mark.parametrize("offers", [{}, {"HeaderDigest": "None"}, {"DataDigest": "CRC32C"}])
def test_a_digest_that_we_insist_on(offers: dict[str, str]) -> None:
    login = begin(replace(PLAIN, header_digests=("CRC32C",)))
    assert refused(login, NAMES | offers) == 0x0200


def test_the_only_digest_offered_is_not_taken() -> None:
    """RFC 7143 6.2: what is rejected stays as it is, and it is for the initiator to put up with that."""
    login = begin(replace(PLAIN, header_digests=("None",)))
    assert said(ask(login, NAMES | {"HeaderDigest": "CRC32C"}))["HeaderDigest"] == "Reject"
    assert not done(login).parameters.header_digest


@pytest.mark.parametrize("order", [1, -1])
def test_the_first_burst_is_within_any_burst(order: int) -> None:
    """RFC 7143 13.14, in whatever order the two come."""
    login = begin()
    offers = [("MaxBurstLength", "4096"), ("FirstBurstLength", "65536")][::order]
    answers = said(ask(login, [*NAMES.items(), *offers]))
    assert (answers["MaxBurstLength"], answers["FirstBurstLength"]) == ("4096", "4096")
    assert done(login).parameters.first_burst_length == 4096


def test_the_first_burst_is_answered_before_the_burst_and_within_ours() -> None:
    login = begin(replace(PLAIN, max_burst_length=4096))
    assert said(ask(login, NAMES | {"FirstBurstLength": "65536"}, T=0))["FirstBurstLength"] == "4096"
    assert said(ask(login, {"MaxBurstLength": "65536"}))["MaxBurstLength"] == "4096"
    assert done(login).parameters.first_burst_length == 4096


def test_a_burst_that_shrinks_below_the_first_burst() -> None:
    login = begin()
    assert said(ask(login, NAMES | {"FirstBurstLength": "65536"}, T=0))["FirstBurstLength"] == "65536"
    assert refused(login, {"MaxBurstLength": "512"}) == 0x0200


def test_the_first_burst_is_irrelevant_where_there_is_no_unsolicited_data() -> None:
    login = begin()
    offers = {"FirstBurstLength": "512", "InitialR2T": "Yes", "ImmediateData": "No"}
    assert said(ask(login, NAMES | offers))["FirstBurstLength"] == "Irrelevant"
    assert done(login).parameters.first_burst_length == 65536


# --- text in parts ---------------------------------------------------------------------------------------------------


def say_in_parts(login: Login, parts: list[bytes]) -> Pdu:
    """Say a text with the C bit in all parts but the last, which has T."""
    for part in parts[:-1]:
        empty = ask(login, part, C=1, T=0)
        assert (empty["T"], empty["C"], empty.data) == (0, 0, b"")
    return ask(login, parts[-1])


def test_a_text_in_two_parts() -> None:
    login = begin()
    text = encode_text((NAMES | OFFERS).items())
    assert said(say_in_parts(login, [text[:20], text[20:]])) == said(ask(begin(), text))


@settings(max_examples=50)
@given(st.lists(st.integers(0, 800), max_size=200))
def test_wherever_a_text_is_cut_it_comes_to_the_same(cuts: list[int]) -> None:
    whole, cut = begin(), begin()
    text = encode_text((NAMES | OFFERS | {"X-key": "1"}).items())
    places = sorted({0, *(place for place in cuts if place < len(text)), len(text)})
    final = say_in_parts(cut, [text[low:high] for low, high in pairwise(places)])
    assert final == ask(whole, text)
    assert done(cut) == done(whole)


def test_a_text_a_byte_at_a_time() -> None:
    login = begin()
    text = encode_text(NAMES.items())
    say_in_parts(login, [text[at : at + 1] for at in range(len(text))])
    assert done(login).declared == NAMES


def test_empty_parts_without_end() -> None:
    login = begin()
    for _ in range(64):
        ask(login, C=1, T=0)
    assert refused(login, C=1, T=0) == 0x0200


def test_8192_bytes_of_text_are_taken() -> None:
    """RFC 7143 6.1."""
    text = encode_text(NAMES.items())
    while len(text) < 8192:
        size = min(8192 - len(text), 200)
        size += 8192 - len(text) - size if 8192 - len(text) - size < 20 else 0
        key = f"X-{len(text)}="
        text += f"{key}{'v' * (size - len(key) - 1)}\0".encode()
    assert len(text) == 8192
    answers = ask(begin(), text)
    assert answers["T"] or answers["C"]


def test_more_than_a_login_PDU_may_hold() -> None:
    keys = NAMES | {f"X-{number:02}": 250 * "v" for number in range(32)}
    assert 8192 < len(encode_text(keys.items())) < 8500
    assert refused(begin(), keys) == 0x0200


def test_more_text_than_is_good() -> None:
    login = begin()
    for _ in range(8):
        ask(login, bytes(8192), C=1, T=0)
    assert refused(login, b"X", C=1, T=0) == 0x0200


def test_more_text_than_is_good_round_by_round() -> None:
    login = begin()
    ask(login, NAMES, T=0)
    text = [encode_text((f"X-{number}-{key}", 200 * "v") for key in range(30)) for number in range(11)]
    for part in text[:-1]:
        ask(login, part, T=0)
    assert refused(login, text[-1], T=0) == 0x0200
    assert "65536 bytes" in login.reason


def many(count: int) -> dict[str, str]:
    """Make many keys that will each be answered with NotUnderstood: the answer is longer than the request."""
    return {f"X-key-{number:04}": "" for number in range(count)}


def test_an_answer_longer_than_a_login_PDU() -> None:
    login = begin()
    ask(login, NAMES, T=0)
    keys = many(560)
    text = b""
    found = ask(login, keys)
    while found["C"]:
        assert (found["T"], len(found.data)) == (0, 8192)
        text += found.data
        found = ask(login)
    assert text
    assert (text + found.data) == encode_text((key, "NotUnderstood") for key in keys)
    assert found["T"] == 1
    assert done(login).declared == NAMES | keys


@pytest.mark.parametrize("continued", [0, 1])
def test_nothing_is_said_while_an_answer_is_not_over(continued: int) -> None:
    login = begin()
    ask(login, NAMES, T=0)
    assert ask(login, many(560))["C"] == 1
    assert refused(login, {"X-k": "1"}, C=continued, T=1 - continued) == 0x0200


# --- what is no Login Request ----------------------------------------------------------------------------------------


def test_before_a_login_has_begun_nothing_else_is_answered() -> None:
    """RFC 7143 4.2.4."""
    login = begin()
    assert login.receive(Pdu.build(Opcode.NOP_OUT, F=1, ITT=1)) == ()
    assert login.failed
    assert login.reason == "NOP-Out before the login was over"


@pytest.mark.parametrize("opcode", [Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TEXT_REQUEST, Opcode.LOGIN_RESPONSE])
def test_in_the_middle_of_a_login_nothing_else_is_taken(opcode: int) -> None:
    login = begin()
    ask(login, NAMES, T=0)
    found = one(login.receive(Pdu.build(opcode, ITT=1)))
    assert (status(found), found["ITT"], found["ISID"], found["CSG"]) == (0x020B, ITT, ISID, 0)
    assert login.failed


# --- CHAP ------------------------------------------------------------------------------------------------------------


def challenged(login: Login, names: dict[str, str] = NAMES, algorithms: str = "7,6,5") -> Challenge:
    """Go as far as the target's challenge."""
    found = ask(login, names | {"AuthMethod": "CHAP,None"}, CSG=0, T=0)
    assert said(found)["AuthMethod"] == "CHAP"
    answers = said(ask(login, {"CHAP_A": algorithms}, CSG=0, T=0))
    assert sorted(answers) == ["CHAP_A", "CHAP_C", "CHAP_I"]
    return parse_challenge(int(answers["CHAP_A"]), answers["CHAP_I"], answers["CHAP_C"])


@pytest.mark.parametrize(("algorithms", "taken"), [("5", 5), ("7,5", 7), ("8,6,5", 6)])
def test_who_proves_himself_is_let_in(algorithms: str, taken: int) -> None:
    login = begin(GUARDED)
    challenge = challenged(login, algorithms=algorithms)
    assert challenge == Challenge(algorithm=taken, identifier=0x5A, value=b"\x5a" * 32)
    found = ask(login, response(challenge, ALICE), CSG=0, NSG=1)
    assert (found["T"], found["NSG"], found.data) == (1, 1, b"")
    ask(login)
    assert not {"CHAP_R", "CHAP_C"} & done(login).declared.keys()


def test_the_target_proves_itself_too() -> None:
    login = begin(GUARDED)
    mine = Challenge(algorithm=7, identifier=1, value=b"\x11" * 32)
    answers = said(ask(login, [*response(challenged(login), ALICE), *mine.pairs], CSG=0, NSG=3))
    assert proves(mine, TARGET_ACCOUNT, answers["CHAP_N"], answers["CHAP_R"])
    assert done(login).identity.initiator == INITIATOR


def test_the_stage_is_not_left_before_the_proof_is_there() -> None:
    login = begin(GUARDED)
    assert ask(login, NAMES | {"AuthMethod": "CHAP"}, CSG=0, NSG=1)["T"] == 0
    assert ask(login, {"CHAP_A": "5"}, CSG=0, NSG=1)["T"] == 0
    assert ask(login, CSG=0, NSG=3)["T"] == 0


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (NAMES, {"CSG": 1}),
        (NAMES, {"CSG": 0, "NSG": 1}),
        (NAMES | {"AuthMethod": "None"}, {"CSG": 0}),
        (NAMES | {"AuthMethod": "KRB5,SRP"}, {"CSG": 0}),
        (NAMES | {"AuthMethod": "CHAP", "CHAP_A": "5"}, {"CSG": 0}),
        (NAMES | {"CHAP_A": "5"}, {"CSG": 0}),
        (NAMES | {"CHAP_N": "alice", "CHAP_R": "0x00"}, {"CSG": 0}),
    ],
)
def test_no_way_past_the_proof(text: dict[str, str], values: dict[str, int]) -> None:
    assert refused(begin(GUARDED), text, **values) == 0x0201


@pytest.mark.parametrize("algorithms", ["", "8", "4,9", "MD5"])
def test_no_algorithm_in_common(algorithms: str) -> None:
    login = begin(GUARDED)
    ask(login, NAMES | {"AuthMethod": "CHAP"}, CSG=0, T=0)
    assert refused(login, {"CHAP_A": algorithms}, CSG=0, T=0) == 0x0201


@pytest.mark.parametrize(
    "name", ["wrong secret", "wrong name", "nobody", "no name", "no answer", "nothing", "algorithm again"]
)
def test_a_proof_that_is_none(name: str) -> None:
    login = begin(GUARDED)
    challenge = challenged(login)
    right = dict(response(challenge, ALICE))
    wrong = {
        "wrong secret": dict(response(challenge, replace(ALICE, secret=b"guessed it wrong"))),
        "wrong name": right | {"CHAP_N": "bob"},
        "nobody": dict(response(challenge, Account(name="", secret=b""))),
        "no name": {"CHAP_R": right["CHAP_R"]},
        "no answer": {"CHAP_N": "alice"},
        "nothing": {"CHAP_I": "1", "CHAP_C": "0x11"},
        "algorithm again": right | {"CHAP_I": "1"},
    }[name]
    assert refused(login, wrong, CSG=0) == 0x0201


@pytest.mark.parametrize(
    ("identifier", "challenge"), [("256", "0x11"), ("1", "0x" + 1025 * "11"), ("1", "0x" + 32 * "5a"), ("1", "eleven")]
)
def test_a_challenge_to_the_target_that_it_does_not_take(identifier: str, challenge: str) -> None:
    """The third is the target's own, sent back (RFC 7143 9.2.1)."""
    login = begin(GUARDED)
    right = dict(response(challenged(login), ALICE))
    assert refused(login, right | {"CHAP_I": identifier, "CHAP_C": challenge}, CSG=0) == 0x0201


@pytest.mark.parametrize("mutual", [None, replace(TARGET_ACCOUNT, secret=ALICE.secret)])
def test_a_target_that_cannot_or_must_not_prove_itself(mutual: Account | None) -> None:
    """One secret for both directions would let an initiator have its own challenge answered (RFC 7143 9.2.1)."""
    login = begin(replace(GUARDED, mutual=mutual))
    right = dict(response(challenged(login), ALICE))
    assert refused(login, right | {"CHAP_I": "1", "CHAP_C": "0x11"}, CSG=0) == 0x0201


def test_a_proof_is_good_for_one_login() -> None:
    """RFC 7143 9.2.1: a recorded answer meets another challenge."""
    drawn = iter(range(1, 100))
    desk = Desk(GUARDED)
    logins = [Login(desk, random_bytes=lambda count: bytes([next(drawn)]) * count) for _ in range(2)]
    recorded = response(challenged(logins[0]), ALICE)
    ask(logins[0], recorded, CSG=0)
    challenged(logins[1])
    assert refused(logins[1], recorded, CSG=0) == 0x0201


@pytest.mark.parametrize(("guarded", "expected"), [(False, 0), (True, 0x0201)])
def test_whether_discovery_needs_a_proof(guarded: bool, expected: int) -> None:
    login = begin(replace(GUARDED, discovery_chap=guarded))
    request = login_request({"InitiatorName": INITIATOR, "SessionType": "Discovery"})
    assert status(one(login.receive(request))) == expected


def test_a_proof_that_nobody_needs_is_taken_all_the_same() -> None:
    login = begin(GUARDED)
    names = {"InitiatorName": INITIATOR, "SessionType": "Discovery"}
    ask(login, response(challenged(login, names), BOB), CSG=0)
    assert done(login).identity.discovery


def test_a_target_without_accounts_does_no_CHAP() -> None:
    assert refused(begin(), NAMES | {"AuthMethod": "CHAP"}, CSG=0) == 0x0201


def test_no_secret_is_kept_or_told() -> None:
    login = begin(GUARDED)
    refused(login, NAMES | {"AuthMethod": "None"}, CSG=0)
    assert not any(word in repr(login) + login.reason for word in ("secret", "another"))


# --- what others do --------------------------------------------------------------------------------------------------


def test_quirk_the_TSIH_comes_early() -> None:
    login = begin(conduct=with_quirks([W11]))
    assert ask(login, NAMES, T=0)["TSIH"] == TSIH
    assert ask(login)["TSIH"] == TSIH


def test_quirk_NotUnderstood_for_the_portal_group_tag() -> None:
    login = begin(conduct=with_quirks([W16]))
    ask(login, NAMES, T=0)
    ask(login, {"TargetPortalGroupTag": "NotUnderstood"})
    done(login)
    other = begin(conduct=with_quirks([W16]))
    ask(other, NAMES, T=0)
    assert refused(other, {"MaxBurstLength": "NotUnderstood"}) == 0x0200


def test_quirk_keys_are_negotiated_again() -> None:
    login = begin(conduct=with_quirks([W17]))
    ask(login, NAMES | {"MaxBurstLength": "262144", "DataDigest": "None"}, T=0)
    answers = said(ask(login, [("MaxBurstLength", "32524"), ("DataDigest", "None"), ("DataDigest", "CRC32C")]))
    assert answers == {"MaxBurstLength": "32524", "DataDigest": "CRC32C"}
    parameters = done(login).parameters
    assert (parameters.max_burst_length, parameters.data_digest) == (32524, True)


def test_quirk_an_unknown_key_in_parts_is_passed_over() -> None:
    text = encode_text((NAMES | {"X-com.example.proxy": "1"}).items())
    for parts, expected in (([text[:-8], text[-8:]], False), ([text], True)):
        login = begin(conduct=with_quirks([W19]))
        assert ("X-com.example.proxy" in said(say_in_parts(login, parts))) is expected


def test_quirk_a_text_in_parts_does_not_tell_on_the_next() -> None:
    login = begin(conduct=with_quirks([W19]))
    text = encode_text(NAMES.items())
    ask(login, text[:5], C=1, T=0)
    ask(login, text[5:], T=0)
    assert said(ask(login, {"X-com.example.proxy": "1"})) == {"X-com.example.proxy": "NotUnderstood"}


def test_a_conduct_may_close_the_connection() -> None:
    class Rude(Conduct):
        def answers_unknown_key(self, key: str, *, continued: bool) -> bool:
            raise Disconnect

    with pytest.raises(Disconnect):
        begin(conduct=Rude()).receive(login_request(NAMES | {"X-k": "1"}))


# --- whatever comes --------------------------------------------------------------------------------------------------

ODD_KEYS = st.sampled_from([*sorted(KEYS), *sorted(METHOD_KEYS), "X-a", "Foo", "x"])
ODD_VALUES = st.one_of(
    st.sampled_from(["Yes", "No", "None", "CHAP", "CHAP,None", "CRC32C", "Normal", "Discovery", "Reject", "0x200"]),
    st.sampled_from(["NotUnderstood", "Irrelevant", "5", "7,5", "512", "16777215", "0x", "0b", "alice"]),
    st.text(max_size=10),
)
ODD_TEXT = st.one_of(
    st.binary(max_size=60),
    st.lists(st.tuples(ODD_KEYS, ODD_VALUES), max_size=4).map(encode_text),
)
STEP = st.tuples(ODD_TEXT, st.booleans(), st.booleans(), st.sampled_from([0, 1]), st.integers(0, 3))


@settings(max_examples=300)
@given(st.lists(STEP, max_size=6), st.booleans(), st.booleans())
def test_whatever_comes_is_answered_or_refused(
    steps: list[tuple[bytes, bool, bool, int, int]], named: bool, guarded: bool
) -> None:
    login = begin(GUARDED if guarded else PLAIN)
    if named:
        login.receive(login_request(NAMES, CSG=steps[0][3] if steps else 0, T=0))
    for text, transit, continues, csg, nsg in steps:
        over = login.failed or login.logged_in is not None
        responses = login.receive(login_request(text, T=transit, C=continues, CSG=csg, NSG=nsg))
        assert len(responses) == (not over)
        for found in responses:
            one((found,))
            assert (status(found) != 0) is login.failed
            assert (found["T"] == 1 and found["NSG"] == 3) is (login.logged_in is not None)
    assert not (guarded and login.logged_in is not None and not login.logged_in.identity.discovery)


@given(st.binary(max_size=200))
def test_any_text_at_all(text: bytes) -> None:
    one(begin().receive(login_request(text)))
