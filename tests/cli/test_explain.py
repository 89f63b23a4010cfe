from __future__ import annotations

import json
from pathlib import Path

import pytest

from iscsiproxy.journal import Journal
from tests.cli.program import program
from tests.engine.dialogue import data_out
from tests.journal.story import Story, command, response

RULES = """
rules:
  - name: hole
    when: Data-Out where DataSN == 2 nth 1 as lost
    do: drop
  - name: late
    when: SCSI-Response of lost then 5s
    do: close
  - name: fourth
    when: SCSI-Command nth 4
    do: duplicate
  - name: any
    when: SCSI-Command
    do: {note: x}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text(f"scenario: mine\nvictim: target{RULES}")
    told = Story()
    told.logged_in()
    for number in (1, 2, 3):
        told.passed(command(number, b"x" * 512))
        told.passed(data_out(number, number + 2))
        told.passed(response(number))
    told.noted("mine/any", None, "x")
    journal = Journal(tmp_path / "run.jsonl", started=0.0, scenarios=["data_out_lost"], seed=1)
    for event in told.events:
        journal(event)
    journal.close()
    return tmp_path


def test_why_is_said_with_the_place_in_the_journal_and_the_values(folder: Path) -> None:
    done = program("explain", "run.jsonl", "--faults", "./mine.yaml", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    first = lines.index("rule mine/hole (mine.yaml:4): never fired")
    assert lines[first + 1] == "  when Data-Out where DataSN == 2 nth 1 as lost"
    assert lines[first + 2] == "    3 seen, none matched; the nearest:"
    number = int(lines[first + 3].split()[1].rstrip(","))
    assert "Data-Out" in lines[first + 3]
    assert lines[first + 4].strip() == "not `DataSN == 2`: DataSN is 3"
    assert lines[first + 3].endswith(" data=512"), "the length is told of data that no journal keeps"
    record = json.loads((folder / "run.jsonl").read_text().splitlines()[number - 1])
    assert (record["e"], record["pdu"]) == ("received", "Data-Out")
    assert "    step 1 of 2, `SCSI-Response of lost`: 3 seen, none matched; the nearest:" in lines
    assert "        not `of lost`: `lost` is not bound" in lines
    assert "  `lost` is bound by rule mine/hole" in lines
    assert "        not `nth 4`: this is match number 3" in lines
    assert "rule mine/any (mine.yaml:13): fired once" in lines
    assert lines[-1].startswith("in this run there were: ")


def test_the_file_of_a_judged_run_is_the_default(folder: Path) -> None:
    matrix = "scenario: many\nvictim: target\nparams: {sn: 7}\nmatrix: {pdu: [R2T, Reject]}\n"
    (folder / "many.yaml").write_text(f"{matrix}rules:\n  - {{name: it, when: $pdu nth $sn, do: drop}}\n")
    facts = {"file": str(folder / "many.yaml"), "params": {"sn": "3"}, "axes": {"pdu": "Reject"}}
    Journal(folder / "judged.jsonl", started=0.0, scenarios=["many"], facts=facts).close()
    done = program("explain", "judged.jsonl", cwd=folder.parent)
    assert done.returncode == 2, "the journal is looked for where the user is"
    done = program("explain", str(folder / "judged.jsonl"), cwd=folder.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  when Reject nth 3" in done.stdout.splitlines()
    (folder / "many.yaml").unlink()
    done = program("explain", str(folder / "judged.jsonl"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "many does not ship with the program (" in done.stderr
    assert "many.yaml is gone): say where it is with --faults" in done.stderr


def test_the_scenarios_of_the_journal_are_the_default(folder: Path) -> None:
    done = program("explain", "run.jsonl", cwd=folder)
    assert "rule data_out_lost/hole" in done.stdout


def test_a_rule_may_be_chosen_and_told_as_json(folder: Path) -> None:
    done = program("explain", "run.jsonl", "--faults", "./mine.yaml", "--rule", "hole", "--json", cwd=folder)
    (facts,) = map(json.loads, done.stdout.splitlines())
    assert (facts["rule"], facts["fired"], facts["line"]) == ("mine/hole", 0, 4)
    (step,) = facts["when"][0]["steps"]
    assert (step["seen"], step["matched"]) == (3, 0)
    assert step["misses"][0]["clauses"] == [{"text": "DataSN == 2", "found": "DataSN is 3"}]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("run.jsonl", "--faults", "./mine.yaml", "--rule", "whole"), "no rule is called whole"),
        (("mine.yaml",), "expected the first line of a journal"),
        (("run.jsonl", "-p", "x"), "expected name=value"),
        (("run.jsonl", "--faults", "nothing"), "no scenario is called"),
    ],
)
def test_what_cannot_be_explained_is_said(folder: Path, args: tuple[str, ...], said: str) -> None:
    done = program("explain", *args, cwd=folder)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_journal_whose_scenario_does_not_ship_needs_the_file(folder: Path) -> None:
    text = (folder / "run.jsonl").read_text().replace("data_out_lost", "mine", 1)
    (folder / "run.jsonl").write_text(text)
    done = program("explain", "run.jsonl", cwd=folder)
    assert done.returncode == 2
    assert "say where it is with --faults" in done.stderr
