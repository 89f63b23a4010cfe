from __future__ import annotations

from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.resends import Resends, Runs

__all__: list[str] = []

NOTE = Note(n=1, at=0.0, conn=1, leg=None)


def test_a_run_covers_its_numbers() -> None:
    runs = Runs()
    runs.ask(3, 2, NOTE)
    assert [number for number in range(8) if runs.cover(number)] == [3, 4]


def test_a_run_without_a_length_covers_all_from_its_first() -> None:
    runs = Runs()
    runs.ask(3, 0, NOTE)
    assert not runs.cover(2)
    assert runs.cover(3)
    assert runs.cover(400)


def test_no_first_and_no_length_cover_all() -> None:
    runs = Runs()
    assert not runs.cover(0xFFFFFFF0)
    runs.ask(0, 0, NOTE)
    assert runs.cover(0xFFFFFFF0)


def test_runs_wrap() -> None:
    runs = Runs()
    runs.ask(0xFFFFFFFF, 2, NOTE)
    assert runs.cover(0xFFFFFFFF)
    assert runs.cover(0)
    assert not runs.cover(1)


def test_old_runs_are_forgotten() -> None:
    runs = Runs()
    for first in range(100):
        runs.ask(first * 10 + 1, 1, NOTE)
    assert not runs.cover(1)
    assert runs.cover(991)


def test_a_task_allows_what_was_asked_for() -> None:
    resends = Resends()
    assert not resends.allow(0)
    resends.runs.ask(2, 1, NOTE)
    assert resends.allow(2)
    assert resends.afresh is None


def test_data_that_comes_afresh_counts_from_what_was_acknowledged() -> None:
    resends = Resends()
    resends.restart(NOTE, 4)
    assert resends.allow(4)
    assert resends.allow(0)
    assert not resends.allow(5)
    resends.sent(4)
    assert resends.allow(5)
    resends.sent(5)
    assert resends.allow(6)
    assert not resends.allow(5)


def test_a_reassignment_names_the_first_number() -> None:
    resends = Resends()
    resends.restart(NOTE, 7)
    assert resends.allow(7)
    assert resends.afresh is NOTE
