from __future__ import annotations

import pytest

from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.text import parse_text
from tests.peers.target.wire import IQN, PORTAL, Initiator, node, one, pattern, read_cdb, sense

# --- NOP-Out ---


@pytest.mark.parametrize("immediate", [0, 1])
@pytest.mark.parametrize("length", [0, 1, 4, 511, 512])
def test_a_ping_comes_back(immediate: int, length: int) -> None:
    initiator = Initiator(node()).start({"MaxRecvDataSegmentLength": "512"})
    ping = initiator.ping(pattern(1)[:length], I=immediate)
    answer = one(initiator.send(ping))
    assert (answer.opcode, answer["ITT"], answer["TTT"], answer.data) == (
        Opcode.NOP_IN,
        ping["ITT"],
        NO_TAG,
        ping.data,
    )
    assert initiator.session.exp == initiator.session.cmdsn


def test_ping_data_is_cut_to_what_the_initiator_takes() -> None:
    initiator = Initiator(node()).start({"MaxRecvDataSegmentLength": "512"})
    assert one(initiator.send(initiator.ping(pattern(4)))).data == pattern(4)[:512]


def pinged(initiator: Initiator) -> bool:
    return initiator.connection.pinged


def test_a_ping_of_ours_is_answered_without_an_answer() -> None:
    initiator = Initiator(node()).start()
    connection = initiator.connection
    connection.ping()
    ping = one(initiator.collect())
    assert (ping.opcode, ping["ITT"], pinged(initiator)) == (Opcode.NOP_IN, NO_TAG, True)
    assert ping["TTT"] != NO_TAG
    connection.ping()
    assert initiator.collect() == []
    assert initiator.send(initiator.ping(ITT=NO_TAG, TTT=ping["TTT"] ^ 1)) == []
    assert pinged(initiator)
    assert initiator.send(initiator.ping(ITT=NO_TAG, TTT=ping["TTT"])) == []
    assert not pinged(initiator)
    assert initiator.alive()
    connection.ping()
    assert one(initiator.collect())["TTT"] != ping["TTT"]


def test_a_nop_out_that_wants_no_answer_is_immediate() -> None:
    initiator = Initiator(node()).start()
    assert one(initiator.send(initiator.ping(ITT=NO_TAG, I=0)))["Reason"] == 0x09


# --- Text ---


@pytest.mark.parametrize("immediate", [0, 1])
def test_text_is_answered(immediate: int) -> None:
    initiator = Initiator(node()).start()
    response = one(initiator.send(initiator.text({"SendTargets": ""}, I=immediate)))
    assert parse_text(response.data) == (("TargetName", IQN), ("TargetAddress", f"{PORTAL},1"))


def test_a_rejected_text_has_not_been_received() -> None:
    initiator = Initiator(node()).start()
    text = initiator.text({}, I=0, TTT=0x55)
    behind = initiator.ready()
    reject = one(initiator.send(text, behind))
    assert (reject.opcode, reject["Reason"], reject.data) == (Opcode.REJECT, 0x04, text.bhs)
    assert initiator.session.exp == text["CmdSN"]
    got = initiator.send(initiator.text({}, I=0, CmdSN=text["CmdSN"]))
    assert [pdu.opcode for pdu in got] == [Opcode.TEXT_RESPONSE, Opcode.SCSI_RESPONSE]


def test_a_new_segment_length_holds_for_the_session() -> None:
    initiator = Initiator(node()).start()
    initiator.send(initiator.text({"MaxRecvDataSegmentLength": "512"}))
    initiator.watch.segment = 512
    assert [len(pdu.data) for pdu in initiator.send(initiator.read(0, 4))] == [512] * 4


def test_an_open_text_is_told_apart_by_its_tag() -> None:
    initiator = Initiator(node()).start()
    first = one(initiator.send(initiator.text({"MaxRecvDataSegmentLength": "1024"}, F=0)))
    assert (first["F"], first["TTT"] != NO_TAG) == (0, True)
    assert len(initiator.send(initiator.read(0, 4))) == 1
    last = one(initiator.send(initiator.text(TTT=first["TTT"], ITT=first["ITT"])))
    assert (last["F"], last["TTT"]) == (1, NO_TAG)
    assert len(initiator.send(initiator.read(0, 4))) == 2


# --- Logout ---


@pytest.mark.parametrize("immediate", [0, 1])
@pytest.mark.parametrize("reason", [0, 1])
def test_logout_ends_session_and_connection(reason: int, immediate: int) -> None:
    target = node()
    initiator = Initiator(target).start()
    initiator.send(initiator.write(0, 1))
    response = one(initiator.send(initiator.logout(reason, I=immediate)))
    assert (response.opcode, response["Response"]) == (Opcode.LOGOUT_RESPONSE, 0)
    assert (response["Time2Wait"], response["Time2Retain"]) == (2, 20)
    assert initiator.connection.closed
    assert target.sessions() == ()
    assert initiator.send(initiator.ready()) == []


def test_what_comes_behind_a_logout_is_not_looked_at() -> None:
    initiator = Initiator(node()).start()
    write, logout = initiator.write(0, 1, pattern(1)), initiator.logout()
    assert len(initiator.send(logout, write)) == 1
    again = Initiator(initiator.node).start()
    assert again.contents(0) == bytes(512)


def test_answers_that_wait_go_out_before_that_of_the_logout() -> None:
    initiator = Initiator(node()).start({"MaxRecvDataSegmentLength": "512"})
    got = initiator.send(initiator.read(0, 8), initiator.logout())
    assert [pdu.opcode for pdu in got] == [Opcode.DATA_IN] * 8 + [Opcode.LOGOUT_RESPONSE]


def test_recovery_is_not_supported() -> None:
    initiator = Initiator(node()).start()
    assert one(initiator.send(initiator.logout(2)))["Response"] == 2
    assert initiator.alive()


def test_a_connection_that_is_not_there_is_not_found() -> None:
    initiator = Initiator(node()).start()
    assert one(initiator.send(initiator.logout(1, CID=0x7777)))["Response"] == 1
    assert initiator.alive()


@pytest.mark.parametrize("reason", [3, 64, 127])
def test_a_reserved_reason_is_rejected(reason: int) -> None:
    initiator = Initiator(node()).start()
    logout = initiator.logout(reason, I=0)
    assert one(initiator.send(logout))["Reason"] == 0x09
    assert initiator.session.exp == logout["CmdSN"]
    assert initiator.alive()


def test_after_a_logout_the_next_session_has_lost_its_nexus() -> None:
    target = node()
    initiator = Initiator(target)
    initiator.log_in()
    assert sense(one(initiator.send(initiator.ready()))) == "6/29/00"
    initiator.send(initiator.logout())
    again = Initiator(target)
    again.log_in()
    assert sense(one(again.send(again.command(read_cdb(0, 1), R=1, EDTL=512)))) == "6/29/07"


# --- discovery ---


def discovery() -> Initiator:
    initiator = Initiator(node())
    initiator.log_in(target=None)
    return initiator


def test_discovery_tells_the_targets_and_ends() -> None:
    initiator = discovery()
    response = one(initiator.send(initiator.text({"SendTargets": "All"})))
    assert parse_text(response.data) == (("TargetName", IQN), ("TargetAddress", f"{PORTAL},1"))
    assert one(initiator.send(initiator.logout(0)))["Response"] == 0
    assert initiator.connection.closed
    assert initiator.node.sessions() == ()


def test_discovery_takes_nothing_else() -> None:
    initiator = discovery()
    for pdu in (initiator.ready(), initiator.tmf(5), initiator.ping(), initiator.data_out(5, b"data")):
        reject = one(initiator.send(pdu))
        assert (reject.opcode, reject["Reason"], reject.data) == (Opcode.REJECT, 0x04, pdu.bhs)
    assert one(initiator.send(initiator.text({"SendTargets": "All"})))["F"] == 1


def test_discovery_ends_for_no_other_reason() -> None:
    initiator = discovery()
    assert one(initiator.send(initiator.logout(1)))["Reason"] == 0x09
    assert one(initiator.send(initiator.logout(2)))["Response"] == 2
    assert not initiator.connection.closed
    assert one(initiator.send(initiator.logout(0)))["Response"] == 0
