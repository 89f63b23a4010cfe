from __future__ import annotations

from iscsiproxy.peers.scsi.attention import (
    CLEARED_BY_ANOTHER,
    MODE_CHANGED,
    NEXUS_LOST,
    NEXUSES,
    POWER_ON,
    RESET,
    Attentions,
)
from iscsiproxy.peers.scsi.command import Nexus

__all__: list[str] = []

ONE, TWO = Nexus("iqn.2024-01.example:one", 1), Nexus("iqn.2024-01.example:two", 1)


def begun(*nexuses: Nexus) -> Attentions:
    attentions = Attentions()
    for nexus in nexuses:
        attentions.connect(nexus)
        assert attentions.take(nexus) == POWER_ON
    return attentions


def test_each_nexus_has_its_own_in_order_and_once() -> None:
    attentions = begun(ONE, TWO)
    for code in (MODE_CHANGED, CLEARED_BY_ANOTHER, MODE_CHANGED):
        attentions.post(ONE, code)
    assert attentions.pending(ONE) == (MODE_CHANGED, CLEARED_BY_ANOTHER)
    assert attentions.pending(TWO) == ()
    assert [attentions.take(ONE) for _ in range(3)] == [MODE_CHANGED, CLEARED_BY_ANOTHER, None]


def test_everybody_but_the_one_who_did_it() -> None:
    attentions = begun(ONE, TWO)
    attentions.post_all(MODE_CHANGED, but=(ONE,))
    assert (attentions.pending(ONE), attentions.pending(TWO)) == ((), (MODE_CHANGED,))


def test_a_reset_supersedes_what_was_before_it() -> None:
    attentions = begun(ONE)
    attentions.post(ONE, MODE_CHANGED)
    attentions.post(ONE, RESET)
    attentions.post(ONE, CLEARED_BY_ANOTHER)
    assert attentions.pending(ONE) == (RESET, CLEARED_BY_ANOTHER)


def test_one_that_never_came_has_nothing_to_learn() -> None:
    attentions = begun(ONE)
    attentions.post(TWO, MODE_CHANGED)
    attentions.clear(TWO, MODE_CHANGED)
    attentions.lost(TWO)
    assert attentions.take(TWO) is None
    attentions.connect(TWO)
    assert attentions.pending(TWO) == (POWER_ON,)


def test_connecting_again_without_a_loss_changes_nothing() -> None:
    attentions = begun(ONE)
    attentions.connect(ONE)
    assert attentions.pending(ONE) == ()


def test_a_loss_replaces_what_was_pending() -> None:
    attentions = begun(ONE)
    attentions.post(ONE, CLEARED_BY_ANOTHER)
    attentions.lost(ONE)
    attentions.post(ONE, MODE_CHANGED)
    attentions.connect(ONE)
    assert attentions.pending(ONE) == (NEXUS_LOST, MODE_CHANGED)


def test_one_can_be_withdrawn() -> None:
    attentions = begun(ONE)
    attentions.post(ONE, MODE_CHANGED)
    attentions.clear(ONE, CLEARED_BY_ANOTHER)
    assert attentions.pending(ONE) == (MODE_CHANGED,)
    attentions.clear(ONE, MODE_CHANGED)
    assert attentions.pending(ONE) == ()


def test_how_many_are_remembered() -> None:
    attentions = begun(ONE)
    lost = [Nexus("iqn.2024-01.example:many", isid) for isid in range(NEXUSES + 1)]
    for nexus in lost:
        attentions.connect(nexus)
        attentions.lost(nexus)
    for nexus, code in ((lost[0], POWER_ON), (lost[1], NEXUS_LOST), (lost[-1], NEXUS_LOST)):
        attentions.connect(nexus)
        assert attentions.pending(nexus) == (code,)
    assert attentions.pending(ONE) == ()


def test_the_repr_names_what_is_pending() -> None:
    attentions = begun(ONE)
    assert repr(attentions) == "<Attentions of 1 nexuses: none>"
    attentions.post(ONE, RESET)
    assert repr(attentions) == "<Attentions of 1 nexuses: {'iqn.2024-01.example:one,i,0x000000000001': ['6/29/03']}>"
