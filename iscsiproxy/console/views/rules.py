"""Rules, why they fired, what the judge found, and what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from iscsiproxy.api.models import Armed, Cleared, Explanation, Finding, Findings, Recording, Rule
from iscsiproxy.console.lines import Line, Piece, cut, line, table
from iscsiproxy.console.views.events import timed

__all__ = ["armed", "cleared", "explanations", "findings", "recording", "rules", "switched"]

#: How much of a finding's proof is shown
_PROOF: Final = 4


def rules(found: Sequence[Rule], width: int) -> Iterator[Line]:
    """List rules and their counters; each as a line of the console below its name."""
    if not found:
        yield line("no rule is armed")
        return
    rows: list[tuple[Piece | str, ...]] = [
        (
            ("name", one.name),
            _state(one),
            str(one.matched),
            ("fault" if one.fired else "", str(one.fired)),
            _troubles(one),
            one.text,
        )
        for one in found
    ]
    for row in table(("RULE", "STATE", "MATCHED", "FIRED", "TROUBLE", "LINE"), rows, right=(2, 3)):
        yield cut(row, width)


def _state(rule: Rule) -> Piece:
    if rule.once:
        word = "waits" if rule.waiting else "done"
    elif not rule.armed:
        word = "disarmed"
    else:
        word = f"armed, {rule.waiting} wait" if rule.waiting else "armed"
    where = f" on {rule.conn}" if rule.conn is not None else ""
    return ("good" if rule.armed and not rule.once else "", word + where)


def _troubles(rule: Rule) -> Piece:
    words = [
        f"{getattr(rule, what)} {what}" for what in ("failed", "shadowed", "expired", "skipped") if getattr(rule, what)
    ]
    return ("alarm", ", ".join(words)) if words else ("", "-")


def armed(done: Armed, width: int) -> Iterator[Line]:
    """Tell what has come into force."""
    for one in done.rules:
        yield cut(line(("good", "done  " if one.once else "armed "), ("name", one.name), f"  {one.text}"), width)


def switched(found: Sequence[Rule], what: str) -> Iterator[Line]:
    """Tell which rules were armed, disarmed or taken out."""
    for one in found:
        counts = f"  matched {one.matched}, fired {one.fired}"
        yield line(("good", f"{what} "), ("name", one.name), counts)


def cleared(done: Cleared) -> Line:
    """Tell what was cleared."""
    text = f"cleared: {done.rules} rules out, {done.held} PDUs let go, {done.stalled} stalls ended"
    if done.reset:
        text += f"; reset: {', '.join(f'conn {conn}' for conn in done.reset)}, whose ends were told different things"
    return line(text)


def explanations(found: Sequence[Explanation], width: int) -> Iterator[Line]:
    """Show why rules did or did not fire."""
    if not found:
        yield line("no rule is armed")
    for one in found:
        for at, text in enumerate(one.lines):
            yield cut(line(("" if at else "name", text)), width)


def findings(found: Findings, width: int) -> Iterator[Line]:
    """Show what the judge found, with its proof."""
    if not found.checked:
        yield line("nobody judges this run: it was started without --check")
        return
    for one in found.findings:
        yield from _finding(one, width)
    counts = ", ".join(f"{number} {severity}" for severity, number in found.counts.items() if number)
    yield line(f"findings by {found.profile}: {counts or 'none'}")


def _finding(one: Finding, width: int) -> Iterator[Line]:
    times = f" ×{one.count}" if one.count > 1 else ""
    blame = f"the {one.blame}" if one.blame else "nobody: a fault did it"
    style = "alarm" if one.severity == "MUST" and not one.known else "bad" if not one.known else ""
    yield cut(line((style, one.severity), ("name", f" {one.rule} "), f"{one.title}{times}"), width)
    known = f", known: {one.known}" if one.known else ""
    yield cut(line(f"  {one.clause}; conn {one.conn}, {one.at:.3f}s, by {blame}{known}"), width)
    yield cut(line(f"  {one.text}"), width)
    for proof in one.proof[:_PROOF]:
        yield cut(line(f"  {proof.n:>7} {timed(proof.at)} {proof.leg[:1].upper():1} {proof.text}"), width)
    if len(one.proof) > _PROOF:
        yield line(f"          and {len(one.proof) - _PROOF} more")


def recording(now: Recording) -> Iterator[Line]:
    """Show what was recorded so far."""
    yield line(("alarm", "● ") if now.on else "", "recording" if now.on else "not recording")
    for text in now.lines:
        yield line("  ", text)
