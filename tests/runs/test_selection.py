from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.errors import UsageError
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.library import groups, shipped
from iscsiproxy.runs.selection import collect, parse_choice, run_name

__all__: list[str] = []

_MATRIX = """
scenario: {name}
victim: target
covers: [DIG-04]
matrix: {{what: [header-digest, data-digest], nth: 1..2}}
rules:
  - when: Data-Out nth $nth
    do: {{corrupt: $what}}
"""


def _scenario(name: str = "spoiled", **axes: str) -> Scenario:
    return Scenario(name=name, victim="target", covers=("DIG-04",), axes=axes)


def _file(folder: Path, name: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(_MATRIX.format(name=name))
    return str(path)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("spoil", True),
        ("SPOIL", True),
        ("dig-04", True),
        ("header-digest", True),
        ("what=header", True),
        ("read", False),
        ("spoil and read", False),
        ("spoil or read", True),
        ("not read", True),
        ("not spoil or dig-04", True),
        ("not (spoil or dig-04)", False),
        ("spoil and not (read or login)", True),
        ("not not spoil", True),
    ],
)
def test_words_with_and_or_not(text: str, *, chosen: bool) -> None:
    assert parse_choice(text)(_scenario(what="header-digest")) is chosen


@pytest.mark.parametrize("text", ["", "and", "a and", "(a", "a)", "not", "a b", "or a"])
def test_what_is_no_choice(text: str) -> None:
    with pytest.raises(UsageError, match=r"^-k "):
        parse_choice(text)


def test_a_run_is_named_by_its_place_in_the_matrix() -> None:
    assert run_name(_scenario()) == "spoiled"
    assert run_name(_scenario(what="data", nth="2")) == "spoiled[what=data,nth=2]"


def test_without_names_all_that_ship() -> None:
    assert {scenario.name for scenario in collect((), {})} == set(shipped())
    assert {scenario.name for scenario in collect(("windows",), {})} == set(groups()["windows"])


def test_a_matrix_is_a_run_for_each_combination(tmp_path: Path) -> None:
    file = _file(tmp_path, "spoiled")
    assert len(collect([file], {})) == 4
    (one,) = collect([file], {"what": "data-digest"}, parse_choice("nth=2"))
    assert run_name(one) == "spoiled[what=data-digest,nth=2]"


def test_a_folder_is_the_files_in_it(tmp_path: Path) -> None:
    _file(tmp_path, "one")
    _file(tmp_path, "other")
    assert {scenario.name for scenario in collect([str(tmp_path)], {})} == {"one", "other"}
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match=r"there is no scenario in "):
        collect([str(empty)], {})
