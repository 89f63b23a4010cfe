from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.checks.scene.sessions import CommandBook
from iscsiproxy.wire.opcodes import End
from tests.checks.watching import scene_after

__all__: list[str] = []

WRAPS = [1, 0xFFFFFFFE]


@pytest.mark.parametrize("first", WRAPS)
def test_a_number_passed_over_is_missing_until_it_comes(first: int) -> None:
    book = CommandBook()
    book.start(first)
    numbers = [(first + step) & 0xFFFFFFFF for step in range(6)]
    book.take(numbers[0])
    book.take(numbers[3])
    assert book.next == numbers[4]
    assert book.lowest_missing == numbers[1]
    assert [book.used(number) for number in numbers] == [True, False, False, True, False, False]
    book.take(numbers[2])
    assert book.lowest_missing == numbers[1]
    book.take(numbers[1])
    assert book.lowest_missing == numbers[4]
    assert not book.gaps


@pytest.mark.parametrize("first", WRAPS)
def test_what_was_rejected_is_missing_again(first: int) -> None:
    book = CommandBook()
    book.start(first)
    numbers = [(first + step) & 0xFFFFFFFF for step in range(4)]
    for number in numbers:
        book.take(number)
    book.reopen(numbers[1])
    assert book.lowest_missing == numbers[1]
    assert book.used(numbers[1]) is False


def test_below_the_beginning_nothing_is_known() -> None:
    book = CommandBook()
    assert book.used(5) is None
    book.take(100)
    assert book.used(99) is None
    assert book.used(100) is True
    book.forget()
    assert book.next is None
    assert book.used(100) is None


@given(st.sampled_from([0, 0xFFFFFFF0]), st.lists(st.integers(0, 30), max_size=40))
def test_the_book_is_a_set_of_numbers(first: int, steps: list[int]) -> None:
    book = CommandBook()
    book.start(first)
    taken = set()
    for step in steps:
        book.take((first + step) & 0xFFFFFFFF)
        taken.add(step)
    end = max(taken, default=-1) + 1
    assert book.next == (first + end) & 0xFFFFFFFF
    for step in range(32):
        assert book.used((first + step) & 0xFFFFFFFF) is (step in taken)
    missing = next(step for step in range(32) if step not in taken)
    assert book.lowest_missing == (first + missing) & 0xFFFFFFFF


def test_a_session_keeps_what_an_initiator_was_told_and_never_goes_back() -> None:
    scene = scene_after(
        """
        login
        < NOP-In ITT=none ExpCmdSN=1 MaxCmdSN=40
        < NOP-In ITT=none ExpCmdSN=1 MaxCmdSN=20
        """
    )
    session = next(iter(scene.sessions.values()))
    assert session.max_cmd == 40
    assert session.exp_cmd == 1
    assert session.seen
    assert session.complete


def test_a_task_ends_once_and_can_be_found_until_its_tag_is_used_again() -> None:
    scene = scene_after(
        """
        login
        > SCSI-Command cdb=TEST-UNIT-READY ITT=7
        < SCSI-Response ITT=7
        """,
        End.INITIATOR,
    )
    session = next(iter(scene.sessions.values()))
    assert not list(session.live())
    task = session.find(7)
    assert task is not None
    assert task.ended is task.terminal
    assert repr(session) == "<Session 1 of 1 connections, 0 tasks>"


@pytest.mark.parametrize(
    ("text", "delivered"),
    [
        ("> SCSI-Command cdb=READ(10):0+1", True),
        (">x NOP-Out\n> SCSI-Command cdb=READ(10):0+1", False),
        (">x NOP-Out\n> SCSI-Command cdb=READ(10):0+1 I", True),
        (">x NOP-Out\n> SCSI-Command cdb=READ(10):0+1\n< Data-In data=512 ExpCmdSN=1", True),
        ("> SCSI-Command cdb=READ(10):0+1 CmdSN=9", False),
    ],
)
def test_what_is_behind_a_gap_may_not_be_delivered(text: str, delivered: bool) -> None:
    session = scene_after(f"login\n{text}").conns[1].session
    (task,) = (task for task in session.live() if task.is_scsi)
    assert session.delivered(task) is delivered


@pytest.mark.parametrize("first", WRAPS)
def test_what_is_doubtful_is_neither_missing_nor_used(first: int) -> None:
    book = CommandBook()
    book.start(first)
    numbers = [(first + step) & 0xFFFFFFFF for step in range(8)]
    book.take(numbers[0])
    book.take(numbers[4])
    for step in (1, 2, 5, 7):
        book.doubt(numbers[step])
    assert book.lowest_missing == numbers[3]
    assert [book.used(number) for number in numbers] == [True, None, None, False, True, None, False, None]
    book.take(numbers[3])
    assert book.lowest_missing == numbers[6]
    book.take(numbers[5])
    assert book.used(numbers[5]) is True
    book.take(numbers[6])
    assert book.lowest_missing == (first + 8) & 0xFFFFFFFF
    book.forget()
    assert not book.doubtful


@pytest.mark.parametrize("first", WRAPS)
def test_what_is_conceded_is_not_waited_for(first: int) -> None:
    book = CommandBook()
    book.start(first)
    numbers = [(first + step) & 0xFFFFFFFF for step in range(10)]
    for step in (0, 2, 6, 9):
        book.take(numbers[step])
    book.concede(numbers[0])
    assert book.lowest_missing == numbers[1]
    book.concede(numbers[4])
    assert book.lowest_missing == numbers[4]
    assert [book.used(number) for number in numbers[:7]] == [None, None, None, None, False, False, True]
    book.concede(numbers[9])
    assert book.lowest_missing == (first + 10) & 0xFFFFFFFF


def test_doubts_are_bounded() -> None:
    book = CommandBook()
    book.start(1)
    for number in range(10, 5000):
        book.doubt(number)
    assert len(book.doubtful) <= 1024
    assert book.used(4999) is None


def test_old_numbers_are_forgotten_before_they_come_round() -> None:
    book = CommandBook()
    book.start((1 << 24) - 2)
    book.take((1 << 24) - 2)
    book.take((1 << 24) - 1)
    assert book.next == 1 << 24
    assert book.floor == 0
