"""The reference of all rules, made from the rules."""

from __future__ import annotations

from collections.abc import Iterator

from iscsiproxy.checks.catalogue import FAMILIES
from iscsiproxy.checks.profiles import ALL, Profile, cited
from iscsiproxy.checks.rules import Family, Rule

__all__ = ["reference"]

_HEAD = """\
# The rules of the judge

`T-…` judge the target by what it was given and what it sent on its leg, `I-…` the initiator. A broken MUST fails a run,
a broken SHOULD and what is only a heuristic are warnings. Sections are those of RFC 7143 where nothing else is said;
with `--profile rfc3720` or `rfc5048` a finding cites what they were there.
"""


def reference() -> str:
    """Write the page, in Markdown."""
    return "\n".join((_HEAD, *(line for family in FAMILIES for line in _family(family)))).rstrip("\n") + "\n"


def _family(family: Family) -> Iterator[str]:
    yield f"## {family.title}\n"
    for rule in sorted(family.rules, key=lambda one: one.id):
        yield f"- **{rule.id}** {rule.title}. *{rule.severity}*, {_clause(rule)}{_profiles(rule)}."
        if rule.why:
            yield f"  {rule.why}"
    yield ""


def _clause(rule: Rule) -> str:
    old = cited(rule.clause, Profile.RFC3720)
    return rule.clause if old == rule.clause or Profile.RFC3720 not in rule.profiles else f"{rule.clause} ({old})"


def _profiles(rule: Rule) -> str:
    return "" if rule.profiles == ALL else f"; {', '.join(sorted(str(one) for one in rule.profiles))} only"
