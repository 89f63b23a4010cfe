"""What may be said in a login, and what is answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iscsiproxy.peers.keys import METHOD_KEYS
from iscsiproxy.peers.parameters import Parameters
from tests.peers.target.desk import INITIATOR, NAMES, said
from tests.peers.target.logins import PLAIN, ask, begin, done, refused

__all__: list[str] = []


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
