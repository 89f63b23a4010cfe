from __future__ import annotations

import pytest

from iscsiproxy.peers.chap import Account, Challenge, parse_challenge, proves, response
from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.errors import ConnectionLost, LoginFailed, ProtocolError, Redirected
from iscsiproxy.peers.initiator.login import LoginExchange
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text, parse_text
from tests.peers.initiator.script import SETTINGS, TARGET, answered, login_response

ACCOUNT = Account(name="tester", secret=b"not-a-secret-at-all")
OTHER = Account(name="target", secret=b"another-secret-here")


def begin(settings: InitiatorSettings = SETTINGS, conduct: Conduct | None = None) -> tuple[LoginExchange, Pdu]:
    exchange = LoginExchange(settings, conduct or Conduct())
    return exchange, ask(exchange)


def ask(exchange: LoginExchange) -> Pdu:
    request = exchange.next_request()
    assert request is not None
    return request


def keys_of(request: Pdu) -> dict[str, str]:
    return dict(parse_text(request.data))


def answers_to(request: Pdu, **changes: str) -> dict[str, str]:
    return answered(keys_of(request), changes)


def test_a_login_of_one_request() -> None:
    exchange, request = begin(SETTINGS.changed(first_cmdsn=9, alias="me"))
    assert (request["T"], request["CSG"], request["NSG"], request["I"], request["CmdSN"]) == (1, 1, 3, 1, 9)
    said = keys_of(request)
    assert list(said)[:4] == ["InitiatorName", "InitiatorAlias", "SessionType", "TargetName"]
    keys = answers_to(request, HeaderDigest="CRC32C", MaxBurstLength="65536", InitialR2T="Yes", ImmediateData="No")
    keys["MaxRecvDataSegmentLength"] = "4096"
    exchange.receive(login_response(request, keys, StatSN=41))
    assert exchange.next_request() is None
    established = exchange.established()
    assert (established.tsih, established.exp_statsn, established.exp_cmdsn, established.max_cmdsn) == (7, 42, 9, 40)
    agreed = established.parameters
    assert (agreed.header_digest, agreed.data_digest, agreed.initial_r2t, agreed.immediate_data) == (
        *(True, False, True, False),
    )
    assert (agreed.send_segment, agreed.receive_segment) == (4096, 262144)
    assert (agreed.max_burst_length, agreed.first_burst_length) == (65536, 65536)


def test_discovery_offers_what_makes_sense() -> None:
    _, request = begin(SETTINGS.changed(target=None))
    said = keys_of(request)
    assert said["SessionType"] == "Discovery"
    assert not {"TargetName", "InitialR2T", "MaxBurstLength", "MaxConnections", "TaskReporting"} & set(said)


def test_a_further_connection_says_nothing_that_is_the_whole_sessions() -> None:
    _, request = begin(SETTINGS.changed(tsih=7))
    said = keys_of(request)
    assert {"InitiatorName", "TargetName", "MaxRecvDataSegmentLength", "HeaderDigest"} <= said.keys()
    assert said.keys().isdisjoint({"SessionType", "MaxConnections", "InitialR2T", "MaxBurstLength", "TaskReporting"})


def test_offers_replace_add_and_take_away() -> None:
    offers = {"MaxBurstLength": "512", "X-com.example": "1", "TargetName": "", "DataDigest": "", "SessionType": "Odd"}
    _, request = begin(SETTINGS.changed(offers=offers))
    said = keys_of(request)
    assert (said["MaxBurstLength"], said["X-com.example"], said["SessionType"]) == ("512", "1", "Odd")
    assert not {"TargetName", "DataDigest"} & set(said)
    assert list(said)[-1] == "X-com.example"


def test_a_target_that_is_not_ready_gets_an_empty_request() -> None:
    exchange, request = begin()
    exchange.receive(login_response(request, answers_to(request), T=0, NSG=0, StatSN=5))
    again = ask(exchange)
    assert (again.data, again["T"], again["NSG"], again["ExpStatSN"]) == (b"", 1, 3, 6)
    assert (again["ITT"], again["ISID"], again["CmdSN"]) == (request["ITT"], request["ISID"], request["CmdSN"])
    exchange.receive(login_response(again, StatSN=6))
    assert exchange.next_request() is None


def test_offers_of_the_target_are_answered() -> None:
    exchange, request = begin(SETTINGS.changed(offers={"MaxOutstandingR2T": ""}))
    keys = answers_to(request) | {"MaxOutstandingR2T": "4", "X-odd": "1", "IFMarker": "Yes", "OFMarkInt": "2~3"}
    exchange.receive(login_response(request, keys, T=0, NSG=0))
    again = ask(exchange)
    assert keys_of(again) == {
        "MaxOutstandingR2T": "4",
        "X-odd": "NotUnderstood",
        "IFMarker": "No",
        "OFMarkInt": "Reject",
    }
    exchange.receive(login_response(again, StatSN=1))
    assert exchange.established().parameters.max_outstanding_r2t == 4


# --- the C bit ---


def test_text_too_long_for_one_request_goes_in_several() -> None:
    exchange, request = begin(SETTINGS.changed(offers={f"X-long{number}": "x" * 255 for number in range(40)}))
    assert (request["C"], request["T"], request["NSG"], len(request.data)) == (1, 0, 0, 8192)
    exchange.receive(login_response(request, T=0, NSG=0))
    rest = ask(exchange)
    assert (rest["C"], rest["T"], rest["NSG"]) == (0, 1, 3)
    said = dict(parse_text(request.data + rest.data))
    answers = answered(said, {key: "NotUnderstood" for key in said if key.startswith("X-")})
    exchange.receive(login_response(rest, answers, StatSN=1))
    assert exchange.next_request() is None


def test_an_answer_to_half_a_text_ends_the_login() -> None:
    exchange, request = begin(SETTINGS.changed(offers={f"X-long{number}": "x" * 255 for number in range(40)}))
    with pytest.raises(ProtocolError, match="half"):
        exchange.receive(login_response(request, {"HeaderDigest": "None"}, T=0, NSG=0))


def test_a_response_in_parts_is_asked_for_and_put_together() -> None:
    exchange, request = begin()
    data = encode_text(answers_to(request).items())
    exchange.receive(login_response(request, T=0, NSG=0, C=1).with_data(data[:33]))
    middle = ask(exchange)
    assert (middle.data, middle["T"], middle["C"]) == (b"", 0, 0)
    exchange.receive(login_response(middle, C=0, StatSN=1).with_data(data[33:]))
    last = ask(exchange)
    assert last["T"] == 1
    exchange.receive(login_response(last, StatSN=2))
    assert exchange.next_request() is None


# --- CHAP ---


@pytest.mark.parametrize("algorithm", [5, 6, 7])
@pytest.mark.parametrize("mutual", [None, OTHER])
def test_CHAP(algorithm: int, mutual: Account | None) -> None:
    exchange, request = begin(SETTINGS.changed(account=ACCOUNT, mutual=mutual))
    assert request["CSG"] == 0
    said = keys_of(request)
    assert said["AuthMethod"] == ("CHAP" if mutual else "CHAP,None")
    assert "HeaderDigest" not in said
    exchange.receive(login_response(request, {"AuthMethod": "CHAP", "TargetPortalGroupTag": "1"}, T=0, NSG=0))

    request = ask(exchange)
    assert (keys_of(request), request["T"]) == ({"CHAP_A": "5,6,7"}, 0)
    challenge = Challenge(algorithm=algorithm, identifier=200, value=bytes(range(24)))
    exchange.receive(login_response(request, {"CHAP_A": str(algorithm), **dict(challenge.pairs)}, StatSN=1))

    request = ask(exchange)
    said = keys_of(request)
    assert proves(challenge, ACCOUNT, said["CHAP_N"], said["CHAP_R"])
    assert (request["T"], request["NSG"]) == (1, 1)
    assert ("CHAP_C" in said) == (mutual is not None)
    proof = {}
    if mutual:
        proof = dict(response(parse_challenge(algorithm, said["CHAP_I"], said["CHAP_C"]), mutual))
    exchange.receive(login_response(request, proof, StatSN=2))

    request = ask(exchange)
    assert (request["CSG"], request["NSG"]) == (1, 3)
    assert "HeaderDigest" in keys_of(request)
    assert "InitiatorName" not in keys_of(request)
    exchange.receive(login_response(request, answers_to(request), StatSN=3))
    assert exchange.next_request() is None


def to_mutual_proof() -> tuple[LoginExchange, Pdu]:
    exchange, request = begin(SETTINGS.changed(account=ACCOUNT, mutual=OTHER))
    exchange.receive(login_response(request, {"AuthMethod": "CHAP"}, T=0, NSG=0))
    challenge = Challenge(algorithm=7, identifier=1, value=b"challenge")
    exchange.receive(login_response(ask(exchange), {"CHAP_A": "7", **dict(challenge.pairs)}, StatSN=1))
    return exchange, ask(exchange)


def test_a_target_that_does_not_prove_itself_is_left() -> None:
    exchange, request = to_mutual_proof()
    said = keys_of(request)
    wrong = response(parse_challenge(7, said["CHAP_I"], said["CHAP_C"]), Account(name="target", secret=b"guess"))
    with pytest.raises(ConnectionLost, match="prove"):
        exchange.receive(login_response(request, dict(wrong), StatSN=2))


def test_a_target_that_leaves_its_proof_out_is_left() -> None:
    exchange, request = to_mutual_proof()
    with pytest.raises(ProtocolError, match="CHAP"):
        exchange.receive(login_response(request, StatSN=2))


def test_an_unknown_key_beside_those_of_security_is_answered_too() -> None:
    exchange, request = begin(SETTINGS.changed(account=ACCOUNT, mutual=OTHER))
    exchange.receive(login_response(request, {"AuthMethod": "CHAP", "X-com.a": "1"}))
    said = keys_of(ask(exchange))
    assert said["X-com.a"] == "NotUnderstood"
    assert "CHAP_A" in said


def test_a_target_without_accounts_is_taken_at_its_word_unless_it_has_to_prove_itself() -> None:
    exchange, request = begin(SETTINGS.changed(account=ACCOUNT))
    assert (request["T"], request["NSG"]) == (1, 1)
    exchange.receive(login_response(request, {"AuthMethod": "None"}))
    assert ask(exchange)["CSG"] == 1
    exchange, request = begin(SETTINGS.changed(account=ACCOUNT, mutual=OTHER))
    with pytest.raises(ProtocolError, match="AuthMethod"):
        exchange.receive(login_response(request, {"AuthMethod": "None"}, T=0, NSG=0))


# --- refusals and violations ---


def test_a_refusal_has_its_status() -> None:
    exchange, request = begin()
    with pytest.raises(LoginFailed, match="0203 NOT_FOUND") as caught:
        exchange.receive(login_response(request, Status_Class=2, Status_Detail=3))
    assert (caught.value.status, caught.value.temporary) == (0x0203, False)


def test_a_redirection_has_its_addresses() -> None:
    exchange, request = begin()
    with pytest.raises(Redirected) as caught:
        exchange.receive(login_response(request, {"TargetAddress": "10.0.0.1:3261"}, Status_Class=1, Status_Detail=1))
    assert caught.value.addresses == ("10.0.0.1:3261",)


@pytest.mark.parametrize(
    ("keys", "fields"),
    [
        ({"HeaderDigest": "Y-other"}, {}),
        ({"MaxBurstLength": "16777215"}, {}),
        ({"MaxBurstLength": "a lot"}, {}),
        ({"FirstBurstLength": "511"}, {}),
        ({"ImmediateData": "yes"}, {}),
        ({"DefaultTime2Wait": "1"}, {}),
        ({"MaxConnections": "NotUnderstood"}, {}),
        ({"MaxOutstandingR2T": ""}, {}),
        ({"MaxRecvDataSegmentLength": "12"}, {}),
        ({"X-never": "Reject"}, {}),
        ({}, {"NSG": 1}),
        ({}, {"CSG": 0}),
        ({}, {"ITT": 99}),
        ({}, {"ISID": 1}),
        ({}, {"TSIH": 0}),
        ({}, {"C": 1}),
        ({}, {"Version_active": 1}),
    ],
)
def test_a_response_that_cannot_be_ends_the_login(keys: dict[str, str], fields: dict[str, int]) -> None:
    exchange, request = begin()
    with pytest.raises(ProtocolError):
        exchange.receive(login_response(request, answers_to(request, **keys), **fields))


def test_T_without_being_asked_ends_the_login() -> None:
    exchange, request = begin(SETTINGS.changed(account=ACCOUNT, mutual=OTHER))
    assert request["T"] == 0
    with pytest.raises(ProtocolError, match=r"not asked for|CHAP"):
        exchange.receive(login_response(request, {"AuthMethod": "CHAP"}, T=1, NSG=1))


def test_the_same_key_twice_ends_the_login_whether_in_one_response_or_two() -> None:
    exchange, request = begin()
    twice = encode_text([*answers_to(request).items(), ("HeaderDigest", "None")])
    with pytest.raises(ProtocolError, match="second time"):
        exchange.receive(login_response(request).with_data(twice))
    exchange, request = begin()
    exchange.receive(login_response(request, answers_to(request), T=0, NSG=0))
    with pytest.raises(ProtocolError, match="second time"):
        exchange.receive(login_response(ask(exchange), {"DataDigest": "None"}, StatSN=1))


def test_a_gap_in_StatSN_and_another_PDU_end_the_login() -> None:
    exchange, request = begin()
    exchange.receive(login_response(request, answers_to(request), T=0, NSG=0))
    with pytest.raises(ProtocolError, match="StatSN"):
        exchange.receive(login_response(ask(exchange), StatSN=2))
    exchange, _ = begin()
    with pytest.raises(ProtocolError, match="during login"):
        exchange.receive(Pdu.build(Opcode.NOP_IN))


def test_the_portal_group_has_to_be_the_right_one_if_one_is_wanted() -> None:
    exchange, request = begin(SETTINGS.changed(portal_group=2))
    with pytest.raises(ProtocolError, match="portal group 1"):
        exchange.receive(login_response(request, answers_to(request, TargetPortalGroupTag="1")))


def test_text_that_is_none_ends_the_login() -> None:
    for data in (b"no equals sign\0", b"TargetPortalGroupTag=x\0"):
        exchange, request = begin()
        with pytest.raises(ProtocolError, match=r"RFC 7143 6\.1"):
            exchange.receive(login_response(request).with_data(data))


def test_a_login_without_end_is_given_up() -> None:
    exchange, request = begin()
    exchange.receive(login_response(request, answers_to(request), T=0, NSG=0))
    for number in range(1, 64):
        exchange.receive(login_response(ask(exchange), T=0, NSG=0, StatSN=number))
    with pytest.raises(ConnectionLost, match="no login after 64"):
        exchange.next_request()


def test_a_conduct_may_let_things_pass() -> None:
    class Careless(Conduct):
        def repeated_key(self, key: str) -> None:
            pass

        def inadmissible_value(self, message: str) -> None:
            pass

    exchange, request = begin(conduct=Careless())
    answers = answers_to(request, MaxBurstLength="16777215", DataDigest="NotUnderstood")
    exchange.receive(login_response(request).with_data(encode_text([*answers.items(), *answers.items()])))
    assert exchange.established().parameters.max_burst_length == 16777215
    assert TARGET in keys_of(request).values()
