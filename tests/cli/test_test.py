from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.program import PROGRAM, program

__all__: list[str] = []

#: Decides itself with the first command, whatever comes of it
_FAST = """
scenario: fast
title: Nothing is done to a command
victim: target
covers: [XYZ-01]
matrix: {which: [1, 2]}
traffic: {io: read, size: 4096}
rules:
  - {name: seen, when: SCSI-Command nth $which as it, do: {note: here}}
expect:
  - first:
      - VERDICT: Status-PDU of it
      - fail: nothing
timing: {quiet: 50ms}
"""


def _file(folder: Path, verdict: str = "pass", *, rule: str = "") -> str:
    path = folder / "fast.yaml"
    path.write_text(_FAST.replace("VERDICT", verdict).replace("SCSI-Command nth", rule or "SCSI-Command nth"))
    return str(path)


def test_a_line_for_each_run_and_a_sum(tmp_path: Path) -> None:
    done = program("test", _file(tmp_path), "--seed", "3", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, *runs, last = done.stdout.splitlines()
    assert first == "target embedded, initiator embedded, seed 3"
    assert [line.split()[:2] for line in runs] == [["pass", "fast[which=1]"], ["pass", "fast[which=2]"]]
    assert last.startswith("2 pass in ")
    assert last.endswith("(target embedded, initiator embedded, seed 3)")
    assert {path.name for path in tmp_path.iterdir()} == {"fast.yaml"}, "nothing is left of what passed"


def test_a_fail_has_its_evidence_and_its_journal(tmp_path: Path) -> None:
    done = program("test", _file(tmp_path, "fail"), "-p", "which=2", cwd=tmp_path)
    assert done.returncode == 1
    assert "fail         fast[which=2]" in done.stdout
    assert "#" in next(line for line in done.stdout.splitlines() if "sent by the target" in line)
    (journal,) = [line.split()[-1] for line in done.stdout.splitlines() if line.lstrip().startswith("journal:")]
    assert (tmp_path / journal).is_file()
    assert Path(journal).parts[0] == "iscsiproxy-runs"


@pytest.mark.parametrize(
    ("verdict", "options", "status"),
    [("warn", (), 0), ("warn", ("--fail-on", "warn"), 1), ("inconclusive", (), 3), ("skipped", (), 3)],
)
def test_the_exit_code(tmp_path: Path, verdict: str, options: tuple[str, ...], status: int) -> None:
    done = program("test", _file(tmp_path, verdict), "-k", "which=1", *options, cwd=tmp_path)
    assert done.returncode == status, done.stdout + done.stderr


def test_for_programs(tmp_path: Path) -> None:
    junit, home = tmp_path / "j.xml", tmp_path / "home"
    done = program(
        "test", _file(tmp_path), "-k", "xyz-01 and which=1", "--json", "--junit", str(junit), "--run-dir", str(home)
    )
    assert (done.returncode, done.stderr) == (0, "")
    run, last = map(json.loads, done.stdout.splitlines())
    assert (run["event"], run["name"], run["verdict"], run["axes"]) == ("run", "fast[which=1]", "pass", {"which": "1"})
    assert (last["event"], last["counts"]["pass"], last["exit"]) == ("summary", 1, 0)
    assert ET.fromstring(junit.read_bytes()).get("tests") == "1"
    assert {path.name for path in home.iterdir()} == {"fast.which=1", "result.json", "junit.xml"}
    assert {path.name for path in (home / "fast.which=1").iterdir()} == {
        "journal.jsonl",
        "capture.pcapng",
        "result.json",
    }


def test_the_list_runs_nothing(tmp_path: Path) -> None:
    done = program("test", _file(tmp_path), "--list")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["fast[which=1]  Nothing is done to a command", "fast[which=2]  Nothing is done to a command"],
    )
    listed = program("test", "--list", "--json", "-k", "data_out_lost")
    assert [json.loads(line)["name"] for line in listed.stdout.splitlines()] == ["data_out_lost"]


def test_verdicts_are_told_whatever_becomes_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "home" / "result.json").mkdir(parents=True)
    done = program("test", _file(tmp_path), "-p", "which=1", "--run-dir", "home", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1].startswith("1 pass in ")
    assert done.stderr == "iscsiproxy: cannot write home/result.json: Is a directory\n"


def test_the_folder_of_a_report_is_made_before_anything_is_run(tmp_path: Path) -> None:
    done = program("test", _file(tmp_path), "-p", "which=1", "--junit", "new/j.xml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "new" / "j.xml").is_file()
    done = program("test", _file(tmp_path), "-p", "which=1", "--junit", "fast.yaml/j.xml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "iscsiproxy: cannot make fast.yaml: File exists\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("nobody",), "no scenario is called 'nobody'"),
        (("data_out_lost", "-p", "snn=3"), "no scenario has a parameter 'snn' (did you mean sn?)"),
        (("-k", "a and"), "-k 'a and': a word is missing"),
        (("-k", "nowhere"), "-k 'nowhere': no run has this"),
        (("--target", "embedded:W99"), "no quirk is called 'W99'"),
        (("--initiator", "iscsi-ls"), "--initiator: expected embedded, external or a command"),
        (("data_out_lost", "--target", "storage"), "data_out_lost can write to storage:3260"),
        (("--scratch-range", "9..3"), "--scratch-range '9..3'"),
        (("--initiator", "external"), "--initiator external needs --listen"),
        (("--listen", ":0"), "--listen is for --initiator external"),
        (("--initiator", "/nowhere/x {url}", "-k", "data_out_lost"), "cannot run /nowhere/x"),
    ],
)
def test_what_is_the_users_to_put_right(args: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = program("test", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_target_that_is_not_there(tmp_path: Path) -> None:
    done = program("test", "data_out_lost", "--target", "iscsi://me%sesame@127.0.0.1:1", "--scratch", cwd=tmp_path)
    assert done.returncode == 3
    assert "iscsiproxy: the target iscsi://127.0.0.1:1: no connection" in done.stderr
    assert "sesame" not in done.stdout + done.stderr


def test_a_signal_ends_it_with_a_report(tmp_path: Path) -> None:
    path = tmp_path / "slow.yaml"
    path.write_text(
        "scenario: slow\nvictim: target\nmatrix: {which: [1, 2]}\n"
        "rules:\n  - {when: SCSI-Command where W nth $which, do: [{delay: 50s}]}\n"
    )
    home = tmp_path / "home"
    args = (*PROGRAM, "test", str(path), "--json", "-v", "--run-dir", str(home))
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        journal = home / "slow.which=1" / "journal.jsonl"
        try:
            while process.poll() is None and not (journal.is_file() and '"held"' in journal.read_text()):
                pass
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    run, last = map(json.loads, out.splitlines())
    assert (run["verdict"], last["interrupted"], last["asked"]) == ("inconclusive", True, 2)
    assert "interrupted" in [finding["text"] for finding in run["findings"]]
    assert "ending" in err
    assert "Traceback" not in err
    assert process.returncode == 128 + signal.SIGINT
    assert '"stage":"cleared"' in journal.read_text()
    assert journal.read_text().rstrip().splitlines()[-1].startswith('{"e":"end"')
    assert json.loads((home / "result.json").read_text())["interrupted"]
