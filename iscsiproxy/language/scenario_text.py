"""A scenario file made of rules: what was typed at a console, or is in force, to be run again without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from iscsiproxy.language.document import Entry, Listing, Node, Scalar, Table
from iscsiproxy.language.line import Line, receivers, tree_of
from iscsiproxy.language.loader import load
from iscsiproxy.language.patterns import Victim
from iscsiproxy.language.rendering import gives_bytes
from iscsiproxy.language.spec import NOWHERE, ActSpec, Moment, Pattern, Rule
from iscsiproxy.language.yaml_text import comment_lines, text_lines, yaml_lines
from iscsiproxy.wire.opcodes import End, sender_of

__all__ = ["FiledRule", "scenario_text"]

#: When a line without a moment is done in a file: there is no hand that could say `now`, and no connection before that.
FIRST: Final = "full-feature nth 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledRule:
    """A rule of the file: a line, or a rule of another file with all it has.

    `name` is its name, unless it has one; `optional` that it need not fire; `comment` stands above it.
    """

    rule: Line | Rule
    name: str = ""
    optional: bool = False
    comment: str = ""


def scenario_text(
    name: str,
    rules: Sequence[FiledRule | Line | Rule],
    *,
    acts: Mapping[str, ActSpec],
    title: str = "",
    about: str = "",
    victim: Victim | None = None,
    traffic: Mapping[str, str] | None = None,
    timing: Mapping[str, str] | None = None,
) -> str:
    """Write the file of a scenario, which `load` reads again to the same rules.

    `victim` is the end that receives what all the rules act on, else both, if it is not said. A line without a moment
    is done when the first connection is in full feature phase. Raises FileError where such a file would be wrong: two
    rules of one name, a name that nothing binds, a state without its machine.
    """
    filed = [one if isinstance(one, FiledRule) else FiledRule(rule=one) for one in rules]
    head = {"scenario": name, "title": title, "victim": victim or _victim(filed)}
    lines = yaml_lines(_table({key: Scalar(text, NOWHERE) for key, text in head.items() if text}))
    if about:
        lines += text_lines("about", about)
    for key, given in (("traffic", traffic), ("timing", timing)):
        if given:
            values = _table({name: Scalar(text, NOWHERE) for name, text in given.items()})
            lines += yaml_lines(_table({key: values}))
    lines.append("rules:")
    for one in filed:
        first, *rest = yaml_lines(_rule(one, acts), 4)
        lines += [*comment_lines(one.comment, 2), f"  - {first.lstrip()}", *rest]
    text = "\n".join(lines) + "\n"
    load(text, file=f"{name}.yaml", acts=acts)
    return text


def _rule(filed: FiledRule, acts: Mapping[str, ActSpec]) -> Table:
    """Give the mapping of a rule, in the order of the files that there are."""
    rule, name = filed.rule, filed.name
    entries: dict[str, Node] = {}
    if isinstance(rule, Rule):
        given = "" if rule.name.startswith("#") or "." in rule.name else rule.name
        name = name or given
    if name:
        entries["name"] = Scalar(name, NOWHERE)
    if isinstance(rule, Rule) and not rule.armed:
        entries["armed"] = Scalar("no", NOWHERE)
    if filed.optional or (isinstance(rule, Rule) and rule.optional):
        entries["optional"] = Scalar("yes", NOWHERE)
    if isinstance(rule, Line):
        entries["when"] = rule.moment or Scalar(FIRST, NOWHERE)
        entries["do"] = _done(rule.acts, acts)
        return _table(entries)
    entries["when"] = _moments(rule.when)
    if rule.do:
        entries["do"] = _done(tree_of(rule.do, acts=acts), acts)
    if rule.until:
        entries["until"] = _moments(rule.until)
    return _table(entries)


def _moments(moments: Sequence[Moment]) -> Node:
    """Give one moment, or a list of them."""
    texts = tuple(Scalar(moment.text, NOWHERE) for moment in moments)
    return texts[0] if len(texts) == 1 else Listing(texts, NOWHERE)


def _done(done: Listing, acts: Mapping[str, ActSpec]) -> Node:
    """Give the acts without quotes that mean nothing in a file, and a single one that is short without its list."""
    found = tuple(_act(item, acts) for item in done.items)
    first = found[0]
    short = isinstance(first, Scalar) or (isinstance(first, Table) and isinstance(first.entries[0].value, Scalar))
    return first if len(found) == 1 and short else Listing(found, NOWHERE)


def _act(node: Node, acts: Mapping[str, ActSpec]) -> Node:
    if not isinstance(node, Table):
        return node
    ((name, given),) = ((entry.key, entry.value) for entry in node.entries)
    spec = acts[name.text]
    if isinstance(given, Table):
        pairs = [Entry(one.key, _plain(one.value, spec, one.key.text)) for one in given.entries]
        return Table((Entry(name, Table(tuple(pairs), NOWHERE)),), NOWHERE)
    return Table((Entry(name, _plain(given, spec, spec.main or "")),), NOWHERE)


def _plain(node: Node, spec: ActSpec, name: str) -> Node:
    if gives_bytes(spec, name):
        return node
    if isinstance(node, Listing):
        return Listing(tuple(_plain(item, spec, name) for item in node.items), NOWHERE)
    return Scalar(node.text, NOWHERE) if isinstance(node, Scalar) else node


def _victim(rules: Iterable[FiledRule]) -> Victim:
    ends: set[End] = set()
    for one in rules:
        if isinstance(one.rule, Line):
            ends |= receivers(one.rule)
        elif one.rule.do:
            ends |= {sender_of(opcode).other for opcode in _in_hand(one.rule)}
    return ends.pop().value if len(ends) == 1 else "both"


def _in_hand(rule: Rule) -> Iterable[int]:
    for moment in rule.when:
        last = moment.steps[-1]
        if isinstance(last, Pattern):
            for item in last.items:
                yield from item.opcodes


def _table(entries: Mapping[str, Node]) -> Table:
    return Table(tuple(Entry(Scalar(key, NOWHERE), node) for key, node in entries.items()), NOWHERE)
