"""Events, findings and explanations."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from iscsiproxy.api.models.base import Asked, Line, Name, Number, Told

__all__ = ["Event", "EventQuery", "Explanation", "ExplanationQuery", "Finding", "FindingQuery", "Findings", "Proof"]


class EventQuery(Asked, frozen=True, kw_only=True):
    """Which events: those behind `since` (they are told again as far as they are kept), and with `follow` what comes.

    With `pdus` every PDU that comes in, and what goes out otherwise than it came; with `deliveries` all that goes out.
    `where` is a pattern of the language, and narrows PDUs: `SCSI-Command where W`. `conn` narrows all. At most `limit`
    are told.
    """

    since: Number | None = None
    follow: bool = True
    pdus: bool = False
    deliveries: bool = False
    where: Line | None = None
    conn: Number | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class Event(Told, frozen=True, kw_only=True):
    """One event.

    `event` names its kind: `received`, `delivered`, `connected`, `closed`, `fired`, `decided`, `finding`, …; `what`
    says more of some (a decision: `held`, `released`, `failed`, …). `left-out` tells that up to `count` events are
    missing here: this client was too slow, or they are no longer kept.
    """

    n: int
    at: float
    conn: int
    event: str
    text: str
    leg: str = ""
    label: str = ""
    rule: str = ""
    act: str = ""
    what: str = ""
    of: int | None = None
    rules: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    count: int = 0


class Proof(Told, frozen=True, kw_only=True):
    """An event that a finding stands on."""

    n: int
    at: float
    conn: int
    text: str
    leg: str = ""


class FindingQuery(Asked, frozen=True, kw_only=True):
    """Which findings: those behind event `since`."""

    since: Number = 0
    known: bool = False


class Finding(Told, frozen=True, kw_only=True):
    """One finding of the judge; `blame` is null where a fault did it, `count` how many of its kind there are."""

    rule: str
    title: str
    severity: str
    clause: str
    blame: str | None
    conn: int
    at: float
    n: int
    about: str
    text: str
    proof: tuple[Proof, ...]
    known: str = ""
    count: int = 1


class Findings(Told, frozen=True, kw_only=True):
    """What the judge has found; without a judge (`checked` false) that is nothing."""

    checked: bool
    profile: str
    findings: tuple[Finding, ...]
    counts: dict[str, int]


class ExplanationQuery(Asked, frozen=True, kw_only=True):
    """Of which rule: its full name, or that of its scenario."""

    rule: Name | None = None


class Explanation(Told, frozen=True, kw_only=True):
    """Why a rule did or did not fire, in lines for people."""

    rule: str
    fired: int
    lines: tuple[str, ...]
