from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Literal

import pytest

from iscsiproxy.engine.facts import Look
from iscsiproxy.language.spec import Pattern
from iscsiproxy.runs.evidence import Scene
from iscsiproxy.runs.witness import Witness, names_of
from tests.engine.dialogue import nop_out, scsi_response
from tests.runs.tale import INITIATOR, TARGET, Tale, scenario_of

__all__: list[str] = []

Victim = Literal["initiator", "target", "both"]


def pattern_of(text: str) -> Pattern:
    pattern = scenario_of(f"{{never: {text}, after: R2T}}").expect[0].pattern
    assert pattern is not None
    return pattern


def looks(tale: Tale, victim: Victim) -> Iterable[Look]:
    scene = Scene(victim, Random(1))
    for event in tale.events:
        yield from scene.looks(event, event.at)
        scene.pass_on(event)


def seen(text: str, tale: Tale, victim: Victim) -> list[str]:
    """Tell at which legs, coming in or going out, a pattern sees something."""
    witness = Witness(pattern_of(text), victim)
    return [
        f"{look.leg}{'' if look.event else ' in' if look.arrival else ' out'}"
        for look in looks(tale, victim)
        if witness.test(look)
    ]


def tale() -> Tale:
    told = Tale()
    told.passed(nop_out(1, 1))
    told.passed(scsi_response(2, 100))
    told.authored(nop_out(9, 1))
    return told


@pytest.mark.parametrize(
    ("text", "victim", "where"),
    [
        ("NOP-Out", "target", ["target out", "target out"]),
        ("NOP-Out", "initiator", ["initiator in"]),
        ("NOP-Out", "both", ["initiator in", "target in"]),
        ("NOP-Out at initiator", "target", ["initiator in"]),
        ("NOP-Out from initiator", "target", ["target out"]),
        ("NOP-Out from proxy", "target", ["target out"]),
        ("SCSI-Response", "target", ["target in"]),
        ("SCSI-Response", "initiator", ["initiator out"]),
        ("SCSI-Response", "both", ["target in"]),
        ("connect", "target", ["initiator"]),
        ("connect from initiator", "initiator", ["initiator"]),
        ("full-feature", "target", ["target"]),
        ("full-feature", "initiator", ["initiator"]),
        ("full-feature", "both", ["initiator"]),
    ],
)
def test_where_things_are_seen(text: str, victim: Victim, where: list[str]) -> None:
    assert seen(text, tale(), victim) == where


@pytest.mark.parametrize("victim", ["initiator", "target", "both"])
def test_a_close_is_seen_where_it_was_done(victim: Victim) -> None:
    told = Tale()
    told.closed(INITIATOR)
    told.closed(TARGET, by="proxy")
    assert seen("close from initiator", told, victim) == ["initiator"]
    assert seen("close from target", told, victim) == []
    assert seen("close from proxy", told, victim) == ([] if victim == "initiator" else ["target"])
    assert seen("close", told, victim) == ([] if victim == "target" else ["initiator"])
    assert seen("escalation", told, victim) == ([] if victim == "target" else ["initiator"])


def test_the_names_that_a_pattern_needs() -> None:
    assert names_of(pattern_of("SCSI-Response of n where StatSN == n.CmdSN")) == {"n"}
    assert names_of(pattern_of("SCSI-Response where StatSN == 1")) == frozenset()
