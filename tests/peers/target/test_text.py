from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.target.conduct import Conduct, Disconnect, with_quirks
from iscsiproxy.peers.target.quirks import W04, W05, W06, W07, W08, W10
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.peers.target.text import TextExchange
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import MAX_TEXT, encode_text, parse_text
from tests.peers.target.desk import ITT, TARGET, Desk, discovery, normal, said, text_request
from tests.peers.target.desk import answer as ask

PROTOCOL_ERROR = 0x04
INVALID_FIELD = 0x09
SEGMENT = "MaxRecvDataSegmentLength"
OTHER = "iqn.2026-01.example.iscsiproxy:other"


def answer(exchange: TextExchange, request: Pdu) -> Pdu:
    response = ask(exchange, request)
    assert response["ITT"] == request["ITT"]
    assert response["F"] == (response["TTT"] == NO_TAG)
    assert not (response["F"] and response["C"])
    return response


# --- SendTargets ---


def test_discovery_tells_every_target_with_its_portals_and_their_group() -> None:
    node = Desk(TargetSettings(portal_group=5), targets=[TARGET, OTHER], portals=["10.0.0.1:3260", "[::1]:3261"])
    response = answer(discovery(node), text_request({"SendTargets": "All"}))
    assert [str(pair) for pair in parse_text(response.data)] == [
        f"TargetName={TARGET}",
        "TargetAddress=10.0.0.1:3260,5",
        "TargetAddress=[::1]:3261,5",
        f"TargetName={OTHER}",
        "TargetAddress=10.0.0.1:3260,5",
        "TargetAddress=[::1]:3261,5",
    ]
    assert (response["F"], response["C"]) == (1, 0)


def test_discovery_tells_one_target_by_name() -> None:
    node = Desk(targets=[TARGET, OTHER])
    assert said(answer(discovery(node), text_request({"SendTargets": OTHER})))["TargetName"] == OTHER


@pytest.mark.parametrize("value", ["", "all", "iqn.2026-01.example.iscsiproxy:nobody"])
def test_discovery_refuses_what_names_no_target(value: str) -> None:
    assert said(answer(discovery(), text_request({"SendTargets": value}))) == {"SendTargets": "Reject"}


def test_no_targets_are_an_empty_list() -> None:
    assert answer(discovery(Desk(targets=[])), text_request({"SendTargets": "All"})).data == b""


@pytest.mark.parametrize("value", ["", TARGET])
def test_a_normal_session_is_told_of_its_own_target(value: str) -> None:
    node = Desk(targets=[TARGET, OTHER])
    assert said(answer(normal(node), text_request({"SendTargets": value}))) == {
        "TargetName": TARGET,
        "TargetAddress": "127.0.0.1:3260,1",
    }


@pytest.mark.parametrize("value", ["All", OTHER])
def test_a_normal_session_is_told_of_no_other(value: str) -> None:
    node = Desk(targets=[TARGET, OTHER])
    assert said(answer(normal(node), text_request({"SendTargets": value}))) == {"SendTargets": "Reject"}


def test_SendTargets_comes_alone() -> None:
    response = answer(normal(), text_request({"SendTargets": "", "X-odd": "1"}))
    assert said(response) == {"SendTargets": "Reject", "X-odd": "NotUnderstood"}


# --- other keys ---


def test_a_declared_length_counts_with_the_end_of_the_exchange() -> None:
    exchange = normal(parameters=Parameters(send_segment=4096, receive_segment=65536))
    opened = answer(exchange, text_request({SEGMENT: "512"}, final=False))
    assert (opened["F"], opened["C"], opened.data) == (0, 0, b"")
    assert exchange.parameters.send_segment == 4096
    closed = answer(exchange, text_request(tag=opened["TTT"]))
    assert (closed["F"], closed.data) == (1, b"")
    assert (exchange.parameters.send_segment, exchange.parameters.receive_segment) == (512, 65536)
    answer(exchange, text_request({SEGMENT: "0x2000"}))
    assert exchange.parameters.send_segment == 8192


@pytest.mark.parametrize("value", ["511", "16777216", "many", "-1", ""])
def test_a_length_out_of_range_is_refused_and_changes_nothing(value: str) -> None:
    exchange = normal()
    assert said(answer(exchange, text_request({SEGMENT: value}))) == {SEGMENT: "Reject"}
    assert exchange.parameters == Parameters()


def test_an_exchange_left_unfinished_changes_nothing() -> None:
    exchange = normal()
    stale = answer(exchange, text_request({SEGMENT: "512"}, final=False))
    assert answer(exchange, text_request({"InitiatorAlias": "me"}))["F"] == 1
    assert exchange.parameters == Parameters()
    assert exchange.receive(text_request(tag=stale["TTT"])) == PROTOCOL_ERROR


@pytest.mark.parametrize(
    "key", ["HeaderDigest", "MaxBurstLength", "InitiatorName", "TargetAlias", "AuthMethod", "CHAP_A", "IFMarker"]
)
def test_said_the_login_are_refused(key: str) -> None:
    assert said(answer(normal(), text_request({key: "1"}))) == {key: "Reject"}


def test_an_unknown_key_is_not_understood_and_an_alias_is_taken() -> None:
    response = answer(normal(), text_request({"X-com.example": "1", "InitiatorAlias": "me", "Foo": ""}))
    assert said(response) == {"X-com.example": "NotUnderstood", "Foo": "NotUnderstood"}


def test_discovery_negotiates_nothing() -> None:
    exchange = discovery()
    assert said(answer(exchange, text_request({SEGMENT: "512"}))) == {SEGMENT: "Reject"}
    assert exchange.parameters == Parameters()


@pytest.mark.parametrize(
    "text",
    [
        b"SendTargets",
        b"SendTargets=All",
        b"=All\0",
        b"\0",
        b"x-low=1\0",
        b"X-" + b"x" * 62 + b"=1\0",
        b"X-long=" + b"x" * 256 + b"\0",
        b"X-latin=\xe9\0",
        b"X-twice=1\0X-twice=1\0",
        b"X-odd=Reject\0",
        b"MaxRecvDataSegmentLength=NotUnderstood\0",
        b"SendTargets=Irrelevant\0",
    ],
)
def test_what_is_no_proper_text_is_rejected_and_the_next_exchange_goes_well(text: bytes) -> None:
    exchange = normal()
    assert exchange.receive(text_request(text)) == PROTOCOL_ERROR
    assert said(answer(exchange, text_request({"SendTargets": ""})))["TargetName"] == TARGET


def test_a_key_that_comes_again_in_the_same_exchange_ends_it() -> None:
    exchange = normal()
    opened = answer(exchange, text_request({SEGMENT: "512"}, final=False))
    assert exchange.receive(text_request({SEGMENT: "1024"}, tag=opened["TTT"])) == PROTOCOL_ERROR
    assert exchange.parameters == Parameters()
    assert exchange.receive(text_request(tag=opened["TTT"])) == PROTOCOL_ERROR


# --- several PDUs ---


def test_text_in_two_parts_is_answered_when_it_is_whole() -> None:
    exchange = normal()
    data = encode_text({"X-straddles": "1", "SendTargets": TARGET}.items())
    half = answer(exchange, text_request(data[:5], final=False, more=True))
    assert (half["F"], half["C"], half.data) == (0, 0, b"")
    whole = answer(exchange, text_request(data[5:], tag=half["TTT"]))
    assert said(whole) == {"X-straddles": "NotUnderstood", "SendTargets": "Reject"}


def test_F_and_C_together_are_rejected() -> None:
    assert normal().receive(text_request(b"X-", final=True, more=True)) == PROTOCOL_ERROR


def test_a_long_answer_comes_in_parts_as_long_as_the_initiator_takes() -> None:
    names = [f"{TARGET}.{number}" for number in range(40)]
    exchange = discovery(Desk(targets=names), Parameters(send_segment=512))
    response = answer(exchange, text_request({"SendTargets": "All"}))
    tag, data = response["TTT"], response.data
    while response["C"]:
        assert (len(response.data), response["F"], response["TTT"]) == (512, 0, tag)
        response = answer(exchange, text_request(tag=tag))
        data += response.data
    assert response["F"] == 1
    assert [value for key, value in parse_text(data) if key == "TargetName"] == names


def test_F_is_never_the_answer_to_no_F() -> None:
    exchange = discovery(Desk(targets=[f"{TARGET}.{number}" for number in range(20)]), Parameters(send_segment=512))
    response = answer(exchange, text_request({"SendTargets": "All"}, final=False))
    while response["C"]:
        response = answer(exchange, text_request(final=False, tag=response["TTT"]))
    assert response["F"] == 0
    assert answer(exchange, text_request(tag=response["TTT"]))["F"] == 1


def test_text_while_the_answer_is_not_over_is_rejected() -> None:
    exchange = discovery(Desk(targets=[f"{TARGET}.{number}" for number in range(20)]), Parameters(send_segment=512))
    response = answer(exchange, text_request({"SendTargets": "All"}))
    assert exchange.receive(text_request({"X-odd": "1"}, tag=response["TTT"])) == PROTOCOL_ERROR


def test_a_tag_holds_for_its_own_task_and_exchange() -> None:
    exchange = normal()
    first = answer(exchange, text_request(final=False))
    assert exchange.receive(text_request(tag=first["TTT"] + 1)) == PROTOCOL_ERROR
    assert exchange.receive(text_request(tag=first["TTT"], itt=ITT + 1)) == PROTOCOL_ERROR
    second = answer(exchange, text_request(final=False))
    assert second["TTT"] not in (first["TTT"], NO_TAG)
    assert normal().receive(text_request(tag=1)) == PROTOCOL_ERROR


def test_a_task_tag_that_is_none_is_rejected() -> None:
    assert normal().receive(text_request(itt=NO_TAG)) == INVALID_FIELD


def test_text_without_end_is_rejected() -> None:
    exchange = normal()
    part = encode_text([("X-pad", "x" * 200)] * 40)
    response = answer(exchange, text_request(part, final=False, more=True))
    for _ in range(MAX_TEXT // len(part) - 1):
        answer(exchange, text_request(part, final=False, more=True, tag=response["TTT"]))
    assert exchange.receive(text_request(part, final=False, more=True, tag=response["TTT"])) == PROTOCOL_ERROR
    assert answer(exchange, text_request({"SendTargets": ""}))["F"] == 1


def test_an_exchange_without_end_is_rejected() -> None:
    exchange, tag, taken = normal(), NO_TAG, 0
    while taken <= MAX_TEXT:
        text = encode_text([(f"X-{taken}-{number}", "x" * 200) for number in range(20)])
        taken += len(text)
        response = exchange.receive(text_request(text, final=False, tag=tag))
        if taken > MAX_TEXT:
            assert response == PROTOCOL_ERROR
        else:
            assert isinstance(response, Pdu)
            tag = response["TTT"]


def test_repr_tells_what_is_open() -> None:
    exchange = normal()
    assert repr(exchange) == "<TextExchange idle>"
    answer(exchange, text_request(final=False))
    assert repr(exchange) == "<TextExchange tag 0x1, 0 parts to send>"


# --- conduct ---


def test_the_tag_that_comes_back_is_the_one_that_went_out() -> None:
    """Also where it is one that should not be."""
    names = [f"{TARGET}.{number}" for number in range(20)]
    exchange = discovery(Desk(targets=names, conduct=with_quirks([W04])), Parameters(send_segment=512))
    response, data = exchange.receive(text_request({"SendTargets": "All"})), b""
    while isinstance(response, Pdu) and response["C"]:
        assert (response["F"], response["TTT"]) == (0, NO_TAG)
        data += response.data
        response = exchange.receive(text_request())
    assert isinstance(response, Pdu)
    assert [value for key, value in parse_text(data + response.data) if key == "TargetName"] == names


@pytest.mark.parametrize(
    ("quirk", "keys", "final", "more", "in_discovery"),
    [
        (W05, {SEGMENT: "8192"}, False, False, False),
        (W06, {SEGMENT: "8192"}, True, False, True),
        (W07, {"SendTargets": ""}, True, False, True),
        (W08, {"SendTargets": "All"}, True, False, False),
        (W10, {"SendTargets": "All"}, False, True, True),
    ],
)
def test_a_disconnect_comes_through(
    quirk: type[Conduct], keys: dict[str, str], final: bool, more: bool, in_discovery: bool
) -> None:
    begin, request = discovery if in_discovery else normal, text_request(keys, final=final, more=more)
    answer(begin(), request)
    with pytest.raises(Disconnect):
        begin(Desk(conduct=with_quirks([quirk]))).receive(request)


# --- properties ---

_WORDS = st.sampled_from(
    ["SendTargets", SEGMENT, "InitiatorAlias", "HeaderDigest", "All", TARGET, "8192", "Reject", "=", "\0", "X-a", ","]
)
_TEXTS = st.one_of(st.binary(max_size=80), st.lists(_WORDS, max_size=8).map(lambda words: "".join(words).encode()))


@given(st.booleans(), st.lists(st.tuples(_TEXTS, st.booleans(), st.booleans(), st.booleans()), max_size=5))
def test_any_text_gives_a_response_or_a_reject(
    in_discovery: bool, requests: list[tuple[bytes, bool, bool, bool]]
) -> None:
    exchange = discovery() if in_discovery else normal()
    tag = NO_TAG
    for text, final, more, follows in requests:
        request = text_request(text, final=final, more=more, tag=tag if follows else NO_TAG)
        response = exchange.receive(request)
        if isinstance(response, Pdu):
            tag = response["TTT"]
            assert response["F"] == (tag == NO_TAG)
            assert request["F"] or not response["F"]
            assert not (more and response.data)
            parse_text(response.data)
        else:
            assert response == PROTOCOL_ERROR


@given(st.lists(st.integers(0, 60), max_size=6))
def test_any_split_of_a_text_has_the_same_answer(cuts: list[int]) -> None:
    text = encode_text({"X-one": "1", SEGMENT: "1024", "InitiatorAlias": "me", "HeaderDigest": "None"}.items())
    whole = normal(Desk(conduct=Conduct()))
    expected = answer(whole, text_request(text))
    exchange, tag, begin = normal(), NO_TAG, 0
    for cut in sorted(cuts):
        tag = answer(exchange, text_request(text[begin:cut], final=False, more=True, tag=tag))["TTT"]
        begin = cut
    assert answer(exchange, text_request(text[begin:], tag=tag)) == expected
    assert exchange.parameters == whole.parameters
