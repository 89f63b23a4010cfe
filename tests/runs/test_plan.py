from __future__ import annotations

from pathlib import Path

from iscsiproxy.proxy import Address
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.plan import RunPlan, known_facts, own_waits
from iscsiproxy.runs.targets import Target, parse_target
from tests.runs.playing import written

__all__: list[str] = []

_RULES = "rules:\n  - {when: 3s then SCSI-Command then 1s..2s, do: {note: a}}\n  - {when: [4s, 1s], do: {note: b}}\n"


def _plan(folder: Path, *, initiator: str = "embedded", units: int | None = None) -> RunPlan:
    spec = parse_target("storage")
    return RunPlan(
        name="x",
        scenario=written("victim: target\ntraffic: {depth: 4}\n" + _RULES, folder),
        target=Target(spec=spec, address=Address("storage", 3260), name=None, units=units),
        initiator=parse_initiator(initiator),
        seed=1,
        timeout=1.0,
    )


def test_the_facts_that_are_known(tmp_path: Path) -> None:
    assert known_facts(_plan(tmp_path, units=3)) == {
        "profile": "rfc7144",
        "initiator.kind": "embedded",
        "initiator.depth": 4,
        "target.kind": "external",
        "target.LUs": 3,
    }


def test_of_a_command_nobody_knows_how_many_commands_it_has_in_flight(tmp_path: Path) -> None:
    assert known_facts(_plan(tmp_path, initiator="x {url}")) == {
        "profile": "rfc7144",
        "initiator.kind": "command",
        "target.kind": "external",
    }


def test_how_long_rules_wait_by_themselves(tmp_path: Path) -> None:
    assert own_waits(_plan(tmp_path).scenario) == 5.0 + 4.0
