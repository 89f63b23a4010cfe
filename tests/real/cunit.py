"""Read what `iscsi-test-cu` prints: which tests ran, in which order, and how each really ended.

CUnit counts a test that skipped itself as passed, and the program's exit status says only that something failed, and
nothing of a run in which no test had the name asked for. What is read is the output with `-V`, without which some
tests skip themselves in silence:

    Suite: Read10
      Test: Simple ...
        Send READ10 (Expecting SUCCESS) LBA:0 blocks:1 …
    passed

A test's own output begins on its line, and `passed` comes directly after the dots where it printed nothing.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

__all__ = ["Outcome", "Suite", "TestCase", "listed", "parse"]


class Outcome(enum.Enum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    #: The output ends before the test does: the run hung or was killed.
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCase:
    """One test: `Suite.Test`, how it ended, and why where it was not simply passed.

    `reasons` are the `[SKIPPED]` lines of a skipped test and the assertions of a failed one, in the order printed.
    """

    __test__ = False  # not one of ours for pytest to collect

    name: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Print as in a list of results."""
        return f"{self.name}: {self.outcome.value}" + "".join(f"\n    {reason}" for reason in self.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A whole run: its tests in the order in which they ran, and whether it came to its end.

    `said` is CUnit's own count of tests (total, ran, passed, failed), None where the run did not come that far.
    """

    cases: tuple[TestCase, ...]
    said: tuple[int, int, int, int] | None

    @property
    def complete(self) -> bool:
        """Whether the run printed its summary and every test that it counted is here."""
        return self.said is not None and self.said[1] == len(self.cases)

    @property
    def outcomes(self) -> tuple[tuple[str, Outcome], ...]:
        """Names and outcomes only: what two runs are compared by."""
        return tuple((case.name, case.outcome) for case in self.cases)

    def named(self, outcome: Outcome) -> list[str]:
        """List the names of the tests that ended so."""
        return [case.name for case in self.cases if case.outcome is outcome]


_SUITE = re.compile(r"^Suite: (\S+)$")
_TEST = re.compile(r"^  Test: (\S+) \.\.\.(.*)$")
_END = re.compile(r"^(passed|FAILED)\b")
_SKIPPED = re.compile(r"\[SKIPPED\]\s*(.*)")
_ASSERTION = re.compile(r"^    \d+\. (\S+:\d+ .*)$")
_TESTS_LINE = re.compile(r"^ +tests +(\d+) +(\d+) +(\d+) +(\d+) +\d+$")


@dataclass(slots=True)
class _Open:
    """A test whose end may still come."""

    name: str
    ended: str = ""
    skips: list[str] | None = None
    assertions: list[str] | None = None

    def closed(self) -> TestCase:
        if self.ended == "FAILED":
            return TestCase(name=self.name, outcome=Outcome.FAILED, reasons=tuple(self.assertions or ()))
        if self.ended and self.skips:
            return TestCase(name=self.name, outcome=Outcome.SKIPPED, reasons=tuple(self.skips))
        return TestCase(name=self.name, outcome=Outcome.PASSED if self.ended else Outcome.UNFINISHED)


def _take(test: _Open, line: str) -> None:
    if test.ended:
        if found := _ASSERTION.match(line):
            test.assertions = [*(test.assertions or ()), found[1]]
    elif found := _END.match(line):
        test.ended = found[1]
    elif (found := _SKIPPED.search(line)) and found[1] not in (test.skips or ()):
        test.skips = [*(test.skips or ()), found[1]]


def parse(output: str) -> Suite:
    """Read the standard output of one run, whole or cut off anywhere."""
    cases: list[_Open] = []
    suite = ""
    said = None
    for line in output.splitlines():
        if found := _SUITE.match(line):
            suite = found[1]
        elif found := _TEST.match(line):
            cases.append(_Open(f"{suite}.{found[1]}"))
            _take(cases[-1], found[2])
        elif found := _TESTS_LINE.match(line):
            total, ran, passed, failed = map(int, found.groups())
            said = (total, ran, passed, failed)
        elif cases:
            _take(cases[-1], line)
    return Suite(cases=tuple(case.closed() for case in cases), said=said)


def listed(output: str, family: str = "ALL") -> list[str]:
    """Read the output of `iscsi-test-cu -l`: the tests of one family as `Suite.Test`, in its order.

    A run without `-t` runs every family, and so most tests twice or more; `-t ALL` runs each test once.
    """
    names = [line.split(".") for line in output.split()]
    return [".".join(parts[1:]) for parts in names if len(parts) == 3 and parts[0] == family]
