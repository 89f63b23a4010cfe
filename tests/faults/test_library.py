"""Every shipped scenario is what it promises."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module

import pytest

from iscsiproxy.language.never import never
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.library import groups, shipped
from iscsiproxy.runs.selection import run_name
from tests.catalogue.rows import rows
from tests.faults.proof import Deviant, Proof, conforms, deviates, proves_nothing, runs_of

__all__: list[str] = []

PROOFS: dict[str, Proof] = {
    name: proof for group in groups() for name, proof in import_module(f"tests.faults.{group}").PROOFS.items()
}
#: What stands for no scenario: rows that need more than ErrorRecoveryLevel 0, and considerations that need a second
#: connection of a session or a target that is started again
_LEFT_OUT = frozenset({"LOG-17", "DAT-31", "O03", "O17", "O18", "O20"})
_GROUPS = ("LOG", "SEQ", "DAT", "DIG", "TMF", "NOP", "ASY", "CON", "SCS")
_WINDOWS = (
    "W01 W02a W02b W02c W03a W03b W04 W05 W06 W07n W07d W08 W09 W10 W11 W12a W12b W12c W12d W13a W13b W14 W15 W16 "
    "W17a W17b W17c W17d W17e W17i W18 W19"
)
_ID = re.compile(r"[WO][0-9]{2}[a-z]?|(LOG|SEC|SEQ|DAT|DIG|REC|TMF|NOP|ASY|CON|TCP|SCS|GAR)-[0-9]{2}")


def _runs() -> Iterator[object]:
    for name, proof in PROOFS.items():
        for scenario in runs_of(name):
            yield pytest.param(scenario, proof, id=run_name(scenario))


def _deviants() -> Iterator[object]:
    for name, proof in PROOFS.items():
        for deviant in proof.deviants:
            yield pytest.param(name, deviant, proof, id=f"{name}-{deviant.name}")


def _firsts() -> Iterator[object]:
    for name, proof in PROOFS.items():
        scenario = runs_of(name)[0]
        if scenario.rules or scenario.machines:
            yield pytest.param(scenario, proof, id=name)


def test_every_scenario_has_its_proof() -> None:
    assert set(PROOFS) == set(shipped())
    for group, names in groups().items():
        assert set(import_module(f"tests.faults.{group}").PROOFS) == set(names), group


def test_every_row_has_its_scenario() -> None:
    of_groups = {name for name in rows() if name.startswith(_GROUPS)}
    wanted = of_groups | set(_WINDOWS.split()) | {f"O{number:02}" for number in range(1, 21)}
    covered = {row for name in shipped() for row in runs_of(name)[0].covers}
    assert wanted - covered == _LEFT_OUT
    assert covered & _LEFT_OUT == set()


def test_names_are_given_once() -> None:
    counts = Counter(path.stem for path in next(iter(shipped().values())).parent.parent.rglob("*.yaml"))
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("name", PROOFS)
def test_it_says_what_it_is_about_and_nothing_in_it_can_never_happen(name: str) -> None:
    text = shipped()[name].read_text(encoding="utf-8")
    scenarios = runs_of(name)
    assert never(scenarios, text) == ()
    first = scenarios[0]
    assert first.title
    assert not first.title.endswith(".")
    assert first.cites
    assert len(first.about.split()) >= 25, "say in plain words what the standard wants, and why it matters"
    assert all(_ID.fullmatch(one) for one in first.covers), first.covers
    assert first.covers or shipped()[name].parent.name == "history"
    assert max(map(len, text.splitlines())) <= 120
    assert PROOFS[name].deviants or PROOFS[name].why, "a scenario that nobody can fail proves nothing"


@pytest.mark.parametrize(("scenario", "proof"), [*_runs()])
async def test_conforming_peers_get_their_verdict(scenario: Scenario, proof: Proof) -> None:
    await conforms(scenario, proof)


@pytest.mark.parametrize(("name", "deviant", "proof"), [*_deviants()])
async def test_a_peer_that_deviates_is_found(name: str, deviant: Deviant, proof: Proof) -> None:
    await deviates(name, deviant, proof)


@pytest.mark.parametrize(("scenario", "proof"), [*_firsts()])
async def test_out_of_reach_its_rules_prove_nothing(scenario: Scenario, proof: Proof) -> None:
    await proves_nothing(scenario, proof)
