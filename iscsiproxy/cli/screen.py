"""What a run prints: one line an event, for people or as JSON.

People get the moment, the connection, the rule, the PDU and what was done to it; programs get one JSON object a line
with the same facts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TextIO

import click

from iscsiproxy.cli.plain import Lines
from iscsiproxy.journal.secrets import veil_change, veil_text
from iscsiproxy.session.events import (
    Change,
    ConnectFailed,
    Decided,
    Delivered,
    Event,
    Fired,
    Noted,
    Received,
    Unframed,
)
from iscsiproxy.session.wording import kind_of, line_of
from iscsiproxy.wire.describe import summary

__all__ = ["Screen"]

#: Decisions that tell of something gone wrong with a rule: shown without -v.
_ALARMING = frozenset({"failed", "shadowed", "expired"})


class Screen:
    """Prints events to `out`. `verbosity` 0: faults and failures; 1: connections and decisions; 2: every PDU."""

    def __init__(self, out: TextIO, *, as_json: bool, verbosity: int) -> None:
        self._print = Lines(out)
        #: Somebody else has the terminal: nothing is printed.
        self.muted = False
        self.as_json = as_json
        self._verbosity = verbosity

    @property
    def wants_pdus(self) -> bool:
        """Whether every PDU is to be shown."""
        return self._verbosity >= 2

    def __call__(self, event: Event) -> None:
        """Print an event, if it is to be shown."""
        if self.muted or self._verbosity < _level(event):
            return
        if self.as_json:
            self.json({"event": kind_of(event), "n": event.n, "at": round(event.at, 6), **_facts(event)})
        else:
            where = f"conn {event.conn:<3}" if event.conn else "        "
            self.line(f"{event.at:10.4f}s  {where} {veil_text(line_of(event))}", **_style(event))

    def json(self, facts: dict[str, Any]) -> None:
        """Print one JSON object on a line of its own."""
        if not self.muted:
            self._print(json.dumps(facts, ensure_ascii=False))

    def warn(self, text: str) -> None:
        """Print what is wrong with the run itself."""
        if self.as_json:
            self.json({"event": "warning", "text": text})
        else:
            self.line(text, fg="red")

    def line(self, text: str, **style: Any) -> None:
        """Print a line for people; colour only on a terminal."""
        if not self.muted:
            self._print(click.style(text, **style))


def _veiled(change: Change) -> Change:
    return veil_change(change, bearing=False)


def _level(event: Event) -> int:
    if isinstance(event, Received | Delivered):
        return 2
    if isinstance(event, Fired | ConnectFailed | Noted | Unframed):
        return 0
    if isinstance(event, Decided):
        return 0 if event.what in _ALARMING else 1
    return 1


def _style(event: Event) -> dict[str, Any]:
    if isinstance(event, Fired):
        return {"fg": "yellow", "bold": True}
    if isinstance(event, ConnectFailed | Unframed) or (isinstance(event, Decided) and event.what in _ALARMING):
        return {"fg": "red"}
    return {"dim": True} if isinstance(event, Received | Delivered) else {}


def _facts(event: Event) -> dict[str, Any]:
    """Give the event's own attributes as JSON values; PDUs as their one-line summary."""
    facts: dict[str, Any] = {"conn": event.conn}
    render: dict[str, Callable[[Any], Any]] = {
        "leg": str,
        "by": str,
        "pdu": summary,
        "changes": lambda changes: [{"what": c.what, "old": c.old, "new": c.new} for c in map(_veiled, changes)],
        "text": veil_text,
        "rules": list,
        "keys": dict,
    }
    for name in type(event).__dataclass_fields__:
        if name not in ("n", "at", "conn"):
            facts[name] = render.get(name, lambda value: value)(getattr(event, name))
    return facts
