from __future__ import annotations

import json
from pathlib import Path

from iscsiproxy.cli.doctor import Tool, look
from tests.cli.program import program


def test_a_tool_is_found_with_its_version(tmp_path: Path) -> None:
    tool = tmp_path / "frobnicate"
    tool.write_text("#!/bin/sh\necho frobnicate 3.14.1 of long ago\n")
    tool.chmod(0o755)
    done = program("doctor", "--json", env={"PATH": str(tmp_path)})
    facts = json.loads(done.stdout)
    assert done.returncode == 1  # qemu and the others are not in that PATH
    missing = {entry["name"] for entry in facts["tools"] if entry["path"] is None}
    assert {"qemu-io", "qemu-img", "tshark"} <= missing
    assert facts["libraries"]["trio"]


def test_what_is_missing_is_said_with_its_package(tmp_path: Path) -> None:
    done = program("doctor", env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "missing   tshark " in done.stdout
    assert "apt-get install --no-install-recommends" in done.stdout


def test_a_tool_that_is_not_there_has_no_path() -> None:
    found = look(Tool("no-such-tool-anywhere", "nothing", "none"))
    assert (found.path, found.version) == (None, "")
