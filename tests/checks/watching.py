"""Courts with rules made up on the spot, and the moments that they saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from iscsiproxy.checks.court import Court
from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.profiles import DEFAULT
from iscsiproxy.checks.rules import ANY, Check, Family, Rule, Severity
from iscsiproxy.checks.scene.scene import Limits, Scene
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.journal import Lost
from iscsiproxy.session.events import Event
from iscsiproxy.wire.opcodes import End
from tests.checks.dialogue import records_of

__all__ = ["family", "moments", "only_session", "rule", "scene_after", "tried"]


def rule(check: Check, name: str = "T-999", **values: object) -> Rule:
    """Make a rule that is asked at everything, unless `values` say otherwise."""
    made = Rule(id=name, title="a rule", severity=Severity.MUST, clause="RFC 7143 1", check=check)
    asked = {"sent": ANY, "given": ANY} if not {"sent", "given", "spoiled", "closed"} & values.keys() else {}
    return replace(made, **asked | values)  # type: ignore[arg-type]


def family(*rules: Rule) -> Family:
    return Family(name="made-up", title="Made up", rules=rules)


def tried(text: str, *rules: Rule, end: End = End.TARGET, limits: Limits | None = None) -> tuple[Court, list[Finding]]:
    """Hold a dialogue against some rules; give the court and what it found."""
    found: list[Finding] = []
    court = Court(
        end, [family(*rules)], profile=DEFAULT, limits=Limits() if limits is None else limits, tell=found.append
    )
    for record in records_of(text):
        if isinstance(record.entry, Lost):
            court.missed()
        elif isinstance(record.entry, Event):
            court.tick(record.entry.at)
            court.take(record, record.entry)
    return court, found


def scene_after(text: str, end: End = End.TARGET) -> Scene:
    """Give the state of a leg behind a dialogue."""
    return tried(text, end=end)[0].scene


def only_session(text: str, end: End = End.TARGET) -> Session:
    """Give the one session that there is behind a dialogue."""
    (session,) = scene_after(text, end).sessions.values()
    return session


def moments(text: str, look: Callable[[Moment], object], end: End = End.TARGET) -> list[object]:
    """Give what `look` says of each PDU of the full feature phase, `None` left out."""
    seen: list[object] = []

    def check(moment: Moment) -> None:
        if moment.full_feature and (answer := look(moment)) is not None:
            seen.append(answer)

    court, _ = tried(text, rule(check, "T-999" if end is End.TARGET else "I-999"), end=end)
    assert not court.crashes, court.crashes
    return seen
