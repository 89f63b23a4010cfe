"""Why rules fire or do not: what `iscsiproxy explain` says behind a run, said while it lasts."""

from __future__ import annotations

import random
from collections.abc import Iterable

from iscsiproxy.api.models import Explanation
from iscsiproxy.engine.explain import Explainer
from iscsiproxy.engine.explained import explanation_lines
from iscsiproxy.engine.facts import Reader
from iscsiproxy.language.spec import Scenario
from iscsiproxy.session.events import Event

__all__ = ["Explaining"]

#: How many scenarios are followed; the oldest is forgotten first
_MOST = 64


class Explaining:
    """A sink that wants PDUs; while it is `seeing` it is told of them. What breaks in it costs nobody a connection."""

    def __init__(self, state: Reader, scenarios: Iterable[Scenario]) -> None:
        self._state = state
        self._explainers: dict[str, Explainer] = {}
        self._late: set[str] = set()  #: what was armed before anything was seen
        self._broken: Exception | None = None
        self.seeing = False
        for scenario in scenarios:
            self.add(scenario)

    def __repr__(self) -> str:
        return f"<Explaining {len(self._explainers)} scenarios{', broken' if self._broken else ''}>"

    def add(self, scenario: Scenario) -> None:
        """Follow the rules of one more scenario."""
        explainer = Explainer((scenario,), rng=random.Random(0), state=self._state)
        self._explainers.pop(scenario.name, None)
        self._explainers[scenario.name] = explainer
        self._late.discard(scenario.name)
        if not self.seeing:
            self._late.add(scenario.name)
        if len(self._explainers) > _MOST:
            del self._explainers[next(iter(self._explainers))]

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
                lines = explanation_lines(one)
                if self._broken is not None:
                    lines.append(f"  it can be explained no further: {self._broken!r}")
                elif name in self._late:
                    lines.append("  PDUs were not looked at from the start: what came before is not in this")
                found.append(Explanation(rule=one.rule, fired=one.fired, lines=tuple(lines)))
        return tuple(found)
