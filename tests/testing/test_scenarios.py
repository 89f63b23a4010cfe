from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.errors import FileError, UsageError
from iscsiproxy.runs.library import find
from iscsiproxy.testing.scenarios import placed, scenario_of

__all__: list[str] = []

_TEXT = """
    victim: target
    params: {sn: 1, quick: no}
    rules:
      - when: Data-Out where DataSN == $sn nth 1
        do: drop
      - when: SCSI-Command
        optional: $quick
        do: pass
"""
_MATRIX = """
    scenario: both_ways
    victim: target
    matrix: {what: [Data-Out, R2T]}
    rules:
      - when: $what nth 1
        do: drop
"""


def test_one_that_ships_and_a_file_are_named(tmp_path: Path) -> None:
    path = find("data_out_lost")
    assert scenario_of("data_out_lost") == scenario_of(str(path)) == scenario_of(path)
    assert scenario_of("data_out_lost", {"sn": 3}).params == {"sn": "3"}
    with pytest.raises(UsageError, match="there is no file"):
        scenario_of(tmp_path / "mine.yaml")
    with pytest.raises(UsageError, match="did you mean data_out_lost"):
        scenario_of("data_out_lots")


def test_a_file_beside_the_test_may_be_a_path_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("scenario: mine\nvictim: target\nrules: [{when: Data-Out nth 1, do: drop}]\n")
    monkeypatch.chdir(tmp_path)
    assert scenario_of(Path("mine.yaml")).name == scenario_of("mine.yaml").name == "mine"


def test_a_text_is_a_file_that_needs_no_name() -> None:
    scenario = scenario_of(_TEXT)
    assert (scenario.name, scenario.file, scenario.victim) == ("inline", "", "target")
    assert scenario_of(_TEXT, {"sn": 7, "quick": True}).params == {"sn": "7", "quick": "yes"}


def test_what_is_wrong_in_a_text_is_told_with_its_line() -> None:
    with pytest.raises(FileError, match=r"^inline:5:11: .*Data-Owt"):
        scenario_of(_TEXT.replace("Data-Out", "Data-Owt"))


def test_one_run_of_a_matrix_is_chosen() -> None:
    assert scenario_of(_MATRIX, {"what": "R2T"}).axes == {"what": "R2T"}
    with pytest.raises(UsageError, match=r"both_ways has a matrix of 2 runs: .* params={'what': 'Data-Out'}"):
        scenario_of(_MATRIX)
    assert scenario_of("busy_status", {"status": "BUSY"}).axes == {"status": "BUSY"}
    with pytest.raises(UsageError, match=r"params={'status': 'BUSY'}"):
        scenario_of("busy_status")
    with pytest.raises(UsageError, match="no scenario has a parameter 'stat'"):
        scenario_of("busy_status", {"stat": "BUSY"})
    with pytest.raises(UsageError, match="wha"):
        scenario_of(_MATRIX, {"wha": "R2T"})


def test_a_line_of_the_console_is_one_rule() -> None:
    line = "drop Data-Out where DataSN == 2 nth 1"
    scenario = scenario_of(line)
    assert (scenario.name, scenario.victim, scenario.title, scenario.file) == ("inline", "target", line, "")
    assert [act.name for act in scenario.rules[0].do] == ["drop"]
    with pytest.raises(FileError, match=r"^line:1:6: .*Data-Owt"):
        scenario_of("drop Data-Owt nth 1")
    with pytest.raises(UsageError, match="nth"):
        scenario_of(line, {"nth": 2})


def test_a_line_without_a_moment_waits_for_a_connection() -> None:
    (rule,) = scenario_of("close rst").rules
    assert [moment.text for moment in rule.when] == ["full-feature nth 1"]


def test_a_text_is_put_where_the_journal_can_name_it(tmp_path: Path) -> None:
    scenario = placed(scenario_of(_MATRIX, {"what": "R2T"}), _MATRIX, tmp_path)
    assert scenario.file == str(tmp_path / "both_ways.yaml")
    again = scenario_of(scenario.file, {"what": "R2T"})
    assert (again.name, again.axes) == (scenario.name, scenario.axes)
    line = "drop Data-Out nth 1"
    scenario = placed(scenario_of(line), line, tmp_path)
    assert scenario_of(scenario.file).title == line
    shipped = scenario_of("data_out_lost")
    assert placed(shipped, "data_out_lost", tmp_path) is shipped
    with pytest.raises(UsageError, match="cannot write"):
        placed(scenario, _MATRIX, tmp_path / "none")
