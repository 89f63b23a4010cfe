from __future__ import annotations

import pytest

from iscsiproxy.checks.scene import ledger as module
from iscsiproxy.checks.scene.ledger import Ledger, Role, Said
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.wire.opcodes import End

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET


def told(*sayings: tuple[End, str, str]) -> tuple[Ledger, list[Said]]:
    """Say pairs one after the other, each in a text of its own."""
    ledger = Ledger()
    said: list[Said] = []
    for n, (by, key, value) in enumerate(sayings, 1):
        said += ledger.hear(by, [(key, value)], Note(n=n, at=float(n), conn=1, leg=INITIATOR))
    return ledger, said


def roles(*sayings: tuple[End, str, str]) -> list[Role]:
    return [said.role for said in told(*sayings)[1]]


def test_an_offer_and_its_answer() -> None:
    ledger, said = told((INITIATOR, "MaxBurstLength", "8192"), (TARGET, "MaxBurstLength", "4096"))
    assert [one.role for one in said] == [Role.OFFER, Role.ANSWER]
    assert said[1].to is said[0]
    assert ledger.offer("MaxBurstLength") is said[0]
    assert ledger.answer("MaxBurstLength") is ledger.last("MaxBurstLength") is said[1]
    assert ledger.settled("MaxBurstLength") == "4096"
    assert ledger.latest[TARGET] == (said[1],)


def test_each_end_declares_for_itself() -> None:
    key = "MaxRecvDataSegmentLength"
    assert roles((INITIATOR, key, "512"), (TARGET, key, "1024")) == [Role.DECLARATION, Role.DECLARATION]
    assert roles((INITIATOR, key, "512"), (INITIATOR, key, "512")) == [Role.DECLARATION, Role.REPEAT]


def test_a_declaration_is_refused_besides_what_the_end_declares() -> None:
    key = "MaxRecvDataSegmentLength"
    ledger, said = told(
        (INITIATOR, key, "512"), (TARGET, key, "1024"), (TARGET, key, "Reject"), (TARGET, key, "Reject")
    )
    assert [one.role for one in said[2:]] == [Role.REFUSAL, Role.REPEAT]
    assert said[2].to is said[0]
    assert ledger.value(TARGET, key) == "1024"


def test_words_that_answer_nothing() -> None:
    assert roles((TARGET, "MaxBurstLength", "Reject")) == [Role.LOOSE]
    assert roles((TARGET, "TargetAlias", "NotUnderstood")) == [Role.LOOSE]
    assert roles((TARGET, "X-a", "Irrelevant"), (TARGET, "X-a", "Irrelevant")) == [Role.LOOSE, Role.REPEAT]
    assert roles((TARGET, "HeaderDigest", "None")) == [Role.OFFER]


def test_what_was_answered_is_over() -> None:
    key = "HeaderDigest"
    assert roles((INITIATOR, key, "None"), (TARGET, key, "None"), (INITIATOR, key, "None"))[2] is Role.REPEAT
    assert roles((INITIATOR, key, "None"), (TARGET, key, "None"), (TARGET, key, "None"))[2] is Role.REPEAT


def test_addresses_may_repeat() -> None:
    assert roles((TARGET, "TargetAddress", "a"), (TARGET, "TargetAddress", "b")) == [Role.DECLARATION, Role.DECLARATION]


def test_what_waits_for_an_answer() -> None:
    ledger, said = told(
        (INITIATOR, "HeaderDigest", "None"),
        (INITIATOR, "InitialR2T", "Yes"),
        (INITIATOR, "X-a", "1"),
        (TARGET, "DataDigest", "None"),
    )
    assert ledger.unanswered(INITIATOR) == [said[0], said[2]]
    assert ledger.unanswered(TARGET) == [said[3]]
    ledger.give_up([said[0]])
    assert ledger.unanswered(INITIATOR) == [said[2]]
    assert ledger.settled("InitialR2T") == "Yes"
    assert ledger.settled("DataDigest") is None
    assert ledger.keys(INITIATOR) == {"HeaderDigest", "InitialR2T", "X-a"}


def test_a_negotiation_without_end_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    assert not told((INITIATOR, "A", "1"), (INITIATOR, "B", "1"))[0].full
    ledger, _ = told((INITIATOR, "A", "1"), (INITIATOR, "B", "1"))
    ledger.hear(INITIATOR, [("C", "1")], Note(n=9, at=9.0, conn=1, leg=INITIATOR))
    assert ledger.full
    assert "2 keys" in repr(ledger)
