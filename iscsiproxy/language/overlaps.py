"""Whether one pattern means all that another means, and one rule takes every PDU before another can.

What cannot be told does not overlap.
"""

from __future__ import annotations

from dataclasses import replace

from iscsiproxy.language.possible import rows
from iscsiproxy.language.spec import Moment, Pattern, Picks, Rule, Wait
from iscsiproxy.language.written import written

__all__ = ["comes_first", "covers", "needs_pdu", "plain", "settles", "takes_all"]


def plain(pattern: Pattern) -> bool:
    """Tell whether a pattern has no picks: every match counts."""
    return pattern.picks in (Picks(), Picks(per=pattern.picks.per))


def covers(one: Pattern, other: Pattern) -> bool:
    """Tell whether a pattern means all that another means, picks aside."""
    for item in other.items:
        if not any(
            (item.opcodes <= wide.opcodes and (item.status or not wide.status))
            if item.opcodes
            else item.name == wide.name
            for wide in one.items
        ):
            return False
    if one.of not in (None, other.of) or one.leg is not other.leg or one.sender != other.sender:
        return False
    wide, narrow = rows(one.where), rows(other.where)
    if wide is None or narrow is None or len(wide) != 1:
        return False
    wanted = {str(condition) for condition in wide[0]}
    return all(wanted <= {str(condition) for condition in row} for row in narrow) and not _random(one)


def _random(pattern: Pattern) -> bool:
    return pattern.where is not None and "random(" in written(pattern.where)


def comes_first(end: object, when: Moment) -> bool:
    """Tell whether a step that ends a rule is met whenever, or before, the rule would fire."""
    first, last = when.steps[0], when.steps[-1]
    if isinstance(end, Wait):
        waits = [step for step in when.steps if isinstance(step, Wait)]
        return isinstance(first, Wait) and end.high < sum(step.low for step in waits)
    if not isinstance(end, Pattern) or not isinstance(last, Pattern) or not covers(end, last):
        return False
    if plain(end):
        return True
    same = written(end.where) == written(last.where) if end.where and last.where else end.where is last.where
    alike = same and [item.name for item in end.items] == [item.name for item in last.items] and len(when.steps) == 1
    only_nth = replace(end.picks, nth=None) == replace(last.picks, nth=None) == Picks(per=end.picks.per)
    if not (alike and only_nth and end.of == last.of and end.picks.nth and last.picks.nth):
        return False
    return end.picks.nth[0] <= last.picks.nth[0]


def settles(rule: Rule) -> str:
    """Give the act by which a rule always settles the fate of its PDU, or nothing."""
    if rule.until or not rule.do or not rule.armed:
        return ""
    act = rule.do[0]
    fate = act.name in ("drop", "answer", "swap", "split", "merge", "refuse")
    return act.name if fate or (act.name == "close" and act.params.get("conn") is None) else ""


def takes_all(earlier: Rule, later: Rule) -> bool:
    """Tell whether a rule fires on every PDU that another may fire on."""
    if not (len(earlier.when) == 1 and len(earlier.when[0].steps) == 1):
        return False
    one = earlier.when[0].steps[0]
    if not isinstance(one, Pattern):
        return False
    for moment in later.when:
        other = moment.steps[-1]
        if not isinstance(other, Pattern) or not covers(one, other):
            return False
        if not plain(one):
            alike = one.picks == other.picks and one.picks.chance is None and len(moment.steps) == 1
            if not (alike and covers(other, one)):
                return False
    return True


def needs_pdu(rule: Rule, act: str) -> bool:
    """Tell whether all that a rule does needs a PDU whose fate is not settled."""
    if act == "close":
        return bool(rule.do)
    on_events = ("delay", "close", "stall", "throttle", "inject", "probe", "note", "goto", "arm", "disarm", "replay")
    return bool(rule.do) and all(one.name not in on_events for one in rule.do)
