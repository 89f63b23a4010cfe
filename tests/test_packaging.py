"""What is in the wheel and in the source archive, and that the wheel works away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

__all__: list[str] = []

ROOT = Path(__file__).resolve().parent.parent
FAULTS = ROOT / "faults"
SCENARIOS = sorted(path.relative_to(FAULTS).as_posix() for path in FAULTS.rglob("*.yaml"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both, with the backend that is installed here, and return their directory."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [path] = built.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_the_scenarios(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    package = ROOT / "iscsiproxy"
    ends = ("py", "md", "yaml", "jinja", "css", "js")
    sources = {path.relative_to(ROOT).as_posix() for end in ends for path in package.rglob(f"*.{end}")}
    scenarios = {f"iscsiproxy/faults/{name}" for name in SCENARIOS}
    ours = {name for name in names if ".dist-info/" not in name}
    assert scenarios
    assert ours == sources | scenarios | {"iscsiproxy/py.typed"}


def test_the_source_archive_holds_what_tests_and_builds_need(built: Path) -> None:
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {"pyproject.toml", "LICENSE", "README.md", "tests/run.sh", "tests/test_packaging.py"}
    expected |= {"benchmarks/relay.py", "iscsiproxy/py.typed"} | {f"faults/{name}" for name in SCENARIOS}
    assert expected <= names


@pytest.mark.slow
def test_the_wheel_works_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, capture_output=True)
    python = str(environment / "bin" / "python")
    # Its dependencies come from the registry, as for a user.
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def call(*words: str) -> str:
        return subprocess.run(words, cwd=tmp_path, env=ours, check=True, capture_output=True, text=True).stdout

    home = Path(call(python, "-c", "import iscsiproxy; print(iscsiproxy.__file__)").strip()).parent
    assert home.is_relative_to(environment)
    program = str(environment / "bin" / "iscsiproxy")
    listed = [json.loads(line) for line in call(program, "faults", "list", "--json").splitlines()]
    assert [f"{one['group']}/{Path(one['file']).name}" for one in listed] == SCENARIOS
    assert all(Path(one["file"]).is_relative_to(home) for one in listed)
    assert "no errors" in call(program, "faults", "lint")
    # A whole run: everything that it imports is there.
    run = [
        program,
        "run",
        "--listen",
        ":0",
        "--target",
        "127.0.0.1:9",
        "--journal",
        "j",
        "--capture",
        "c",
        "--",
        "true",
    ]
    call(*run)
    assert (tmp_path / "j").stat().st_size
    assert (tmp_path / "c").stat().st_size
