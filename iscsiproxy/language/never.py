"""What is right in a file and yet can never happen: rules that never fire, windows that never open, names never used.

A pattern is dead when its test contradicts itself or what is known of its PDUs, when nothing sends such a PDU in answer
to what it belongs to, when its picks let nothing through, or when a name it needs is bound by dead patterns only. What
is found holds for every run of a matrix; what cannot be told counts as possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from iscsiproxy.language.document import read_yaml, texts
from iscsiproxy.language.findings import Finding, finding, place_of
from iscsiproxy.language.futile import cut_off, login_digests, unarmed
from iscsiproxy.language.overlaps import comes_first, covers, needs_pdu, plain, settles, takes_all
from iscsiproxy.language.parameters import PARAMETER
from iscsiproxy.language.possible import Surroundings, contradiction
from iscsiproxy.language.single import SCSI, may_belong, picks_nothing, reserved, wrong_way
from iscsiproxy.language.spec import (
    Act,
    Bound,
    Expectation,
    Item,
    Literal_,
    Moment,
    Pattern,
    Position,
    Rule,
    Scenario,
)
from iscsiproxy.language.walking import (
    binds,
    bounds_in,
    judged,
    mentions,
    moments_of,
    moments_of_rule,
    needed,
    patterns_of,
    whole,
)
from iscsiproxy.wire.opcodes import End, Opcode, label_of, sender_of

__all__ = ["Finding", "never"]

#: What a PDU that is seen where it comes in tells of its connection, Login PDUs and Rejects aside (RFC 7143 6.3)
_PHASES: Final = frozenset({"full-feature", "logout", "closed"})
_ANY_PHASE: Final = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.REJECT})
#: Acts that may draw an answer before there can be one
_UNTIMELY: Final = frozenset({"inject", "probe", "replay", "swap", "duplicate"})
#: What has become of a command that has only just come
_NEW: Final = {f"task.{name}": frozenset({0}) for name in ("received", "sent", "R2Ts")}


def never(scenarios: Sequence[Scenario], text: str = "") -> tuple[Finding, ...]:
    """Find what can never happen in any run of a file; `text` is the file, for axes that are used nowhere."""
    found: dict[tuple[str, int, int], Finding] = {}
    for number, scenario in enumerate(scenarios):
        own = {(one.what, one.line, one.column): one for one in _Reading(scenario).findings()}
        found = {key: one for key, one in (own if not number else found).items() if key in own}
    axes = _unused_axes(scenarios[0], text) if scenarios and text else ()
    return tuple(sorted((*found.values(), *axes), key=lambda one: (one.line, one.column)))


class _Reading:
    """One combination of a file: which names may be bound, and what is wrong with each pattern."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._dead: dict[int, Finding | None] = {}  #: by the identity of a pattern, its names aside
        machine_rules = tuple(rule for machine in scenario.machines for state in machine.states for rule in state.rules)
        self.rules = (*scenario.rules, *machine_rules)
        self._arriving = self._arrivals()
        self._kinds = self._bound_by_patterns()
        self.live = self._live()

    def findings(self) -> Iterator[Finding]:
        """Find everything."""
        for rule in self.rules:
            yield from self._rule(rule)
            yield from login_digests(rule)
        for act in self._acts():
            yield from cut_off(act)
        yield from unarmed(self.rules)
        yield from self._unreachable()
        yield from _shadowed(self.scenario.rules)
        for expectation in self.scenario.expect:
            yield from self._expectation(expectation)
        yield from self._needs()
        yield from self._aftermath()
        yield from self._traffic()
        for pattern in self._patterns():
            yield from reserved(pattern)
            yield from self._only_retries(pattern)
        yield from self._unused()

    # --- names ---

    def _patterns(self) -> Iterator[Pattern]:
        for rule in self.rules:
            yield from patterns_of(moments_of_rule(rule))
        for step in self.scenario.actor:
            yield from patterns_of(moments_of(step))
        for expectation in self.scenario.expect:
            yield from patterns_of((*expectation.after, *expectation.until))
            yield from judged(expectation)

    def _bound_by_patterns(self) -> Mapping[str, frozenset[int]]:
        """Give the opcodes of names that only patterns bind, and only to PDUs."""
        kinds: dict[str, set[int]] = {}
        others: set[str] = set()
        for pattern in self._patterns():
            if pattern.capture is not None:
                name = pattern.capture.name
                kinds.setdefault(name, set()).update(code for item in pattern.items for code in item.opcodes)
                if any(not item.opcodes for item in pattern.items):
                    others.add(name)
        for act in self._acts():
            others |= binds(act)
        return {name: frozenset(codes) for name, codes in kinds.items() if name not in others}

    def _acts(self) -> Iterator[Act]:
        for rule in self.rules:
            yield from rule.do
        yield from self.scenario.actor

    def _live(self) -> frozenset[str]:
        """Give the names that may be bound: the least set that the patterns allow."""
        live: set[str] = set()
        for act in self.scenario.actor:
            live |= binds(act)
        while True:
            before = len(live)
            for rule in self.rules:
                if any([self._bind(moment, live) for moment in rule.when]):  # noqa: C419 - each binds
                    for act in rule.do:
                        live |= binds(act)
                        for moment in moments_of(act):
                            self._bind(moment, live)
                for moment in rule.until:
                    self._bind(moment, live)
            for step in self.scenario.actor:
                for moment in moments_of(step):
                    self._bind(moment, live)
            for expectation in self.scenario.expect:
                for moment in (*expectation.after, *expectation.until):
                    self._bind(moment, live)
                for pattern in judged(expectation):
                    self._bind(Moment(steps=(pattern,)), live)
            if len(live) == before:
                return frozenset(live)

    def _bind(self, moment: Moment, live: set[str]) -> bool:
        """Follow a moment as far as it may come, with the names it binds; tell whether that is its end."""
        for step in moment.steps:
            if isinstance(step, Bound) and whole(step.name) not in live:
                return False
            if isinstance(step, Pattern):
                if self._static(step) is not None or not needed(step) <= live:
                    return False
                if step.capture is not None:
                    live.add(step.capture.name)
        return True

    # --- patterns ---

    def _static(self, pattern: Pattern) -> Finding | None:
        """Say why a pattern never matches, whatever is bound."""
        key = id(pattern)
        if key not in self._dead:
            self._dead[key] = picks_nothing(pattern) or self._items(pattern)
        return self._dead[key]

    def _items(self, pattern: Pattern) -> Finding | None:
        causes = []
        for item in pattern.items:
            cause = self._item(pattern, item)
            if cause is None:
                return None
            causes.append(cause)
        return causes[0]

    def _item(self, pattern: Pattern, item: Item) -> Finding | None:
        """Say why a pattern never matches one of its PDUs or events."""
        if not item.opcodes:
            return wrong_way(pattern, item) or self._contradiction(pattern, None)
        causes = []
        for opcode in sorted(item.opcodes):
            cause = self._unrelated(pattern, opcode) or self._contradiction(pattern, opcode)
            if cause is None:
                return None
            causes.append(cause)
        return causes[0]

    def _unrelated(self, pattern: Pattern, opcode: int) -> Finding | None:
        origins = self._kinds.get(pattern.of or "")
        if not origins or any(may_belong(opcode, origin) for origin in origins):
            return None
        names = " or ".join(label_of(origin) for origin in sorted(origins))
        message = f"no {label_of(opcode)} ever belongs to `{pattern.of}`, which is a {names}"
        return finding("belonging", pattern.position, message)

    def _contradiction(self, pattern: Pattern, opcode: int | None) -> Finding | None:
        found = contradiction(pattern.where, self._around(pattern, opcode))
        return None if found is None else finding("contradiction", found.where, found.why)

    def _around(self, pattern: Pattern, opcode: int | None) -> Surroundings:
        """Tell what is known where a pattern looks at a PDU."""
        if opcode is None:
            return Surroundings()
        end = sender_of(opcode)
        known = {}
        if end in self._arriving.get(id(pattern), ()) and opcode not in _ANY_PHASE and opcode in set(Opcode):
            known["conn.phase"] = _PHASES
        return Surroundings(opcode, self._settled(pattern.leg or end), known)

    def _arrivals(self) -> Mapping[int, frozenset[End]]:
        """Give the patterns of rules, by identity, with the ends whose PDUs come only when they may.

        An expectation may well speak of what must not come, and an actor may send what it likes.
        """
        if self.scenario.actor:
            return {}
        untimely = any(act.name in _UNTIMELY for act in self._acts())
        ends = frozenset({End.INITIATOR} if untimely else End)
        patterns = (pattern for rule in self.rules for pattern in patterns_of(moments_of_rule(rule)))
        return {id(one): ends for one in patterns if one.leg is None and one.sender != "proxy"}

    def _only_retries(self, pattern: Pattern) -> Iterator[Finding]:
        """Find a command that is looked for by what can have become of one only that has been there before."""
        plainly = all(item.opcodes == {Opcode.SCSI_COMMAND} for item in pattern.items)
        if not plainly or pattern.of is not None or self._static(pattern) is not None:
            return
        around = self._around(pattern, Opcode.SCSI_COMMAND)
        found = contradiction(pattern.where, replace(around, known={**around.known, **_NEW}))
        if found is not None:
            message = f"nothing but a retry matches this: {found.why} for a new command"
            hint = "a rule sees a PDU before it counts: look at the R2T, Data-Out or Data-In that changes it"
            yield finding("retry", found.where, message, hint, warn=True)

    def _settled(self, leg: End) -> Mapping[str, str]:
        told = self.scenario.negotiate.get(leg, {})
        return {
            key: expr.value
            for key, expr in told.items()
            if isinstance(expr, Literal_) and isinstance(expr.value, str) and "," not in expr.value
        }

    def _moment(self, moment: Moment) -> Finding | None:
        """Say why a moment never comes."""
        bound: set[str] = set()
        for step in moment.steps:
            if isinstance(step, Bound) and whole(step.name) not in self.live:
                return self._unbound(moment.position, whole(step.name))
            if isinstance(step, Pattern):
                dead = self._static(step)
                if dead is not None:
                    return dead
                for name in sorted(needed(step) - self.live - bound):
                    return self._unbound(step.position, name)
                if step.capture is not None:
                    bound.add(step.capture.name)
        return None

    def _unbound(self, where: Position, name: str) -> Finding:
        for pattern in self._patterns():
            if pattern.capture is not None and pattern.capture.name == name:
                if pattern.position == where:
                    hint = "a pattern cannot need the name that it binds"
                    return finding("unbound", where, f"`{name}` is bound by this very pattern only", hint)
                line = f"line {pattern.position.line}"
                return finding("unbound", where, f"`{name}` is never bound: what binds it never happens", f"see {line}")
        return finding("unbound", where, f"`{name}` is never bound: what binds it never happens")

    # --- rules ---

    def _rule(self, rule: Rule) -> Iterator[Finding]:
        causes = [self._moment(moment) for moment in rule.when]
        dead = all(cause is not None for cause in causes)
        for cause in causes:
            if cause is not None and dead:
                yield replace(cause, message=f"{_called(rule)} can never fire: {cause.message}")
            elif cause is not None:
                yield replace(cause, severity="warning", message=f"this moment never comes: {cause.message}")
        if not dead:
            yield from self._half_dead(rule)
            yield from self._ends_early(rule)
            for act in rule.do:
                for moment in moments_of(act):
                    if (cause := self._moment(moment)) is not None:
                        yield replace(cause, message=f"`{act.name}` waits for what never happens: {cause.message}")

    def _half_dead(self, rule: Rule) -> Iterator[Finding]:
        """Find PDUs of a pattern that never match while others do."""
        for pattern in patterns_of(rule.when):
            if len(pattern.items) < 2 or self._static(pattern) is not None:
                continue
            for item in pattern.items:
                if (cause := self._item(pattern, item)) is not None:
                    yield finding(
                        f"half:{item.name}",
                        place_of(cause),
                        f"this is never a {item.name}: {cause.message}",
                        warn=True,
                    )

    def _ends_early(self, rule: Rule) -> Iterator[Finding]:
        for end in rule.until:
            if len(end.steps) == 1 and all(comes_first(end.steps[0], moment) for moment in rule.when):
                message = (
                    f"{_called(rule)} can never fire: `until {end.text}` comes no later than `{rule.when[0].text}`"
                )
                yield finding("until", end.position, message)

    def _unreachable(self) -> Iterator[Finding]:
        """Find states that nothing goes to."""
        for machine in self.scenario.machines:
            if not machine.states:
                continue
            reached = {machine.states[0].name}
            by_name = {state.name: state for state in machine.states}
            waiting = list(reached)
            while waiting:
                for rule in by_name[waiting.pop()].rules:
                    for act in rule.do:
                        name = act.params.get("state") if act.name == "goto" else None
                        if isinstance(name, str) and name in by_name and name not in reached:
                            reached.add(name)
                            waiting.append(name)
            for state in machine.states:
                if state.name not in reached and state.rules:
                    message = f"nothing goes to the state `{state.name}` of `{machine.name}`: its rules can never fire"
                    yield finding("state", state.rules[0].position, message)

    # --- expectations ---

    def _expectation(self, one: Expectation) -> Iterator[Finding]:
        opening = [self._moment(moment) for moment in one.after]
        if opening and all(cause is not None for cause in opening):
            cause = opening[0]
            assert cause is not None
            yield replace(cause, what="window", message=f"this window never opens: {cause.message}")
            return
        for moment in one.until:
            if (cause := self._moment(moment)) is not None:
                message = f"this `until` never comes: {cause.message}"
                yield replace(cause, what="window", severity="warning", message=message)
        if one.within == 0:
            yield finding("window", one.position, "this window closes as it opens: `within` is 0")
        for pattern in judged(one):
            if (cause := self._moment(Moment(steps=(pattern,), position=pattern.position))) is not None:
                if one.head in ("exactly", "at_least"):
                    yield replace(cause, message=f"this can never be met: {cause.message}")
                else:
                    yield replace(cause, severity="warning", message=f"this says nothing: {cause.message}")
        lines = [outcome.pattern for outcome in one.outcomes if outcome.pattern is not None]
        for number, later in enumerate(lines):
            for earlier in lines[:number]:
                if plain(earlier) and covers(earlier, later):
                    message = f"this line never decides: `{earlier.text}` above means all of it"
                    yield finding("covered", later.position, message, warn=True)
                    break

    def _needs(self) -> Iterator[Finding]:
        for need in self.scenario.needs:
            if (found := contradiction(need, Surroundings())) is not None:
                yield finding("needs", found.where, f"every run is skipped: {found.why}")

    def _aftermath(self) -> Iterator[Finding]:
        """Find a connection that is to survive although a rule that has to fire closes it."""
        if self.scenario.aftermath != "survives" or self.scenario.actor:
            return
        for rule in self.scenario.rules:
            for act in rule.do:
                params = act.params
                here = params.get("conn") is None and params.get("end") == "both"
                if act.name == "close" and here and rule.armed and not rule.optional:
                    message = "the connection that is to survive (`aftermath`) is closed here"
                    yield finding("aftermath", act.position, message, "`aftermath: recovers`")

    def _traffic(self) -> Iterator[Finding]:
        """Find rules for SCSI where the initiator is to do discovery only."""
        if self.scenario.traffic.get("io") != "discovery" or self.scenario.actor:
            return
        for rule in self.rules:
            for pattern in patterns_of(rule.when):
                if all(item.opcodes and item.opcodes <= SCSI for item in pattern.items):
                    message = "there are no SCSI commands in `traffic: {io: discovery}`"
                    yield finding("traffic", pattern.position, message, warn=True)

    # --- names that nobody uses ---

    def _unused(self) -> Iterator[Finding]:
        used: set[str] = set()
        for pattern in self._patterns():
            used |= needed(pattern)
        for rule in self.rules:
            used |= {whole(step.name) for step in bounds_in(moments_of_rule(rule))}
        for expectation in self.scenario.expect:
            used |= {whole(step.name) for step in bounds_in((*expectation.after, *expectation.until))}
        for act in self._acts():
            used |= mentions(act)
            used |= {whole(step.name) for step in bounds_in(moments_of(act))}
        seen: set[str] = set()
        for pattern in self._patterns():
            if pattern.capture is not None and (name := pattern.capture.name) not in used and name not in seen:
                seen.add(name)
                yield finding("unused", pattern.position, f"`{name}` is bound here and used nowhere", warn=True)


# --- rules and acts --------------------------------------------------------------------------------------------------


def _called(rule: Rule) -> str:
    return f"rule `{rule.name}`" if not rule.name.startswith("#") else "this rule"


def _shadowed(rules: Sequence[Rule]) -> Iterator[Finding]:
    """Find rules whose PDUs an earlier rule always settles."""
    for number, later in enumerate(rules):
        for earlier in rules[:number]:
            act = settles(earlier)
            if act and not later.until and takes_all(earlier, later) and needs_pdu(later, act):
                message = f"{_called(later)} can never fire: line {earlier.position.line} does `{act}` to all of these"
                hint = "the first rule that settles a PDU's fate wins; put the narrower one above"
                yield finding("shadowed", later.position, message, hint, warn=later.optional)
                break


# --- axes ------------------------------------------------------------------------------------------------------------


def _unused_axes(scenario: Scenario, text: str) -> Iterator[Finding]:
    if not scenario.axes:
        return
    tree = read_yaml(text, scenario.file)
    used = set(PARAMETER.findall("\n".join(texts(tree))))
    for name in scenario.axes:
        if name not in used:
            where = scenario.sections["matrix"]
            yield finding(
                f"axis:{name}", where, f"the axis `{name}` is used nowhere: its runs are all the same", warn=True
            )
