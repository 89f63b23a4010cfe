"""What is right in a file and yet can never happen: rules that never fire, windows that never open, names never used.

A pattern is dead when its test contradicts itself or what is known of its PDUs, when nothing sends such a PDU in answer
to what it belongs to, when its picks let nothing through, or when a name it needs is bound by dead patterns only. What
is found holds for every run of a matrix; what cannot be told counts as possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from iscsiproxy.language.document import Listing, Node, Scalar, read_yaml
from iscsiproxy.language.overlaps import comes_first, covers, needs_pdu, plain, settles, takes_all
from iscsiproxy.language.parameters import PARAMETER
from iscsiproxy.language.possible import Surroundings, contradiction, rows
from iscsiproxy.language.spec import (
    Act,
    Binary,
    Bound,
    Expectation,
    In,
    Item,
    Literal_,
    Moment,
    Pattern,
    Position,
    Ref,
    Rule,
    Scenario,
    ValueKind,
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
from iscsiproxy.language.written import words_of
from iscsiproxy.wire.opcodes import End, Opcode, label_of, sender_of

__all__ = ["Finding", "never"]

Severity = Literal["error", "warning"]

_SCSI: Final = frozenset(
    {Opcode.SCSI_COMMAND, Opcode.DATA_OUT, Opcode.DATA_IN, Opcode.R2T, Opcode.SCSI_RESPONSE, Opcode.SNACK}
)
#: What shares an Initiator Task Tag (RFC 7143 4.2.5)
_FAMILIES: Final = (
    _SCSI,
    frozenset({Opcode.NOP_OUT, Opcode.NOP_IN}),
    frozenset({Opcode.TMF_REQUEST, Opcode.TMF_RESPONSE}),
    frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE}),
    frozenset({Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE}),
    frozenset({Opcode.LOGOUT_REQUEST, Opcode.LOGOUT_RESPONSE}),
)
_FAMILY: Final = {int(opcode): family for family in _FAMILIES for opcode in family}
#: Events that are seen on one leg only, and come from the initiator
_INITIATORS: Final = frozenset({"connect", "full-feature"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that can never happen. `what` is its kind, in one word; `line` and `column` count from 1."""

    what: str
    severity: Severity
    message: str
    file: str
    line: int
    column: int
    hint: str | None = None

    def __str__(self) -> str:
        mark = "warning: " if self.severity == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}: {mark}{self.message}{f' ({self.hint})' if self.hint else ''}"


def never(scenarios: Sequence[Scenario], text: str = "") -> tuple[Finding, ...]:
    """Find what can never happen in any run of a file; `text` is the file, for axes that are used nowhere."""
    found: dict[tuple[str, int, int], Finding] = {}
    for number, scenario in enumerate(scenarios):
        own = {(one.what, one.line, one.column): one for one in _Reading(scenario).findings()}
        found = {key: one for key, one in (own if not number else found).items() if key in own}
    axes = _unused_axes(scenarios[0], text) if scenarios and text else ()
    return tuple(sorted((*found.values(), *axes), key=lambda one: (one.line, one.column)))


def _finding(what: str, where: Position, message: str, hint: str | None = None, *, warn: bool = False) -> Finding:
    severity: Severity = "warning" if warn else "error"
    place = {"file": where.file, "line": where.line, "column": where.column}
    return Finding(what=what, severity=severity, message=message, hint=hint, **place)  # type: ignore[arg-type]


class _Reading:
    """One combination of a file: which names may be bound, and what is wrong with each pattern."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._dead: dict[int, Finding | None] = {}  #: by the identity of a pattern, its names aside
        machine_rules = tuple(rule for machine in scenario.machines for state in machine.states for rule in state.rules)
        self.rules = (*scenario.rules, *machine_rules)
        self._kinds = self._bound_by_patterns()
        self.live = self._live()

    def findings(self) -> Iterator[Finding]:
        """Find everything."""
        for rule in self.rules:
            yield from self._rule(rule)
        yield from self._unreachable()
        yield from _shadowed(self.scenario.rules)
        for expectation in self.scenario.expect:
            yield from self._expectation(expectation)
        yield from self._needs()
        yield from self._aftermath()
        yield from self._traffic()
        for pattern in self._patterns():
            yield from _reserved(pattern)
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
            self._dead[key] = _picks(pattern) or self._items(pattern)
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
            return _event(pattern, item) or self._contradiction(pattern, None)
        causes = []
        for opcode in sorted(item.opcodes):
            cause = self._unrelated(pattern, opcode) or self._contradiction(pattern, opcode)
            if cause is None:
                return None
            causes.append(cause)
        return causes[0]

    def _unrelated(self, pattern: Pattern, opcode: int) -> Finding | None:
        origins = self._kinds.get(pattern.of or "")
        if not origins or any(_may_belong(opcode, origin) for origin in origins):
            return None
        names = " or ".join(label_of(origin) for origin in sorted(origins))
        message = f"no {label_of(opcode)} ever belongs to `{pattern.of}`, which is a {names}"
        return _finding("belonging", pattern.position, message)

    def _contradiction(self, pattern: Pattern, opcode: int | None) -> Finding | None:
        settled: Mapping[str, str] | None = None
        if opcode is not None:
            settled = self._settled(pattern.leg or sender_of(opcode))
        found = contradiction(pattern.where, Surroundings(opcode, settled))
        return None if found is None else _finding("contradiction", found.where, found.why)

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
                    return _finding("unbound", where, f"`{name}` is bound by this very pattern only", hint)
                line = f"line {pattern.position.line}"
                return _finding(
                    "unbound", where, f"`{name}` is never bound: what binds it never happens", f"see {line}"
                )
        return _finding("unbound", where, f"`{name}` is never bound: what binds it never happens")

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
                    yield _finding(
                        f"half:{item.name}",
                        _place(cause),
                        f"this is never a {item.name}: {cause.message}",
                        warn=True,
                    )

    def _ends_early(self, rule: Rule) -> Iterator[Finding]:
        for end in rule.until:
            if len(end.steps) == 1 and all(comes_first(end.steps[0], moment) for moment in rule.when):
                message = (
                    f"{_called(rule)} can never fire: `until {end.text}` comes no later than `{rule.when[0].text}`"
                )
                yield _finding("until", end.position, message)

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
                    yield _finding("state", state.rules[0].position, message)

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
            yield _finding("window", one.position, "this window closes as it opens: `within` is 0")
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
                    yield _finding("covered", later.position, message, warn=True)
                    break

    def _needs(self) -> Iterator[Finding]:
        for need in self.scenario.needs:
            if (found := contradiction(need, Surroundings())) is not None:
                yield _finding("needs", found.where, f"every run is skipped: {found.why}")

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
                    yield _finding("aftermath", act.position, message, "`aftermath: recovers`")

    def _traffic(self) -> Iterator[Finding]:
        """Find rules for SCSI where the initiator is to do discovery only."""
        if self.scenario.traffic.get("io") != "discovery" or self.scenario.actor:
            return
        for rule in self.rules:
            for pattern in patterns_of(rule.when):
                if all(item.opcodes and item.opcodes <= _SCSI for item in pattern.items):
                    message = "there are no SCSI commands in `traffic: {io: discovery}`"
                    yield _finding("traffic", pattern.position, message, warn=True)

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
                yield _finding("unused", pattern.position, f"`{name}` is bound here and used nowhere", warn=True)


def _place(cause: Finding) -> Position:
    """Give the place of a finding."""
    return Position(cause.file, cause.line, cause.column)


# --- what a pattern says ---------------------------------------------------------------------------------------------


def _picks(pattern: Pattern) -> Finding | None:
    """Find picks that let nothing through: each counts what the one before it lets through."""
    picks = pattern.picks
    if picks.nth is None:
        return None
    reach, shown = picks.nth[1] - picks.nth[0] + 1, f"nth {picks.nth[0]}"
    if picks.nth[1] != picks.nth[0]:
        shown += f"..{picks.nth[1]}"
    if picks.every is not None:
        if picks.every > reach:
            message = f"`every {picks.every}` counts what `{shown}` lets through, which is {reach}"
            return _finding("picks", pattern.position, message, "write which ones with `nth` alone")
        reach //= picks.every
    if picks.mask and not any(picks.mask[index % len(picks.mask)] for index in range(min(reach, len(picks.mask)))):
        bits = "".join("1" if bit else "0" for bit in picks.mask)
        message = f"`mask {bits}` picks among what `{shown}` lets through, which is {reach}: none of them"
        return _finding("picks", pattern.position, message)
    return None


def _event(pattern: Pattern, item: Item) -> Finding | None:
    if item.name not in _INITIATORS:
        return None
    if pattern.sender in ("target", "proxy"):
        message = f"`{item.name}` is never from the {pattern.sender}: an initiator connects, and the proxy for it"
        return _finding("direction", pattern.position, message, "leave `from` out")
    if pattern.leg is End.TARGET:
        message = f"`{item.name}` is told of the initiator's leg only"
        return _finding("direction", pattern.position, message, "leave `at` out")
    return None


def _may_belong(opcode: int, origin: int) -> bool:
    """Tell whether a PDU may belong to another (RFC 7143 4.2.5), by what they are."""
    if Opcode.REJECT in (opcode, origin) or opcode == Opcode.TMF_REQUEST:
        return origin != Opcode.ASYNC or opcode == Opcode.REJECT
    if Opcode.ASYNC in (opcode, origin):
        return False  # it never has an Initiator Task Tag
    family = _FAMILY.get(origin)
    return family is None or opcode not in _FAMILY or opcode in family


def _reserved(pattern: Pattern) -> Iterator[Finding]:
    """Find codes that no standard has given a meaning."""
    opcodes = frozenset(opcode for item in pattern.items for opcode in item.opcodes)
    for row in rows(pattern.where) or ():
        for condition in row:
            expr = condition.expr
            pairs: list[tuple[object, object]] = []
            if isinstance(expr, Binary) and expr.op == "==":
                pairs = [(expr.left, expr.right), (expr.right, expr.left)]
            elif isinstance(expr, In):
                pairs = [(expr.operand, item) for item in expr.items]
            for ref, literal in pairs:
                if not (isinstance(ref, Ref) and isinstance(literal, Literal_) and ref.kind is ValueKind.CODE):
                    continue
                words = words_of(ref, opcodes)
                if words and isinstance(literal.value, int) and literal.value not in words:
                    message = f"no standard gives `{ref.path}` a value {literal.value:#x}"
                    yield _finding("reserved", literal.where, message, warn=True)


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
                yield _finding("shadowed", later.position, message, hint, warn=later.optional)
                break


# --- axes ------------------------------------------------------------------------------------------------------------


def _unused_axes(scenario: Scenario, text: str) -> Iterator[Finding]:
    if not scenario.axes:
        return
    tree = read_yaml(text, scenario.file)
    used = set(PARAMETER.findall("\n".join(_texts(tree))))
    for name in scenario.axes:
        if name not in used:
            where = scenario.sections["matrix"]
            yield _finding(
                f"axis:{name}", where, f"the axis `{name}` is used nowhere: its runs are all the same", warn=True
            )


def _texts(node: Node) -> Iterator[str]:
    if isinstance(node, Scalar):
        yield node.text
    elif isinstance(node, Listing):
        for item in node.items:
            yield from _texts(item)
    else:
        for entry in node.entries:
            yield entry.key.text
            yield from _texts(entry.value)
