"""Logout and reinstatement."""

from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import Opcode
from tests.catalogue.harness import Fields, On, Step, at_initiator, at_target, row, runs_of
from tests.engine.dialogue import Dialogue, data_in, nop_out, read, scsi_response, write
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
