"""A run told by hand, event by event, and what the judge says of it: live, and of the journal it leaves behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from iscsiproxy.engine import SPECS
from iscsiproxy.journal import Journal, Record, read, record_of
from iscsiproxy.language import load, load_all
from iscsiproxy.language.spec import Scenario, Verdict
from iscsiproxy.runs.expectations import Watch
from iscsiproxy.runs.verdicts import Result
from iscsiproxy.session.events import Bound, Change, Decided, Delivered, Event, IoDone, Pinged, Staged
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.journal.story import Story, _When
from tests.language.samples import WORKED

__all__ = ["INITIATOR", "TARGET", "Tale", "judged", "results_of", "scenario_of", "verdicts", "worked"]

INITIATOR, TARGET = End.INITIATOR, End.TARGET


class Tale(Story):
    """A story of a scenario `x`; after `wait` the next event is so many seconds later."""

    def __init__(self, name: str = "x", *, victim: End = TARGET) -> None:
        super().__init__()
        self.name = name
        self.victim = victim
        self._late = 0.0
        self._barriers = 0
        self._tickets = 0
        self.logged_in()

    def _when(self) -> _When:
        when = super()._when()
        when["at"] += self._late
        return when

    def wait(self, seconds: float) -> Tale:
        """Let time pass."""
        self._late += seconds
        return self

    def on(self, conn: int) -> Tale:
        """Go on with another connection."""
        self.conn = conn
        return self

    def login(self, conn: int = 2) -> Tale:
        """Log in on another connection, and go on with it."""
        self.conn = conn
        self.logged_in()
        return self

    # --- what rules do ---

    def bound(self, name: str, of: int, *, made: bool = False, rule: str = "#1", each: bool = False) -> int:
        return self._add(Bound(rule=f"{self.name}/{rule}", name=name, of=of, made=made, each=each, **self._when()))

    def act(self, act: str, of: int | None, rule: str = "#1") -> int:
        """Have an act take effect."""
        return self.fired(f"{self.name}/{rule}", act, of, act)

    def dropped(self, pdu: Pdu, name: str = "", rule: str = "#1") -> int:
        """Have a PDU come in, be captured and not go."""
        n = self.came(pdu)
        if name:
            self.bound(name, n, rule=rule)
        self.act("drop", n, rule)
        return n

    def changed(self, pdu: Pdu, into: Pdu, name: str = "", rule: str = "#1") -> int:
        """Have a PDU come in, be captured and go out as another one."""
        n = self.came(pdu)
        if name:
            self.bound(name, n, rule=rule)
        self.act("set", n, rule)
        changes = [
            Change(what=name, old=str(pdu[name]), new=str(into[name]))
            for name in pdu.fields
            if name in into.fields and pdu[name] != into[name]
        ]
        self.went(into, n, rules=(f"{self.name}/{rule}",), changes=changes)
        return n

    def authored(self, pdu: Pdu, name: str = "", rule: str = "#1") -> int:
        """Have the proxy send a PDU of its own."""
        self._tickets += 1
        leg, rules = pdu.sender.other, (f"{self.name}/{rule}",) if rule else ()
        n = self._add(Delivered(leg=leg, pdu=pdu, of=None, rules=rules, author=self._tickets, **self._when()))
        if name:
            self.bound(name, n, made=True, rule=rule)
        return n

    def decide(
        self, what: Literal["failed", "shadowed", "expired", "skipped", "released"], of: int | None = None
    ) -> int:
        return self._add(Decided(rule=f"{self.name}/#1", what=what, of=of, text="so it is", **self._when()))

    def fault(self) -> int:
        """Have a fault that nothing is captured of reach the wire."""
        return self.act("drop", None)

    # --- barriers and stages ---

    def barrier(
        self,
        *texts: str,
        end: End | None = None,
        how: Literal["passed", "closed", "hung"] = "passed",
    ) -> None:
        """Have a barrier come to its end, at once."""
        self.sent(*texts, end=end)
        self.barrier_ended(*texts, end=end, how=how)

    def sent(self, *texts: str, end: End | None = None) -> int:
        """Have a barrier sent."""
        self._barriers += 1
        return self._ping("sent", end, texts)

    def barrier_ended(
        self, *texts: str, end: End | None = None, how: Literal["passed", "closed", "hung"] = "passed"
    ) -> int:
        """Have the last barrier come to its end."""
        return self._ping(how, end, texts)

    def _ping(self, what: Literal["sent", "passed", "closed", "hung"], end: End | None, texts: Sequence[str]) -> int:
        text = ", ".join(texts or ("expectation 1",))
        return self._add(Pinged(barrier=self._barriers, end=end or self.victim, what=what, text=text, **self._when()))

    def io(self, what: Literal["good", "error", "mismatch"]) -> int:
        return self._add(IoDone(what=what, text="a piece of I/O", **self._when()))

    def stage(self, stage: Literal["steady", "fault", "aftermath", "cleared"]) -> int:
        return self._add(Staged(stage=stage, **self._when()))


def scenario_of(expect: str, *, victim: str = "target", rules: str = "") -> Scenario:
    """Read a scenario called x that expects that; its rules capture `n` and drop."""
    rules = rules or "rules: [{when: SCSI-Command nth 1 as n, do: drop}]"
    text = f"scenario: x\nvictim: {victim}\n{rules}\nexpect:\n  - {expect}\n"
    return load(text, file="x.yaml", acts=SPECS, built=False)


def worked(name: str) -> Scenario:
    """Read a worked scenario, the first of its matrix."""
    return load_all((WORKED / f"{name}.yaml").read_text("utf-8"), file=f"{name}.yaml", acts=SPECS, built=False)[0]


def results_of(scenario: Scenario, records: Iterable[Record], *, now: float | None = None) -> tuple[Result, ...]:
    """Give what a watch says of some records at the end."""
    watch = Watch(scenario)
    last = 0.0
    for record in records:
        watch.take(record)
        if isinstance(record.entry, Event):
            last = record.entry.at
    watch.finish(last if now is None else now)
    return (*watch.results(), *watch.troubles())


def judged(scenario: Scenario, tale: Story) -> tuple[Result, ...]:
    """Give what is said of a tale: the same live and of its journal."""
    live = results_of(scenario, map(record_of, tale.events))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        journal = Journal(path, started=0.0)
        for event in tale.events:
            assert journal.record(event)
        journal.close()
        assert results_of(scenario, read(path)) == live
    return live


def verdicts(scenario: Scenario, tale: Story) -> list[Verdict]:
    """Give the verdict of each expectation, then of each hang."""
    return [result.verdict for result in judged(scenario, tale) if result.kind in ("expectation", "hang")]
