"""Rules that come and go by way of the API: read, checked, looked at for harm, armed in one piece, and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from iscsiproxy.api.models import Arming, Rule
from iscsiproxy.api.server.refusal import Refusal, refusal_of
from iscsiproxy.engine import SPECS, Engine
from iscsiproxy.engine.byhand import BY_HAND
from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.rules import ActiveRule
from iscsiproxy.errors import FileError, UserError, meant
from iscsiproxy.language.harm import harm_of
from iscsiproxy.language.line import Line, load_line, read_line
from iscsiproxy.language.loader import load_all
from iscsiproxy.language.rendering import as_line
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy.relay import Relay

__all__ = ["Armoury", "Library", "Origin"]

#: Lines without a moment that are done: so many are still listed
_DONE_KEPT = 16
#: Acts that need no connection
_ANYWHERE = frozenset({"arm", "disarm", "note"})


class Library(Protocol):
    """The scenarios that ship."""

    def names(self) -> Iterable[str]:
        """Give their names."""

    def read(self, name: str) -> tuple[str, str]:
        """Give the text of one and its file. Raises KeyError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a scenario came from: a `line` of somebody's, done `once` and on `conn` only, or a file."""

    scenario: Scenario
    line: Line | None = None
    conn: int | None = None
    once: bool = False
    at: float = 0.0


class Armoury:
    """The scenarios that are in force, and how they get there."""

    def __init__(self, relay: Callable[[], Relay], library: Library, *, scratch: bool) -> None:
        self._relay = relay
        self._library = library
        self._scratch = scratch
        self._origins: dict[str, Origin] = {}
        self._lines = 0

    def __repr__(self) -> str:
        return f"<Armoury {len(self._origins)} scenarios by hand>"

    def origin(self, scenario: str) -> Origin | None:
        """Say where a scenario came from; None for one that was there from the start."""
        return self._origins.get(scenario)

    # --- arming ------------------------------------------------------------------------------------------------------

    def take_in(self, origin: Origin, engine: Engine) -> None:
        """Bring into force what was read, all of it between two PDUs."""
        self._tidy_up(engine)
        scenario = origin.scenario
        self._origins[scenario.name] = origin
        if scenario.name == _name(self._next):
            self._lines = self._next
        engine.adopt(scenario, only=None if origin.conn is None else [origin.conn])

    def would_be(self, origin: Origin) -> tuple[Rule, ...]:
        """Show the rules of what was read as they would be."""
        scenario = origin.scenario
        rules = [*scenario.rules, *(one for machine in scenario.machines for state in machine.states
                                    for one in state.rules)]  # fmt: skip
        return tuple(self._view(ActiveRule(scenario, rule, Book()), origin, 0) for rule in rules)

    @property
    def _next(self) -> int:
        """The number that the next line without a name has."""
        there = {rule.scenario for rule in self._relay_rules()}
        return next(number for number in count(self._lines + 1) if _name(number) not in there)

    def read(self, asked: Arming) -> Origin:
        """Read what is to be armed; nothing is. Raises Refusal for what is wrong, and what may do harm."""
        given = [name for name in ("line", "text", "scenario") if getattr(asked, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none of them"
            raise Refusal(400, f"expected one of `line`, `text` and `scenario`, got {got}")
        origin = self._line(asked) if asked.line is not None else self._file(asked)
        scenario = origin.scenario
        if scenario.actor:
            hint = "`iscsiproxy test` has one"
            raise Refusal(400, f"{scenario.name} wants an initiator of its own to act", hint=hint)
        names = {rule.scenario for rule in self._relay_rules()} | {BY_HAND}
        if scenario.name in names:
            hint = "take it out first, or switch it on again"
            raise Refusal(409, f"{scenario.name} is here already", hint=hint)
        if not self._scratch and not asked.confirm and (why := harm_of(scenario)):
            raise Refusal(
                409, f"this may corrupt data, and the target was not declared scratch: {why}", error="confirm"
            )
        return origin

    def _line(self, asked: Arming) -> Origin:
        assert asked.line is not None
        name = asked.name or _name(self._next)
        try:
            line = read_line(asked.line, acts=SPECS)
            scenario = load_line(line, name=name, acts=SPECS, params=asked.params)
        except FileError as error:
            raise refusal_of(error) from None
        conn = self._on(asked.conn, needed=line.now and any(act.name not in _ANYWHERE for act in scenario.rules[0].do))
        return Origin(scenario=scenario, line=line, conn=conn, once=line.now, at=self._relay().now)

    def _on(self, conn: int | None, *, needed: bool) -> int | None:
        """Give the connection that a line is about, if it has to be about one."""
        there = sorted(self._relay().pairs)
        if conn is not None:
            if conn not in there:
                raise Refusal(404, f"there is no connection {conn}", hint=_listed(there))
            return conn
        if not needed:
            return None
        if len(there) == 1:
            return there[0]
        if not there:
            raise Refusal(409, "there is no connection to do this on", hint="say when: it is done when that comes")
        raise Refusal(409, "there are several connections: say on which to do this", hint=_listed(there))

    def _file(self, asked: Arming) -> Origin:
        if asked.conn is not None or asked.name is not None:
            raise Refusal(400, "`conn` and `name` go with a `line` only")
        text, file = asked.text or "", asked.file
        if asked.scenario is not None:
            try:
                text, file = self._library.read(asked.scenario)
            except KeyError:
                hint = meant(asked.scenario, self._library.names(), "") or None
                raise Refusal(404, f"no scenario is called {asked.scenario}", hint=hint) from None
        try:
            return Origin(scenario=_scenario(text, file, asked.params))
        except FileError as error:
            raise refusal_of(error) from None
        except UserError as error:
            raise Refusal(400, str(error)) from None

    def _tidy_up(self, engine: Engine) -> None:
        """Take out lines that were done at once and are over, but for the last ones."""
        rules = {rule.scenario: rule for rule in engine.rules()}
        self._origins = {name: origin for name, origin in self._origins.items() if name in rules}
        waiting = engine.waiting()
        done = [
            name
            for name, origin in self._origins.items()
            if origin.once and rules[name].counts.matched and not waiting.get(rules[name].name)
        ]
        for name in done[:-_DONE_KEPT]:
            engine.dismiss(name)
            del self._origins[name]

    # --- what is in force --------------------------------------------------------------------------------------------

    def rules(self) -> tuple[Rule, ...]:
        """List the rules, in the order in which they act."""
        waiting = self._waiting()
        return tuple(
            self._view(rule, self._origins.get(rule.scenario), waiting.get(rule.name, 0))
            for rule in self._relay_rules()
        )

    def counts(self) -> tuple[int, int]:
        """Count the rules, and those of them that are armed: lines that were done at once are not."""
        rules = self._relay_rules()
        once = {name for name, origin in self._origins.items() if origin.once}
        return len(rules), sum(rule.armed_now and rule.scenario not in once for rule in rules)

    def rules_of(self, scenario: str) -> tuple[Rule, ...]:
        """List the rules of a scenario. Raises Refusal if there is none of that name."""
        found = tuple(one for one in self.rules() if one.scenario == scenario)
        if not found:
            known = list(dict.fromkeys(rule.scenario for rule in self._relay_rules()))
            raise Refusal(404, f"no scenario is armed that is called {scenario}", hint=meant(scenario, known))
        return found

    def named(self, scenario: str, rule: str | None) -> frozenset[str]:
        """Give the full names of the rules of a scenario, or of one of them. Raises Refusal."""
        there = {one.name for one in self.rules_of(scenario)}
        wanted = there if rule is None else {f"{scenario}/{rule}"}
        if not wanted <= there:
            hint = f"there are: {', '.join(sorted(name.partition('/')[2] for name in there))}"
            raise Refusal(404, f"{scenario} has no rule {rule}", hint=hint)
        return frozenset(wanted)

    def _relay_rules(self) -> tuple[ActiveRule, ...]:
        engine = self._relay().engine
        return engine.rules() if engine is not None else ()

    def _waiting(self) -> Mapping[str, int]:
        engine = self._relay().engine
        return engine.waiting() if engine is not None else {}

    def _view(self, rule: ActiveRule, origin: Origin | None, waiting: int) -> Rule:
        counts = rule.counts
        return Rule(
            name=rule.name,
            scenario=rule.scenario,
            text=origin.line.text if origin is not None and origin.line is not None else as_line(rule.rule),
            armed=rule.armed_now,
            optional=rule.rule.optional,
            once=origin is not None and origin.once,
            conn=None if origin is None else origin.conn,
            matched=counts.matched,
            fired=counts.fired,
            failed=counts.failed,
            shadowed=counts.shadowed,
            expired=counts.expired,
            skipped=counts.skipped,
            waiting=waiting,
        )


def _scenario(text: str, file: str, settings: Mapping[str, str]) -> Scenario:
    """Read a file as one run. Raises FileError, Refusal."""
    plain = load_all(text, file=file, acts=SPECS)
    params, axes = set(plain[0].params), set(plain[0].axes)
    for name in settings:
        if name not in params | axes:
            hint = meant(name, sorted(params | axes))
            raise Refusal(400, f"{plain[0].name} has no parameter {name!r}", hint=hint)
    found = load_all(
        text,
        file=file,
        acts=SPECS,
        params={name: value for name, value in settings.items() if name in params},
        axes={name: value for name, value in settings.items() if name in axes},
    )
    if len(found) > 1:
        wanted = ", ".join(f"{name}={value}" for name, value in found[0].axes.items())
        raise Refusal(400, f"{found[0].name} has a matrix of {len(found)} runs: choose one", hint=f"such as {wanted}")
    return found[0]


def _name(number: int) -> str:
    return f"line-{number}"


def _listed(conns: Iterable[int]) -> str:
    return f"there are: {', '.join(map(str, conns)) or 'none'}"
