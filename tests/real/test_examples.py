"""The examples of tests, run as their users run them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.real.process import run

__all__: list[str] = []

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.peers("tgtd", "qemu")
async def test_qemu_is_tested_against_tgtd(tmp_path: Path) -> None:
    arguments = ("-m", "pytest", "-p", "no:cacheprovider", "-rx", "--iscsi-run-dir", str(tmp_path / "kept"))
    # No file of ours has its say: not the options of our own tests either.
    file = tmp_path / "test_qemu_tgtd.py"
    file.write_bytes((ROOT / "examples" / "test_qemu_tgtd.py").read_bytes())
    done = await run(sys.executable, *arguments, "-c", "/dev/null", file.name, within=120.0, cwd=tmp_path)
    assert "2 passed, 1 xfailed" in done.stdout, done.output
    reports = [path.parent.name for path in (tmp_path / "kept").rglob("report.html")]
    assert sorted(reports) == ["data_out_lost", "logout_requested", "reset_between_r2t_and_data_out"]
