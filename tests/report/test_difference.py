from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest

from iscsiproxy.report.difference import Change, changes, premises
from iscsiproxy.report.form import SuiteForm
from iscsiproxy.report.model import Finding, RunResult, SuiteResult, Verdict
from iscsiproxy.report.result import suite_json
from tests.report.results import run, suite

__all__: list[str] = []


def form(result: SuiteResult) -> SuiteForm:
    return msgspec.convert(json.loads(suite_json(result)), SuiteForm)


def changed(old: RunResult, new: RunResult) -> Change:
    (change,) = changes(form(suite(old)), form(suite(new)))
    return change


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("pass", "fail", "worse"),
        ("pass", "warn", "worse"),
        ("warn", "inconclusive", "worse"),
        ("inconclusive", "fail", "worse"),
        ("pass", "skipped", "worse"),
        ("skipped", "fail", "worse"),
        ("skipped", "pass", "better"),
        ("fail", "pass", "better"),
        ("pass", "pass", "same"),
        ("fail", "fail", "same"),
    ],
)
def test_a_verdict(before: Verdict, after: Verdict, kind: str) -> None:
    change = changed(run(before), run(after))
    assert (change.kind, change.before, change.after) == (kind, before, after)


def test_the_reason_is_that_of_the_worse_one() -> None:
    assert changed(run("pass"), run("fail")).why == ("it came",)
    assert changed(run("fail"), run("pass")).why == ("was: it came",)


def test_runs_that_are_new_and_gone() -> None:
    found = changes(form(suite(run("pass", "a"), run("fail", "b"))), form(suite(run("fail", "c"), run("pass", "a"))))
    assert [(one.kind, one.name, one.why) for one in found] == [
        ("new", "c", ("it came",)),
        ("same", "a", ()),
        ("gone", "b", ()),
    ]


def test_numbers_and_tags_make_no_difference() -> None:
    old, new = (run("warn", text=text) for text in ("ITT 0x5 after 1.5 s", "ITT 0xaf after 12 s"))
    assert changed(old, new).kind == "same"


def test_other_reasons_for_the_same_verdict() -> None:
    found = changed(run("fail", text="one thing"), run("fail", text="another"))
    assert found.kind == "other"
    assert found.why == ("now: expectation: another", "no more: expectation: one thing")


def test_a_rule_of_the_judge_is_one_thing_however_it_is_told() -> None:
    def broken(text: str, rule: str) -> RunResult:
        one = run("fail")
        return replace(one, findings=(*one.findings, Finding(about="check", verdict="fail", text=text, rule=rule)))

    assert changed(broken("this", "T-033"), broken("that", "T-033")).kind == "same"
    assert changed(broken("this", "T-033"), broken("this", "T-007")).kind == "other"


def test_premises() -> None:
    old = form(suite(run("pass")))
    assert list(premises(old, old)) == []
    other = form(replace(suite(run("pass"), interrupted=True), target="tgt", program=""))
    assert list(premises(old, other)) == [
        "program: iscsiproxy 0, now unknown",
        "target: embedded, now tgt",
        "the new one was interrupted: 1 of 2 runs were done",
    ]
