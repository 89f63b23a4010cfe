from __future__ import annotations

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language.problems import Problems, UnknownNameError, nearest, problem, quoted
from iscsiproxy.language.spec import Position
from iscsiproxy.language.vocabulary import ITEMS, field_names

__all__: list[str] = []

ALL_FIELDS = field_names(frozenset(range(64)))


def at(line: int, column: int = 1) -> Position:
    return Position("f", line, column)


@pytest.mark.parametrize(
    ("name", "names", "near"),
    [
        ("SCSI-Comand", ITEMS, "SCSI-Command"),
        ("scsi-command", ITEMS, "SCSI-Command"),
        ("SCSICommand", ITEMS, "SCSI-Command"),
        ("DataOut", ITEMS, "Data-Out"),
        ("r2t", ITEMS, "R2T"),
        ("InitiatorTaskTag", ALL_FIELDS, "ITT"),
        ("Immediate", ALL_FIELDS, "I"),
        ("DesiredDataTransferLenght", ALL_FIELDS, "DesiredDataTransferLength"),
        ("Status_Class", ALL_FIELDS, "Status-Class"),
        ("once", ("exactly", "never"), "exactly"),
    ],
)
def test_the_nearest_name(name: str, names: tuple[str, ...], near: str) -> None:
    assert nearest(name, names) == f"did you mean `{near}`?"


def test_nothing_is_near() -> None:
    assert nearest("zzz", ITEMS) is None
    assert nearest("Immediate", ()) is None


def test_names_are_listed_for_people() -> None:
    assert quoted(["a"]) == "`a`"
    assert quoted(["a", "b"]) == "`a` or `b`"
    assert quoted(["a", "b", "c"]) == "`a`, `b` or `c`"


def test_a_problem_says_where_and_what_else() -> None:
    error = problem("this is wrong", at(3, 7), "do that")
    assert str(error) == "f:3:7: this is wrong (do that)"


def test_all_are_told_in_the_order_of_the_file_and_once() -> None:
    problems = Problems()
    assert not problems
    for line in (3, 1, 3):
        with problems.part():
            raise problem("wrong", at(line))
    assert [error.line for error in problems.found] == [1, 3]
    with pytest.raises(FileError) as caught:
        problems.raise_if_any()
    assert caught.value.line == 1
    assert [error.line for error in caught.value.others] == [3]


def test_nothing_is_raised_when_all_is_right() -> None:
    Problems().raise_if_any()


def test_other_errors_pass_through_a_part() -> None:
    with pytest.raises(KeyError), Problems().part():
        raise KeyError


def test_unknown_names_are_not_told_when_their_place_may_be_left_out() -> None:
    problems = Problems()
    problems.add(UnknownNameError("nothing binds it", file="f", line=1, column=1))
    assert len(problems.found) == 1
    with problems.part(binds=True):
        raise problem("bad syntax", at(2))
    assert [error.message for error in problems.found] == ["bad syntax"]


def test_the_list_is_bounded() -> None:
    problems = Problems()
    for line in range(1, 200):
        problems.add(problem("wrong", at(line)))
    assert len(problems.found) == 50
