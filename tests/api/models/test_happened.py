from __future__ import annotations

import pytest

from iscsiproxy.api.models import Event, EventQuery, ExplanationQuery, Finding, FindingQuery, Findings, Proof
from tests.api.models.wire import read, refused, said

__all__: list[str] = []


def test_an_event_needs_little_and_may_say_more() -> None:
    event = read(Event, n=1, at=0.5, conn=1, event="connected", text="connected …")
    assert event == Event(n=1, at=0.5, conn=1, event="connected", text="connected …")
    assert (event.of, event.rules, event.count) == (None, (), 0)
    assert read(Event, **said(event), colour="red") == event
    assert "required field `text`" in refused(Event, n=1, at=0.5, conn=1, event="connected")


def test_without_more_events_are_followed_from_now_on() -> None:
    assert read(EventQuery) == EventQuery(
        since=None, follow=True, pdus=False, deliveries=False, where=None, conn=None, limit=None
    )


@pytest.mark.parametrize("limit", [1, 1_000_000])
def test_a_limit_that_can_be(limit: int) -> None:
    assert read(EventQuery, limit=limit).limit == limit


@pytest.mark.parametrize("limit", [0, -1, 1_000_001, 1.5, "1"])
def test_a_limit_that_cannot(limit: object) -> None:
    assert "$.limit" in refused(EventQuery, limit=limit)


def test_findings_with_what_they_stand_on() -> None:
    finding = Finding(
        rule="T-001", title="…", severity="MUST", clause="RFC 7143 11.2", blame=None, conn=1, at=2.0, n=9, about="R2T",
        text="…", proof=(Proof(n=8, at=1.9, conn=1, text="…", leg="target"),), count=3,
    )  # fmt: skip
    findings = Findings(checked=True, profile="rfc7143", findings=(finding,), counts={"MUST": 3})
    assert said(findings)["findings"][0]["blame"] is None
    assert read(Findings, **said(findings)) == findings


def test_findings_and_explanations_are_all_there_are_or_some() -> None:
    assert read(FindingQuery) == FindingQuery(since=0, known=False)
    assert read(ExplanationQuery) == ExplanationQuery(rule=None)
    assert "length <= 200" in refused(ExplanationQuery, rule="x" * 201)
