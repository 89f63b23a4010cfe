"""Rules that come and go while connections last: the scenarios there are, and how they come into force."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from iscsiproxy.engine.commands import Resume
from iscsiproxy.engine.looking import Looking
from iscsiproxy.engine.machines import ActiveMachine
from iscsiproxy.engine.rules import ActiveRule, Counts
from iscsiproxy.language.spec import Scenario
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.opcodes import End

__all__ = ["Roster"]

#: How many rules that were taken out still have their counts told.
_MAX_PAST = 1024


class Roster(Looking):
    """The scenarios in force. What is done here takes effect between two PDUs, never inside one."""

    def rules(self) -> tuple[ActiveRule, ...]:
        """Give the rules there are, in the order in which they act."""
        return tuple(self._rules)

    def waiting(self) -> Counter[str]:
        """Count the firings of rules, by full name, that wait for something."""
        return Counter(chain.pausing[1].rule.name for chain in self._waiting if chain.pausing is not None)

    def counters(self) -> tuple[Counts, ...]:
        """Give the counts of every rule, in the order of the files."""
        return (*self._past, *(rule.counts for rule in self._rules))

    def unfired(self) -> tuple[str, ...]:
        """Name the rules that had to fire and never did."""
        return tuple(rule.name for rule in self._rules if not rule.rule.optional and not rule.counts.fired)

    def adopt(self, scenario: Scenario, *, only: Collection[int] | None = None) -> None:
        """Take in one more scenario, whose rules come into force behind all others; `only`: on these connections.

        To be called by way of `asked`. No other scenario has its name.
        """
        self._end_what_has_gone()
        there = len(self.negotiations)
        rules, machines = self._enrol(scenario, active=True)
        self.standing += self.negotiations[there:]
        for rule in rules:
            rule.only = None if only is None else frozenset(only)
        self._compile()
        self._begin(rules, machines)

    def dismiss(self, scenario: str) -> None:
        """Take a scenario out: its rules are over, what they hold goes on, what they stall too.

        To be called by way of `asked`. What it has begun and others rely on (numbers, logins under way) goes on.
        """
        mine = f"{scenario}/"
        self._retire({scenario})
        for negotiation in self.negotiations:
            if negotiation.rule.startswith(mine):
                negotiation.active = False
        for chain in list(self._waiting):
            chain.withdraw(lambda rule: rule.name.startswith(mine))
            if chain.pausing is not None and chain.pausing[1].rule.name.startswith(mine):
                if not chain.pausing[0].silences:  # a stall tells of its end itself
                    chain.pausing[1].report("ended", f"{scenario} was taken out")
                self.proceed(chain, "ended")
        for token in [token for token, rule in self.lasting.items() if rule.startswith(mine)]:
            del self.lasting[token]
            self.commands.append(Resume(token=token))
        self._forget({scenario})

    def _end_what_has_gone(self) -> None:
        """End what waits for something on connections alone that are no more."""
        for chain in list(self._waiting):
            rule = chain.pausing[1].rule if chain.pausing is not None else None
            if not isinstance(rule, ActiveRule) or rule.only is None:
                continue
            if all(self.glance(conn).view.conn.phase is Phase.CLOSED for conn in rule.only):
                self.proceed(chain, "ended")

    def _retire(self, scenarios: Collection[str]) -> None:
        """Take all rules of some scenarios out of force."""
        for rule in (*self._rules, *(one for machine in self._machines for one in machine.copies())):
            if rule.scenario in scenarios:
                rule.retire()

    def _forget(self, names: Collection[str]) -> None:
        """Drop scenarios that are over, and what there is of them but their counts."""
        gone = [rule for rule in self._rules if rule.scenario in names]
        books = {id(rule.captures) for rule in gone}
        self._past += [rule.counts for rule in gone]
        del self._past[:-_MAX_PAST]
        self._rules = [rule for rule in self._rules if rule.scenario not in names]
        self._machines = [one for one in self._machines if one.name.partition("/")[0] not in names]
        self._books = [book for book in self._books if id(book) not in books]
        self._scenarios = [one for one in self._scenarios if one.name not in names]
        self._reached.difference_update(names)
        # What has changed what two ends hold knows it as long as their connection lasts.
        over = [one for one in self.negotiations if not (one.active or one.needed)]
        self.negotiations = [one for one in self.negotiations if one not in over]
        self.standing[:] = [one for one in self.standing if one not in over]  # others have hold of this list
        self._compile()

    def switch(self, rules: Collection[str], *, on: bool) -> None:
        """Bring rules into force, or take them out, by their full names; what comes into force begins anew."""
        for rule in self._rules:
            if rule.name in rules:
                rule.switch(on, self.bring)

    # --- inside ---

    def _begin(self, rules: Sequence[ActiveRule], machines: Sequence[ActiveMachine]) -> None:
        for rule in rules:
            if rule.in_force:
                self.bring(rule)
        for machine in machines:
            machine.start([self._look(conn, End.INITIATOR, n=0) for conn in self._conns])
        for conn in self.open_connections():
            # Where full feature phase came first, it is now that both are ready.
            look = self._look(conn, End.INITIATOR, event="full-feature", n=self._connects.get(conn, 0))
            if look.view.conn.phase is Phase.FULL_FEATURE:
                self._see(rules, look)
