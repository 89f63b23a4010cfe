"""`iscsiproxy explain`: say from a journal why a rule did or did not fire."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from iscsiproxy.engine.explain import Explainer
from iscsiproxy.engine.explanations import Explanation, StepFacts
from iscsiproxy.engine.misses import Miss
from iscsiproxy.errors import UsageError
from iscsiproxy.journal import Header, Record, read
from iscsiproxy.journal.records import Ended, Lost, Unknown
from iscsiproxy.runs.library import every, shipped
from iscsiproxy.runs.replaying import Replay

__all__ = ["command", "explain_records", "explanation_facts", "explanation_lines"]


@click.command(name="explain")
@click.argument("journal", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--faults", multiple=True, metavar="FILE|NAME",
              help="A scenario; may be repeated.  [default: what the journal names: the run's file as it is now, or "
              "what ships]")  # fmt: skip
@click.option("-p", "params", multiple=True, metavar="NAME=VALUE", help="Set a parameter, or a value of a matrix.")
@click.option("--rule", "rules", multiple=True, metavar="NAME", help="Only this rule; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a rule.")
def command(
    journal: Path, faults: tuple[str, ...], params: tuple[str, ...], rules: tuple[str, ...], as_json: bool
) -> None:
    """Say why a rule did or did not fire.

    For each rule: what was seen of its kind, how far its moments came, and what came nearest to a match, with the
    condition that failed and the values on both sides. The scenarios may be others than those of the run: what would
    they have matched?
    """
    settings = _pairs(params)
    with read(journal) as reader:
        names, values = (faults, {}) if faults else _named(reader.header)
        scenarios = every(names, values | settings)
        explainer = explain_records(reader, scenarios, seed=reader.header.seed or 0)
    found = [one for one in explainer.explanations() if not rules or _is(one, rules)]
    if rules and not found:
        known = ", ".join(one.rule for one in explainer.explanations())
        raise UsageError(f"no rule is called {' or '.join(rules)} (there are {known})")
    for one in found:
        if as_json:
            click.echo(json.dumps(explanation_facts(one), ensure_ascii=False))
        else:
            for line in explanation_lines(one):
                click.echo(line)
    if not as_json and any(not one.fired for one in found):
        kinds = ", ".join(f"{name} {number}" for name, number in explainer.kinds.most_common(8))
        click.echo(f"in this run there were: {kinds or 'no PDUs at all'}")


def _is(explanation: Explanation, names: Sequence[str]) -> bool:
    return explanation.rule in names or explanation.rule.partition("/")[2] in names


def _pairs(params: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for param in params:
        name, equals, value = param.partition("=")
        if not equals or not name:
            raise UsageError(f"-p {param!r}: expected name=value")
        pairs[name] = value
    return pairs


def _named(header: Header) -> tuple[tuple[str, ...], dict[str, str]]:
    """Give the scenarios that a journal names, and what it knows of their parameters.

    That of a judged run says where the file was, and which run of a matrix it is.
    """
    if not header.scenarios:
        raise UsageError("the journal names no scenario: say which with --faults")
    facts = header.facts
    file = facts.get("file")
    if file and Path(file).is_file():
        return (file,), {**facts.get("params", {}), **facts.get("axes", {})}
    lacking = [name for name in header.scenarios if name not in shipped()]
    if lacking:
        gone = f" ({file} is gone)" if file else ""
        raise UsageError(f"{', '.join(lacking)} does not ship with the program{gone}: say where it is with --faults")
    return header.scenarios, {}


def explain_records(records: Iterator[Record], scenarios: Sequence[Any], *, seed: int) -> Explainer:
    """Go through a journal again, with the rules of some scenarios."""
    replay = Replay(records)
    explainer = Explainer(scenarios, rng=random.Random(seed), state=replay.state)
    for record in replay:
        if not isinstance(record.entry, Lost | Ended | Unknown):
            explainer.take(record.entry, record.line)
    return explainer


# --- words -----------------------------------------------------------------------------------------------------------


def explanation_lines(one: Explanation) -> list[str]:
    """Say in a few lines what became of a rule."""
    lines = [f"rule {one.rule} ({one.where.file}:{one.where.line}): {_outcome(one)}"]
    for moment in one.when:
        lines.append(f"  when {moment.text}")
        if one.fired and moment.met:
            continue
        lines += [f"    {line}" for line in _steps(moment.steps, moment.met)]
    if not one.fired:
        text = "\n".join(lines)
        for name, binder in one.binders.items():
            if f"`{name}` is not bound" in text or f"not `{name}`: it is not bound" in text or "never bound" in text:
                lines.append(f"  `{name}` is bound by {'this very rule' if binder == one.rule else f'rule {binder}'}")
    lines += [f"  {reason}{f' ({number} times)' if number > 1 else ''}" for reason, number in one.reasons.items()]
    return lines


def _outcome(one: Explanation) -> str:
    if one.unarmed:
        return "never armed"
    if one.elsewhere:
        return f"never in force: its machine never was in the state {one.elsewhere}"
    done = "fired" if one.acts else "matched"
    if one.fired:
        return f"{done} {_times(one.fired)}"
    if one.matched:
        return f"its moment came {_times(one.matched)}, but {one.acts[0]} did nothing"
    end = f"; `until {one.ended}` took it out of force at event {one.ended_at}" if one.ended else ""
    return f"never {done}{'' if not one.optional else ', as it may'}{end}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _steps(steps: Sequence[StepFacts], met: int) -> Iterator[str]:
    """Say how far a moment came: the steps that were met in a word, the one where it hangs with its misses."""
    several = len(steps) > 1
    for number, step in enumerate(steps, 1):
        name = f"step {number} of {len(steps)}, `{step.text}`: " if several else ""
        passed = step.passed or any(later.seen or later.passed for later in steps[number:])
        if passed and number < len(steps):
            yield f"{name}came"
            continue
        if met:
            return
        if step.kind != "pattern":
            yield f"{name}{_WAITS[step.kind]}"
            return
        yield f"{name}{_seen(step)}"
        misses = [step.refused] if step.refused is not None else step.misses
        for miss in misses:
            yield f"  {_place(miss)}: {miss.label}"
            yield from (f"    not `{clause.text}`: {clause.found}" for clause in miss.clauses)
        return


_WAITS = {
    "time": "this time has not passed",
    "barrier": "no barrier has passed",
    "fault": "no act has reached the wire",
    "released": "nobody has let it go by hand",
    "name": "this name was never bound",
}


def _seen(step: StepFacts) -> str:
    if not step.seen and not step.matched:
        return "nothing of this kind was seen"
    if step.matched:
        return f"{step.seen} seen, {step.matched} matched but for the picks; the last:"
    return f"{step.seen} seen, none matched; the nearest:"


def _place(miss: Miss) -> str:
    line = f"line {miss.line}, " if miss.line else ""
    return f"{line}event {miss.n} at {miss.at:.4f}s on connection {miss.conn}"


def explanation_facts(one: Explanation) -> dict[str, Any]:
    """Give an explanation as JSON values."""
    return {
        "rule": one.rule,
        "file": one.where.file,
        "line": one.where.line,
        "column": one.where.column,
        "optional": one.optional,
        "matched": one.matched,
        "fired": one.fired,
        "outcome": _outcome(one),
        "reasons": dict(one.reasons),
        "when": [
            {
                "text": moment.text,
                "met": moment.met,
                "steps": [
                    {
                        "text": step.text,
                        "kind": step.kind,
                        "seen": step.seen,
                        "matched": step.matched,
                        "passed": step.passed,
                        "misses": [_miss(miss) for miss in ([step.refused] if step.refused else step.misses)],
                    }
                    for step in moment.steps
                ],
            }
            for moment in one.when
        ],
    }


def _miss(miss: Miss) -> dict[str, Any]:
    return {
        "event": miss.n,
        "line": miss.line,
        "at": round(miss.at, 6),
        "conn": miss.conn,
        "what": miss.label,
        "stage": miss.stage,
        "clauses": [{"text": clause.text, "found": clause.found} for clause in miss.clauses],
        "passed": miss.passed,
        "total": miss.total,
    }
