from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.errors import FileError, UsageError
from iscsiproxy.runs.library import arm, check, find, groups, shipped, shipped_folder

_ROOT = Path(__file__).parent.parent.parent
_HEAD = "scenario: {name}\ntitle: x\nvictim: target\ncites: [RFC 7143 1]\n"
_RULES = "rules:\n  - {name: a, when: NOP-Out nth $nth, do: {note: here}}\n"


def _write(folder: Path, name: str, *, more: str = "params: {nth: 1}\n", rules: str = _RULES) -> str:
    file = folder / f"{name}.yaml"
    file.write_text(_HEAD.format(name=name) + more + rules)
    return str(file)


def test_in_a_checkout_the_scenarios_lie_beside_the_package() -> None:
    assert shipped_folder() == _ROOT / "faults"
    assert list(shipped()) == sorted(shipped())
    assert sorted(name for names in groups().values() for name in names) == list(shipped())
    assert "cmdsn_duplicate_write" in groups()["windows"]


def test_find() -> None:
    assert find("data_out_lost") == shipped()["data_out_lost"]
    path = str(shipped()["data_out_lost"])
    assert str(find(path)) == path
    with pytest.raises(UsageError, match=r"^there is no file nowhere\.yaml$"):
        find("nowhere.yaml")
    with pytest.raises(UsageError, match=r"no scenario is called 'window' \(did you mean windows\?\)"):
        find("window")
    with pytest.raises(UsageError, match=r"no scenario is called 'zzz' \(`iscsiproxy faults` lists them\)"):
        find("zzz")


def test_a_parameter_goes_to_the_scenarios_that_know_it(tmp_path: Path) -> None:
    one = _write(tmp_path, "one")
    other = _write(tmp_path, "other", more="", rules=_RULES.replace("$nth", "3"))
    first, second = arm([one, other], {"nth": "7"})
    assert (first.params["nth"], dict(second.params)) == ("7", {})


def test_a_parameter_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no scenario has a parameter 'x' \(there are: nth\)"):
        arm([_write(tmp_path, "one")], {"x": "1"})


def test_the_same_scenario_twice(tmp_path: Path) -> None:
    one = _write(tmp_path, "one")
    with pytest.raises(UsageError, match=r"^one is given twice$"):
        arm([one, one], {})


def test_a_matrix_has_to_be_narrowed_to_one_run(tmp_path: Path) -> None:
    wide = _write(tmp_path, "wide", more="matrix: {nth: [1, 2]}\n")
    with pytest.raises(UsageError, match=r"^wide has a matrix of 2 runs: choose one, as in -p nth=1$"):
        arm([wide], {})
    (chosen,) = arm([wide], {"nth": "2"})
    assert chosen.axes["nth"] == "2"


def test_a_wrong_file(tmp_path: Path) -> None:
    wrong = _write(tmp_path, "wrong", rules="rules:\n  - {when: NOP-Oot, do: drop}\n")
    with pytest.raises(FileError):
        arm([wrong], {})
    assert [error.line for error in check(Path(wrong))]
    (tmp_path / "bytes.yaml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="is not UTF-8 text: byte 0"):
        check(tmp_path / "bytes.yaml")
