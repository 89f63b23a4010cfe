"""What the page shows: the runs with what was judged of each, its ladder and its times, worst first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from iscsiproxy.errors import JournalError
from iscsiproxy.journal import read
from iscsiproxy.report.html.details import Detail, detail, line
from iscsiproxy.report.html.folds import Allowance, Fold, Placed, Span, fold
from iscsiproxy.report.html.repeat import Repeat
from iscsiproxy.report.html.row import Row
from iscsiproxy.report.html.rows import Ladder, make_ladder
from iscsiproxy.report.model import ORDER, Evidence, Finding, RunResult, SuiteResult, Verdict, exit_code

__all__ = ["EvidenceView", "FindingView", "Page", "Phase", "RowView", "RunView", "Tick", "make_page"]

#: How many rows of ladders a report has, all runs together: with all their fields, and as one line
_ALL: Final = Allowance(full=1000, lines=4000)
#: How much more of them a run has that did not pass
_WEIGHT: Final = 8
#: How many marks a time line has
_TICKS: Final = 80
#: What stands in the ladder's first lines, as links to what faults did
_JUMPS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceView:
    """A line of evidence: where it was seen, what it is, and the row that shows it (empty: there is none)."""

    where: str
    text: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """A finding with its evidence."""

    id: str
    finding: Finding
    evidence: tuple[EvidenceView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """A row of a ladder; `detail` where it can be opened, `proves` the findings it is evidence for."""

    id: str
    row: Row
    text: str
    way: str
    proves: tuple[FindingView, ...] = ()
    detail: Detail | None = None

    @property
    def worst(self) -> Verdict | None:
        """The worst verdict among what it proves."""
        return next((verdict for verdict in ORDER if any(one.finding.verdict == verdict for one in self.proves)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanView:
    """Rows that stand together, folded if there is a `fold`."""

    fold: Fold | None
    rows: Iterator[RowView]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stage on the time line: where it begins and how long it is, in hundredths of the run."""

    name: str
    seconds: float
    left: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Something on the time line: a fault, or a finding by its verdict."""

    kind: str
    left: float
    text: str
    link: str


class RunView:
    """One run, with its journal read. What is there of it is made when it is asked for, and not kept."""

    def __init__(self, page: Page, index: int, run: RunResult, allowance: Allowance) -> None:
        self.run = run
        self.index = index
        self.id = f"run-{index}"
        self.open = run.verdict not in ("pass", "skipped")
        self.command = page.repeat.one(run, page.result)
        self.files = [(kind, os.path.relpath(path, page.folder)) for kind, path in run.files.items()]
        self.links = [(kind, quote(path.replace(os.sep, "/")), path) for kind, path in self.files]
        #: Why there is no ladder
        self.missing = ""
        self.ladder = self._read()
        self.findings = tuple(self._finding(number, finding) for number, finding in enumerate(run.findings))
        self._found: dict[int, list[FindingView]] = {}
        for view in self.findings:
            for one in view.finding.evidence:
                place = self._place(one)
                if place is not None and view not in self._found.setdefault(place, []):
                    self._found[place].append(view)
        self.cut = fold(self.ladder, self._found, allowance)
        depths = [placed.depth for span in self.cut for placed in span.rows]
        self.used = Allowance(full=depths.count("full"), lines=depths.count("line"))
        self.left_out = sum(span.fold.left_out for span in self.cut if span.fold) + self.ladder.left_out
        #: The rows that can be linked to
        self._shown = {placed.place for span in self.cut for placed in span.rows}
        # Links are made at last, when it is known what is shown.
        self.findings = tuple(self._finding(number, finding) for number, finding in enumerate(run.findings))

    def __repr__(self) -> str:
        return f"<RunView {self.run.name} {self.run.verdict}, {len(self.ladder.rows)} rows>"

    @property
    def spans(self) -> Iterator[SpanView]:
        """The rows that are shown, span by span."""
        for span in self.cut:
            yield SpanView(fold=span.fold, rows=self._views(span))

    @property
    def phases(self) -> Sequence[Phase]:
        """The stages of the run that took time."""
        whole = self.ladder.end or 1.0
        return [
            Phase(
                name=stage.name,
                seconds=stage.end - stage.start,
                left=round(100 * stage.start / whole, 3),
                width=round(100 * (stage.end - stage.start) / whole, 3),
            )
            for stage in self.ladder.stages
            if stage.name != "faults cleared"
        ]

    @property
    def faults(self) -> Sequence[tuple[int, Row]]:
        """The rows that a rule did something to."""
        return [
            (place, row)
            for place, row in enumerate(self.ladder.rows)
            if place in self._shown and any(mark.rule for mark in row.marks)
        ]

    @property
    def jumps(self) -> Sequence[tuple[str, str]]:
        """Links to what faults did, and what it was."""
        return [
            (self._link(place), f"{next(mark.word for mark in row.marks if mark.rule)} {row.label}")
            for place, row in self.faults[:_JUMPS]
        ]

    @property
    def ticks(self) -> Sequence[Tick]:
        """What happened, on a line of time."""
        whole = self.ladder.end or 1.0
        ticks = [
            Tick(
                kind="fault",
                left=round(100 * row.at / whole, 3),
                text=f"{row.at:.3f} s: {', '.join(mark.word for mark in row.marks if mark.rule)} {row.label}",
                link=self._link(place),
            )
            for place, row in self.faults[:_TICKS]
        ]
        for place, views in list(self._found.items())[:_TICKS]:
            row = self.ladder.rows[place]
            ticks += [
                Tick(
                    kind=view.finding.verdict,
                    left=round(100 * row.at / whole, 3),
                    text=f"{row.at:.3f} s: {view.finding.about}: {view.finding.verdict}",
                    link=self._link(place),
                )
                for view in views
                if view.finding.verdict in ("fail", "warn", "inconclusive")
            ]
        return ticks

    @property
    def judged(self) -> tuple[int, int]:
        """How many rules of the standard had evidence, and how many there are."""
        return sum(count > 0 for count in self.run.evidence.values()), len(self.run.evidence)

    def _read(self) -> Ladder:
        path = self.run.files.get("journal")
        if path is None:
            self.missing = "no journal of it was kept"
            return make_ladder(())
        cited = {one.n for finding in self.run.findings for one in finding.evidence if one.n is not None}
        try:
            with read(path) as records:
                return make_ladder(records, cited)
        except (JournalError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            self.missing = f"the journal cannot be read: {why}"
            return make_ladder(())

    def _place(self, one: Evidence) -> int | None:
        return None if one.n is None else self.ladder.places.get(one.n)

    def _link(self, place: int) -> str:
        return f"r{self.index}-{self.ladder.rows[place].n}"

    def _finding(self, number: int, finding: Finding) -> FindingView:
        shown = getattr(self, "_shown", ())
        views = []
        for one in finding.evidence:
            place = self._place(one)
            where, _, _ = str(one).rpartition(one.text)
            views.append(
                EvidenceView(
                    where=where.removesuffix(": "),
                    text=one.text,
                    link=self._link(place) if place is not None and place in shown else "",
                )
            )
        return FindingView(id=f"f{self.index}-{number}", finding=finding, evidence=tuple(views))

    def _views(self, span: Span) -> Iterator[RowView]:
        for placed in span.rows:
            yield self._view(placed)

    def _view(self, placed: Placed) -> RowView:
        row, shown = placed.row, placed.row.shown
        return RowView(
            id=self._link(placed.place),
            row=row,
            text=row.text if shown is None else line(shown),
            way=_way(row),
            proves=tuple(self._found.get(placed.place, ())),
            detail=detail(row.came, row.went) if placed.depth == "full" and shown is not None else None,
        )


def _way(row: Row) -> str:
    """Say in words what is drawn."""
    if row.sender is None:
        return ""
    far = row.sender.other
    if row.shown is None:
        return f"{row.sender} side"
    return {
        "never": f"{row.sender} to proxy, not passed on",
        "made": f"proxy to {far}",
        "repeated": f"{row.sender} to {far}, more than once",
        "changed": f"{row.sender} to {far}, changed by the proxy",
        "late": f"{row.sender} to {far}, held by the proxy",
    }.get(row.drawing, f"{row.sender} to {far}")


class Page:
    """All of the report. `folder` is where it is going to be: what it names is named from there."""

    def __init__(self, result: SuiteResult, folder: Path, repeat: Repeat, *, fail_on_warn: bool = False) -> None:
        self.result = result
        self.folder = folder
        self.repeat = repeat
        self.command = repeat.all(result)
        self.exit = exit_code(result, fail_on_warn=fail_on_warn)
        self.counts: Mapping[str, int] = {verdict: result.count()[verdict] for verdict in ORDER}
        #: The runs, worst first
        self.runs = sorted(result.runs, key=lambda run: ORDER.index(run.verdict))
        self.not_run = max(0, result.asked - len(result.runs))

    def __repr__(self) -> str:
        return f"<Page of {len(self.runs)} runs>"

    @property
    def headline(self) -> str:
        """Say what it came to."""
        runs, counts = len(self.runs), self.counts
        bad = [f"{counts[verdict]} {word}" for verdict, word in _BAD if counts[verdict]]
        if runs == 1 and bad:
            return f"The run {'failed' if counts['fail'] else 'is inconclusive'}"
        if len(bad) > 1:
            return f"{' and '.join(bad)} of {runs} runs"
        if bad:
            count, _, word = bad[0].partition(" ")
            return f"{count} of {runs} runs {word}"
        if not counts["pass"] and not counts["warn"]:
            return "Nothing was judged"
        skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
        warned = f", {counts['warn']} with warnings" if counts["warn"] else ""
        if runs == 1:
            return "The run passed" + (", with warnings" if warned else "")
        return f"{'' if skipped else 'All '}{counts['pass'] + counts['warn']} passed{warned}{skipped}"

    @property
    def worst(self) -> Verdict:
        """The verdict of the whole."""
        return next((verdict for verdict in ORDER if self.counts[verdict]), "skipped")

    @property
    def started(self) -> str:
        """The wall clock as people read it."""
        try:
            return datetime.fromisoformat(self.result.started).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
        except ValueError:
            return self.result.started

    def decided(self, run: RunResult) -> str:
        """Say what decided a run: why it is no plain pass, or what was expected and seen."""
        expected = (one.text for about in ("expectation", "aftermath") for one in run.findings if one.about == about)
        return run.why or ("" if run.verdict == "skipped" else next(expected, ""))

    def views(self) -> Iterator[RunView]:
        """Give the runs, each with its share of the room there is; one at a time, so that only one is in memory."""
        full, lines = _ALL.full, _ALL.lines
        weights = [_WEIGHT if run.verdict not in ("pass", "skipped") else 1 for run in self.runs]
        for index, run in enumerate(self.runs):
            rest = sum(weights[index:])
            share = Allowance(full=full * weights[index] // rest, lines=lines * weights[index] // rest)
            view = RunView(self, index, run, share)
            full, lines = max(0, full - view.used.full), max(0, lines - view.used.lines)
            yield view


_BAD = (("fail", "failed"), ("inconclusive", "inconclusive"))


def make_page(result: SuiteResult, folder: Path, *, repeat: Repeat | None = None, fail_on_warn: bool = False) -> Page:
    """Make the page of a suite whose report is to be in `folder`."""
    return Page(result, folder, repeat or Repeat(), fail_on_warn=fail_on_warn)
