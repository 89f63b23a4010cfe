from __future__ import annotations

import pytest

from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.session import Session as TargetSession
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.peers.target.wire import BLOCK, IQN, Initiator, device, node, one, pattern, sense

ASKED = {"InitialR2T": "Yes", "ImmediateData": "No"}


def status(pdus: list[Pdu]) -> int:
    response = one(pdus)
    assert response.opcode == Opcode.LOGIN_RESPONSE
    return response["Status-Class"] << 8 | response["Status-Detail"]


def retaining(*luns: int) -> tuple[Node, list[TargetSession]]:
    """Make a node that keeps sessions without a connection until the test lets them go."""
    target = node(*luns, time2retain=20)
    orphans: list[TargetSession] = []
    target.on_orphaned = orphans.append
    return target, orphans


# --- sessions ---


def test_each_session_has_a_handle_of_its_own() -> None:
    target = node()
    handles = {Initiator(target, isid=isid).log_in()["TSIH"] for isid in range(20)}
    assert len(handles) == 20
    assert 0 not in handles
    assert len(target.sessions()) == len(target.connections()) == 20
    assert "20 sessions" in repr(target)


def test_handles_go_round_and_leave_out_those_in_use() -> None:
    target = node()
    first = Initiator(target).log_in()["TSIH"]
    target._last_tsih = 0xFFFE
    assert Initiator(target, isid=2).log_in()["TSIH"] == 0xFFFF
    assert Initiator(target, isid=3).log_in()["TSIH"] not in (0, first, 0xFFFF)


def test_an_unknown_target_is_not_found() -> None:
    initiator = Initiator(node())
    assert status(initiator.send(initiator.login_request(target="iqn.2026-01.example:none"))) == 0x0203


def test_an_unknown_session_does_not_exist() -> None:
    initiator = Initiator(node())
    assert status(initiator.send(initiator.login_request(TSIH=77))) == 0x020A


@pytest.mark.parametrize("isid", [1, 2])
def test_a_session_of_another_initiator_port_does_not_exist_either(isid: int) -> None:
    target = node()
    first = Initiator(target).start()
    other = Initiator(target, isid=isid)
    request = other.login_request({"InitiatorName": "iqn.2026-01.example:host"}, TSIH=first.session.tsih)
    if isid == 1:
        request = other.login_request({"InitiatorName": "iqn.2026-01.example:thief"}, TSIH=first.session.tsih)
    assert status(other.send(request)) == 0x020A
    assert first.alive()


def test_there_are_no_more_sessions_than_there_is_room_for() -> None:
    target = node()
    for isid in range(1024):
        Initiator(target, isid=isid).log_in()
    late = Initiator(target, isid=5000)
    assert status(late.send(late.login_request())) == 0x0302
    again = Initiator(target, isid=7)  # takes the place of its own session, and of nobody else's
    assert status(again.send(again.login_request())) == 0


def test_targets_are_told_apart() -> None:
    names = [IQN, f"{IQN}2"]
    target = Node({name: device() for name in names}, TargetSettings())
    assert target.visible_targets() == tuple(names)
    first = Initiator(target)
    first.log_in()
    first.send(first.ready())
    first.do(first.write(0, 1), pattern(1))
    other = Initiator(target)
    other.log_in(target=names[1])
    other.send(other.ready())
    assert other.contents(0) == bytes(BLOCK)
    assert first.alive()


# --- session reinstatement ---


def test_a_login_of_the_same_port_takes_the_place_of_its_session() -> None:
    target = node()
    old = Initiator(target).start(ASKED)
    r2t = one(old.send(old.write(0, 1)))
    new = Initiator(target)
    new.log_in()
    assert new.session.tsih != old.session.tsih
    assert old.connection.closed
    assert old.send(*old.answer(r2t, pattern(1))) == []
    assert len(target.sessions()) == 1
    assert sense(one(new.send(new.ready()))) == "6/29/07"
    assert new.contents(0) == bytes(BLOCK)


def test_a_refused_login_leaves_the_old_session_alone() -> None:
    target = node()
    old = Initiator(target).start()
    new = Initiator(target)
    new.send(new.login_request(TSIH=999))
    assert old.alive()


def test_other_ports_keep_their_sessions() -> None:
    target = node()
    first = Initiator(target).start()
    Initiator(target, isid=2).start()
    assert first.alive()


def test_a_discovery_session_does_not_reinstate_a_normal_one() -> None:
    target = node()
    normal = Initiator(target).start()
    first, second = Initiator(target), Initiator(target)
    first.log_in(target=None)
    second.log_in(target=None)
    assert normal.alive()
    assert first.connection.closed
    assert one(second.send(second.text({"SendTargets": "All"})))["F"] == 1


# --- connection reinstatement ---


@pytest.mark.parametrize("lost_before", [False, True])
def test_a_new_connection_takes_the_place_of_the_old(lost_before: bool) -> None:
    target, orphans = retaining(0, 1)
    old = Initiator(target).start(ASKED, 0, 1)
    old.do(old.write(5, 1), pattern(1))
    r2t = one(old.send(old.write(0, 1)))
    if lost_before:
        old.lose()
        assert len(orphans) == 1
        assert orphans[0].connection is None
        assert len(target.sessions()) == 1
    new = Initiator(target, session=old.session)
    before = new.session.cmdsn
    assert new.log_in(ASKED)["TSIH"] == old.session.tsih
    assert old.connection.closed
    assert new.session.exp == before
    assert new.send(*old.answer(r2t, pattern(1)))[0].opcode == Opcode.REJECT
    # Once, and only where there were tasks.
    assert sense(one(new.send(new.ready(lun=1)))) == "00"
    assert sense(one(new.send(new.ready()))) == "6/47/7F"
    assert sense(one(new.send(new.ready()))) == "00"
    assert new.contents(0) == bytes(BLOCK)
    assert new.contents(5) == pattern(1)
    for orphan in orphans:
        target.expire(orphan)
    assert new.alive()


def test_where_nothing_was_lost_nothing_is_told() -> None:
    target, _ = retaining()
    old = Initiator(target).start()
    old.lose()
    new = Initiator(target, session=old.session)
    new.log_in()
    assert sense(one(new.send(new.ready()))) == "00"


def test_a_new_connection_has_its_own_digests_and_the_sessions_bursts() -> None:
    target, _ = retaining()
    old = Initiator(target).start({"MaxBurstLength": "1024", "FirstBurstLength": "1024"})
    new = Initiator(target, session=old.session)
    new.watch.keys |= old.watch.keys
    new.log_in({"HeaderDigest": "CRC32C", "DataDigest": "CRC32C", "MaxRecvDataSegmentLength": "512"})
    assert new.connection.receive_digests == (True, True)
    assert sense(new.do(new.write(0, 8), pattern(8))) == "00"
    assert new.contents(0, 8) == pattern(8)


def test_a_second_connection_is_one_too_many() -> None:
    target = node()
    first = Initiator(target).start()
    second = Initiator(target, cid=8)
    assert status(second.send(second.login_request(TSIH=first.session.tsih))) == 0x0206
    assert first.alive()


def test_a_session_that_goes_while_its_connection_logs_in_again() -> None:
    target, orphans = retaining()
    old = Initiator(target).start()
    old.lose()
    new = Initiator(target, session=old.session)
    first = one(new.send(new.login_request({"AuthMethod": "None"}, CSG=0, NSG=1)))
    assert first["T"] == 1
    target.expire(orphans[0])
    last = new.send(new.login_request().with_data(b""))
    assert status(last) == 0x020A
    assert (last[0]["TSIH"], last[0].data) == (old.session.tsih, b"")
    assert new.connection.closed
    assert target.sessions() == ()


# --- the end of sessions ---


def test_a_lost_connection_ends_a_session_that_is_not_retained() -> None:
    target = node()
    initiator = Initiator(target).start()
    initiator.lose()
    assert target.sessions() == ()


def test_a_retained_session_ends_when_its_time_is_over() -> None:
    target, orphans = retaining()
    initiator = Initiator(target).start(ASKED)
    initiator.send(initiator.write(0, 1))
    initiator.lose()
    assert "orphaned" in repr(orphans[0])
    target.expire(orphans[0])
    target.expire(orphans[0])
    assert target.sessions() == ()
    late = Initiator(target, session=initiator.session)
    assert status(late.send(late.login_request())) == 0x020A
    again = Initiator(target)
    again.log_in()
    assert sense(one(again.send(again.ready()))) == "6/29/07"


def test_a_session_with_a_connection_does_not_expire() -> None:
    target = node()
    initiator = Initiator(target).start()
    target.expire(target.sessions()[0])
    assert initiator.alive()


def test_a_discovery_session_is_never_retained() -> None:
    target, orphans = retaining()
    initiator = Initiator(target)
    initiator.log_in(target=None)
    initiator.lose()
    assert (target.sessions(), orphans) == ((), [])


def test_a_session_that_logged_out_is_not_retained() -> None:
    target, orphans = retaining()
    initiator = Initiator(target).start()
    initiator.send(initiator.logout())
    assert (target.sessions(), orphans) == ((), [])


def test_the_end_of_a_session_lets_others_go_on() -> None:
    target = node()
    first, second = Initiator(target).start(ASKED), Initiator(target, isid=2).start()
    first.send(first.write(0, 1, ATTR=2))
    waiting = second.ready()
    assert second.send(waiting) == []
    first.lose()
    assert one(second.collect())["ITT"] == waiting["ITT"]


def test_a_session_whose_commands_wait_for_each_other_ends_at_once() -> None:
    target = node()
    first = Initiator(target).start(ASKED)
    first.send(first.write(0, 1, ATTR=2))
    blocked = first.write(1, 1, pattern(1), ATTR=2)
    free = Initiator(target, isid=2).start
    first.send(blocked)
    first.lose()
    other = free()
    assert other.contents(1) == bytes(BLOCK)
