"""What the README says is so: its commands run, its output is what they print, its tables are those of the program."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import click
import pytest

from iscsiproxy.cli import _COMMANDS
from iscsiproxy.cli.initiator import command as initiator_command
from iscsiproxy.cli.run import command as run_command
from iscsiproxy.cli.target import command as target_command
from iscsiproxy.cli.test import command as judging_command
from iscsiproxy.runs.library import check, groups, shipped
from tests.faults.page import subjects
from tests.real.process import run

__all__: list[str] = []

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block(kind: str, containing: str) -> str:
    (found,) = [text for what, text in BLOCKS if what == kind and containing in text]
    return found


def shape(text: str) -> list[str]:
    """Lines in the order of the alphabet, numbers aside: two streams may mix in any order."""
    return sorted(re.sub(r"0x[0-9a-f]+|[0-9]+(\.[0-9]+)?", "#", line).strip() for line in text.splitlines() if line)


async def test_the_first_command_prints_what_the_readme_shows() -> None:
    command, _, shown = block("console", "demo.sh").partition("\n")
    environment = {"ISCSIPROXY_VENV": sys.prefix, "COLUMNS": "80"}
    arguments = (*command.removeprefix("$ bash ").split(), "--seed", "1")
    finished = (await run("bash", *arguments, env=environment, cwd=ROOT)).check()
    printed = shape(finished.stdout)
    assert [line for line in shape(shown) if line not in printed] == ["[…]"]


@pytest.mark.peers("tgtd", "qemu")
async def test_the_first_fault_on_real_peers() -> None:
    environment = {"ISCSIPROXY_VENV": sys.prefix}
    finished = (await run("bash", "examples/first-fault.sh", env=environment, cwd=ROOT)).check()
    assert "The target answered GOOD to a write of which 8 KiB never arrived" in finished.stdout


def test_the_table_of_groups_is_the_library() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.*) \|$", README, re.MULTILINE)
    assert [(group, int(count), subject) for group, count, subject in rows] == [
        (group, len(groups()[group]), subject) for group, subject in subjects().items()
    ]
    (total,) = re.findall(r"^(\d+) scenarios ship", README, re.MULTILINE)
    assert int(total) == len(shipped())


async def test_a_verdict_looks_as_the_readme_shows(tmp_path: Path) -> None:
    shown = block("console", "$ iscsiproxy test data_out_lost")
    command, *lines = shown.splitlines()
    finished = await run(sys.executable, "-m", *command.split()[1:], within=60.0, cwd=tmp_path)
    assert finished.returncode == 1

    def told(line: str) -> str:
        return re.sub(r"[#0-9]+(\.[0-9]+)?s?", "N", " ".join(line.split()))

    printed = [told(line) for line in finished.stdout.splitlines()]
    for line in lines:
        begin, cut, _ = told(line).partition("[…]")
        assert any(one.startswith(begin.rstrip()) if cut else one == begin for one in printed), line


def test_the_example_file_has_no_errors(tmp_path: Path) -> None:
    path = tmp_path / "my-fault.yaml"
    path.write_text(block("yaml", "scenario: my-fault"), encoding="utf-8")
    assert check(path) == ()


def _options(command: click.Command) -> set[str]:
    return {name for option in command.params if isinstance(option, click.Option) for name in option.opts}


def test_commands_and_options_exist() -> None:
    assert set(re.findall(r"^\| `iscsiproxy (\w+)", README, re.MULTILINE)) == set(_COMMANDS)
    (row,) = re.findall(r"^\| `iscsiproxy run` \| (.*) \|$", README, re.MULTILINE)
    options = _options(run_command)
    assert set(re.findall(r"`(--?[a-z]+)`", row)) <= options
    (row,) = re.findall(r"^\| `iscsiproxy test` \| (.*) \|$", README, re.MULTILINE)
    assert set(re.findall(r"`(--?[a-z-]+)`", row)) <= _options(judging_command)
    options |= _options(judging_command)
    options |= _options(target_command) | _options(initiator_command.commands["io"])
    for _, text in BLOCKS:
        assert set(re.findall(r" (--[a-z-]+)", text)) <= options | {"--quick", "--unix-socket"}


def test_files_that_are_named_exist() -> None:
    for name in re.findall(r"\b(?:tests|examples|benchmarks)/[\w.-]+", README):
        assert (ROOT / name).exists(), name
    assert all(os.access(script, os.X_OK) for script in (ROOT / "examples").glob("*.sh"))
