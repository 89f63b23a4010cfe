from __future__ import annotations

import json
from pathlib import Path

from iscsiproxy.runs.library import groups, shipped
from tests.cli.program import program

_WRONG = "scenario: wrong\ntitle: x\nvictim: nobody\ncites: [RFC 7143 1]\nrules:\n  - {when: NOP-Oot, do: drop}\n"


def test_list_names_every_shipped_scenario() -> None:
    told: dict[str, list[str]] = {}
    for line in program("faults").stdout.splitlines():
        if line.startswith("  "):
            told[list(told)[-1]].append(line.split()[0])
        else:
            told[line] = []
    assert {group: tuple(names) for group, names in told.items()} == groups()
    facts = map(json.loads, program("faults", "list", "--json").stdout.splitlines())
    assert [(one["group"], one["name"]) for one in facts] == [(group, name) for group in told for name in told[group]]


def test_show_gives_the_file_and_its_parameters() -> None:
    done = program("faults", "show", "cmdsn_duplicate_write")
    assert "parameter: -p nth=2" in done.stdout
    assert shipped()["cmdsn_duplicate_write"].read_text().strip() in done.stdout
    facts = json.loads(program("faults", "show", "--json", "cmdsn_duplicate_write").stdout)
    assert facts["params"] == {"nth": "2"}


def test_lint_finds_nothing_in_the_shipped_files() -> None:
    done = program("faults", "lint")
    assert (done.returncode, done.stdout) == (0, f"{len(shipped())} files: no errors\n")


def test_lint_says_everything_that_is_wrong_and_where(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(_WRONG)
    done = program("faults", "lint", str(file))
    assert done.returncode == 2
    places = [line.removeprefix(f"{file}:").split(": ")[0] for line in done.stdout.splitlines()]
    assert "3:9" in places
    assert any(place.startswith("6:") for place in places)
    errors = [json.loads(line) for line in program("faults", "lint", "--json", str(file)).stdout.splitlines()]
    assert [f"{error['line']}:{error['column']}" for error in errors] == places
    shown = program("run", "--listen", ":0", "--target", ":1", "--faults", str(file))
    assert shown.returncode == 2
    assert all(f"{file}:{place}: " in shown.stderr for place in places)


def test_lint_finds_rules_that_can_never_fire(tmp_path: Path) -> None:
    file = tmp_path / "dead.yaml"
    file.write_text("scenario: dead\nrules:\n  - {when: Data-Out where DataSN == 2 and DataSN == 3, do: drop}\n")
    done = program("faults", "lint", str(file))
    assert done.returncode == 2
    assert done.stdout.startswith(f"{file}:3:")
    assert "this rule can never fire: `DataSN == 2` and `DataSN == 3` are never both true" in done.stdout
    facts = json.loads(program("faults", "lint", "--json", str(file)).stdout)
    assert (facts["severity"], facts["line"]) == ("error", 3)


def test_a_warning_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "idle.yaml"
    file.write_text("scenario: idle\nrules:\n  - {when: Data-Out nth 1 as lost, do: drop}\n")
    done = program("faults", "lint", str(file))
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"{file}:3:12: warning: `lost` is bound here and used nowhere"
    assert done.stdout.splitlines()[1] == "1 file: no errors, 1 warning"


def test_the_reference_is_the_page_beside_the_scenarios() -> None:
    page = Path(__file__).parents[2] / "faults" / "README.md"
    printed = program("faults", "reference").stdout
    assert printed == page.read_text(encoding="utf-8"), "run: iscsiproxy faults reference > faults/README.md"
