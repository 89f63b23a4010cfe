"""Logout, reinstatement, and connections that end: the rows CON and TCP."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.proof import Proof, beside, quirk

__all__ = ["PROOFS"]

_AWAY = beside("never comes back", "victim: initiator\nrules: [{when: connect after 1, do: refuse}]\n")
_KEPT_OUT = beside("lets nobody in again", "victim: target\nrules: [{when: connect after 1, do: refuse}]\n")


def _stranger(nth: int) -> str:
    """Give the rules by which a login is one of another initiator port to the target, and nobody else hears of it."""
    return f"""
victim: target
rules:
  - when: Login-Request nth {nth} as again
    do: {{set: {{ISID: fresh}}}}
  - when: Login-Response of again
    do: {{set: {{ISID: again.ISID}}}}
"""


PROOFS: Mapping[str, Proof] = {
    "command_after_logout": Proof(
        deviants=(
            beside(
                "serves what comes behind a logout",
                """
victim: target
rules:
  - when: Logout-Request nth 1
    do:
      - delay: {until: Status-PDU, overtake: yes}
""",
            ),
        ),
    ),
    "commands_in_discovery_session": Proof(
        deviants=(
            beside(
                "serves a SCSI command",
                "victim: target\nrules: [{when: SCSI-Command nth 1, do: {answer: {Status: GOOD}}}]\n",
            ),
        ),
    ),
    "connection_reinstated_while_alive": Proof(
        deviants=(
            beside(
                "does not know the session any more",
                "victim: target\nrules: [{when: Login-Request where TSIH != 0, do: {set: {TSIH: 0x7777}}}]\n",
            ),
        ),
    ),
    "connection_too_many": Proof(
        deviants=(
            beside(
                "lets it in",
                """
victim: target
rules:
  - when: Login-Request where CID == 0x0999
    do: {set: {TSIH: 0, CID: 0, ISID: fresh}}
""",
            ),
        ),
    ),
    "discovery_session_reinstated": Proof(deviants=(beside("keeps the old session", _stranger(2)),)),
    "half_open_connection": Proof(
        within=4.0,
        deviants=(
            beside(
                "keeps the initiator out",
                "victim: target\nrules: [{when: Login-Request nth 2, do: {set: {TSIH: 0x7777}}}]\n",
            ),
        ),
    ),
    "login_to_unknown_session": Proof(
        deviants=(
            beside(
                "takes it for a new session",
                "victim: target\nrules: [{when: Login-Request where TSIH == 0x7777, do: {set: {TSIH: 0}}}]\n",
            ),
        ),
    ),
    "logout_cut_off": Proof(within=2.0, deviants=(_AWAY,)),
    "logout_for_recovery": Proof(
        deviants=(
            beside(
                "closes the session for any reason",
                "victim: target\nrules: [{when: Logout-Request where ReasonCode == 2, do: {set: {ReasonCode: 0}}}]\n",
            ),
        ),
    ),
    "logout_reason_reserved": Proof(
        deviants=(
            beside(
                "closes the session for any reason",
                "victim: target\nrules: [{when: Logout-Request where ReasonCode != 0, do: {set: {ReasonCode: 0}}}]\n",
            ),
        ),
    ),
    "logout_refused": Proof(
        deviants=(
            beside(
                "waits for a better answer",
                "victim: initiator\nrules: [{when: Logout-Response nth 1, do: drop}]\n",
            ),
        ),
    ),
    "logout_unanswered": Proof(
        within=4.0,
        deviants=(
            beside(
                "goes on behind the Logout Request",
                """
victim: both
rules:
  - when: Async nth 1 as asked
    do: {drop: {numbers: translate}}
  - when: asked then SCSI-Command
    do:
      - inject: {pdu: Logout-Request, ReasonCode: 0}
""",
            ),
        ),
    ),
    "logout_with_tasks": Proof(
        deviants=(
            beside(
                "goes on with the write",
                "victim: target\nrules: [{when: Logout-Request nth 1, do: {answer: {Response: 0}}}]\n",
            ),
        ),
    ),
    "portal_group_changed": Proof(
        deviants=(
            quirk("open-iscsi-tpgt", verdict="warn"),
            beside(
                "falls silent",
                """
victim: target
rules:
  - when: Initiator-PDU where conn.phase == full-feature and conn.nth > 1
    do: drop
""",
            ),
        ),
    ),
    "reset_between_r2t_and_data_out": Proof(deviants=(_KEPT_OUT,)),
    "reset_with_tasks": Proof(within=5.0, deviants=(_AWAY, quirk("libiscsi-reconnect", verdict="warn"))),
    "session_reinstated_while_alive": Proof(deviants=(beside("keeps the old session", _stranger(3)),)),
    "target_refuses_connections": Proof(within=4.0, deviants=(_AWAY,)),
}
