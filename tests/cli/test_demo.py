from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import PROGRAM, program

__all__: list[str] = []


def test_the_whole_of_it_in_80_columns_without_colour() -> None:
    done = program("demo", "--seed", "1", env={"COLUMNS": "80", "TERM": "dumb"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert len(re.findall(r"^ Fault \d of 3", done.stdout, re.MULTILINE)) == 4
    assert "✓ clean" in done.stdout
    assert "LOST     Data-Out DataSN=2" in done.stdout
    for command in re.findall(r"\$ iscsiproxy (\w+)", done.stdout):
        assert program(command, "--help").returncode == 0


def test_facts_for_programs() -> None:
    done = program("demo", "--json", "--seed", "1")
    facts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["event"] for one in facts] == ["demo", "clean", "act", "act", "act", "act", "end"]
    assert facts[0]["seed"] == 1
    assert facts[-1] == {"event": "end", "fine": True}
    assert all(one["fired"] and one["fine"] for one in facts if one["event"] == "act")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_ends_it_quietly(number: signal.Signals) -> None:
    command = (*PROGRAM, "demo", "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(2):
            process.stdout.readline()
        process.send_signal(number)
        assert (process.wait(10), process.stderr.read()) == (128 + number, "")


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_a_full_disk_is_said_without_a_traceback(args: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run((*PROGRAM, "demo", *args), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "iscsiproxy: No space left on device\n")


def test_titles_are_wrapped_under_themselves() -> None:
    done = program("demo", "--seed", "1", env={"COLUMNS": "60"})
    lines = done.stdout.splitlines()
    (at,) = [n for n, line in enumerate(lines) if line.startswith(" Fault 1 of 3  data_out_lost")]
    assert lines[at + 1].rstrip() == " arrives"


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_a_reader_who_has_read_enough_ends_it_quietly(args: tuple[str, ...]) -> None:
    with subprocess.Popen((*PROGRAM, "demo", *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert (process.wait(20), process.stderr.read()) == (1, b"")
