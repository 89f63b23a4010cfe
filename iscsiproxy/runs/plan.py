"""What one run is to be, and what is known of it before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from iscsiproxy.checks.known import Known
from iscsiproxy.checks.profiles import DEFAULT, Profile
from iscsiproxy.language.spec import Moment, Scenario, Wait
from iscsiproxy.proxy import Address
from iscsiproxy.runs.initiators import InitiatorSpec
from iscsiproxy.runs.needs import Fact
from iscsiproxy.runs.scratch import Extent
from iscsiproxy.runs.targets import Target

__all__ = ["RunPlan", "known_facts", "own_waits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """One run as it is asked for. Times are seconds.

    `timeout` bounds the steady state and the fault together; within `fires` every rule has to fire, without it in the
    time that the scenario gives a window. `folder` is where the journal goes, and with `capture`
    what was on the wire; None: nowhere. `listen` is where an external initiator is told to come. With `check` both ends
    are held to `profile` all the time, but for what is `known`.
    """

    name: str
    scenario: Scenario
    target: Target
    initiator: InitiatorSpec
    seed: int
    timeout: float
    fires: float | None = None
    extent: Extent | None = None
    steady: bool = True
    listen: Address | None = None
    folder: Path | None = None
    capture: bool = False
    check: bool = True
    profile: Profile = DEFAULT
    known: Known | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def known_facts(plan: RunPlan) -> dict[str, Fact]:
    """Give the facts about the run that rules and needs may ask for, as far as they are known."""
    facts: dict[str, Fact] = {
        "profile": str(plan.profile),
        "initiator.kind": plan.initiator.kind,
        "target.kind": plan.target.spec.kind,
    }
    if plan.initiator.kind == "embedded":
        facts["initiator.depth"] = int(str(plan.scenario.traffic.get("depth", "1")))
    if plan.target.units is not None:
        facts["target.LUs"] = plan.target.units
    return facts


def own_waits(scenario: Scenario) -> float:
    """Give how long the rules may wait by themselves before they fire, in seconds."""
    rules = [*scenario.rules, *(r for machine in scenario.machines for state in machine.states for r in state.rules)]
    return sum(max((_length(moment) for moment in rule.when), default=0.0) for rule in rules)


def _length(moment: Moment) -> float:
    return sum(step.high for step in moment.steps if isinstance(step, Wait))
