"""The walk-through: each of its commands is run as it stands, in the order of the page."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.real.tgtd import Tgtd

__all__: list[str] = []

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "iscsiproxy" / "cli" / "guide.md").read_text(encoding="utf-8")
WALK = GUIDE.partition("## The file")[0]
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", WALK, re.MULTILINE | re.DOTALL)
#: What tells of the one command that needs a real target
REAL = "iqn.2004-01.com.example:disk/1"

#: Until the target listens
WAIT = "for _ in $(seq 100); do (: </dev/tcp/127.0.0.1/3260) 2>&- && break; sleep 0.1; done"

#: A part of a command, its exit status, and what it prints: in the order of the page.
EXPECTED = [
    ("initiator io", 0, r"Data-Out .*DataSN=2"),
    ("faults lint lost.yaml", 0, r"1 file: no errors"),
    ("schema -o", 0, r"# yaml-language-server: \$schema=/.*scenario.schema.json"),
    ("test lost.yaml", 0, r"pass +lost"),
    ("test typo.yaml", 3, r"inconclusive +typo"),
    ("explain runs/typo", 0, r"not `DataSN == 200`: DataSN is \d+"),
    ("test hole.yaml", 0, r"pass +hole"),
    ("embedded:tgt-holes", 1, r"fail +hole"),
]


def commands() -> list[str]:
    return [
        line.removeprefix("$ ")
        for kind, text in BLOCKS
        if kind == "console"
        for line in text.splitlines()
        if line.startswith("$ ")
    ]


def write_files(folder: Path) -> None:
    for kind, text in BLOCKS:
        if kind == "yaml":
            name = text.split()[1]
            (folder / f"{name}.yaml").write_text(text)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a user would, in a shell of its own; what it leaves in the background is ended."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    printed = folder / "printed"
    with (
        printed.open("wb") as out,
        subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            status = process.wait(timeout=120)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
    return subprocess.CompletedProcess(script, status, printed.read_text())


@pytest.mark.slow
def test_every_command_of_the_walk_through_does_what_is_said(tmp_path: Path) -> None:
    write_files(tmp_path)
    background, *rest = commands()
    assert background.endswith(" &")
    told = [command for command in rest if REAL not in command]
    assert len(told) == len(EXPECTED)
    port = free_port()
    for command, (part, status, printed) in zip(told, EXPECTED, strict=True):
        assert part in command
        script = command
        if ":3260" in command:
            script = f"{background}\n{WAIT}\n{command}"
            script = script.replace("3260", str(port))
        done = shell(script, tmp_path)
        assert done.returncode == status, done.stdout
        assert re.search(printed, done.stdout), done.stdout


@pytest.mark.slow
@pytest.mark.peers("tgtd")
async def test_the_last_command_works_on_a_real_target(tmp_path: Path, tgtd: Tgtd) -> None:
    import trio

    write_files(tmp_path)
    (command,) = [command for command in commands() if REAL in command]
    script = re.sub(r"'iscsi://[^']*'", f"'{tgtd.url()}'", command)
    done = await trio.to_thread.run_sync(shell, script, tmp_path)
    # tgt says GOOD to a write of which a part never arrived.
    assert done.returncode == 1, done.stdout
    assert re.search(r"fail +hole", done.stdout), done.stdout
