"""What is in the wheel and in the source archive, and that the wheel works away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

__all__: list[str] = []

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = sorted(path.name for path in (ROOT / "faults").glob("*.yaml"))


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
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "iscsiproxy").rglob("*.py")}
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


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "-q", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    look = (
        "import importlib.resources as r, iscsiproxy\n"
        "print(iscsiproxy.__file__)\n"
        "print(*sorted(one.name for one in (r.files('iscsiproxy') / 'faults').iterdir()), sep='\\n')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", look],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert Path(found[0]).is_relative_to(site)
    assert found[1:] == SCENARIOS
