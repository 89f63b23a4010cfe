"""What speaks against a run besides its expectations: hangs, wrong data, rules that never fired, acts that failed.

Data that the application found wrong is somebody's fault. It is the victim's, unless a rule has itself changed what is
written, or where, or has done I/O of its own; or the scenario expects it.

Of a rule the journal tells that an act fired, and on what; a firing counts unless the journal says of the same one that
an act failed, was shadowed, or waited in vain. An act that there was no need for is no firing by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from iscsiproxy.engine.negotiation import NEGOTIATE
from iscsiproxy.language.spec import NOWHERE, Expectation, Pattern, Position, Rule, Scenario
from iscsiproxy.runs.evidence import evidence_of
from iscsiproxy.runs.verdicts import Evidence, Result
from iscsiproxy.session.events import Bound, Decided, Delivered, Event, Fired, IoDone, Noted, Pinged

__all__ = ["Troubles"]

#: How many of a kind are told.
_SHOWN = 8
#: Acts by which the proxy does I/O of its own, or says of I/O that it was done.
_OWN_IO = frozenset({"answer", "inject", "probe", "replay", "resize", "swap"})
#: What says which data goes where; a part is named with its offset, a byte of the header by its number.
_PLACES = ("BHS", "BufferOffset", "CDB", "DesiredDataTransferLength", "EDTL", "ITT", "LUN", "Status", "data", "pad")


class Troubles:
    """Takes every event of a run, and says what was wrong with the run itself."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._rules = {f"{scenario.name}/{rule.name}": rule for rule in scenario.rules}
        self._firings: dict[tuple[str, int | None], Literal["fired", "needless", "undone"]] = {}
        self._reasons: dict[str, list[Evidence]] = {}
        self._hangs: list[Result] = []
        self._mismatches: list[Evidence] = []
        self._meddled = any(map(_expects_mismatch, scenario.expect))
        self._results: list[Result] = []

    def __repr__(self) -> str:
        return f"<Troubles {self._scenario.name} {len(self._hangs)} hangs, {len(self._results)} others>"

    def take(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case Fired() if self._ours(event.rule):
                self._meddled = self._meddled or event.act in _OWN_IO
                if self._firings.get(key := (event.rule, event.of)) != "undone":
                    self._firings[key] = "fired"
            case Bound() if event.rule in self._rules and not self._rules[event.rule].do:
                self._firings[event.rule, event.of] = "fired"
            case Decided() if self._ours(event.rule):
                self._decided(event)
            case Delivered() if event.rules:
                self._meddled = self._meddled or any(_misplaces(change.what) for change in event.changes)
            case IoDone(what="mismatch"):
                self._mismatches.append(evidence_of(event))
            case Pinged(what="hung"):
                self._hung(event)
            case Noted(rule="") if event.text.startswith("internal error"):
                self._add(Result(verdict="inconclusive", kind="check", text="the proxy", why=event.text), event)
            case _:
                pass

    def lost(self, count: int, *, needed: bool) -> None:
        """Take note that events are missing; `needed` while something was still to be decided."""
        if needed:
            why = f"{count} events are missing while something was to be decided"
            self._results.append(Result(verdict="inconclusive", kind="journal", text="the journal", why=why))

    def hangs(self) -> tuple[Result, ...]:
        """Give every hang."""
        return tuple(self._hangs)

    def results(self, unfired: Iterable[str] | None = None) -> tuple[Result, ...]:
        """Give everything else; `unfired` as in `Watch.troubles`."""
        names = tuple(self._unfired() if unfired is None else unfired)
        found = [*self._results, *map(self._never_fired, names)]
        if self._mismatches and not self._meddled:
            found.append(
                Result(
                    verdict="fail",
                    kind="data",
                    text="data is what was written",
                    why=f"what was read is something else: {self._mismatches[0].text}",
                    evidence=tuple(self._mismatches[:_SHOWN]),
                )
            )
        took = bool(self._scenario.negotiate) and bool(self._rules)
        if took and not names and "fired" not in self._firings.values():
            why = "the keys were settled so, but no rule met the traffic that they were for"
            where = self._scenario.sections.get("negotiate", NOWHERE)
            found.append(Result(verdict="inconclusive", kind="negotiate", text="negotiate", why=why, position=where))
        return tuple(found)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _decided(self, event: Decided) -> None:
        if event.what == "skipped" and event.rule != f"{self._scenario.name}/{NEGOTIATE}":
            self._firings.setdefault((event.rule, event.of), "needless")
            self._reasons.setdefault(event.rule, []).append(evidence_of(event))
        elif event.what == "skipped":
            where = self._scenario.sections.get("negotiate", NOWHERE)
            self._add(
                Result(verdict="skipped", kind="negotiate", text="negotiate", why=event.text, position=where), event
            )
        elif event.what in ("failed", "shadowed", "expired"):
            self._firings[event.rule, event.of] = "undone"
            self._reasons.setdefault(event.rule, []).append(evidence_of(event))
            if event.what == "failed":
                rule = event.rule.partition("/")[2]
                self._add(
                    Result(
                        verdict="inconclusive",
                        kind="act",
                        text=f"rule {rule}",
                        why=f"an act could not be done: {event.text}",
                        position=self._place(event.rule),
                    ),
                    event,
                )

    def _hung(self, event: Pinged) -> None:
        victim = self._scenario.victim in ("both", event.end.value)
        self._hangs.append(
            Result(
                verdict="fail" if victim else "inconclusive",
                kind="hang",
                text=f"the {event.end} answers within {self._scenario.timing.hang:g} s",
                why="neither an answer nor the end of the connection came" + (f": {event.text}" if event.text else ""),
                evidence=(evidence_of(event),),
                position=self._scenario.sections.get("timing", NOWHERE),
            )
        )

    def _add(self, result: Result, event: Event) -> None:
        if sum(one.kind == result.kind for one in self._results) < _SHOWN:
            self._results.append(
                Result(
                    verdict=result.verdict,
                    kind=result.kind,
                    text=result.text,
                    why=result.why,
                    evidence=(evidence_of(event),),
                    position=result.position,
                )
            )

    def _unfired(self) -> Iterable[str]:
        fired = {rule for (rule, _), how in self._firings.items() if how == "fired"}
        return (name for name, rule in self._rules.items() if not rule.optional and name not in fired)

    def _never_fired(self, name: str) -> Result:
        reasons = self._reasons.get(name, [])
        rule = self._rules.get(name)
        when = f" when {_when(rule)}" if rule is not None else ""
        why = f"it never came to its end: {reasons[0].text}" if reasons else "it never fired"
        return Result(
            verdict="inconclusive",
            kind="rule",
            text=f"rule {name.partition('/')[2]}{when}",
            why=why,
            evidence=tuple(reasons[:_SHOWN]),
            position=self._place(name),
        )

    def _place(self, name: str) -> Position:
        rule = self._rules.get(name)
        return NOWHERE if rule is None else rule.position

    def _ours(self, rule: str) -> bool:
        return rule.partition("/")[0] == self._scenario.name


def _when(rule: Rule) -> str:
    return " or ".join(moment.text for moment in rule.when)


def _expects_mismatch(expectation: Expectation) -> bool:
    lines: list[Pattern | None] = [expectation.pattern, *(outcome.pattern for outcome in expectation.outcomes)]
    return any(item.name == "io-mismatch" for pattern in lines if pattern is not None for item in pattern.items)


def _misplaces(what: str) -> bool:
    """Tell whether a change is one of data, or of where it belongs."""
    name = what.partition(".")[0].partition("+")[0]
    return name in _PLACES
