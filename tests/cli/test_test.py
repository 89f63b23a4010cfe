from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from iscsiproxy.cli.test import _Progress, command
from iscsiproxy.report.form import result_schema
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
    assert {path.name for path in home.iterdir()} == {"fast.which=1", "result.json", "junit.xml", "report.html"}
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


def test_a_report_is_written_where_everything_is_kept(tmp_path: Path) -> None:
    done = program("test", _file(tmp_path), "--run-dir", "home", "--seed", "4", "-p", "which=1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "report: home/report.html"
    page = (tmp_path / "home" / "report.html").read_text()
    assert "iscsiproxy test fast.yaml -p which=1 --target embedded --initiator embedded --seed 4" in page.replace(
        f"{tmp_path}/", ""
    )
    assert 'href="fast.which%3D1/journal.jsonl"' in page


def test_what_did_not_pass_has_a_report_too(tmp_path: Path) -> None:
    done = program("test", _file(tmp_path, "fail"), cwd=tmp_path)
    assert done.returncode == 1
    kind, _, path = done.stdout.splitlines()[-1].partition(": ")
    assert (kind, Path(path).parts[0]) == ("report", "iscsiproxy-runs")
    assert "2 of 2 runs failed" in (tmp_path / path).read_text()


def test_a_report_that_cannot_be_written_costs_no_exit_code(tmp_path: Path) -> None:
    (tmp_path / "home" / "report.html").mkdir(parents=True)
    done = program("test", _file(tmp_path), "-p", "which=1", "--run-dir", "home", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "iscsiproxy: cannot write home/report.html: Is a directory\n")
    assert done.stdout.splitlines()[-1].startswith("1 pass in ")
    assert (tmp_path / "home" / "result.json").is_file()


def test_a_report_that_cannot_be_made_costs_no_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("iscsiproxy.report.html.writer.write_report", broken)
    with pytest.raises(SystemExit) as ended:
        command([_file(tmp_path, "fail"), "-p", "which=1", "--run-dir", str(tmp_path / "home")])
    assert ended.value.code == 1
    assert (
        "the report could not be made, by an error of this program: ZeroDivisionError('oh')" in capsys.readouterr().err
    )


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
        (("-k", "nosuchrun"), "-k 'nosuchrun': no run has this"),
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
    assert "It was interrupted. 1 of 2 runs were not done." in (home / "report.html").read_text()


def test_a_target_that_is_not_there_is_reported_all_the_same(tmp_path: Path) -> None:
    home, junit = tmp_path / "home", tmp_path / "j.xml"
    args = ("test", _file(tmp_path), "--target", "127.0.0.1:1", "--run-dir", str(home), "--junit", str(junit))
    done = program(*args, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("iscsiproxy: the target 127.0.0.1:1: no connection")
    assert done.stdout.splitlines()[1].startswith("2 inconclusive in "), "the reason is told once"
    whole = json.loads((home / "result.json").read_text())
    jsonschema.validate(whole, result_schema())
    assert (whole["exit"], whole["counts"]["inconclusive"], len(whole["runs"])) == (3, 2, 2)
    assert ET.fromstring(junit.read_bytes()).get("tests") == "2"
    done = program(*args, "--json", cwd=tmp_path)
    first, second, last = map(json.loads, done.stdout.splitlines())
    assert (first["verdict"], second["name"], last["event"]) == ("inconclusive", "fast[which=2]", "summary")
    assert "no connection" in first["findings"][0]["text"]
    assert (done.returncode, last["exit"], last["asked"], last["interrupted"]) == (3, 3, 2, False)


#: Ends at once when it is called first; then it goes on for ever, and does not end because it is asked to
_STUBBORN = """#!/bin/sh
if [ -e once ]; then trap '' TERM; touch again; while :; do sleep 0.2; done; fi
touch once
exit 1
"""


def test_a_second_signal_ends_it_at_once_with_a_report(tmp_path: Path) -> None:
    command, home = tmp_path / "stubborn", tmp_path / "home"
    command.write_text(_STUBBORN)
    command.chmod(0o755)
    args = (*PROGRAM, "test", _file(tmp_path), "--initiator", f"{command} {{url}}", "--run-dir", str(home))
    with subprocess.Popen(
        args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ, cwd=tmp_path
    ) as process:
        try:
            while process.poll() is None and not (tmp_path / "again").exists():
                time.sleep(0.01)
            assert process.stderr is not None
            process.send_signal(signal.SIGINT)
            assert process.stderr.readline().startswith("ending: faults are cleared")
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            took = time.monotonic() - begin
        finally:
            process.kill()
    assert (process.returncode, err) == (128 + signal.SIGINT, "")
    assert took < 2.5, "it is not given the time to end by itself"
    assert out.splitlines()[-2].startswith("1 inconclusive, 1 not run in ")
    assert json.loads((home / "result.json").read_text())["interrupted"]
    assert ET.fromstring((home / "junit.xml").read_bytes()).get("tests") == "1"


@pytest.mark.parametrize("args", [(), ("--json",), ("--list",)])
def test_a_reader_who_has_read_enough_changes_nothing(tmp_path: Path, args: tuple[str, ...]) -> None:
    junit = tmp_path / "j.xml"
    command = (*PROGRAM, "test", _file(tmp_path), "--junit", str(junit), *args)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.wait(30), process.stderr.read()) == (0, b"")
    assert junit.exists() is ("--list" not in args)


def test_a_fail_comes_with_what_was_around_it_if_asked(tmp_path: Path) -> None:
    args = ("test", _file(tmp_path, "fail"), "-p", "which=2", "--seed", "1")
    assert "initiator proxy target" not in program(*args, cwd=tmp_path).stdout
    lines = program(*args, "-v", cwd=tmp_path).stdout.splitlines()
    at = lines.index("      initiator proxy target")
    drawn = [line for line in lines[at + 1 :] if "│" in line]
    assert 3 <= len(drawn) <= 10
    assert any("SCSI-Response" in line or "Data-In" in line for line in drawn)
    assert lines[at + 1 + len(drawn)].startswith("1 fail in "), "it stands at the end of the run"


def test_the_line_that_lives_says_the_stage_and_the_time() -> None:
    now = 100.0
    progress = _Progress("lost[n=2]", 3, 9, clock=lambda: now)
    assert str(progress) == "3/9 lost[n=2]  0 s"
    progress.stage, now = "fault", 112.4
    assert str(progress) == "3/9 lost[n=2]  fault 12 s"
    assert progress.__rich__().plain == "3/9 lost[n=2]  fault 12 s"


def test_on_a_terminal_the_stages_are_shown(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = (*PROGRAM, "test", _file(tmp_path), "-p", "which=1")
    seen = b""
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=tmp_path, env=env) as process:
        os.close(theirs)
        with suppress(OSError):  # the other end is closed
            while data := os.read(ours, 4096):
                seen += data
        assert process.wait(30) == 0
    os.close(ours)
    assert re.search(rb"1/1 fast\[which=1\]  (steady|fault|aftermath) \d s", seen)
