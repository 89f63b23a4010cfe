from __future__ import annotations

import pytest

from iscsiproxy.language.spec import Barrier, FaultReached, Pattern
from tests.language.samples import errors_of, read

__all__: list[str] = []

RULES = "rules:\n  - {when: SCSI-Command as n, do: duplicate}\n"


def test_first_has_lines() -> None:
    (found,) = read(
        RULES + "expect:\n"
        "  - first:\n"
        "      - pass: SCSI-Response of n where Status == BUSY\n"
        "      - {warn: Reject, note: not nice}\n"
        "      - fail: escalation\n"
        "      - inconclusive: close from proxy\n"
        "      - skipped: connect or io-good\n"
        "      - fail: nothing\n"
    ).expect
    assert found.head == "first"
    assert [outcome.verdict for outcome in found.outcomes] == [
        "pass",
        "warn",
        "fail",
        "inconclusive",
        "skipped",
        "fail",
    ]
    assert [outcome.pattern is None for outcome in found.outcomes] == [False] * 5 + [True]
    assert found.outcomes[1].note == "not nice"
    assert (found.pattern, found.count, found.otherwise) == (None, 0, "fail")


def test_the_other_heads() -> None:
    found = read(
        RULES + "expect:\n"
        "  - never: Reject of n\n"
        "  - exactly: 1 SCSI-Response of n\n"
        "  - at_least: 2 Target-PDU where ExpCmdSN > n.CmdSN\n"
        "  - at_most: 3 R2T of n nth 1..5\n"
    ).expect
    assert [(one.head, one.count) for one in found] == [("never", 0), ("exactly", 1), ("at_least", 2), ("at_most", 3)]
    assert all(isinstance(one.pattern, Pattern) for one in found)
    assert [(one.position.line, one.position.column) for one in found] == [(6, 5), (7, 5), (8, 5), (9, 5)]


def test_a_window() -> None:
    (found,) = read(
        RULES
        + "expect: {never: Reject, after: n then barrier, until: [5s, close], within: 2900ms, else: warn, note: x}"
    ).expect
    assert isinstance(found.after[0].steps[1], Barrier)
    assert len(found.until) == 2
    assert (found.within, found.otherwise, found.note) == (2.9, "warn", "x")


def test_a_window_opens_at_the_fault() -> None:
    (found,) = read(RULES + "expect: {never: Reject}").expect
    assert [moment.steps for moment in found.after] == [(FaultReached(),)]
    assert (found.until, found.within) == ((), None)


def test_an_expectation_may_bind_a_name() -> None:
    found = read(
        RULES + "expect:\n  - {at_least: 1 Async as gone}\n  - {never: connect, after: gone}\n"
        "  - {never: Data-In of d, after: Data-In as d}\n"
    ).expect
    assert len(found) == 3


#: expectation, column, part of the message, part of the hint
WRONG = [
    ("{nevr: Reject}", 10, "an expectation has no key `nevr`", "`never`"),
    ("{after: n}", 9, "an expectation has one of", ""),
    ("{never: Reject, exactly: 1 Reject}", 25, "this one has `never` or `exactly`", ""),
    ("never", 9, "expected an expectation: a mapping", ""),
    ("{never: Rejct nth 1}", 17, "no PDU or event is called `Rejct`", "`Reject`"),
    ("{never: [Reject]}", 17, "expected a pattern, not a list", ""),
    ("{never: nothing}", 17, "only in a line of `first:`", ""),
    ("{never: Reject then R2T}", 24, "one pattern stands here", "`after` and `until`"),
    ("{never: Reject of m}", 27, "nothing in the file binds the name `m`", ""),
    ("{never: Reject where CmdSN == 1}", 30, "Reject has no field `CmdSN`", ""),
    ("{exactly: Reject}", 19, "expected a number", ""),
    ("{exactly: 0 Reject}", 19, "at least 1", "`never` says that"),
    ("{never: Reject, within: 5}", 33, "`within` is a duration", "ms, s or min"),
    ("{never: Reject, else: pass}", 31, "`else` is `fail` or `warn`", ""),
    ("{never: Reject, after: 5}", 32, "expected a duration", ""),
    ("{never: Reject, after: m}", 32, "`m` is no PDU or event", ""),
    ("{first: [{pass: Reject}], else: warn}", 41, "each line of `first` has its own verdict", ""),
    ("{first: [{pas: Reject}]}", 19, "`pas` is no verdict", "`pass`"),
    ("{first: [{pass: Reject, fail: R2T}]}", 33, "one verdict", "each line begins"),
    ("{first: [{note: x}]}", 18, "one verdict", ""),
    ("{first: [Reject]}", 18, "expected a line of `first`", ""),
    ("{first: [{pass: nothing}, {fail: nothing}]}", 35, "`nothing` stands here twice", ""),
    ("{first: [{pass: nothing or Reject}]}", 25, "only in a line of `first:`, alone", ""),
]


@pytest.mark.parametrize(("written", "column", "message", "hint"), WRONG)
def test_what_is_no_expectation(written: str, column: int, message: str, hint: str) -> None:
    (error,) = errors_of(f"{RULES}expect: {written}")
    assert message in error.message
    assert (error.line, error.column) == (5, column)
    assert hint in (error.hint or "")


def test_every_wrong_line_is_told() -> None:
    text = RULES + "expect:\n  - first:\n    - pass: X nth 1\n    - fail: Y nth 1\n  - never: R2T of m\n"
    assert [error.line for error in errors_of(text)] == [7, 8, 9]
    found = errors_of(text.replace("X nth 1", "X nth 1 as m"))
    assert [error.line for error in found] == [7, 8], "and `m` may be bound by what is wrong above"


def test_nothing_may_be_a_parameter() -> None:
    (found,) = read("params: {what: nothing}\n" + RULES + "expect: {first: [{pass: $what}]}").expect
    assert found.outcomes[0].pattern is None
