from __future__ import annotations

import pytest

from iscsiproxy.language.spec import Verdict
from iscsiproxy.runs.verdicts import VERDICTS, Evidence, Result, verdict_of
from iscsiproxy.wire.opcodes import End

__all__: list[str] = []

TABLE: list[tuple[str, Verdict]] = [
    ("", "pass"),
    ("pass", "pass"),
    ("pass pass", "pass"),
    ("pass warn", "warn"),
    ("warn pass", "warn"),
    ("warn inconclusive pass", "inconclusive"),
    ("inconclusive fail", "fail"),
    ("fail inconclusive warn pass", "fail"),
    ("skipped", "skipped"),
    ("skipped pass", "skipped"),
    ("inconclusive skipped", "skipped"),
    ("skipped warn", "skipped"),
    ("skipped fail", "fail"),
]


def result(verdict: Verdict) -> Result:
    return Result(verdict=verdict, kind="expectation", text="never: R2T", why="none came")


@pytest.mark.parametrize(("given", "verdict"), TABLE)
def test_the_worst_decides(given: str, verdict: Verdict) -> None:
    known = {one: one for one in VERDICTS}
    results = [result(known[word]) for word in VERDICTS for given_word in given.split() if given_word == word]
    assert verdict_of(results) == verdict
    assert verdict_of(reversed(results)) == verdict


def test_evidence_reads_well() -> None:
    one = Evidence(n=7, at=1.25, conn=2, leg=End.TARGET, text="R2T ITT=0x00000001")
    assert str(one) == "#7 1.250s conn 2, target leg: R2T ITT=0x00000001"
    assert str(Evidence(n=0, at=3.0, conn=0, leg=None, text="the time has come")) == "3.000s: the time has come"
