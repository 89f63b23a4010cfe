"""What is not the same in two results: verdicts that got better or worse, runs that came or went, other reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from iscsiproxy.report.form import FindingForm, RunForm, SuiteForm
from iscsiproxy.report.model import Verdict

__all__ = ["Change", "Kind", "changes", "premises"]

Kind = Literal["worse", "better", "other", "gone", "new", "same"]

#: The higher the worse. What is skipped is judged no more, and that is no better than anything that was.
_RANK: Final[dict[Verdict, int]] = {"pass": 0, "warn": 1, "skipped": 2, "inconclusive": 3, "fail": 4}
#: Tags, numbers and times differ from run to run and mean nothing.
_NUMBERS = re.compile(r"0x[0-9a-f]+|[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of one run; `before` and `after` are None where there is none. `why` says what is behind it."""

    kind: Kind
    name: str
    before: Verdict | None
    after: Verdict | None
    why: tuple[str, ...] = ()


def premises(old: SuiteForm, new: SuiteForm) -> Iterator[str]:
    """Tell what else was not the same: other peers, another program, runs that were not done."""
    for what in ("program", "target", "initiator"):
        before, after = getattr(old, what), getattr(new, what)
        if before != after:
            yield f"{what}: {before or 'unknown'}, now {after or 'unknown'}"
    for suite, which in ((old, "old"), (new, "new")):
        if suite.interrupted:
            yield f"the {which} one was interrupted: {len(suite.runs)} of {suite.asked} runs were done"


def changes(old: SuiteForm, new: SuiteForm) -> tuple[Change, ...]:
    """Compare the runs of two results by name: the new one's in its order, then what is gone."""
    before, after = ({run.name: run for run in suite.runs} for suite in (old, new))
    found = [_change(before.get(name), run) for name, run in after.items()]
    found += [
        Change(kind="gone", name=name, before=run.verdict, after=None)
        for name, run in before.items()
        if name not in after
    ]
    return tuple(found)


def _change(old: RunForm | None, new: RunForm) -> Change:
    why: tuple[str, ...] = (new.why,) if new.why else ()
    if old is None:
        return Change(kind="new", name=new.name, before=None, after=new.verdict, why=why)
    kind: Kind = "same"
    if old.verdict != new.verdict:
        kind = "worse" if _RANK[new.verdict] > _RANK[old.verdict] else "better"
        why = why or ((f"was: {old.why}",) if old.why else ())
    else:
        why = tuple(_other_reasons(old, new))
        kind = "other" if why else "same"
    return Change(kind=kind, name=new.name, before=old.verdict, after=new.verdict, why=why)


def _other_reasons(old: RunForm, new: RunForm) -> Iterator[str]:
    """Tell what was found in one and not in the other of two runs with one verdict."""
    before, after = _reasons(old), _reasons(new)
    for what, text in after.items():
        if what not in before:
            yield f"now: {text}"
    for what, text in before.items():
        if what not in after:
            yield f"no more: {text}"


def _reasons(run: RunForm) -> dict[str, str]:
    return {_what(one): f"{one.about}: {one.text}" for one in run.findings if one.verdict not in ("pass", "skipped")}


def _what(finding: FindingForm) -> str:
    """Name what was found, without what differs from run to run."""
    return finding.rule or f"{finding.about} {_NUMBERS.sub('#', finding.text)}"
