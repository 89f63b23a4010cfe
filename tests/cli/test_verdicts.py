from __future__ import annotations

import io
import json
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.known import Known, read_known
from iscsiproxy.checks.profiles import DEFAULT
from iscsiproxy.cli.screen import Screen
from iscsiproxy.cli.verdicts import LiveJudge
from iscsiproxy.session.events import Event
from tests.checks.dialogue import records_of

__all__: list[str] = []

GOOD = "login\n> NOP-Out\n< NOP-In"
BAD = "login" + "\n> NOP-Out\n< NOP-In TTT=5" * 5


def told(text: str, *, as_json: bool = False, known: Sequence[str] = ()) -> tuple[str, int]:
    out = io.StringIO()
    entries = [one for words in known for one in read_known(words, "known.yaml", rules=["T-047"])]
    judge = LiveJudge(Screen(out, as_json=as_json, verbosity=0), profile=DEFAULT, known=Known(entries))
    for record in records_of(text):
        assert isinstance(record.entry, Event)
        judge(record.entry)
    code = judge.tell()
    return out.getvalue(), code


def test_findings_are_told_as_they_happen_the_first_of_a_kind() -> None:
    text, code = told(BAD)
    lines = text.splitlines()
    assert code == 1
    assert sum("MUST T-047 target: ITT=" in line for line in lines) == 3
    assert any(line.split()[:5] == ["MUST", "T-047", "NOP-In", "5", "x"] for line in lines)
    assert lines[-1].startswith("fail: ")


def test_as_json() -> None:
    *findings, judged = map(json.loads, told(BAD, as_json=True)[0].splitlines())
    assert {one["event"] for one in findings} == {"finding"}
    assert judged["event"] == "judged"
    assert judged["verdict"] == "fail"


def test_a_clean_run_and_one_with_nothing_to_judge() -> None:
    assert told(GOOD)[1] == 0
    text, code = told("conn 1")
    assert code == 3
    assert "inconclusive: " in text


def test_what_is_known_is_not_told_as_it_happens() -> None:
    known = "- {rule: T-047, pdu: NOP-In, clause: RFC 7143 7.7, reason: it is so}"
    text, _ = told(BAD, known=[known])
    assert "MUST T-047 target" not in text
    assert "known     T-047" in text


def test_a_judge_that_breaks_is_told_and_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iscsiproxy.checks.judge.Judge.take", lambda *_: 1 / 0)
    text, code = told(GOOD)
    assert code == 3
    assert "the judge broke: ZeroDivisionError" in text


async def test_time_is_told_while_nothing_happens(autojump_clock: trio.testing.MockClock) -> None:
    out = io.StringIO()
    judge = LiveJudge(Screen(out, as_json=False, verbosity=0), profile=DEFAULT, known=Known())
    for record in records_of("login\n> NOP-Out"):
        assert isinstance(record.entry, Event)
        judge(record.entry)
    assert autojump_clock.current_time() == trio.current_time()
    with trio.move_on_after(20):
        await judge.keep_time()
    assert "NOP-Out ITT=0x1 was not answered within 15 s" in out.getvalue()


@pytest.mark.parametrize("known", [[], ["- {rule: T-047, pdu: NOP-In, clause: RFC 7143 7.7, reason: it is so}"]])
def test_somebody_else_is_told_what_is_printed_and_no_more(known: list[str]) -> None:
    entries = [one for words in known for one in read_known(words, "known.yaml", rules=["T-047"])]
    out = io.StringIO()
    judge = LiveJudge(Screen(out, as_json=False, verbosity=0), profile=DEFAULT, known=Known(entries))
    told: list[Finding] = []
    judge.also = told.append
    for record in records_of(BAD):
        assert isinstance(record.entry, Event)
        judge(record.entry)
    assert sum(one.rule == "T-047" for one in told) == (0 if known else 3), "the first ones of a kind"
    assert [str(one) for one in told if str(one) not in out.getvalue()] == []
