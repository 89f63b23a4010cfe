"""Runs played on targets of our own, with windows short enough for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from iscsiproxy.language.spec import Moment, Pattern, Picks, Rule, Scenario
from iscsiproxy.peers.chap import Account
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import Medium, MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.peers.target.conduct import with_quirks
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.quirks import QUIRKS
from iscsiproxy.peers.target.server import TargetServer
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.proxy import Address
from iscsiproxy.report.model import RunResult
from iscsiproxy.runs.initiators import InitiatorSpec, parse_initiator
from iscsiproxy.runs.library import every
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.scenario import run_scenario
from iscsiproxy.runs.targets import IQN, Target, TargetSpec, opened, parse_target
from tests.faults.deviating import standing_before

__all__ = ["Own", "disarmed", "hastened", "play", "shipped_one", "written"]

#: Seconds: on a busy machine a barrier takes a few milliseconds, a window of silence no more than we give it. What has
#: to fire has its time, though: that may take a whole round of I/O.
_QUIET, _HANG, _WITHIN, _FIRES = 0.05, 2.0, 0.6, 4.0
_NEVER = Picks(nth=(1_000_000, 1_000_000))


def hastened(scenario: Scenario, *, hang: float = _HANG, within: float = _WITHIN) -> Scenario:
    """Give it short times."""
    expect = tuple(
        replace(one, within=None if one.within is None else min(one.within, within)) for one in scenario.expect
    )
    return replace(scenario, expect=expect, timing=replace(scenario.timing, quiet=_QUIET, hang=hang, within=within))


def shipped_one(name: str, settings: Mapping[str, str] | None = None) -> Scenario:
    """Give a scenario that ships, hastened."""
    (scenario,) = every([name], settings or {})
    return hastened(scenario)


def written(text: str, folder: Path, name: str = "x") -> Scenario:
    """Give the scenario of a text, hastened."""
    file = folder / f"{name}.yaml"
    file.write_text(f"scenario: {name}\n{text}")
    (scenario,) = every([str(file)], {})
    return hastened(scenario)


def disarmed(scenario: Scenario) -> Scenario:
    """Put every rule beyond reach."""
    machines = tuple(
        replace(machine, states=tuple(replace(state, rules=_beyond(state.rules)) for state in machine.states))
        for machine in scenario.machines
    )
    return replace(scenario, rules=_beyond(scenario.rules), machines=machines)


def _is_out_of_reach(scenario: Scenario) -> bool:
    steps = [step for rule in scenario.rules for moment in rule.when for step in moment.steps]
    return any(isinstance(step, Pattern) and step.picks == _NEVER for step in steps)


def _beyond(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    far = (replace(rule, when=tuple(map(_far, rule.when))) for rule in rules)
    return tuple(
        rule for rule in far if any(isinstance(step, Pattern) for moment in rule.when for step in moment.steps)
    )


def _far(moment: Moment) -> Moment:
    never = tuple(replace(step, picks=_NEVER) if isinstance(step, Pattern) else step for step in moment.steps)
    return replace(moment, steps=never)


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A target of our own that is set up otherwise than the runner's; `account` is the initiator's."""

    settings: TargetSettings
    quirks: tuple[str, ...] = ()
    account: Account | None = None
    medium: Medium | None = None


@asynccontextmanager
async def _set_up(own: Own) -> AsyncIterator[Target]:
    medium = MemoryMedium(65536, 512) if own.medium is None else own.medium
    unit = LogicalUnit(0, medium, UnitIdentity.derive(IQN, 0), target_name=IQN)
    node = Node({IQN: Device({0: unit})}, own.settings, with_quirks(QUIRKS[name] for name in own.quirks))
    server = TargetServer(node)
    spec = TargetSpec(kind="embedded", shown="own", account=own.account)
    async with trio.open_nursery() as nursery:
        ((host, port), *_) = await nursery.start(server.serve, (("127.0.0.1", 0),))
        yield Target(spec=spec, address=Address(host, port), name=IQN, lun=0, units=1, crashes=server.crashes)
        nursery.cancel_scope.cancel()


async def play(
    scenario: Scenario,
    *,
    target: str | Own = "embedded",
    initiator: str | InitiatorSpec = "embedded",
    patience: float = 20.0,
    steady: bool = True,
    listen: Address | None = None,
    folder: Path | None = None,
    interrupt: trio.Event | None = None,
    said: list[str] | None = None,
    behind: str = "",
) -> RunResult:
    """Play one run on a fresh target, which has a proxy with the rules `behind` in front of it if there are any."""
    words: list[str] = [] if said is None else said
    with trio.fail_after(60):
        async with AsyncExitStack() as stack:
            own = _set_up(target) if isinstance(target, Own) else opened(parse_target(target))
            here = await stack.enter_async_context(own)
            if behind:
                address = await stack.enter_async_context(standing_before(here.address, behind))
                here = replace(here, address=address)
            return await run_scenario(
                RunPlan(
                    name=scenario.name,
                    scenario=scenario,
                    target=here,
                    initiator=parse_initiator(initiator) if isinstance(initiator, str) else initiator,
                    seed=7,
                    timeout=patience,
                    fires=None if _is_out_of_reach(scenario) else _FIRES,
                    steady=steady,
                    listen=listen,
                    folder=folder,
                    capture=folder is not None,
                ),
                say=words.append,
                interrupt=trio.Event() if interrupt is None else interrupt,
            )
