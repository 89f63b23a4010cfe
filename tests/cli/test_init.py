from __future__ import annotations

import subprocess
import sys

import pytest

from iscsiproxy import __version__
from tests.cli.program import program


def test_the_command_line_imports_nothing_slow() -> None:
    code = "import sys, iscsiproxy.cli; print(*{'trio', 'rich', 'yaml', 'crc32c', 'msgspec'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_version() -> None:
    assert program("--version").stdout == f"iscsiproxy, version {__version__}\n"


@pytest.mark.parametrize("args", [("-h",), ("--help",), ("run", "-h"), ("faults", "-h"), ("decode", "-h")])
def test_help(args: tuple[str, ...]) -> None:
    done = program(*args)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: iscsiproxy")


def test_a_misspelt_subcommand_suggests_the_right_one() -> None:
    done = program("decoed")
    assert done.returncode == 2
    assert "No such command 'decoed'. Did you mean decode?" in done.stderr
