from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.program import PROGRAM, program
from tests.runs.test_chaos import PLAN

__all__: list[str] = []

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLANS = sorted(EXAMPLES.glob("chaos-*.yaml"))


def written(folder: Path, text: str = PLAN) -> str:
    (folder / "p.yaml").write_text(text)
    return str(folder / "p.yaml")


def test_it_tells_how_it_goes_and_what_it_came_to(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = program("chaos", written(tmp_path), "--seed", "7", "--run-dir", str(home))
    assert done.returncode == 0, done.stdout + done.stderr
    first, *lines = done.stdout.splitlines()
    assert first.startswith("p: 2.1 s, ")
    assert first.endswith("(target embedded, initiator embedded, seed 7)")
    for phase in ("before", "storm", "after"):
        assert any(f" s  {phase}  " in line for line in lines)
    assert any("faults that were put in force have struck: late " in line for line in lines)
    assert lines[-1] == f"all of it is in {home}; `iscsiproxy replay {home}` does it again"
    assert f"iscsiproxy replay {home}" in (home / "report.html").read_text()
    assert {"journal.jsonl", "plan.yaml", "result.json", "junit.xml"} <= {path.name for path in home.iterdir()}
    assert json.loads((home / "result.json").read_text())["counts"]["pass"] == 1


def test_for_programs(tmp_path: Path) -> None:
    done = program("chaos", written(tmp_path), "--json", "--run-dir", str(tmp_path / "home"))
    *progress, run, end = map(json.loads, done.stdout.splitlines())
    assert {one["event"] for one in progress} == {"progress"}
    assert {"phase", "seconds", "of", "iops", "drawn", "struck", "findings"} <= progress[0].keys()
    assert (run["event"], run["verdict"], end["event"], end["exit"]) == ("run", "pass", "summary", 0)


def test_a_target_that_deviates_fails(tmp_path: Path) -> None:
    text = PLAN[: PLAN.index("faults:")] + "faults: [{scenario: data_out_lost}]\n"
    home = str(tmp_path / "home")
    done = program("chaos", written(tmp_path, text), "--target", "embedded:tgt-holes", "--run-dir", home)
    assert done.returncode == 1, done.stdout
    assert "MUST T-033 target" in done.stdout


def test_ctrl_c_ends_it_with_a_report(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [*PROGRAM, "chaos", written(tmp_path), "--scale", "30", "--run-dir", str(home)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal = home / "journal.jsonl"
    end = time.monotonic() + 30
    while time.monotonic() < end and not (journal.is_file() and '"stage":"aftermath"' in journal.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert "interrupted in before" in out
    assert "faults are cleared" in err
    assert "Traceback" not in err
    assert json.loads((home / "result.json").read_text())["interrupted"]
    assert journal.read_text().rstrip().splitlines()[-1].startswith('{"e":"end"')


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--target", "embedded:W99"), "no quirk is called 'W99'"),
        (("--initiator", "external"), "chaos drives its initiator"),
        (("--target", "127.0.0.1:1"), "scratch"),
        (("--scale", "0"), "Invalid value for '--scale'"),
    ],
)
def test_what_is_the_users_to_put_right(tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    done = program("chaos", written(tmp_path), *args, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_plan_that_is_wrong(tmp_path: Path) -> None:
    done = program("chaos", written(tmp_path, PLAN.replace("rate: 10/s", "rate: 10")))
    assert done.returncode == 2
    assert f"{tmp_path}/p.yaml:6:" in done.stderr


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.stem)
def test_the_plans_of_the_examples_pass_in_a_short_form(plan: Path, tmp_path: Path) -> None:
    scale = {"chaos-ci": "0.12", "chaos-nightly": "0.002"}[plan.stem]
    done = program("chaos", str(plan), "--scale", scale, "--seed", "7", "--run-dir", str(tmp_path / "home"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_that_of_ci_is_done_in_two_minutes() -> None:
    from iscsiproxy.runs.plans import read_plan

    assert read_plan(EXAMPLES / "chaos-ci.yaml").seconds <= 100
