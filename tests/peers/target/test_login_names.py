"""Who comes to whom: the names, the type of the session, and the connections of one."""

from __future__ import annotations

import pytest

from iscsiproxy.peers.keys import KEYS
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.wire.text import encode_text
from tests.peers.target.desk import INITIATOR, ISID, NAMES, TARGET, login_request, said
from tests.peers.target.logins import ITT, OFFERS, ask, begin, done, one, refused

__all__: list[str] = []


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
