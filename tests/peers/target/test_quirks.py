from __future__ import annotations

import pytest

from iscsiproxy.peers.target.conduct import Conduct, Disconnect, with_quirks
from iscsiproxy.peers.target.login import Login
from iscsiproxy.peers.target.quirks import PERSONALITIES, QUIRKS, Quirk
from iscsiproxy.peers.target.text import TextExchange
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.peers.target import desk
from tests.peers.target.desk import NAMES, TARGET, TSIH, Desk, answer, login_request, said, status, text_request

SEGMENT = {"MaxRecvDataSegmentLength": "8192"}
#: Each test is done by the standard and with the quirk, and shows the difference.
STANDARD = Conduct()
ALL = with_quirks(QUIRKS.values())


def quirk(name: str) -> list[Conduct]:
    """Give the quirk alone and among all the others."""
    return [with_quirks([QUIRKS[name]]), ALL]


def login(conduct: Conduct) -> Login:
    return Login(Desk(conduct=conduct))


def one(login: Login, request: Pdu) -> Pdu:
    (response,) = login.receive(request)
    return response


def normal(conduct: Conduct) -> TextExchange:
    return desk.normal(Desk(conduct=conduct))


def discovery(conduct: Conduct) -> TextExchange:
    return desk.discovery(Desk(conduct=conduct))


# --- the table ---


@pytest.mark.parametrize("name", QUIRKS)
def test_a_quirk_says_what_it_does_and_what_it_should_have_heeded(name: str) -> None:
    assert QUIRKS[name].clause.startswith("RFC ")
    assert 20 < len(QUIRKS[name].summary()) < 120
    assert not QUIRKS[name].summary().endswith(".")


@pytest.mark.parametrize("name", QUIRKS)
def test_a_quirk_overrides_decisions_that_there_are(name: str) -> None:
    decisions = {decision for decision in vars(Conduct) if not decision.startswith("_")}
    layers = [layer for layer in QUIRKS[name].__mro__ if issubclass(layer, Quirk) and layer is not Quirk]
    overridden = {decision for layer in layers for decision in vars(layer) if not decision.startswith("_")}
    overridden -= {"name", "clause"}
    assert overridden
    assert overridden <= decisions


def test_personalities_are_made_of_quirks() -> None:
    assert all(set(names) <= set(QUIRKS) for names in PERSONALITIES.values())
    assert PERSONALITIES["windows-server-2012"] == tuple(f"W{number:02}" for number in range(1, 20))


# --- login ---


def test_W11_gives_the_TSIH_early() -> None:
    for conduct, early in [(STANDARD, 0), *((conduct, TSIH) for conduct in quirk("W11"))]:
        exchange = login(conduct)
        assert one(exchange, login_request(NAMES, T=0))["TSIH"] == early
        assert one(exchange, login_request())["TSIH"] == TSIH


def test_W11_is_no_matter_before_the_names_are_known() -> None:
    exchange = login(ALL)
    assert one(exchange, login_request(b"Init", T=0, C=1))["TSIH"] == 0


def test_W16_lets_the_portal_group_tag_not_be_understood() -> None:
    for conduct, outcome in [(STANDARD, 0x0200), *((conduct, 0) for conduct in quirk("W16"))]:
        exchange = login(conduct)
        assert said(one(exchange, login_request(NAMES, T=0)))["TargetPortalGroupTag"] == "1"
        response = one(exchange, login_request({"TargetPortalGroupTag": "NotUnderstood"}))
        assert (status(response), response["T"], exchange.failed) == (outcome, outcome == 0, outcome != 0)


@pytest.mark.parametrize("text", [{"TargetPortalGroupTag": "Reject"}, {"TargetAlias": "NotUnderstood"}])
def test_W16_is_about_nothing_else(text: dict[str, str]) -> None:
    exchange = login(ALL)
    one(exchange, login_request(NAMES, T=0))
    assert status(one(exchange, login_request(text))) == 0x0200


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"ImmediateData": "Yes"}, {"ImmediateData": "Yes"}),
        ({"MaxBurstLength": "65536"}, {"MaxBurstLength": "32768"}),
        ({"DataDigest": "None"}, {"DataDigest": "CRC32C"}),
        ({}, {"InitiatorName": "iqn.2026-01.example.iscsiproxy:initiator"}),
    ],
)
def test_W17_negotiates_twice(first: dict[str, str], again: dict[str, str]) -> None:
    for conduct, outcome in [(STANDARD, 0x0200), *((conduct, 0) for conduct in quirk("W17"))]:
        exchange = login(conduct)
        one(exchange, login_request(NAMES | first, T=0))
        response = one(exchange, login_request(again))
        assert status(response) == outcome
        assert (exchange.logged_in is None) == bool(outcome)


def test_W17_takes_what_came_last() -> None:
    for conduct in quirk("W17"):
        exchange = login(conduct)
        one(exchange, login_request(NAMES | {"DataDigest": "None"}, T=0))
        assert said(one(exchange, login_request({"DataDigest": "CRC32C"}))) == {"DataDigest": "CRC32C"}
        assert exchange.logged_in is not None
        assert exchange.logged_in.parameters.data_digest


def test_W17_takes_a_key_twice_in_one_text() -> None:
    text = [*NAMES.items(), ("ImmediateData", "Yes"), ("ImmediateData", "No")]
    assert status(one(login(STANDARD), login_request(text))) == 0x0200
    for conduct in quirk("W17"):
        assert said(one(login(conduct), login_request(text)))["ImmediateData"] == "No"


def test_W19_says_nothing_to_an_unknown_key_in_a_text_of_several_parts() -> None:
    text = encode_text((NAMES | {"X-com.example.proxy": "1", "DataDigest": "None"}).items())
    for conduct, expected in [(STANDARD, "NotUnderstood"), *((conduct, None) for conduct in quirk("W19"))]:
        exchange = login(conduct)
        assert one(exchange, login_request(text[:-30], T=0, C=1)).data == b""
        keys = said(one(exchange, login_request(text[-30:])))
        assert (keys.get("X-com.example.proxy"), keys["DataDigest"]) == (expected, "None")
        whole = said(one(login(conduct), login_request(text)))
        assert whole["X-com.example.proxy"] == "NotUnderstood"


def test_W19_is_about_that_text_alone() -> None:
    exchange, text = login(with_quirks([QUIRKS["W19"]])), encode_text(NAMES.items())
    one(exchange, login_request(text[:9], T=0, C=1))
    one(exchange, login_request(text[9:], T=0))
    assert said(one(exchange, login_request({"X-k": "1"}))) == {"X-k": "NotUnderstood"}


# --- Text ---


def test_W04_leaves_the_tag_of_discovery_out() -> None:
    request = text_request({"SendTargets": "All"}, final=False)
    assert answer(discovery(STANDARD), request)["TTT"] != NO_TAG
    for conduct in quirk("W04"):
        response = answer(discovery(conduct), request)
        assert (response["F"], response["TTT"]) == (0, NO_TAG)
    response = answer(normal(with_quirks([QUIRKS["W04"]])), text_request(SEGMENT, final=False))
    assert response["TTT"] != NO_TAG


@pytest.mark.parametrize("name", ["W05", "W09"])
def test_W05_and_W09_do_not_live_with_an_unfinished_negotiation(name: str) -> None:
    request = text_request(SEGMENT, final=False)
    response = answer(normal(STANDARD), request)
    assert (response["F"], response["TTT"] != NO_TAG) == (0, True)
    for conduct in quirk(name):
        with pytest.raises(Disconnect):
            normal(conduct).receive(request)
    alone = with_quirks([QUIRKS[name]])
    assert answer(normal(alone), text_request(SEGMENT))["F"] == 1
    assert said(answer(discovery(alone), request)) == {"MaxRecvDataSegmentLength": "Reject"}


def test_W06_disconnects_at_a_negotiation_in_discovery() -> None:
    assert said(answer(discovery(STANDARD), text_request(SEGMENT))) == {"MaxRecvDataSegmentLength": "Reject"}
    for conduct in quirk("W06"):
        with pytest.raises(Disconnect):
            discovery(conduct).receive(text_request(SEGMENT))
        assert answer(normal(conduct), text_request(SEGMENT))["F"] == 1
        assert "TargetName" in said(answer(discovery(conduct), text_request({"SendTargets": "All"})))


def test_W07_disconnects_at_an_empty_SendTargets() -> None:
    request = text_request({"SendTargets": ""})
    assert said(answer(normal(STANDARD), request))["TargetName"] == TARGET
    assert said(answer(discovery(STANDARD), request)) == {"SendTargets": "Reject"}
    for conduct in quirk("W07"):
        for exchange in (normal(conduct), discovery(conduct)):
            with pytest.raises(Disconnect):
                exchange.receive(request)
        assert said(answer(normal(conduct), text_request({"SendTargets": TARGET})))["TargetName"] == TARGET


def test_W08_disconnects_at_SendTargets_All_in_a_normal_session() -> None:
    request = text_request({"SendTargets": "All"})
    assert said(answer(normal(STANDARD), request)) == {"SendTargets": "Reject"}
    for conduct in quirk("W08"):
        with pytest.raises(Disconnect):
            normal(conduct).receive(request)
        assert said(answer(discovery(conduct), request))["TargetName"] == TARGET


def test_W10_disconnects_at_the_C_bit() -> None:
    request = text_request(b"SendTar", final=False, more=True)
    for exchange in (normal(STANDARD), discovery(STANDARD)):
        response = answer(exchange, request)
        assert (response["F"], response["C"], response.data) == (0, 0, b"")
    for conduct in quirk("W10"):
        for exchange in (normal(conduct), discovery(conduct)):
            with pytest.raises(Disconnect):
                exchange.receive(request)
