"""The house rules, held against the real tree; and, on small wrong trees, that each rule can fail."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from tests import house

__all__: list[str] = []

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "iscsiproxy"
TESTS = ROOT / "tests"

LINES_AT_MOST = 600

#: Modules without a test file of their own, each with the reason.
UNTESTED: Mapping[str, str] = {}

#: Test directories that mirror no package: the harness for real peers, and the catalogue of faults.
STANDALONE = frozenset({"real", "catalogue", "faults"})

MODULES = house.modules(PACKAGE)
module = pytest.mark.parametrize("module", MODULES, ids=[one.dotted for one in MODULES])

Plant: TypeAlias = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Write a small package, given as path → source, and return its directory."""

    def write(files: Mapping[str, str]) -> Path:
        package = tmp_path / "iscsiproxy"
        for name, source in files.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
            for parent in path.relative_to(package).parents:
                (package / parent / "__init__.py").touch()
        return package

    return write


# --- the real tree -------------------------------------------------------------------------------------------------


def test_every_import_follows_the_table() -> None:
    assert house.forbidden_imports(PACKAGE) == []


def test_every_room_is_in_the_table() -> None:
    rooms = {one.name.split(".")[0] for one in MODULES} - {"", "errors"}
    assert rooms <= set(house.MAY_IMPORT)


def test_every_module_has_its_test() -> None:
    assert house.untested(PACKAGE, TESTS, UNTESTED) == []


def test_every_test_directory_mirrors_a_package() -> None:
    assert house.orphan_directories(PACKAGE, TESTS, STANDALONE) == []


@module
def test_module_is_not_too_long(module: house.Module) -> None:
    assert len(module.path.read_bytes().splitlines()) <= LINES_AT_MOST


@module
def test_module_postpones_annotations(module: house.Module) -> None:
    assert postpones_annotations(module.tree()), "no `from __future__ import annotations`"


@module
def test_module_says_what_it_exports(module: house.Module) -> None:
    if module.name.split(".")[-1] != "__main__":
        assert says_exports(module.tree()), "no __all__"


def test_the_version_is_said_once_and_the_same() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{declared}"' in source


def postpones_annotations(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )


def says_exports(tree: ast.Module) -> bool:
    targets = [
        target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)


# --- each rule can fail --------------------------------------------------------------------------------------------

#: (file, its source, what the checker says): each of these arrows is wrong.
WRONG = [
    ("wire/pdu.py", "import iscsiproxy.session.machine\n", "wire may not import session.machine"),
    ("wire/pdu.py", "from iscsiproxy.session import machine\n", "wire may not import session.machine"),
    ("wire/pdu.py", "from iscsiproxy.session.machine import Machine\n", "wire may not import session.machine"),
    ("wire/pdu.py", "from iscsiproxy import session\n", "wire may not import session"),
    ("wire/pdu.py", "from ..session import machine\n", "wire may not import session.machine"),
    ("wire/pdu.py", "from .. import session\n", "wire may not import session"),
    ("wire/__init__.py", "from ..session.machine import Machine\n", "wire may not import session.machine"),
    ("engine/actions/drop.py", "from ...checks import order\n", "engine may not import checks"),
    ("wire/pdu.py", "def late():\n    from iscsiproxy import session\n", "wire may not import session"),
    (
        "wire/pdu.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from iscsiproxy.session import machine\n",
        "wire may not import session.machine",
    ),
    (
        "wire/pdu.py",
        "import importlib\nimportlib.import_module('iscsiproxy.session')\n",
        "wire may not import session",
    ),
    ("checks/order.py", "from iscsiproxy.engine import match\n", "checks may not import engine"),
    ("engine/match.py", "from iscsiproxy.checks import order\n", "engine may not import checks"),
    ("engine/match.py", "from iscsiproxy import journal\n", "engine may not import journal"),
    ("peers/stream.py", "from iscsiproxy.session import machine\n", "peers may not import session.machine"),
    ("peers/target/a.py", "from iscsiproxy.peers.initiator import b\n", "peers.target may not import peers.initiator"),
    ("peers/initiator/a.py", "import iscsiproxy.peers.target.b\n", "peers.initiator may not import peers.target.b"),
    ("peers/initiator/a.py", "import iscsiproxy.peers.scsi.b\n", "peers.initiator may not import peers.scsi.b"),
    ("peers/scsi/a.py", "import iscsiproxy.peers.keys\n", "peers.scsi may not import peers.keys"),
    ("journal.py", "from iscsiproxy.session import machine\n", "journal may not import session.machine"),
    ("journal.py", "from iscsiproxy.session import Machine\n", "journal may not import session"),
    ("api/client.py", "from iscsiproxy.journal import Reader\n", "api may not import journal"),
    ("api/client.py", "from iscsiproxy.api.server import serve\n", "api may not import api.server"),
    ("api/server.py", "from iscsiproxy.runs import run\n", "api.server may not import runs"),
    ("console/prompt.py", "from iscsiproxy.api.server import serve\n", "console may not import api.server"),
    ("console/prompt.py", "from iscsiproxy.proxy import pair\n", "console may not import proxy"),
    ("runs/run.py", "from iscsiproxy.console import prompt\n", "runs may not import console"),
    ("attic/old.py", "from iscsiproxy.wire import pdu\n", "attic may not import wire"),
    ("errors.py", "from iscsiproxy.wire import pdu\n", "errors may not import wire"),
    ("__init__.py", "from iscsiproxy.wire import pdu\n", "iscsiproxy may not import wire"),
    ("session/machine.py", "import trio\n", "session may not import trio"),
    ("console/prompt.py", "import trio.testing\n", "console may not import trio"),
    ("engine/match.py", "from time import monotonic\n", "engine may not import time"),
    ("checks/order.py", "import random\n", "checks may not import random"),
    ("language/load.py", "import os.path\n", "language may not import os"),
    ("wire/pdu.py", "import socket\n", "wire may not import socket"),
    ("runs/plan.py", "import yaml\n", "runs may not import yaml"),
]

#: (file, its source): each of these arrows is in the table.
RIGHT = [
    ("wire/pdu.py", "from iscsiproxy.errors import Broken\nfrom iscsiproxy import __version__\nimport struct\n"),
    ("wire/pdu.py", "from . import fields\nfrom .fields import BHS\nfrom iscsiproxy.wire import fields\n"),
    ("wire/__init__.py", "from .fields import BHS\nfrom ..errors import Broken\n"),
    ("session/machine.py", "from iscsiproxy.wire.pdu import Pdu\n"),
    ("journal.py", "from iscsiproxy.session.events import Event\nfrom iscsiproxy.session import events\n"),
    ("journal/writer.py", "from iscsiproxy.journal import reader\nimport os\nimport time\n"),
    ("language/load.py", "import yaml\n"),
    ("engine/actions/drop.py", "from ..commands import Drop\nfrom ...session import machine\n"),
    ("api/server.py", "import trio\nfrom iscsiproxy.api.models import Rule\nfrom iscsiproxy.proxy import pair\n"),
    ("api/client.py", "from iscsiproxy.api import models\nfrom .models import Rule\n"),
    ("console/prompt.py", "from iscsiproxy.api.client import Client\nfrom iscsiproxy.report import text\n"),
    ("runs/run.py", "import trio\nfrom iscsiproxy.api.server import serve\nfrom iscsiproxy.peers import target\n"),
    ("cli/run.py", "import trio\nimport time\nfrom iscsiproxy.console import prompt\n"),
    ("testing.py", "import trio\nfrom iscsiproxy.cli import run\n"),
    ("__main__.py", "from iscsiproxy.cli import main\n"),
]

#: Modules that the sources above import as modules.
STAGE = dict.fromkeys(
    (
        "wire/fields.py",
        "session/machine.py",
        "session/events.py",
        "api/models.py",
        "api/client.py",
        "checks/__init__.py",
        "journal.py",
    ),
    "",
)


@pytest.mark.parametrize(("name", "source", "said"), WRONG)
def test_a_wrong_arrow_is_found(plant: Plant, name: str, source: str, said: str) -> None:
    package = plant({**STAGE, name: source})
    [found] = house.forbidden_imports(package)
    where, _, what = found.partition(": ")
    assert where == f"{name}:{len(source.splitlines())}"
    assert what.partition(":")[0] == said


@pytest.mark.parametrize(("name", "source"), RIGHT)
def test_a_right_arrow_is_not_found(plant: Plant, name: str, source: str) -> None:
    assert house.forbidden_imports(plant({**STAGE, name: source})) == []


def test_a_module_without_a_test_is_found(plant: Plant, tmp_path: Path) -> None:
    package = plant({"errors.py": "", "__main__.py": "", "wire/pdu.py": "", "wire/_table.py": "", "wire/text.py": ""})
    tests = tmp_path / "tests"
    (tests / "wire").mkdir(parents=True)
    for name in ("test_errors.py", "wire/test_pdu.py", "wire/test_table.py"):
        (tests / name).touch()
    assert house.untested(package, tests, {}) == ["wire.text: no tests/wire/test_text.py"]
    assert house.untested(package, tests, {"wire.text": "a reason"}) == []
    assert house.untested(package, tests, {"wire.text": "", "wire.pdu": "", "wire.gone": ""}) == [
        "wire.pdu: on the list of exceptions, but tests/wire/test_pdu.py exists",
        "wire.gone: on the list of exceptions, but no such module",
    ]


def test_a_test_directory_without_a_package_is_found(plant: Plant, tmp_path: Path) -> None:
    package = plant({"engine/actions/drop.py": ""})
    tests = tmp_path / "tests"
    for name in ("engine/actions", "engine/attic", "real", "wire/corpus", "attic"):
        (tests / name).mkdir(parents=True)
        (tests / name / ("login.bin" if name == "wire/corpus" else "test_x.py")).touch()
    assert house.orphan_directories(package, tests, STANDALONE) == ["attic", "engine/attic"]


@pytest.mark.parametrize(
    ("source", "future", "exports"),
    [
        ("from __future__ import annotations\n__all__ = ['x']\n", True, True),
        ("from __future__ import annotations\n__all__: list[str] = []\n", True, True),
        ("from __future__ import generator_stop\nall = ['x']\n", False, False),
        ("def f():\n    __all__ = []\n", False, False),
    ],
)
def test_the_module_rules_can_fail(source: str, future: bool, exports: bool) -> None:
    tree = ast.parse(source)
    assert (postpones_annotations(tree), says_exports(tree)) == (future, exports)
