"""Logout and reinstatement."""

from __future__ import annotations

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.session.events import Closed, Delivered, Received
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.catalogue.harness import Claims, Fields, On, Step, altered, at_initiator, at_target, moved, row, runs_of
from tests.engine.dialogue import NO_TAG, Dialogue, data_in, nop_out, read, scsi_response, text_request, tmf, write
from tests.proxy.fakes import bench
from tests.session.dialogue import NAMES, TPGT, login_request, login_response, request, response

__all__: list[str] = []

LEAVING, LEFT = request(Opcode.LOGOUT_REQUEST, 5, 12, ReasonCode=0), response(Opcode.LOGOUT_RESPONSE, 5, 101)
TASK = read(2, 10)
WHO, WELCOME = login_request(NAMES), login_response(TPGT)


def reconnect(talk: Dialogue) -> None:
    talk.connect(1 + max(conn for conn, _ in talk.digests), login=False)


@row("CON-01")
def test_a_logout_for_no_known_reason() -> None:
    scenario = """
    matrix: {reason: [3, 64, 127]}
    rules:
      - when: Logout-Request nth 1
        do: {set: {ReasonCode: $reason}}
    """
    for axes in runs_of(scenario):
        played = at_target(scenario, TASK, LEAVING, axes=axes)
        played.assert_changed(LEAVING, {"ReasonCode": int(axes["reason"])})


@row("CON-02")
def test_a_logout_for_recovery_where_there_is_none() -> None:
    rules = "- {when: Logout-Request where key.ErrorRecoveryLevel < 2 nth 1, do: {set: {ReasonCode: 2, CID: conn.CID}}}"
    keys = {"ErrorRecoveryLevel": "0"}
    played = at_target(rules, TASK, LEAVING, keys=keys)
    played.assert_changed(LEAVING, {"ReasonCode": 2, "CID": 1})


@row("CON-05")
def test_the_logout_fails() -> None:
    scenario = """
    matrix: {response: [1, 2, 3]}
    rules:
      - when: Logout-Response nth 1
        do: {set: {Response: $response}}
    """
    for axes in runs_of(scenario, "initiator"):
        played = at_initiator(scenario, LEAVING, LEFT, axes=axes)
        played.assert_changed(LEFT, {"Response": int(axes["response"])})


@row("CON-06")
def test_the_logout_is_not_answered() -> None:
    at_initiator("- {when: Logout-Response, do: drop}", LEAVING, LEFT).assert_missing(LEFT)


@row("CON-06")
def test_the_connection_ends_before_the_answer() -> None:
    at_initiator("- {when: Logout-Response, do: {close: {how: fin, at: start}}}", LEAVING, LEFT).assert_cut(
        LEFT, 0, "fin"
    )


@pytest.mark.parametrize(
    ("when", "fields", "changes"),
    [
        pytest.param("nth 1", "TSIH: 0x7777", {"TSIH": 0x7777}, marks=row("CON-08")),
        # The initiator's second login is a session of its own; here it becomes a connection of the first one.
        pytest.param("nth 2", "TSIH: first.TSIH, CID: first.CID", {"TSIH": 7}, marks=row("CON-09")),
        pytest.param("nth 2", "TSIH: first.TSIH, CID: 0x99", {"TSIH": 7, "CID": 0x99}, marks=row("CON-10")),
    ],
)
def test_a_login_means_another_session(when: str, fields: str, changes: Fields) -> None:
    rules = f"""
    - when: full-feature nth 1 as first
    - when: Login-Request {when}
      do: {{set: {{{fields}}}}}
    """
    second = login_request(NAMES), login_response(TPGT)
    played = at_target(rules, WHO, WELCOME, reconnect, *second, login=False)
    played.assert_changed(WHO if when == "nth 1" else second[0], changes)


@row("CON-07")
def test_the_session_is_reinstated_while_it_lives() -> None:
    rules = """
    - when: Login-Request nth 1 as first
    - when: Login-Request nth 2
      do: {set: {ISID: first.ISID, TSIH: 0, text.InitiatorName: (first.text.InitiatorName)}}
    """
    other = login_request({**NAMES, "InitiatorName": "iqn.2001-04.example:somebody"}, ISID=0x80AAAAAAAAAA)
    script: tuple[Step, ...] = (
        WHO,
        WELCOME,
        TASK,
        reconnect,
        other,
        login_response(TPGT, TSIH=8),
        On(1, nop_out(9, 11)),
    )
    played = at_target(rules, *script, login=False)
    played.assert_changed(other, {"ISID": WHO["ISID"], "data": other.with_data(WHO.data).data})


@row("CON-13")
def test_the_connection_is_reset_with_tasks_under_way() -> None:
    told = data_in(2, 0, bytes(512))
    played = at_initiator("- {when: Data-In nth 1, do: {close: rst}}", TASK, write(3, 11), told, scsi_response(2, 101))
    played.assert_cut(told, None)


@row("CON-15")
def test_the_target_is_another_one_after_reconnection() -> None:
    rules = "- {when: Login-Response nth 2, do: {set: {TSIH: 0x99, text.TargetPortalGroupTag: 2}}}"
    again, welcome = login_request(NAMES), login_response(TPGT)
    played = at_initiator(rules, WHO, WELCOME, reconnect, again, welcome, login=False)
    played.assert_changed(welcome, {"TSIH": 0x99, "data": b"TargetPortalGroupTag=2\0"})


@row("CON-03")
def test_a_command_behind_the_logout() -> None:
    rules = """
    - when: SCSI-Command nth 1 as old
    - when: Logout-Request nth 1
      do:
        - pass
        - replay: {what: old, ITT: fresh, CmdSN: CmdSN + 1}
    """
    played = at_target(rules, TASK, LEAVING)
    late = played.victim[-1]
    assert late["ITT"] not in (TASK["ITT"], LEAVING["ITT"])
    played.assert_added(LEAVING, altered(TASK, {"ITT": late["ITT"], "CmdSN": 13}))


@row("CON-04")
def test_a_logout_with_tasks_under_way() -> None:
    rules = """
    - when: Data-In nth 1
      do:
        - inject: {pdu: Logout-Request, ReasonCode: 0, as: bye}
    """
    other = write(3, 11)
    played = at_target(rules, TASK, other, data_in(2, 0))
    bye = altered(LEAVING, {"ITT": played.authored[0]["ITT"], "I": 1})
    played.assert_added(other, bye)


DISCOVERING = login_request({"InitiatorName": NAMES["InitiatorName"], "SessionType": "Discovery"})


@row("CON-11")
def test_a_discovery_session_is_reinstated() -> None:
    # Each discovery has an ISID of its own; here the second one has that of the first, which lives.
    rules = """
    - when: Login-Request where text.SessionType == "Discovery" nth 1 as first
    - when: Login-Request where text.SessionType == "Discovery" nth 2
      do: {set: {ISID: first.ISID, TSIH: 0}}
    """
    other = altered(DISCOVERING, {"ISID": 0x80AAAAAAAAAA})
    welcome = login_response(b"")
    played = at_target(rules, DISCOVERING, welcome, reconnect, other, login_response(b"", TSIH=8), login=False)
    played.assert_changed(other, {"ISID": DISCOVERING["ISID"]})


@row("CON-12")
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("SCSI-Command, CDB: READ lba=0 blocks=8", read(0, 10)),
        ("TMF-Request, Function: LUN_RESET", tmf(0, 10, 5, NO_TAG)),
        ("NOP-Out", nop_out(0, 10, I=1)),
    ],
)
def test_commands_in_a_discovery_session(fields: str, expected: Pdu) -> None:
    rules = f"""
    - when: Text-Request where session.type == Discovery nth 1
      do:
        - inject: {{pdu: {fields}, as: odd}}
    """
    asked = text_request(2, 10, {"SendTargets": "All"})
    played = at_target(rules, DISCOVERING, login_response(b""), asked, login=False)
    odd = altered(expected, {"ITT": played.authored[0]["ITT"]})
    played.assert_got(DISCOVERING, odd, moved(asked, CmdSN=1 - odd["I"]))


@row("CON-14")
def test_the_target_cannot_be_reached_again_for_some_time() -> None:
    rules = """
    - when: SCSI-Response nth 1
      do: {close: rst}
    - when: connect after 1 times 3
      do: refuse
    """
    back: tuple[Step, ...] = (*[reconnect] * 4, login_request(NAMES), login_response(TPGT))
    script = (WHO, WELCOME, TASK, scsi_response(2, 101), *back)
    played = at_initiator(rules, *script, login=False)
    played.assert_same()
    played.assert_refused(2, 3, 4)


@row("CON-16")
async def test_the_initiator_has_gone_and_the_target_is_not_told() -> None:
    rules = """
scenario: x
victim: target
params: {silence: 120s}
rules:
- when: SCSI-Command nth 1 as last
  do: {close: {how: rst, end: initiator}}
- when: last then $silence
  do: {close: {how: rst, end: target}}
"""
    scenario = load(rules, file="x.yaml", acts=SPECS, params={"silence": "100ms"})
    async with bench(scenario, pdus=True) as the:
        initiator, target = await the.login()
        await initiator.send(TASK)
        await initiator.until_reset()
        assert await target.pdu() == TASK
        # It may say what it likes: nothing comes back, until the connection ends.
        await target.send(scsi_response(2, 2))
        await target.until_reset()
        gone, ended = the.of(Closed)
        assert (gone.leg, ended.leg, ended.how, ended.by) == (End.INITIATOR, End.TARGET, "rst", "fault")
        # The time begins with the command, not with what was done about it.
        (command,) = (one for one in the.of(Received) if one.pdu == TASK)
        assert ended.at - command.at >= 0.1
        assert [one.pdu for one in the.of(Delivered) if one.leg is End.TARGET][1:] == [TASK]
        # And it may come back.
        again, target = await the.login()
        await again.send(TASK)
        assert await target.pdu() == TASK
    Claims.made.add(End.TARGET)
