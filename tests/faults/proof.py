"""The promise of a shipped scenario, and how it is held to it.

Conforming peers get the verdict that the standard gives them; a peer that deviates as the scenario looks for is found,
by what the scenario expects and not by chance; and with its rules out of reach it proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from iscsiproxy.language.spec import Scenario
from iscsiproxy.report.model import RunResult
from iscsiproxy.runs.library import every, shipped
from tests.faults.deviating import driving_through, free_port, standing_before
from tests.runs.playing import Own, disarmed, hastened, play

__all__ = ["Deviant", "Proof", "beside", "conforms", "deviates", "proves_nothing", "quirk", "runs_of"]


#: How long a scenario without its faults goes on, in seconds: some rounds of I/O, for nothing is to come.
_CALM = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviant:
    """A victim that fails: an embedded peer with quirks, or one that a proxy makes deviate by the rules of a scenario.

    `axes` choose the run of a matrix (its first, without). `verdict` is what comes of it.
    """

    name: str
    quirks: tuple[str, ...] = ()
    rules: str = ""
    axes: Mapping[str, str] = field(default_factory=dict)
    verdict: str = "fail"
    target: Own | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How a scenario is played. Times are seconds.

    `verdict` is that of conforming peers, or one for each run of a matrix, by `axis=value,…`. `within` and `hang`
    shorten the windows of the scenario and what counts as silence. `along` are rules of a proxy beside the conforming
    victim, which make it do what it would not by itself. Without `deviants` there is a `why`.
    """

    deviants: tuple[Deviant, ...] = ()
    verdict: str | Mapping[str, str] = "pass"
    target: str | Own = "embedded"
    initiator: str = "embedded"
    within: float = 0.6
    hang: float = 2.0
    patience: float = 20.0
    along: str = ""
    why: str = ""

    def expected(self, scenario: Scenario) -> str:
        """Give the verdict of conforming peers."""
        if isinstance(self.verdict, str):
            return self.verdict
        return self.verdict[",".join(f"{axis}={value}" for axis, value in scenario.axes.items())]


def quirk(*names: str, **more: Any) -> Deviant:
    """Give the victim with quirks of its own."""
    return Deviant(name="+".join(names), quirks=names, **more)


def beside(name: str, rules: str, **more: Any) -> Deviant:
    """Give the conforming victim with a proxy at its side that has these rules: all of a scenario but its name."""
    return Deviant(name=name, rules=rules, **more)


@cache
def runs_of(name: str) -> tuple[Scenario, ...]:
    """Give the runs of a shipped scenario."""
    return every([str(shipped()[name])], {})


async def conforms(scenario: Scenario, proof: Proof) -> None:
    """Hold conforming peers to a scenario: all its rules fire, and the verdict is theirs."""
    run = await _play(scenario, proof)
    assert run.verdict == proof.expected(scenario), _told(run)
    if run.verdict != "skipped":
        assert not [rule.rule for rule in run.rules if not rule.fired and not rule.optional], _told(run)


async def deviates(name: str, deviant: Deviant, proof: Proof) -> None:
    """Hold a deviating victim to a scenario: what it expects is not what came."""
    scenario = next(one for one in runs_of(name) if deviant.axes.items() <= one.axes.items())
    run = await _play(scenario, proof, deviant)
    assert run.verdict == deviant.verdict, _told(run)
    by = {"expectation", "aftermath", "hang"} if scenario.expect else {"aftermath", "hang", "invariant"}
    assert any(one.about in by and one.verdict == deviant.verdict for one in run.findings), _told(run)


async def proves_nothing(scenario: Scenario, proof: Proof) -> None:
    """See that a scenario whose rules never fire is inconclusive, whatever its expectations saw."""
    run = await _play(scenario, proof, calm=True)
    assert run.verdict == "inconclusive", _told(run)
    assert any(one.about == "rule" for one in run.findings), _told(run)


async def _play(scenario: Scenario, proof: Proof, deviant: Deviant | None = None, *, calm: bool = False) -> RunResult:
    if calm:
        hasty = disarmed(hastened(scenario, within=_CALM, hang=proof.hang))
    else:
        hasty = hastened(scenario, within=proof.within, hang=proof.hang)
    target: str | Own = proof.target
    initiator = proof.initiator
    more: dict[str, Any] = {}
    rules = proof.along if deviant is None else deviant.rules
    async with AsyncExitStack() as stack:
        if deviant is not None:
            target = deviant.target or target
            if deviant.quirks and scenario.victim == "initiator":
                initiator = f"embedded:{','.join(deviant.quirks)}"
            elif deviant.quirks:
                assert isinstance(target, str), "give the Own that has the quirks as `target`"
                target = f"embedded:{','.join(deviant.quirks)}"
        if rules and scenario.victim == "initiator":
            more["listen"] = portal = await free_port()
            stack.enter_context(driving_through(await stack.enter_async_context(standing_before(portal, rules))))
        elif rules:
            more["behind"] = rules
        return await play(
            hasty, target=target, initiator=initiator, patience=proof.patience, steady=bool(scenario.actor), **more
        )


def _told(run: RunResult) -> str:
    lines = [f"{run.name}: {run.verdict}"]
    for one in run.findings:
        lines += [f"  {one.about} {one.verdict} {one.text}", *[f"      {line}" for line in one.evidence]]
    lines += [f"  rule {rule.rule}: matched {rule.matched}, fired {rule.fired}" for rule in run.rules]
    return "\n".join(lines)
