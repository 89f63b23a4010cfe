"""The way of a login through its stages, and what is no Login Request."""

from __future__ import annotations

import pytest

from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.target.settings import Identity, LoggedIn, TargetSettings
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.peers.target.desk import INITIATOR, ISID, NAMES, TARGET, TSIH, login_request, said, status
from tests.peers.target.logins import ITT, OFFERS, ask, begin, done, one, refused

__all__: list[str] = []


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
