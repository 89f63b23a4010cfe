from __future__ import annotations

import importlib
import re
from collections import Counter
from pkgutil import iter_modules

import pytest

from iscsiproxy.checks.catalogue import FAMILIES, RULES
from iscsiproxy.checks.rules import ANY, Rule
from iscsiproxy.wire.opcodes import End, sender_of
from tests.checks import invariants

__all__: list[str] = []

#: A citation, and how a rule may cite the standards that SCSI brings with it
CLAUSE = re.compile(r"(RFC (3720|3783|5048|7143|7144) (appendix [A-F]|[0-9]+(\.[0-9]+)*)|(SAM|SPC|SBC)-[0-9].*)")
rules = pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
asked = pytest.mark.parametrize("rule", [one for one in RULES.values() if one.id[0] != "D"], ids=lambda rule: rule.id)


def test_every_rule_of_the_catalogue_is_there_once() -> None:
    counts = Counter(rule.id for family in FAMILIES for rule in family.rules)
    assert {name for name, count in counts.items() if count > 1} == set()
    wanted = {f"T-{number:03}" for number in range(1, 82)} | {f"I-{number:03}" for number in range(1, 63)}
    assert wanted - counts.keys() == set()


def test_families_have_their_modules() -> None:
    for family in FAMILIES:
        module = importlib.import_module(f"iscsiproxy.checks.invariants.{family.name}")
        assert module.FAMILY is family


def test_every_rule_has_its_proof() -> None:
    modules = [
        importlib.import_module(f"{invariants.__name__}.{one.name}") for one in iter_modules(invariants.__path__)
    ]
    assert {case.rule for module in modules for case in module.CASES} == set(RULES)


@rules
def test_a_rule_says_all_that_it_has_to(rule: Rule) -> None:
    assert rule.title[0].isupper()
    assert not rule.title.endswith(".")
    assert all(CLAUSE.fullmatch(clause.strip()) for clause in rule.clause.split(",")), rule.clause
    assert rule.profiles
    assert rule.why.endswith("."), "what goes wrong in practice when it is broken"


@asked
def test_a_rule_is_asked_at_what_its_end_sends_and_is_given(rule: Rule) -> None:
    assert rule.sent or rule.given or rule.spoiled or rule.closed
    assert rule.blame is (End.TARGET if rule.id[0] == "T" else End.INITIATOR)
    if rule.sent < ANY and len(rule.sent) < 20:
        assert {sender_of(opcode) for opcode in rule.sent} <= {rule.blame}
    if rule.given < ANY and len(rule.given) < 20:
        assert {sender_of(opcode) for opcode in rule.given} <= {rule.blame.other}
