"""Rules and acts that come to nothing: rules that nothing arms, waits that are cut off, digests that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from iscsiproxy.language.findings import Finding, finding
from iscsiproxy.language.spec import Act, Moment, Rule, Wait
from iscsiproxy.language.walking import moments_of, patterns_of
from iscsiproxy.wire.opcodes import Opcode, label_of

__all__ = ["cut_off", "login_digests", "unarmed"]

_LOGIN: Final = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE})
_DIGESTS: Final = ("header-digest", "data-digest")


def unarmed(rules: Sequence[Rule]) -> Iterator[Finding]:
    """Find rules that wait to be armed, and that no rule arms which can be in force itself."""
    reached = [rule for rule in rules if rule.armed]
    waiting = [rule for rule in rules if not rule.armed]
    for rule in reached:  # it grows while it is gone through
        called = {act.params["rule"] for act in rule.do if act.name == "arm"}
        reached += [one for one in waiting if one.name in called]
        waiting = [one for one in waiting if one.name not in called]
    for rule in waiting:
        message = f"rule `{rule.name}` can never fire: it is not armed, and nothing arms it"
        yield finding("unarmed", rule.position, message, f"`arm: {rule.name}` in a rule that is in force does")


def cut_off(act: Act) -> Iterator[Finding]:
    """Find a wait for a time that `at_most` ends before it has passed: then the rule never counts as fired."""
    at_most, moments = act.params.get("at_most"), tuple(moments_of(act))
    if not isinstance(at_most, float) or not moments:
        return
    least = min(map(_least, moments))
    if least > at_most:
        message = f"`{act.name} {moments[0].text}` is ended after {at_most:g} s by its `at_most`, and never comes about"
        yield finding(
            "at_most", act.position, message, f"give it a longer `at_most`, such as `at_most: {2 * least:g}s`"
        )


def _least(moment: Moment) -> float:
    """Give the seconds that have passed at least when a moment comes."""
    return sum(step.low for step in moment.steps if isinstance(step, Wait))


def login_digests(rule: Rule) -> Iterator[Finding]:
    """Find digests of Login PDUs that are to be wrong: these PDUs have none (RFC 7143 13.1)."""
    last = [Moment(steps=moment.steps[-1:]) for moment in rule.when]
    opcodes = {opcode for pattern in patterns_of(last) for item in pattern.items for opcode in item.opcodes}
    if not opcodes or not opcodes <= _LOGIN:
        return
    for act in rule.do:
        what = act.params.get("what")
        if act.name == "corrupt" and what in _DIGESTS and act.params["digest"] != "added":
            names = " and a ".join(label_of(opcode) for opcode in sorted(opcodes))
            message = f"a {names} never has a digest (RFC 7143 13.1)"
            hint = f"`corrupt: {{what: {what}, digest: added}}` gives it one"
            yield finding("digest", act.position, message, hint)
