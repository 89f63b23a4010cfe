from __future__ import annotations

from typing import Literal

import pytest

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Check, Outcome
from iscsiproxy.wire.opcodes import Opcode
from tests.checks.watching import rule, tried

__all__: list[str] = []


def pong(scope: Literal["connection", "session", "leg"] = "connection") -> Check:
    """Make a rule that wants an answer to each ping within 5 s."""

    def check(moment: Moment) -> Outcome:
        if not moment.full_feature:
            return None
        if moment.opcode == Opcode.NOP_OUT:
            moment.owe(moment["ITT"], "no answer", within=5.0, scope=scope)
            assert moment.owes(moment["ITT"], scope=scope)
        elif moment.opcode == Opcode.NOP_IN:
            return FINE if moment.settle(moment["ITT"], scope=scope) else None
        elif moment.opcode == Opcode.REJECT:
            moment.forgive(1, scope=scope)
        return None

    return check


@pytest.mark.parametrize(
    ("text", "findings", "evidence"),
    [
        ("> NOP-Out\n+4\n< NOP-In", 0, 1),
        ("> NOP-Out\n+6\n< NOP-In", 1, 1),
        ("> NOP-Out\n+4\n< NOP-In ITT=none", 0, 0),
        ("> NOP-Out\n+6\n> NOP-Out\n< NOP-In", 1, 2),
        ("> NOP-Out ITT=1\n< Reject Reason=PROTOCOL_ERROR\n+6\n< NOP-In ITT=none", 0, 0),
        ("> NOP-Out\nclose target\n+6\nconn 2", 0, 0),
        ("> NOP-Out\nlost 1\n+6\n< NOP-In ITT=none", 0, 0),
        ("> NOP-Out\nfired delay\n+6\n< NOP-In ITT=none", 0, 0),
        ("fired stall\n> NOP-Out\n+6\n< NOP-In ITT=none", 0, 0),
        ("fired stall\nstaged aftermath\n> NOP-Out\n+6\n< NOP-In ITT=none", 1, 1),
        ("> NOP-Out\nfired drop\n+6\n< NOP-In ITT=none", 1, 1),
    ],
)
def test_a_debt_is_a_breach_when_its_time_is_up(text: str, findings: int, evidence: int) -> None:
    court, found = tried("login\n" + text, rule(pong()))
    assert len(found) == findings
    assert court.evidence["T-999"] == evidence
    for finding in found:
        assert finding.text == "no answer within 5 s"
        assert finding.label == "silence"
        assert finding.proof[0].text.startswith("NOP-Out")


def test_a_rule_may_let_faults_make_its_debts_void() -> None:
    _, found = tried("login\n> NOP-Out\nfired drop\n+6\n< NOP-In ITT=none", rule(pong(), calm=True))
    assert not found


@pytest.mark.parametrize(("scope", "findings"), [("connection", 0), ("session", 0), ("leg", 1)])
def test_a_debt_ends_with_what_it_is_kept_with(scope: Literal["connection", "session", "leg"], findings: int) -> None:
    _, found = tried("login\n> NOP-Out\nclose target\n+6\nconn 2\nlogin", rule(pong(scope)))
    assert len(found) == findings


def test_a_debt_of_a_session_is_paid_on_any_of_its_connections() -> None:
    text = """
        login MaxConnections=2
        conn 2
        login MaxConnections=2 TSIH=1 CID=1
        > NOP-Out ITT=1
        conn 1
        < NOP-In ITT=1
        +6
        < NOP-In ITT=none
    """
    assert not tried(text, rule(pong("session")))[1]
    assert tried(text, rule(pong("connection")))[1]


@pytest.mark.parametrize("keys", ["TSIH=1", "TSIH=0 / TSIH=2"])
def test_who_logs_in_again_has_no_claim_from_before(keys: str) -> None:
    text = f"login\n> NOP-Out\nconn 2\nlogin {keys.partition(' /')[0]}\n+6\n> NOP-Out\n< NOP-In"
    _, found = tried(text, rule(pong()))
    assert not found


def test_what_is_owed_no_longer_when_its_time_is_up_is_no_breach() -> None:
    def check(moment: Moment) -> Outcome:
        if moment.opcode == Opcode.NOP_OUT:
            session = moment.session
            moment.owe(moment["ITT"], "no answer", within=5.0, still=lambda: bool(session.tasks))
        return None

    for answer, findings in (("", 1), ("< NOP-In", 0)):
        _, found = tried(f"login\n> NOP-Out\n{answer}\n+6\n< NOP-In ITT=none", rule(check))
        assert len(found) == findings
