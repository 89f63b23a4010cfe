from __future__ import annotations

from dataclasses import replace

from iscsiproxy.checks.findings import proof_of
from iscsiproxy.checks.rules import Breach, Outcome
from tests.checks.watching import rule, tried

__all__: list[str] = []


def odd(moment: object) -> Outcome:
    return Breach(text=f"{type(moment).__name__} is odd")


def test_a_finding_says_who_what_and_where_in_one_line() -> None:
    _, (finding, *_) = tried("login\n> NOP-Out", rule(odd))
    assert str(finding) == "MUST T-999 target: Moment is odd (RFC 7143 1)"
    assert str(replace(finding, blame=None)) == "MUST T-999 fault: Moment is odd (RFC 7143 1)"


def test_a_proof_names_its_event() -> None:
    court, _ = tried("login\n> NOP-Out")
    (task,) = court.scene.conns[1].session.live()
    proof = proof_of(task.note)
    assert str(proof).startswith(f"#{proof.n} 0.0")
    assert "conn 1, target leg: NOP-Out ITT=0x00000001" in str(proof)
