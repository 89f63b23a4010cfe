from __future__ import annotations

import pytest

from iscsiproxy.session.facts import (
    ConnectionReinstated,
    DigestsOn,
    Fact,
    FullFeatureReached,
    LoginFailed,
    PhaseChanged,
    SessionFormed,
    SessionJoined,
    SessionReinstated,
    Violation,
)
from iscsiproxy.session.logins import Logins
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.session.tasks import Serials
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.text import encode_text
from tests.session.dialogue import (
    INITIATOR,
    ISID,
    NAMES,
    TARGET,
    TPGT,
    Leg,
    command,
    login_request,
    login_response,
    of_kind,
    request,
    response,
    scsi_response,
)

__all__: list[str] = []

CONNECTED, SECURITY, OPERATIONAL, FULL, LOGOUT, CLOSED = Phase
INI, TGT = End.INITIATOR, End.TARGET


def outcome(facts: tuple[Fact, ...]) -> Fact:
    """Give the one fact that says what became of the session."""
    kinds = (SessionFormed, SessionJoined, SessionReinstated, ConnectionReinstated)
    [found] = [fact for fact in facts if isinstance(fact, kinds)]
    return found


def test_a_login_in_one_exchange() -> None:
    leg = Leg()
    leg.open()
    assert leg.say(login_request(NAMES)) == (PhaseChanged(conn=1, old=CONNECTED, new=OPERATIONAL),)
    facts = leg.say(login_response(TPGT))
    assert facts == (
        DigestsOn(conn=1, header=False, data=False),
        PhaseChanged(conn=1, old=OPERATIONAL, new=FULL),
        SessionFormed(conn=1, session=1),
        FullFeatureReached(conn=1, keys=leg.tracker.keys(1)),
    )
    session = leg.session
    assert (session.id, session.type, session.TSIH, session.ISID, session.conns) == (1, "Normal", 7, ISID, 1)
    assert (session.InitiatorName, session.TargetName) == (INITIATOR, TARGET)
    assert (session.CmdSN, session.ExpCmdSN, session.MaxCmdSN, session.window) == (10, 10, 40, 31)
    assert (leg.connection.CID, leg.connection.StatSN, leg.connection.ExpStatSN) == (0, 101, None)


def test_a_login_through_all_stages() -> None:
    leg = Leg()
    leg.open()
    chap = {"AuthMethod": "CHAP,None"}
    steps = [
        (login_request({**NAMES, **chap}, CSG=0, T=0, NSG=0), SECURITY),
        (login_response({**TPGT, "AuthMethod": "CHAP"}, CSG=0, T=0, NSG=0, TSIH=0), SECURITY),
        (login_request({"CHAP_A": "5"}, CSG=0, T=0, NSG=0, ExpStatSN=101), SECURITY),
        (
            login_response({"CHAP_A": "5", "CHAP_I": "1", "CHAP_C": "0x12"}, CSG=0, T=0, NSG=0, TSIH=0, StatSN=101),
            SECURITY,
        ),
        (login_request({"CHAP_N": "me", "CHAP_R": "0x34"}, CSG=0, T=1, NSG=1, ExpStatSN=102), SECURITY),
        (login_response({}, CSG=0, T=1, NSG=1, TSIH=0, StatSN=102), OPERATIONAL),
        (login_request({"HeaderDigest": "CRC32C,None", "DataDigest": "None"}, ExpStatSN=103), OPERATIONAL),
        (login_response({"HeaderDigest": "CRC32C", "DataDigest": "None"}, StatSN=103), FULL),
    ]
    for pdu, phase in steps:
        assert not of_kind(leg.say(pdu), Violation)
        assert leg.tracker.phase(1) is phase
        assert leg.tracker.digests(1) == (phase is FULL, False)
    assert leg.connection.ExpStatSN == 103
    assert "0x34" not in repr(leg.snapshot())


@pytest.mark.parametrize(
    ("asked", "granted", "on"),
    [
        ({"T": 1, "NSG": 3}, {"T": 1, "NSG": 3}, True),
        ({"T": 1, "NSG": 3}, {"T": 0, "NSG": 0}, False),
        ({"T": 0, "NSG": 0}, {"T": 1, "NSG": 3}, False),
        ({"T": 1, "NSG": 3}, {"T": 1, "NSG": 3, "Status-Class": 2}, False),
        ({"T": 1, "NSG": 3}, {"T": 1, "NSG": 2}, False),
        ({"T": 1, "NSG": 3, "C": 1}, {"T": 1, "NSG": 3}, False),
    ],
)
def test_digests_begin_exactly_with_the_final_response(
    asked: dict[str, int], granted: dict[str, int], on: bool
) -> None:
    leg = Leg()
    leg.open()
    crc = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
    assert not of_kind(leg.say(login_request({**NAMES, **crc}, **asked)), DigestsOn)
    assert leg.tracker.digests(1) == (False, False)
    digests = of_kind(leg.say(login_response(crc, **granted)), DigestsOn)
    assert digests == ([DigestsOn(conn=1, header=True, data=True)] if on else [])
    assert leg.tracker.digests(1) == (on, on)


def test_keys_cut_by_the_C_bit() -> None:
    leg = Leg()
    leg.open()
    text = encode_text({**NAMES, "InitialR2T": "No", "MaxBurstLength": "4096"}.items())
    leg.say(
        login_request(text[:-7], T=0, NSG=0, C=1),
        login_response({}, T=0, NSG=0, TSIH=0),
        login_request(text[-7:], ExpStatSN=101),
    )
    assert leg.session.TargetName == TARGET
    [reached] = of_kind(
        leg.say(login_response({"InitialR2T": "No", "MaxBurstLength": "4096"}, StatSN=101)), FullFeatureReached
    )
    assert reached.keys["MaxBurstLength"] == "4096"
    assert reached.keys["InitialR2T"] == "No"
    assert reached.keys["ImmediateData"] == "Yes"


@pytest.mark.parametrize(("status_class", "detail"), [(1, 1), (2, 1), (2, 0xA), (3, 2), (9, 9)])
def test_a_login_that_fails(status_class: int, detail: int) -> None:
    leg = Leg()
    leg.open()
    leg.say(login_request(NAMES))
    facts = leg.say(
        login_response({}, T=0, TSIH=0, StatSN=0, **{"Status-Class": status_class, "Status-Detail": detail})
    )
    assert facts == (
        LoginFailed(conn=1, status=status_class << 8 | detail),
        PhaseChanged(conn=1, old=OPERATIONAL, new=CLOSED),
    )
    assert leg.wrong(login_request(NAMES)) == [(INI, "RFC 7143 11.13.5")]
    assert leg.close() == ()


def test_a_discovery_session_stands_apart() -> None:
    leg = Leg()
    leg.log_in()
    leg.open()
    keys = {"InitiatorName": INITIATOR, "SessionType": "Discovery"}
    facts = leg.say(login_request(keys), login_response({}, TSIH=9))
    assert outcome(facts) == SessionFormed(conn=2, session=2)
    assert (leg.session.type, leg.session.TargetName, leg.session.TSIH) == ("Discovery", None, 9)
    leg.open()
    facts = leg.say(login_request(keys), login_response({}, TSIH=10))
    assert outcome(facts) == SessionReinstated(conn=3, session=3, old=2, conns=(2,))


def test_a_session_with_the_same_ISID_takes_the_place_of_the_old_one() -> None:
    leg = Leg()
    leg.log_in()
    leg.say(command(5, 10))
    facts = leg.log_in(tsih=8, CmdSN=50)
    assert outcome(facts) == SessionReinstated(conn=2, session=2, old=1, conns=(1,))
    assert (leg.session.CmdSN, leg.session.outstanding) == (50, 0)
    # What still comes on the old connection belongs to the old session.
    assert leg.say(scsi_response(5, 101), on=1) == ()
    old = leg.snapshot(on=1).session
    assert old is not None
    assert (old.id, old.outstanding) == (1, 0)
    leg.close(1)
    assert outcome(leg.log_in(tsih=9)) == SessionReinstated(conn=3, session=3, old=2, conns=(2,))


def test_an_initiator_that_comes_back_after_a_loss() -> None:
    leg = Leg()
    leg.log_in()
    leg.close()
    leg.now += 10
    assert outcome(leg.log_in(tsih=8)) == SessionReinstated(conn=2, session=2, old=1, conns=())
    leg.close()
    leg.now += 100
    assert outcome(leg.log_in(tsih=9)) == SessionFormed(conn=3, session=3)


@pytest.mark.parametrize(
    "other", [{"ISID": 5}, {"InitiatorName": "iqn.b"}, {"TargetName": "iqn.t"}, {"TargetPortalGroupTag": "2"}]
)
def test_sessions_side_by_side(other: dict[str, str | int]) -> None:
    leg = Leg()
    leg.log_in()
    values = {name: value for name, value in other.items() if isinstance(value, int)}
    keys = {name: value for name, value in other.items() if isinstance(value, str)}
    assert isinstance(outcome(leg.log_in(keys, {**TPGT, **keys}, tsih=8, **values)), SessionFormed)


def test_after_a_logout_a_login_is_a_new_session() -> None:
    leg = Leg()
    leg.log_in()
    leg.say(request(Opcode.LOGOUT_REQUEST, 9, 10), response(Opcode.LOGOUT_RESPONSE, 9, 101))
    assert outcome(leg.log_in(tsih=8)) == SessionFormed(conn=2, session=2)


MCS = {"MaxConnections": "4"}


def test_several_connections_share_one_count() -> None:
    leg = Leg()
    leg.log_in(MCS, MCS)
    facts = leg.log_in({"HeaderDigest": "CRC32C"}, {"HeaderDigest": "CRC32C"}, TSIH=7, CID=1)
    assert outcome(facts) == SessionJoined(conn=2, session=1)
    assert leg.session.conns == 2
    assert (leg.tracker.digests(1), leg.tracker.digests(2)) == ((False, False), (True, False))
    assert leg.tracker.keys(2)["MaxConnections"] == "4"
    # Commands may overtake each other between the connections; nothing is out of order but a number used twice.
    assert leg.wrong(command(1, 11), on=2) == []
    assert leg.wrong(command(2, 10), on=1) == []
    assert leg.wrong(command(3, 11), on=1) == [(INI, "RFC 7143 4.2.2.1")]
    assert leg.session.CmdSN == 12
    # Each connection has its own StatSN.
    assert leg.wrong(scsi_response(1, 101), on=2) == []
    assert leg.wrong(scsi_response(2, 101, ExpCmdSN=12, MaxCmdSN=50), on=1) == []
    views = [leg.snapshot(on=conn) for conn in (1, 2)]
    assert [view.conn.StatSN for view in views] == [102, 102]
    assert [view.session.window for view in views if view.session] == [39, 39]
    assert [view.conn.outstanding for view in views] == [1, 0]


def test_during_a_joining_login_the_session_is_known() -> None:
    leg = Leg()
    leg.log_in(MCS, MCS)
    leg.open()
    leg.say(login_request(NAMES, TSIH=7, CID=1, CmdSN=10))
    assert (leg.session.id, leg.session.conns) == (1, 1)


@pytest.mark.parametrize("close_first", [True, False])
def test_a_connection_in_the_place_of_one_with_the_same_CID(close_first: bool) -> None:
    leg = Leg()
    leg.log_in(MCS, MCS)
    leg.say(command(5, 10))
    if close_first:
        leg.close(1)
    facts = leg.log_in(TSIH=7, CID=0, CmdSN=11)
    assert outcome(facts) == ConnectionReinstated(conn=2, session=1, old=1)
    assert (leg.session.conns, leg.session.CmdSN, leg.session.outstanding) == (1, 11, 0)
    leg.close(1)
    assert leg.session.conns == 1
    # What the old connection lost is no fault of the initiator.
    assert leg.wrong(command(6, 14)) == []


def test_a_session_whose_beginning_was_not_seen() -> None:
    leg = Leg()
    assert outcome(leg.log_in(TSIH=77, tsih=77, CID=3)) == SessionJoined(conn=1, session=1)
    assert (leg.session.TSIH, leg.session.CmdSN) == (77, None)
    assert leg.wrong(command(5, 25)) == []
    assert outcome(leg.log_in(TSIH=77, tsih=77, CID=4)) == SessionJoined(conn=2, session=1)


def test_TSIH_before_the_end() -> None:
    leg = Leg()
    leg.open()
    leg.say(login_request(NAMES, T=0, NSG=0))
    assert leg.wrong(login_response({}, T=0, NSG=0, TSIH=7)) == [(TGT, "RFC 7143 11.13.3")]
    assert leg.wrong(login_request({}), login_response({}, StatSN=101)) == []


def test_TSIH_0_at_the_end() -> None:
    leg = Leg()
    leg.open()
    assert leg.wrong(login_request(NAMES), login_response({}, TSIH=0)) == [(TGT, "RFC 7143 11.13.3")]
    assert leg.tracker.phase(1) is FULL


def test_the_TSIH_of_another_session() -> None:
    leg = Leg()
    leg.log_in(MCS, MCS)
    leg.open()
    pdus = login_request(NAMES, TSIH=7, CID=1), login_response({}, TSIH=8)
    assert leg.wrong(*pdus) == [(TGT, "RFC 7143 11.13.3")]


def test_CmdSN_stays_through_a_leading_login() -> None:
    leg = Leg()
    leg.open()
    leg.say(login_request(NAMES, T=0, NSG=0), login_response({}, T=0, NSG=0, TSIH=0))
    assert leg.wrong(login_request({}, CmdSN=11)) == [(INI, "RFC 7143 11.12.8")]
    assert leg.session.CmdSN == 10


@pytest.mark.parametrize("wrong", [{"StatSN": 105}, {"ExpCmdSN": 50, "MaxCmdSN": 20}])
def test_numbers_in_a_login(wrong: dict[str, int]) -> None:
    leg = Leg()
    leg.open()
    leg.say(login_request(NAMES, T=0, NSG=0), login_response({}, T=0, NSG=0, TSIH=0), login_request({}))
    assert [by for by, _ in leg.wrong(login_response({}, **{"StatSN": 101, **wrong}))] == [TGT]


def test_two_requests_at_once() -> None:
    leg = Leg()
    leg.open()
    assert leg.wrong(login_request(NAMES, T=0, NSG=0), login_request({})) == [(INI, "RFC 7143 6.3")]


def test_foreign_PDUs_in_a_login() -> None:
    leg = Leg()
    leg.open()
    assert leg.wrong(command(1, 10)) == [(INI, "RFC 7143 4.2.4")]
    assert leg.tracker.phase(1) is CONNECTED
    assert leg.wrong(login_request(NAMES, T=0, NSG=0), command(1, 10)) == [(INI, "RFC 7143 4.2.4")]
    assert leg.wrong(scsi_response(1, 100)) == [(TGT, "RFC 7143 4.2.4")]
    assert (leg.session.outstanding, leg.session.CmdSN, leg.connection.StatSN) == (0, 10, None)
    assert leg.wrong(login_response({"X": "y"}, T=0, TSIH=0, **{"Status-Class": 2, "Status-Detail": 0xB})) == []
    assert leg.tracker.phase(1) is CLOSED


def test_a_second_login_on_a_live_connection() -> None:
    leg = Leg()
    leg.log_in()
    assert leg.wrong(login_request({"MaxRecvDataSegmentLength": "512"}, CmdSN=10)) == [(INI, "RFC 7143 6.3")]
    assert leg.tracker.phase(1) is FULL
    assert leg.tracker.max_recv_data_segment_length(1, INI) == 8192
    assert leg.wrong(login_response({}, TSIH=0, **{"Status-Class": 2})) == []
    assert leg.wrong(login_response({})) == [(TGT, "RFC 7143 6.3")]
    assert leg.tracker.phase(1) is FULL
    assert leg.connection.StatSN == 101


def test_a_login_response_out_of_nowhere() -> None:
    leg = Leg()
    leg.open()
    assert leg.wrong(login_response({})) == [(TGT, "RFC 7143 6.3")]
    assert leg.snapshot().session is None


def test_a_whole_login_is_one_task() -> None:
    leg = Leg()
    leg.open()
    first = login_request(NAMES, T=0, NSG=0)
    upcoming = leg.task(first)
    leg.say(first)
    answer = login_response({}, T=0, NSG=0, TSIH=0)
    assert leg.task(answer).serial == upcoming.serial == 1
    assert leg.task(answer).command["ITT"] == 1
    assert not leg.task(answer).command.data
    leg.say(answer)
    assert leg.task(login_request({})).serial == 1
    assert leg.connection.outstanding == 0


def test_a_login_whose_beginning_was_not_seen() -> None:
    leg = Leg()
    leg.conn = 4
    facts = leg.say(login_response({"HeaderDigest": "CRC32C"}, CSG=0))
    assert [type(fact) for fact in facts] == [DigestsOn, PhaseChanged, SessionJoined, FullFeatureReached]
    assert leg.session.TSIH == 7
    assert leg.tracker.keys(4) == {}


def test_repr() -> None:
    assert repr(Logins(Serials())) == "<Logins into <Registry of 0 sessions>>"
