"""The rows of a ladder: each PDU once, with what became of it, and beside them whatever else happened.

A journal has an event for each PDU that came and one for each that went; a row is both. What a fault did to a PDU, and
what the state of the session had to say of it, is marked on its row. `places` tells for each event which row shows it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from iscsiproxy.journal import (
    Closed,
    Connected,
    ConnectFailed,
    Decided,
    Delivered,
    Drawn,
    Ended,
    Event,
    Fired,
    FullFeature,
    IoDone,
    Lost,
    Noted,
    Pinged,
    Received,
    Record,
    Refused,
    Staged,
    Unframed,
    Violated,
)
from iscsiproxy.report.html.happenings import event_row
from iscsiproxy.report.html.row import WORDS, Drawing, Mark, Row

__all__ = ["Ladder", "Stage", "make_ladder"]

#: Acts that make a PDU late and nothing else
_LATE = frozenset({"delay", "stall", "throttle"})
#: What the engine decided that changes what is on the wire
_TOLD = frozenset({"failed", "swallowed", "expired"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a run, from `start` to `end` seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """All rows of a run in their order; `places` maps the number of an event to the place of its row.

    `left_out` counts the events behind those that there is room for, `lost` those that the journal lacks.
    """

    rows: tuple[Row, ...]
    places: Mapping[int, int]
    stages: tuple[Stage, ...] = ()
    conns: tuple[int, ...] = ()
    pdus: int = 0
    end: float = 0.0
    left_out: int = 0
    lost: int = 0


def make_ladder(records: Iterable[Record], cited: Collection[int] = (), *, limit: int = 200_000) -> Ladder:
    """Make the ladder of a journal. What is `cited`, by its number, has a row even if it is of no weight otherwise.

    No more than `limit` events are held in memory.
    """
    maker = _Maker(frozenset(cited))
    left_out = 0
    for number, record in enumerate(records):
        if number < limit:
            maker.take(record)
        elif isinstance(record.entry, Event):
            left_out += 1
    return maker.ladder(left_out)


class _Maker:
    """Gathers the events of a run by the PDU that they are of."""

    def __init__(self, cited: frozenset[int]) -> None:
        self._cited = cited
        self._first: list[Record] = []  # what a row begins with
        self._went: dict[int, list[Record]] = {}
        self._marks: dict[int, list[Mark]] = {}
        self._acts: dict[int, set[str]] = {}
        self._of: dict[int, int] = {}  # an event, and the one whose row shows it
        self._pdus: set[int] = set()
        self._lost = 0

    def __repr__(self) -> str:
        return f"<_Maker {len(self._first)} rows>"

    def take(self, record: Record) -> None:
        """Take the next record."""
        entry = record.entry
        match entry:
            case Received():
                self._pdus.add(entry.n)
                self._first.append(record)
            case Delivered():
                self._deliver(record, entry)
            case Fired():
                word = WORDS.get(entry.act, entry.act)
                mark = Mark(word=word, text=entry.text, rule=entry.rule, changes=entry.changes)
                if not self._marked(entry, entry.of, mark):
                    self._first.append(record)
                elif entry.of is not None:
                    self._acts.setdefault(entry.of, set()).add(entry.act)
            case Violated():
                text = f"{entry.text} ({entry.section})" if entry.section else entry.text
                if not self._marked(entry, entry.of, Mark(word="out of order", text=text)):
                    self._first.append(record)
            case Noted():
                if not self._marked(entry, entry.of, Mark(word="noted", text=entry.text, rule=entry.rule, quiet=True)):
                    self._first.append(record)
            case Decided(what=what):
                word = f"act {what}" if what == "failed" else what
                if what in _TOLD and self._marked(entry, entry.of, Mark(word=word, text=entry.text, rule=entry.rule)):
                    return
                self._aside(record, entry, entry.of, told=what in _TOLD)
            case Pinged(what="sent" | "answered"):
                word = "barrier" if entry.what == "sent" else "barrier answered"
                text = f"barrier {entry.barrier}, {entry.text}"
                if not self._marked(entry, entry.of, Mark(word=word, text=text, quiet=True)):
                    self._first.append(record)
            case IoDone(what="good"):
                self._aside(record, entry, None, told=False)
            case Lost() as lost:
                self._lost += lost.count
            case Connected() | ConnectFailed() | Refused() | Closed() | Unframed() | Staged() | Pinged() | IoDone():
                self._first.append(record)
            case FullFeature() | Drawn():
                self._first.append(record)
            case Ended():
                pass
            case _:
                if isinstance(entry, Event):
                    self._aside(record, entry, getattr(entry, "of", None), told=False)

    def _deliver(self, record: Record, entry: Delivered) -> None:
        source = entry.of if entry.of in self._pdus else None
        if source is None or entry.author:
            self._pdus.add(entry.n)
            self._first.append(record)
            return
        self._went.setdefault(source, []).append(record)
        self._of[entry.n] = source

    def _marked(self, entry: Event, of: int | None, mark: Mark) -> bool:
        """Mark the row of PDU `of`; False if there is none."""
        of = self._of.get(of, of) if of is not None else None
        if of is None or of not in self._pdus:
            return False
        self._marks.setdefault(of, []).append(mark)
        self._of[entry.n] = of
        return True

    def _aside(self, record: Record, entry: Event, of: int | None, *, told: bool) -> None:
        """Take what is worth no row: it has one if it has to be told, or somebody cites it and it is of no PDU."""
        of = self._of.get(of, of) if of is not None else None
        if of in self._pdus and of is not None:
            self._of[entry.n] = of
        elif told or entry.n in self._cited:
            self._first.append(record)

    def ladder(self, left_out: int) -> Ladder:
        """Make the rows of all that was taken."""
        rows: list[Row] = []
        places: dict[int, int] = {}
        for record in self._first:
            entry = record.entry
            assert isinstance(entry, Event)
            places[entry.n] = len(rows)
            if isinstance(entry, Received):
                rows.append(self._came(record, entry))
            elif isinstance(entry, Delivered):
                rows.append(self._made(record, entry))
            else:
                rows.append(event_row(record, entry))
        for n, of in self._of.items():
            if of in places:
                places.setdefault(n, places[of])
        end = max((row.at for row in rows), default=0.0)
        return Ladder(
            rows=tuple(rows),
            places=places,
            stages=_stages(rows, end),
            conns=tuple(sorted({row.conn for row in rows if row.conn})),
            pdus=len(self._pdus),
            end=end,
            left_out=left_out,
            lost=self._lost,
        )

    def _came(self, record: Record, entry: Received) -> Row:
        went = self._went.get(entry.n, [])
        acts = self._acts.get(entry.n, set())
        marks = list(self._marks.get(entry.n, ()))
        changes = tuple(change for one in went if isinstance(one.entry, Delivered) for change in one.entry.changes)
        drawing: Drawing = "whole"
        if not went:
            drawing = "never"
            if not marks:
                word = "not known to have been passed on" if self._lost else "not passed on"
                marks.append(Mark(word=word, quiet=True))
        elif changes or acts & {"set", "corrupt", "text", "resize"}:
            drawing = "changed"
        elif sum(isinstance(one.entry, Delivered) and not one.entry.start for one in went) > 1:
            drawing = "repeated"
        elif acts & _LATE:
            drawing = "late"
        if changes and not any(mark.changes for mark in marks):
            rule = _rules(went)
            marks.append(Mark(word="changed", rule=rule, changes=changes, quiet=not rule))
        for ok, what in ((record.header_digest_ok, "header"), (record.data_digest_ok, "data")):
            if ok is False:
                marks.append(Mark(word=f"{what} digest wrong", text=f"the {what} digest was wrong when it came"))
        return Row(
            n=entry.n,
            at=entry.at,
            conn=entry.conn,
            drawing=drawing,
            label=entry.pdu.label,
            sender=entry.leg,
            came=record,
            went=tuple(went),
            marks=tuple(marks),
            line=record.line,
            calm=not marks and drawing == "whole",
        )

    def _made(self, record: Record, entry: Delivered) -> Row:
        """Make the row of a PDU that is the proxy's own: what an act made, or a ping."""
        marks = list(self._marks.get(entry.n, ()))
        rule = _rules((record,))
        if rule or not marks:
            text = "it was made by the proxy" if entry.of is None else f"it was made by the proxy, out of #{entry.of}"
            marks.insert(0, Mark(word="by the proxy", text=text, rule=rule, changes=entry.changes, quiet=not rule))
        return Row(
            n=entry.n,
            at=entry.at,
            conn=entry.conn,
            drawing="made",
            label=entry.pdu.label,
            sender=entry.leg.other,
            went=(record,),
            marks=tuple(marks),
            line=record.line,
        )


def _rules(went: Iterable[Record]) -> str:
    rules = (rule for one in went if isinstance(one.entry, Delivered) for rule in one.entry.rules if rule)
    return ", ".join(dict.fromkeys(rules))


def _stages(rows: Iterable[Row], end: float) -> tuple[Stage, ...]:
    marks = [(row.label, row.at) for row in rows if row.drawing == "stage"]
    ends = [*[at for _, at in marks][1:], end]
    return tuple(Stage(name=name, start=at, end=stop) for (name, at), stop in zip(marks, ends, strict=False))
