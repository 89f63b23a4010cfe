"""Why rules fire or do not: what `iscsiproxy explain` says behind a run, said while it lasts.

What acts have done is always known; what came near to a rule only while PDUs are looked at.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from iscsiproxy.api.models import Explanation
from iscsiproxy.engine.explain import Explainer
from iscsiproxy.engine.explained import explanation_lines
from iscsiproxy.engine.facts import Reader
from iscsiproxy.journal.secrets import veil_text
from iscsiproxy.language.spec import Scenario
from iscsiproxy.session.events import Event

__all__ = ["Explaining"]

#: How many scenarios are followed; the oldest is forgotten first
_MOST = 64


class Explaining:
    """A sink; while it is `seeing` it wants PDUs too. What breaks in it costs nobody a connection."""

    def __init__(self, state: Reader, scenarios: Iterable[Scenario]) -> None:
        self._state = state
        self._explainers: dict[str, Explainer] = {}
        self._late: set[str] = set()  #: what was in force while no PDUs were seen
        self._broken: Exception | None = None
        self.seeing = False
        for scenario in scenarios:
            self.add(scenario, 0.0)

    def __repr__(self) -> str:
        return f"<Explaining {len(self._explainers)} scenarios{', broken' if self._broken else ''}>"

    def add(self, scenario: Scenario, at: float) -> None:
        """Follow the rules of one more scenario, in force since `at`."""
        explainer = Explainer((scenario,), rng=random.Random(0), state=self._state, at=at)
        self._explainers.pop(scenario.name, None)
        self._explainers[scenario.name] = explainer
        self._late.discard(scenario.name)
        if not self.seeing:
            self._late.add(scenario.name)
        if len(self._explainers) > _MOST:
            oldest = next(iter(self._explainers))
            del self._explainers[oldest]
            self._late.discard(oldest)

    def look_away(self) -> None:
        """See no PDUs from now on."""
        if self.seeing:
            self.seeing = False
            self._late.update(self._explainers)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if self._broken is None:
            try:
                for explainer in self._explainers.values():
                    explainer.take(event)
            except Exception as error:  # noqa: BLE001 - told to who asks: it shall cost nobody a connection
                self._broken = error

    def explanations(self, rule: str | None) -> tuple[Explanation, ...]:
        """Say what became of all rules, or of those of that name or of that scenario."""
        found = []
        for name, explainer in self._explainers.items():
            for one in explainer.explanations():
                if rule is not None and rule not in (name, one.rule):
                    continue
                lines = [veil_text(line) for line in explanation_lines(one)]
                if self._broken is not None:
                    lines.append(f"  it can be explained no further: {self._broken!r}")
                elif name in self._late:
                    lines.append("  PDUs were not looked at all the time: what came meanwhile is not in this")
                found.append(Explanation(rule=one.rule, fired=one.fired, lines=tuple(lines)))
        return tuple(found)
