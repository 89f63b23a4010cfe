from __future__ import annotations

from pathlib import Path

from tests.cli.program import program
from tests.cli.test_chaos import written

__all__: list[str] = []


def listed(home: Path) -> dict[str, str]:
    """Give the faults that a run had by their numbers."""
    lines = program("replay", str(home), "--list").stdout.splitlines()
    return {line.split()[0]: line.split()[-1] for line in lines}


def test_a_run_is_done_again_and_differs_without_one_of_its_faults(tmp_path: Path) -> None:
    first, again, less = (tmp_path / name for name in ("first", "again", "less"))
    plan = written(tmp_path)
    assert program("chaos", plan, "--scale", "0.5", "--seed", "3", "--run-dir", str(first)).returncode == 0
    faults = listed(first)
    assert len(faults) > 2
    done = program("replay", str(first), "--run-dir", str(again))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "p: 1.05 s" in done.stdout
    assert "seed 3" in done.stdout
    assert listed(again) == faults
    gone = min(faults)
    assert program("replay", str(first), "--without", gone, "--run-dir", str(less)).returncode == 0
    assert listed(less) == {number: fault for number, fault in faults.items() if number != gone}


def test_what_was_never_there(tmp_path: Path) -> None:
    done = program("replay", str(tmp_path))
    assert done.returncode == 2
    assert "is no folder of a run of chaos" in done.stderr
    home = tmp_path / "home"
    program("chaos", written(tmp_path), "--scale", "0.1", "--seed", "3", "--run-dir", str(home))
    done = program("replay", str(home), "--without", "999")
    assert done.returncode == 2
    assert "--without 999: there was no such fault" in done.stderr
