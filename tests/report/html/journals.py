"""Journals of made-up runs, and pages that are read as a browser reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path

from iscsiproxy.journal import Event, Journal, Record, record_of
from iscsiproxy.report.model import Evidence, Finding, RuleCount, RunResult, Verdict
from tests.journal.story import Story, change, command, data_in, response

__all__ = ["Document", "broken", "calm", "in_file", "records", "result", "same"]

#: Elements without an end tag
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "circle", "path", "wbr"})


def records(events: Iterable[Event]) -> list[Record]:
    """Give them as a journal would."""
    return [record_of(event) for event in events]


def calm(story: Story, count: int, *, first: int = 1) -> None:
    """Have so many READs pass, two PDUs each."""
    for itt in range(first, first + count):
        story.passed(command(itt))
        story.passed(data_in(itt))


def broken(story: Story) -> tuple[int, int]:
    """Have one command dropped and one changed; gives their numbers."""
    lost = story.came(command(0x100))
    story.fired("s/lose", "drop", lost, "not sent")
    other = story.came(command(0x101))
    changes = (change("CmdSN", 257, 300),)
    story.fired("s/renumber", "set", other, "CmdSN 257 -> 300", *changes)
    story.went(command(0x101, CmdSN=300), other, changes=changes, rules=("s/renumber",))
    story.passed(response(0x101))
    return lost, other


def in_file(story: Story, path: Path) -> Path:
    """Write the journal of a story."""
    path.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(path, started=0.0)
    for event in story.events:
        journal(event)
    assert journal.close()
    return path


def result(
    verdict: Verdict = "fail", *, name: str = "lose", cited: Iterable[int] = (), journal: Path | None = None
) -> RunResult:
    """Make a result; each of what is `cited` is one line of evidence."""
    return RunResult(
        name=name,
        scenario=name.partition("[")[0],
        verdict=verdict,
        findings=(
            Finding(about="steady state", verdict="pass", text="8 commands went well"),
            Finding(
                about="expectation",
                verdict=verdict,
                text="never: GOOD: it came",
                evidence=tuple(Evidence(n=n, at=0.5, conn=1, leg="target", text=f"event {n}") for n in cited),
            ),
        ),
        title="A command is lost",
        about="What it is about.",
        victim="target",
        covers=("A-01",),
        cites=("RFC 7143 7.8",),
        params={"sn": "2"},
        seconds=1.5,
        rules=(RuleCount(rule="s/lose", matched=2, fired=1),),
        evidence={"T-001": 3, "T-002": 0},
        files={} if journal is None else {"journal": str(journal)},
    )


def same(records: Iterable[Record]) -> Mapping[int, Record]:
    """Give them by their numbers."""
    return {one.entry.n: one for one in records if isinstance(one.entry, Event)}


class Document(HTMLParser):
    """A page that was read: fails if an element is not ended where it has to be.

    `ids` are all there are, `hrefs` what is linked to, `text` all that is said outside of styles and scripts.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.hrefs: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.classes: list[str] = []
        self._said: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"never ended: {self._open}"

    @property
    def text(self) -> str:
        """All that is said."""
        return " ".join(" ".join(self._said).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.hrefs.append(value or "")
            elif name in ("src", "srcset", "action", "data", "poster", "background"):
                self.sources.append(value or "")
            elif name == "class":
                self.classes += (value or "").split()
            assert not name.startswith("on"), "no handlers in attributes"
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self._open, f"</{tag}> ends nothing"
            assert self._open[-1] == tag, f"</{tag}> where </{self._open[-1]}> has to be"
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self._said.append(data)
