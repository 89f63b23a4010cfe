"""An explanation in words, and as JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from iscsiproxy.engine.explanations import Explanation, StepFacts
from iscsiproxy.engine.misses import Miss

__all__ = ["explanation_facts", "explanation_lines"]


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
