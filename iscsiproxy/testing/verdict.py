"""What a run came to, as a test asserts it: a word to compare with, and everything that stands behind it.

assert run.verdict.passed
assert run.verdict == "pass"
run.verdict.must("pass", "warn")
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iscsiproxy.report.model import Finding, RunResult

__all__ = ["WORDS", "Verdict"]

#: The verdicts there are
WORDS: Final = ("pass", "warn", "fail", "inconclusive", "skipped")
#: What counts as passed, as for the exit code of `iscsiproxy test`
_PASSED: Final = ("pass", "warn")
#: How much of the reason stands in one line, in characters: pytest cuts lines that are longer than 240
_SHORT: Final = 150


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Verdict:
    """The verdict of one run: `pass`, `warn`, `fail`, `inconclusive` or `skipped`; equal to that word.

    `result` is all that is known of the run; `expected` are the expectations as they are written; `hints` say why rules
    did not fire.
    """

    result: RunResult
    expected: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """The verdict as a word."""
        return self.result.verdict

    @property
    def passed(self) -> bool:
        """Whether it is `pass` or `warn`; a warning is no failure of the end that is judged."""
        return self.word in _PASSED

    @property
    def why(self) -> str:
        """The first reason, in one line; empty for a pass."""
        return self.result.why

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that was found, with its evidence."""
        return self.result.findings

    @property
    def reasons(self) -> tuple[Finding, ...]:
        """The findings that made the verdict what it is."""
        return self.result.reasons

    def must(self, *words: str) -> None:
        """Raise AssertionError, with all that stands behind it, if it is none of these words (`pass` and `warn`)."""
        if self.word not in (words or _PASSED):
            raise AssertionError(self.explain())

    def explain(self) -> str:
        """Say in some lines what was expected, what was found, and where the evidence is."""
        return "\n".join(self._lines())

    def difference(self, other: object) -> list[str]:
        """Say in a few lines why it is not what it was compared with."""
        words = (other,) if isinstance(other, str) else tuple(other) if isinstance(other, tuple | list | set) else ()
        wanted = " or ".join(map(str, words)) or repr(other)
        lines = [f"{self.result.name}: {self.word}, expected {wanted}"]
        lines += [f"{word!r} is no verdict: there are {', '.join(WORDS)}" for word in words if word not in WORDS]
        for reason in self.result.reasons[:1] if self.word != "pass" else ():
            lines.append(f"{reason.about}: {reason.text}")
            lines += [f"  {evidence}" for evidence in reason.evidence[-2:]]
        lines += [f"{kind}: {path}" for kind, path in self.result.files.items() if kind in ("journal", "report")]
        return lines

    def _lines(self) -> Iterator[str]:
        from iscsiproxy.report.table import detail, line

        result = self.result
        yield " ".join(line(result).split())
        if result.title:
            yield f"  {result.title}"
        if self.expected:
            yield f"expected of the {result.victim}:" if result.victim != "both" else "expected of both ends:"
            yield from (f"    {text}" for text in self.expected)
        yield "found:"
        yield from detail(result, everything=self.word == "pass")
        if self.hints:
            yield "why it did not fire:"
            yield from (f"    {text}" for text in self.hints)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Verdict):
            return self.result == other.result
        return self.word == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.word)

    def __str__(self) -> str:
        return self.word

    def __repr__(self) -> str:
        why = f": {self.why}" if self.why else ""
        return f"<{self.word}{why if len(why) <= _SHORT else f'{why[:_SHORT]}…'}>"
