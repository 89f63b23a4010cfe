from __future__ import annotations

from typing import get_args

import pytest

from iscsiproxy.report.model import Evidence, Finding, RunResult
from iscsiproxy.report.model import Verdict as Word
from iscsiproxy.testing import Verdict
from iscsiproxy.testing.verdict import WORDS

__all__: list[str] = []

_PROOF = Evidence(n=12, at=0.5, conn=1, leg="target", text="SCSI-Response Status=GOOD")


def _verdict(word: Word, text: str = "it came") -> Verdict:
    findings = (
        Finding(about="expectation", verdict=word, text=text, evidence=(_PROOF,)),
        Finding(about="aftermath", verdict="pass", text="good I/O works again"),
    )
    result = RunResult(
        name="hole",
        scenario="hole",
        title="One is lost",
        victim="target",
        verdict=word,
        findings=findings,
        files={"journal": "/x/journal.jsonl", "capture": "/x/capture.pcapng", "report": "/x/report.html"},
        cites=("RFC 7143 7.8",),
    )
    return Verdict(result=result, expected=("never: SCSI-Response",), hints=("rule hole: never fired",))


def test_all_words_are_known() -> None:
    assert set(WORDS) == set(get_args(Word))


def test_it_is_equal_to_its_word_and_to_no_other() -> None:
    for word in WORDS:
        verdict = _verdict(word)
        assert verdict == word
        assert verdict in (word, "nothing")
        assert str(verdict) == verdict.word == word
        assert [other for other in WORDS if verdict == other] == [word]
    assert _verdict("pass") == _verdict("pass")
    assert _verdict("fail") != _verdict("fail", "something else came")
    assert _verdict("pass") != 1
    assert {_verdict("pass"): 1}["pass"] == 1  # type: ignore[index] # it has the hash of its word


def test_warnings_pass_and_what_is_not_known_does_not() -> None:
    assert [word for word in WORDS if _verdict(word).passed] == ["pass", "warn"]


def test_must_raises_with_all_that_stands_behind_it() -> None:
    _verdict("warn").must()
    _verdict("skipped").must("pass", "skipped")
    with pytest.raises(AssertionError) as caught:
        _verdict("warn").must("pass")
    assert str(caught.value) == _verdict("warn").explain()
    for word in ("fail", "inconclusive", "skipped"):
        with pytest.raises(AssertionError, match=f"^{word} hole"):
            _verdict(word).must()


def test_an_explanation_has_what_was_expected_what_was_found_and_where_it_is() -> None:
    assert _verdict("fail").explain().splitlines() == [
        "fail hole 0.0s it came",
        "  One is lost",
        "expected of the target:",
        "    never: SCSI-Response",
        "found:",
        "    expectation: fail: it came",
        "      #12 0.5000s conn 1 target leg: SCSI-Response Status=GOOD",
        "    see RFC 7143 7.8",
        "    journal: /x/journal.jsonl",
        "    capture: /x/capture.pcapng",
        "    report: /x/report.html",
        "why it did not fire:",
        "    rule hole: never fired",
    ]
    assert "aftermath: pass: good I/O works again" in _verdict("pass").explain(), "of a pass everything is told"


def test_a_difference_is_short_enough_not_to_be_cut() -> None:
    lines = _verdict("fail").difference("pass")
    assert lines == [
        "hole: fail, expected pass",
        "expectation: it came",
        "  #12 0.5000s conn 1 target leg: SCSI-Response Status=GOOD",
        "journal: /x/journal.jsonl",
        "report: /x/report.html",
    ]
    assert _verdict("fail").difference(("pass", "warn"))[0] == "hole: fail, expected pass or warn"
    assert _verdict("pass").difference("fail")[0] == "hole: pass, expected fail"
    assert "expectation: it came" not in _verdict("pass").difference("fail")
    assert "'passed' is no verdict: there are pass, warn, fail, inconclusive, skipped" in _verdict("pass").difference(
        "passed"
    )


def test_in_one_line_it_says_why() -> None:
    assert repr(_verdict("pass")) == "<pass>"
    assert repr(_verdict("fail")) == "<fail: it came>"
    assert len(repr(_verdict("fail", "x" * 1000))) < 200
