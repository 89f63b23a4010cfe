"""`iscsiproxy explain`: say from a journal why a rule did or did not fire."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from iscsiproxy.engine.explain import Explainer
from iscsiproxy.engine.explained import explanation_facts, explanation_lines
from iscsiproxy.engine.explanations import Explanation
from iscsiproxy.errors import UsageError
from iscsiproxy.journal import Header, Record, read
from iscsiproxy.journal.records import Ended, Lost, Unknown
from iscsiproxy.runs.library import every, shipped
from iscsiproxy.runs.replaying import Replay

__all__ = ["command", "explain_records"]


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
