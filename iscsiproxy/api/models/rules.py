"""Rules, and how they are armed."""

from __future__ import annotations

import msgspec

from iscsiproxy.api.models.base import Asked, FileText, Line, Name, Number, Told

__all__ = ["Armed", "Arming", "Cleared", "Rule", "RuleSwitch"]


class Arming(Asked, frozen=True, kw_only=True):
    """What to arm: exactly one of `line`, `text` and `scenario`.

    `line` is the language of the console, `text` a scenario file (`file` is its name in messages), `scenario` one that
    ships. `params` are parameters and axes of a matrix. A line without a moment is done now, on `conn` or, if there is
    but one, on that connection; with `conn` a line's rule acts there only. `name` is what the scenario of a line is
    called.
    """

    line: Line | None = None
    text: FileText | None = None
    scenario: Name | None = None
    file: Name = "scenario"
    params: dict[str, str] = msgspec.field(default_factory=dict)
    conn: Number | None = None
    name: Name | None = None
    confirm: bool = False


class Rule(Told, frozen=True, kw_only=True):
    """One rule and its counters.

    `text` is the rule as a line of the console; `once` tells that it was a line without a moment, done at once.
    """

    name: str
    scenario: str
    text: str
    armed: bool
    optional: bool
    once: bool
    conn: int | None
    matched: int
    fired: int
    failed: int
    shadowed: int
    expired: int
    skipped: int
    waiting: int


class Armed(Told, frozen=True, kw_only=True):
    """What has come into force; `n` is the last event before it."""

    scenario: str
    rules: tuple[Rule, ...]
    n: int


class RuleSwitch(Asked, frozen=True, kw_only=True):
    """Arm or disarm."""

    armed: bool


class Cleared(Told, frozen=True, kw_only=True):
    """What was cleared: rules taken out, PDUs let go, stalls ended.

    `reset` are connections whose two ends had been told different things.
    """

    rules: int
    held: int
    stalled: int
    reset: tuple[int, ...]
