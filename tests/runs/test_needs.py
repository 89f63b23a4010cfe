from __future__ import annotations

from random import Random

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.engine.facts import Look
from iscsiproxy.language import load
from iscsiproxy.language.spec import Expr, Scenario
from iscsiproxy.runs.needs import asks_login, offers, spelled, unmet, with_facts
from iscsiproxy.session.snapshot import ConnectionView, Phase, Snapshot
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []


def _scenario(*needs: str, where: str = "W") -> Scenario:
    listed = "".join(f"\n  - {need}" for need in needs)
    text = f"scenario: x\nvictim: target\nneeds:{listed}\nrules:\n  - {{when: SCSI-Command where {where}, do: drop}}\n"
    return load(text, file="x.yaml", acts=SPECS)


def _look(**keys: str) -> Look:
    def state(conn: int, leg: End, _: Pdu | None) -> Snapshot:
        view = ConnectionView(
            id=conn, CID=0, phase=Phase.FULL_FEATURE, nth=1, opened=0.0, outstanding=0, StatSN=None, ExpStatSN=None
        )
        return Snapshot(leg=leg, conn=view, session=None, task=None, keys=keys, declared={end: {} for end in End})

    return Look(1, 0.0, End.INITIATOR, state, Random(1), {})


def _need(text: str) -> Expr:
    return _scenario(text).needs[0]


@pytest.mark.parametrize(
    ("need", "met"),
    [
        ("initiator.depth >= 2", True),
        ("initiator.depth >= 5", False),
        ("target.LUs >= 2", False),  # not known
        ("initiator.kind == embedded", True),
        ("profile in (rfc7143, rfc7144)", True),
        ("key.DataDigest == CRC32C", True),
        ("key.HeaderDigest == CRC32C", False),
    ],
)
def test_a_need_is_met_or_not(need: str, *, met: bool) -> None:
    facts: dict[str, int | str] = {"initiator.depth": 4, "initiator.kind": "embedded", "profile": "rfc7144"}
    look = _look(DataDigest="CRC32C", HeaderDigest="None")
    assert (unmet([_need(need)], look, facts) == ()) is met


def test_what_was_found_instead_is_told() -> None:
    found = unmet(_scenario("initiator.depth >= 2", "key.DataDigest == CRC32C").needs, _look(DataDigest="None"), {})
    assert found == (
        "initiator.depth >= 2: initiator.depth is absent",
        "key.DataDigest == CRC32C: key.DataDigest is None",
    )


def test_what_a_login_has_a_part_in() -> None:
    assert asks_login(_need("not key.DataDigest == None"))
    assert not asks_login(_need("initiator.depth >= 2 and target.kind == embedded"))


def test_facts_are_put_into_the_whole_tree() -> None:
    scenario = _scenario("initiator.depth >= 2", where="W and initiator.depth > 3 and target.kind != embedded")
    filled = with_facts(scenario, {"initiator.depth": 4})
    (step,) = filled.rules[0].when[0].steps
    assert spelled(getattr(step, "where", None) or filled.needs[0]) == "W and 4 > 3 and absent != embedded"
    assert spelled(filled.needs[0]) == "4 >= 2"


def test_what_holds_no_fact_is_the_same_object() -> None:
    scenario = _scenario("key.DataDigest == CRC32C")
    assert with_facts(scenario, {"initiator.depth": 4}) is scenario


def test_a_driven_initiator_offers_what_is_needed() -> None:
    needs = _scenario("key.DataDigest == CRC32C and session.type == Normal", "key.MaxConnections >= 2").needs
    assert offers(needs) == {"DataDigest": "CRC32C"}
