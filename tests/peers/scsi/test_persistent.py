from __future__ import annotations

from typing import cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from iscsiproxy.peers.scsi.command import CheckCondition, Nexus
from iscsiproxy.peers.scsi.handler import Reach
from iscsiproxy.peers.scsi.persistent import REGISTRATIONS, Notices, Persistent, ReservationType
from iscsiproxy.peers.scsi.reservations import ReservationConflict

__all__: list[str] = []

A, B, C = (Nexus(f"iqn.2024-01.example:{name}", 1) for name in "abc")
KA, KB, KC = 0xA, 0xB, 0xC
WE, EA = ReservationType.WRITE_EXCLUSIVE, ReservationType.EXCLUSIVE_ACCESS
WERO, EARO = ReservationType.WRITE_EXCLUSIVE_REGISTRANTS_ONLY, ReservationType.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY
WEAR, EAAR = ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS, ReservationType.EXCLUSIVE_ACCESS_ALL_REGISTRANTS
RELEASED, PREEMPTED, GONE = "6/2A/04", "6/2A/03", "6/2A/05"


def registered(*, reserve: ReservationType | None = None, keys: tuple[int, int, int] = (KA, KB, KC)) -> Persistent:
    """Register three nexuses; the first makes a reservation."""
    persistent = Persistent()
    for nexus, key in zip((A, B, C), keys, strict=True):
        persistent.register(nexus, 0, key, ignore=False)
    if reserve:
        persistent.reserve(A, keys[0], reserve)
    return persistent


def told(notices: Notices) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for nexus, code in notices:
        found.setdefault(nexus.initiator[-1], []).append(str(code))
    return found


def test_registering() -> None:
    persistent = Persistent()
    assert persistent.register(A, 0, KA, ignore=False) == []
    assert persistent.registered == {A: KA}
    assert persistent.register(A, KA, KB, ignore=False) == []
    assert persistent.registered == {A: KB}
    assert persistent.register(A, KC, KA, ignore=True) == []
    assert persistent.registered == {A: KA}
    assert persistent.generation == 3


@pytest.mark.parametrize(("nexus", "key"), [(A, 0), (A, KB), (B, KA)])
def test_registering_with_the_wrong_key(nexus: Nexus, key: int) -> None:
    persistent = Persistent()
    persistent.register(A, 0, KA, ignore=False)
    with pytest.raises(ReservationConflict):
        persistent.register(nexus, key, KC, ignore=False)
    assert (persistent.registered, persistent.generation) == ({A: KA}, 1)


def test_unregistering_what_is_not_registered_is_nothing() -> None:
    persistent = Persistent()
    for ignore in (False, True):
        assert persistent.register(A, 0, 0, ignore=ignore) == []
    assert (persistent.registered, persistent.generation) == ({}, 0)


def test_there_is_room_for_so_many() -> None:
    persistent = Persistent()
    many = [Nexus("iqn.2024-01.example:many", isid) for isid in range(REGISTRATIONS)]
    for nexus in many:
        persistent.register(nexus, 0, KA, ignore=False)
    with pytest.raises(CheckCondition, match="5/55/04"):
        persistent.register(A, 0, KA, ignore=True)
    persistent.register(many[0], KA, KB, ignore=False)
    persistent.register(many[1], KA, 0, ignore=False)
    persistent.register(A, 0, KA, ignore=False)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(WE, {}), (EA, {}), (WERO, {"b": [RELEASED], "c": [RELEASED]}), (EARO, {"b": [RELEASED], "c": [RELEASED]})],
)
def test_the_holder_unregisters(kind: ReservationType, expected: dict[str, list[str]]) -> None:
    persistent = registered(reserve=kind)
    assert told(persistent.register(A, KA, 0, ignore=False)) == expected
    assert (persistent.type, persistent.holder_key) == (None, 0)


@pytest.mark.parametrize("kind", [WEAR, EAAR])
def test_all_registrants_hold_until_the_last(kind: ReservationType) -> None:
    persistent = registered(reserve=kind)
    for nexus, key in ((A, KA), (C, KC)):
        assert persistent.register(nexus, key, 0, ignore=False) == []
        assert persistent.type is kind
    assert persistent.register(B, KB, 0, ignore=True) == []
    assert persistent.type is None


def test_another_unregisters() -> None:
    persistent = registered(reserve=WERO)
    assert persistent.register(B, KB, 0, ignore=False) == []
    assert (persistent.type, persistent.holder_key) == (WERO, KA)


def test_reserving() -> None:
    persistent = registered()
    for nexus, key in ((A, KB), (A, 0), (Nexus("iqn.2024-01.example:d", 1), 0)):
        with pytest.raises(ReservationConflict):
            persistent.reserve(nexus, key, WE)
    persistent.reserve(A, KA, WE)
    persistent.reserve(A, KA, WE)
    for nexus, key, kind in ((A, KA, EA), (B, KB, WE)):
        with pytest.raises(ReservationConflict):
            persistent.reserve(nexus, key, kind)
    assert (persistent.type, persistent.holder_key, persistent.generation) == (WE, KA, 3)


def test_every_registrant_may_repeat_what_all_hold() -> None:
    persistent = registered(reserve=WEAR)
    persistent.reserve(B, KB, WEAR)
    with pytest.raises(ReservationConflict):
        persistent.reserve(B, KB, EAAR)


@pytest.mark.parametrize("kind", list(ReservationType))
def test_releasing(kind: ReservationType) -> None:
    persistent = registered(reserve=kind)
    with pytest.raises(ReservationConflict):
        persistent.release(A, KB, kind)
    for wrong in (EAAR if kind is WE else WE, None):
        with pytest.raises(CheckCondition, match="5/26/04"):
            persistent.release(A, KA, wrong)
    if not kind.held_by_all:
        assert persistent.release(B, KB, kind) == []
    assert persistent.type is kind
    assert told(persistent.release(A, KA, kind)) == ({"b": [RELEASED], "c": [RELEASED]} if kind.shared else {})
    assert not persistent.holds(A)
    assert persistent.generation == 3
    assert persistent.release(A, KA, kind) == []


def test_any_registrant_may_release_what_all_hold() -> None:
    persistent = registered(reserve=EAAR)
    assert told(persistent.release(B, KB, EAAR)) == {"a": [RELEASED], "c": [RELEASED]}


def test_clearing() -> None:
    persistent = registered(reserve=WE)
    with pytest.raises(ReservationConflict):
        persistent.clear(B, KA)
    assert told(persistent.clear(B, KB)) == {"a": [PREEMPTED], "c": [PREEMPTED]}
    assert (persistent.registered, persistent.type, persistent.generation) == ({}, None, 4)


def test_preempting_a_registration() -> None:
    persistent = registered()
    victims, notices = persistent.preempt(B, KB, KA, None)
    assert (victims, told(notices)) == ({A}, {"a": [GONE]})
    assert (persistent.registered, persistent.type, persistent.generation) == ({B: KB, C: KC}, None, 4)


def test_preempting_a_registration_beside_a_reservation() -> None:
    persistent = registered(reserve=WE)
    _, notices = persistent.preempt(B, KB, KC, EA)
    assert told(notices) == {"c": [GONE]}
    assert (persistent.type, persistent.holder_key) == (WE, KA)


def test_preempting_the_holder() -> None:
    persistent = registered(reserve=WERO, keys=(KA, KB, KA))
    victims, notices = persistent.preempt(B, KB, KA, EARO)
    assert (victims, told(notices)) == ({A, C}, {"a": [GONE], "c": [GONE]})
    assert (persistent.registered, persistent.type, persistent.holder_key) == ({B: KB}, EARO, KB)


@pytest.mark.parametrize(("kind", "expected"), [(WE, {"a": [GONE]}), (EA, {"a": [GONE], "c": [RELEASED]})])
def test_the_others_learn_of_another_type(kind: ReservationType, expected: dict[str, list[str]]) -> None:
    persistent = registered(reserve=WE)
    assert told(persistent.preempt(B, KB, KA, kind)[1]) == expected


def test_preempting_oneself_changes_the_type() -> None:
    persistent = registered(reserve=WE)
    victims, notices = persistent.preempt(A, KA, KA, EA)
    assert (victims, told(notices)) == (set(), {"b": [RELEASED], "c": [RELEASED]})
    assert (len(persistent.registered), persistent.type, persistent.holder_key) == (3, EA, KA)


def test_preempting_all_registrants() -> None:
    persistent = registered(reserve=WEAR)
    victims, notices = persistent.preempt(B, KB, 0, EA)
    assert (victims, told(notices)) == ({A, C}, {"a": [GONE], "c": [GONE]})
    assert (persistent.registered, persistent.type, persistent.holder_key) == ({B: KB}, EA, KB)


def test_preempting_one_of_all_registrants() -> None:
    persistent = registered(reserve=WEAR)
    assert told(persistent.preempt(B, KB, KA, None)[1]) == {"a": [GONE]}
    assert (persistent.registered, persistent.type) == ({B: KB, C: KC}, WEAR)


def test_what_cannot_be_preempted() -> None:
    for persistent in (registered(), registered(reserve=WE)):
        with pytest.raises(CheckCondition, match="5/26/00"):
            persistent.preempt(B, KB, 0, WE)
        with pytest.raises(ReservationConflict):
            persistent.preempt(B, KB, 0xD, WE)
        with pytest.raises(ReservationConflict):
            persistent.preempt(B, KA, KA, WE)
    with pytest.raises(CheckCondition, match="5/24/00"):
        persistent.preempt(B, KB, KA, None)
    assert (len(persistent.registered), persistent.type, persistent.generation) == (3, WE, 3)


#: For each type: what the holder, a registrant and a stranger may do (SPC-4 table 66)
ACCESS = {
    WE: ("rw", "r", "r"),
    EA: ("rw", "", ""),
    WERO: ("rw", "rw", "r"),
    EARO: ("rw", "rw", ""),
    WEAR: ("rw", "rw", "r"),
    EAAR: ("rw", "rw", ""),
}


@pytest.mark.parametrize("kind", list(ReservationType))
def test_who_may_do_what(kind: ReservationType) -> None:
    persistent = registered(reserve=kind)
    persistent.register(C, KC, 0, ignore=False)
    for nexus, allowed in zip((A, B, C), ACCESS[kind], strict=True):
        assert persistent.conflicts(nexus, Reach(reads=True)) is ("r" not in allowed)
        assert persistent.conflicts(nexus, Reach(writes=True)) is ("w" not in allowed)
        assert not persistent.conflicts(nexus, Reach())
        assert not persistent.conflicts(nexus, Reach(writes=True, always=True))


def test_registering_alone_forbids_nothing() -> None:
    assert not registered().conflicts(Nexus("iqn.2024-01.example:d", 1), Reach(reads=True, writes=True))


def test_a_power_loss_takes_everything() -> None:
    persistent = registered(reserve=WE)
    persistent.forget()
    assert repr(persistent) == "<Persistent 0 registered, not reserved, generation 0>"


def test_the_repr_names_the_reservation() -> None:
    assert repr(registered(reserve=WE)) == f"<Persistent 3 registered, reserved WRITE_EXCLUSIVE by {A}, generation 3>"


NEXUSES = st.sampled_from([A, B, C])
KEYS = st.integers(0, 3)
KINDS = st.sampled_from([*ReservationType, None])


class Anything(RuleBasedStateMachine):
    """Whatever three nexuses ask for, what is refused changes nothing, and a reservation has a holder."""

    def __init__(self) -> None:
        super().__init__()
        self.persistent = Persistent()
        self.known: set[Nexus] = set()

    def attempt(self, nexus: Nexus, act: str, *arguments: object) -> None:
        """Do it; a refusal changes nothing, and nobody is told of what he did himself."""
        before = (dict(self.persistent.registered), self.persistent.type, self.persistent.generation)
        try:
            result = getattr(self.persistent, act)(nexus, *arguments)
        except (CheckCondition, ReservationConflict):
            assert (dict(self.persistent.registered), self.persistent.type, self.persistent.generation) == before
            return
        notices = cast("Notices", result[1] if isinstance(result, tuple) else result or [])
        assert nexus not in {other for other, _ in notices}
        lost = set(before[0]) - set(self.persistent.registered) - {nexus}
        assert lost <= {other for other, _ in notices}

    @rule(nexus=NEXUSES, key=KEYS, new=KEYS, ignore=st.booleans())
    def register(self, nexus: Nexus, key: int, new: int, ignore: bool) -> None:
        persistent = self.persistent
        try:
            persistent.register(nexus, key, new, ignore=ignore)
        except ReservationConflict:
            assert key != persistent.registered.get(nexus, 0)
        else:
            assert persistent.registered.get(nexus, 0) == new

    @rule(nexus=NEXUSES, key=KEYS, kind=st.sampled_from(list(ReservationType)))
    def reserve(self, nexus: Nexus, key: int, kind: ReservationType) -> None:
        self.attempt(nexus, "reserve", key, kind)

    @rule(nexus=NEXUSES, key=KEYS, kind=KINDS)
    def release(self, nexus: Nexus, key: int, kind: ReservationType | None) -> None:
        self.attempt(nexus, "release", key, kind)

    @rule(nexus=NEXUSES, key=KEYS)
    def clear(self, nexus: Nexus, key: int) -> None:
        self.attempt(nexus, "clear", key)

    @rule(nexus=NEXUSES, key=KEYS, victim=KEYS, kind=KINDS)
    def preempt(self, nexus: Nexus, key: int, victim: int, kind: ReservationType | None) -> None:
        self.attempt(nexus, "preempt", key, victim, kind)

    @invariant()
    def somebody_holds_what_is_reserved(self) -> None:
        persistent = self.persistent
        holders = [nexus for nexus in (A, B, C) if persistent.holds(nexus)]
        assert set(holders) <= set(persistent.registered)
        if persistent.type is None:
            assert not holders
        else:
            assert (
                holders == [n for n in (A, B, C) if n in persistent.registered]
                if persistent.type.held_by_all
                else len(holders) == 1
            )
        assert persistent.holder_key in {0, *persistent.registered.values()}


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)
