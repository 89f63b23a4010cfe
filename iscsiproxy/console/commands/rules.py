"""Faults: rules and scenarios, from a line, a file or the library; and what came of them."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Literal

from iscsiproxy.api.models import Armed, Event, Rule, Vocabulary
from iscsiproxy.console.answer import Answer, said
from iscsiproxy.console.arguments import FileOrRule, Pairs, Pattern, RuleName, Scenario
from iscsiproxy.console.command import Command
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.lines import line
from iscsiproxy.console.views import rules as views
from iscsiproxy.console.views.events import event_line
from iscsiproxy.errors import UsageError

__all__ = ["arm", "clear", "disarm", "explain", "findings", "hold", "is_always_a_rule", "remove", "rule_line", "rules"]

#: How long is waited for what comes of an act that is done now, and for more of it once something came
_OUTCOME = 1.0
_MORE = 0.15
_OUTCOMES = frozenset({"held", "failed", "shadowed", "expired", "skipped"})
_FILES = (".yaml", ".yml")


async def rules(desk: Desk) -> Answer:
    """List the rules, with how often each matched and fired."""
    found = await desk.api.rules()
    return Answer(data=found, view=partial(views.rules, found))


async def rule_line(desk: Desk, text: str, *, now: bool) -> Answer:
    """Arm a line of the language; with `now` it has no moment, and what comes of it is shown."""
    conn = desk.used if now else None
    done = await desk.confirmed(lambda confirm: desk.api.arm(line=text, conn=conn, confirm=confirm))
    if not any(rule.once for rule in done.rules):
        return Answer(data=done, view=partial(views.armed, done))
    return await _outcome(desk, done)


async def _outcome(desk: Desk, done: Armed) -> Answer:
    """Wait for what comes of an act; the prompt shows it by itself."""
    events: list[Event] = []
    try:
        async with asyncio.timeout(_OUTCOME) as patience, desk.api.events(since=done.n) as stream:
            async for event in stream:
                if event.rule.partition("/")[0] == done.scenario and _tells(event):
                    events.append(event)
                    patience.reschedule(min(patience.when() or 0, asyncio.get_running_loop().time() + _MORE))
    except TimeoutError:
        pass
    if events and desk.live is not None and not desk.live.quiet:
        await desk.live.reach(events[-1].n)
        shown: list[Event] = []
    else:
        shown = events
    nothing = [] if events else [line("nothing came of it yet")]
    return Answer(
        data={"armed": done, "events": events},
        view=lambda width: [*(event_line(event, width) for event in shown), *nothing],
        failed=any(event.what == "failed" for event in events),
    )


def _tells(event: Event) -> bool:
    return event.event in ("fired", "noted") or event.what in _OUTCOMES


async def hold(desk: Desk, pattern: Pattern) -> Answer:
    """Hold PDUs of a pattern until they are released by hand.

    What follows a held PDU on its way waits behind it. `held` lists them; `show`, `edit`, `release`, `drop` and `step`
    take it from there.
    """
    return await rule_line(desk, f"hold {pattern}", now=False)


def is_always_a_rule(_command: Command, _rest: str, _vocabulary: Vocabulary) -> bool:
    """Take every line for a rule: the command is there for help and completion."""
    return True


async def arm(desk: Desk, what: FileOrRule, params: Pairs = ()) -> Answer:
    """Arm a scenario that ships, a file, or a disarmed rule.

    A file may have the name of a scenario that ships: write `./data_out_lost.yaml`, or its ending. Parameters and axes
    of a matrix are set with `-p`. All of a scenario comes into force between two PDUs, or nothing does.
    """
    known = await desk.api.rules()
    if any(what in (rule.name, rule.scenario) for rule in known):
        if params:
            raise UsageError(f"`{what}` is there already; `remove {what}` makes room for it with other parameters")
        return await _switch(desk, what, known, armed=True)
    text, scenario = None, None
    if what.endswith(_FILES) or "/" in what:
        text = await asyncio.to_thread(_read, Path(what))
    else:
        scenario = what
    done = await desk.confirmed(
        lambda confirm: desk.api.arm(
            text=text, scenario=scenario, file=what if text else "scenario", params=dict(params), confirm=confirm
        )
    )
    return Answer(data=done, view=partial(views.armed, done))


def _read(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except (OSError, RuntimeError) as error:  # no such file, or ~ of somebody who is not there
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text") from None


async def disarm(desk: Desk, what: RuleName) -> Answer:
    """Disarm a rule, a scenario, or `all`; `arm` brings them back."""
    known = await desk.api.rules()
    if what != "all":
        return await _switch(desk, what, known, armed=False)
    found: list[Rule] = []
    for scenario in dict.fromkeys(rule.scenario for rule in known):
        found += await desk.api.switch_scenario(scenario, armed=False)
    return said(*views.switched(found, "disarmed"), data=found)


async def _switch(desk: Desk, what: str, known: tuple[Rule, ...], *, armed: bool) -> Answer:
    if any(rule.scenario == what for rule in known):
        found = await desk.api.switch_scenario(what, armed=armed)
    else:
        scenario, _, rule = what.partition("/")
        found = (await desk.api.switch_rule(scenario, rule, armed=armed),)
    return said(*views.switched(found, "armed" if armed else "disarmed"), data=found)


async def remove(desk: Desk, scenario: Scenario) -> Answer:
    """Take a scenario out.

    What its rules hold goes on its way, and what they stall goes on.
    """
    found = await desk.api.remove(scenario)
    return said(*views.switched(found, "removed"), data=found)


async def clear(desk: Desk) -> Answer:
    """Take all rules out, let all PDUs go, end all stalls.

    F9, or Ctrl-X Ctrl-C, does the same at any time.
    """
    done = await desk.api.clear()
    return said(views.cleared(done), data=done)


async def findings(desk: Desk, what: Literal["all"] | None = None) -> Answer:
    """Show what the judge found.

    With `all`, those too that are known and accepted.
    """
    found = await desk.api.findings(known=what == "all")
    return Answer(data=found, view=partial(views.findings, found))


async def explain(desk: Desk, rule: RuleName | None = None) -> Answer:
    """Say why a rule did or did not fire: the nearest misses."""
    found = await desk.api.explain(rule=rule)
    if not found:
        return said("no rule is armed", data=found)
    return Answer(data=found, view=partial(views.explanations, found))
