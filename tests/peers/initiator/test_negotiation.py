from __future__ import annotations

import pytest

from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.errors import ProtocolError
from iscsiproxy.peers.initiator.negotiation import Negotiation, operational_offers
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.keys import KEYS
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.wire.text import TextPair


def take(offers: dict[str, str], *answers: tuple[str, str]) -> Negotiation:
    negotiation = Negotiation(offers, Conduct())
    negotiation.take(TextPair(*answer) for answer in answers)
    return negotiation


def test_nothing_said_means_the_defaults() -> None:
    assert take({}).parameters() == Parameters()


def test_every_offer_is_of_a_key_that_is_known() -> None:
    assert set(operational_offers(InitiatorSettings(target="iqn.a"))) <= set(KEYS)
    assert "HeaderDigest" in operational_offers(InitiatorSettings())


@pytest.mark.parametrize(
    ("key", "offered", "answer"),
    [
        ("HeaderDigest", "CRC32C,None", "None"),
        ("InitialR2T", "No", "Yes"),
        ("ImmediateData", "Yes", "No"),
        ("MaxBurstLength", "4096", "0x200"),
        ("DefaultTime2Wait", "2", "3600"),
        ("TaskReporting", "FastAbort,RFC3720", "NotUnderstood"),
        ("iSCSIProtocolLevel", "2", "NotUnderstood"),
        ("FirstBurstLength", "512", "Irrelevant"),
        ("MaxConnections", "4", "Reject"),
    ],
)
def test_admissible_answers(key: str, offered: str, answer: str) -> None:
    assert take({key: offered}, (key, answer)).unanswered() == []


@pytest.mark.parametrize(
    ("key", "offered", "answer"),
    [
        ("HeaderDigest", "CRC32C", "None"),
        ("HeaderDigest", "CRC32C", "Reject"),
        ("InitialR2T", "Yes", "No"),
        ("ImmediateData", "No", "Yes"),
        ("ImmediateData", "Yes", "true"),
        ("MaxBurstLength", "4096", "4097"),
        ("MaxBurstLength", "4096", "511"),
        ("DefaultTime2Wait", "2", "1"),
        ("DataPDUInOrder", "Yes", "NotUnderstood"),
    ],
)
def test_inadmissible_answers(key: str, offered: str, answer: str) -> None:
    with pytest.raises(ProtocolError):
        take({key: offered}, (key, answer))


def test_an_offer_needs_an_answer_unless_it_decides_alone() -> None:
    negotiation = take({"InitialR2T": "Yes", "ImmediateData": "No", "DataPDUInOrder": "No", "MaxConnections": "1"})
    assert negotiation.unanswered() == ["DataPDUInOrder", "MaxConnections"]


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        ("HeaderDigest", "CRC32C,None", "CRC32C"),
        ("HeaderDigest", "Y-odd", "Reject"),
        ("InitialR2T", "No", "No"),
        ("ImmediateData", "No", "No"),
        ("MaxBurstLength", "1024", "1024"),
        ("MaxBurstLength", "1", "Reject"),
        ("ImmediateData", "maybe", "Reject"),
        ("X-what", "1", "NotUnderstood"),
        ("IFMarker", "Yes", "No"),
        ("OFMarkInt", "1~2", "Reject"),
    ],
)
def test_offers_of_the_target_are_answered_once(key: str, value: str, answer: str) -> None:
    negotiation = take({}, (key, value))
    assert list(negotiation.answers()) == [(key, answer)]
    assert list(negotiation.answers()) == []


def test_declarations_are_kept_and_not_answered() -> None:
    negotiation = take({}, ("TargetAlias", "it"), ("MaxRecvDataSegmentLength", "4096"))
    assert negotiation.declared["TargetAlias"] == "it"
    assert negotiation.parameters().send_segment == 4096
    assert list(negotiation.answers()) == []
