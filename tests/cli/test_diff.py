from __future__ import annotations

import json
from pathlib import Path

from iscsiproxy.report.model import RunResult
from iscsiproxy.report.result import suite_json
from tests.cli.program import program
from tests.report.results import run, suite

__all__: list[str] = []


def kept(folder: Path, name: str, *runs: RunResult) -> str:
    (folder / name).mkdir()
    (folder / name / "result.json").write_text(suite_json(suite(*runs)))
    return str(folder / name)


def test_it_tells_what_changed_and_fails_if_something_got_worse(tmp_path: Path) -> None:
    old = kept(tmp_path, "old", run("pass", "a"), run("fail", "b"), run("pass", "c"))
    new = kept(tmp_path, "new", run("fail", "a"), run("pass", "b"), run("pass", "c"))
    done = program("diff", old, new)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "worse   a  pass → fail",
        "          it came",
        "better  b  fail → pass",
        "          was: it came",
        "1 worse, 1 better, 1 same",
    ]
    back = program("diff", "--json", new, old)
    assert [json.loads(line).get("kind") for line in back.stdout.splitlines()] == ["better", "worse", None]
    assert json.loads(back.stdout.splitlines()[-1])["counts"] == {"better": 1, "worse": 1, "same": 1}


def test_what_is_the_same_is_shown_if_asked(tmp_path: Path) -> None:
    old = kept(tmp_path, "old", run("pass", "a"))
    assert (program("diff", old, old).stdout, program("diff", old, old).returncode) == ("1 same\n", 0)
    assert program("diff", "--all", old, old).stdout == "same    a  pass\n1 same\n"


def test_a_new_run_that_fails_is_worse(tmp_path: Path) -> None:
    old = kept(tmp_path, "old", run("pass", "a"))
    assert program("diff", old, kept(tmp_path, "new", run("pass", "a"), run("fail", "b"))).returncode == 1
    assert program("diff", old, kept(tmp_path, "good", run("pass", "a"), run("pass", "b"))).returncode == 0


def test_what_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    done = program("diff", str(tmp_path / "x.json"), str(tmp_path))
    assert done.returncode == 2
    assert "expected a result of version 1, got None" in done.stderr
