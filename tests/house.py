"""Read the house rules off a source tree: who imports whom, and which module has its test.

Everything here is a pure function of a directory, so that the rules can be shown to fail on a small wrong tree.
Nothing is imported; modules are parsed with `ast`, and imports count wherever they stand: inside functions, in
`if TYPE_CHECKING:` and as `importlib.import_module("…")`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ANY",
    "LIBRARIES_BANNED",
    "LIBRARIES_CONFINED",
    "MAY_IMPORT",
    "Import",
    "Module",
    "forbidden_imports",
    "import_of",
    "modules",
    "orphan_directories",
    "untested",
]

PACKAGE = "iscsiproxy"

#: A room that may import every other one.
ANY = frozenset({"*"})

#: What both embedded peers are made of: no state of a session among it.
_SHARED = frozenset({"wire", *(f"peers.{name}" for name in ("chap", "deviation", "keys", "parameters", "stream"))})

#: Who may import whom. A key is a room or a part of one, and the longest key that fits a module is the module's own;
#: an entry covers a room and all its modules, or a single module. A room may always import itself, and everyone may
#: import `errors` and the package's own `__init__` (the version). A room that is not here may import nothing.
MAY_IMPORT: Mapping[str, frozenset[str]] = {
    "wire": frozenset(),
    "session": frozenset({"wire"}),
    "journal": frozenset({"session.events", "wire"}),
    "language": frozenset({"wire", "session"}),
    "engine": frozenset({"language", "session", "wire"}),
    "checks": frozenset({"language", "session", "journal", "wire"}),
    "capture": frozenset({"journal", "session", "wire"}),
    "peers": frozenset({"wire"}),
    # Target and initiator share the wire, the words of SCSI and of negotiation, and nothing that keeps state.
    "peers.scsi": frozenset({"wire"}),
    "peers.target": _SHARED | {"peers.scsi"},
    "peers.initiator": _SHARED | {"peers.scsi.command"},
    "peers.workload": frozenset({"wire", "peers.initiator", "peers.scsi.command"}),
    "proxy": frozenset({"engine", "language", "session", "journal", "wire"}),
    "api": frozenset(),
    "api.server": frozenset({"api", "proxy", "engine", "language", "session", "journal", "wire"}),
    "report": frozenset({"checks", "journal", "wire"}),
    "runs": frozenset(
        {
            "wire",
            "session",
            "journal",
            "language",
            "engine",
            "checks",
            "capture",
            "peers",
            "proxy",
            "api",
            "report",
        }
    ),
    "console": frozenset({"api.client", "api.models", "api.operations", "report"}),
    "cli": ANY,
    "testing": ANY,
    "__main__": ANY,
}

#: Libraries that only these rooms may import.
LIBRARIES_CONFINED: Mapping[str, frozenset[str]] = {
    "trio": frozenset({"proxy", "api", "peers", "runs", "cli", "testing"}),
    "yaml": frozenset({"language"}),
}

#: Libraries that these rooms may not import: time and chance come in as arguments, and the core does no I/O.
LIBRARIES_BANNED: Mapping[str, frozenset[str]] = {
    room: frozenset({"time", "random", "socket", "os"}) for room in ("wire", "session", "language", "engine", "checks")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import: where it stands and the dotted module that it reaches.

    `target` is the deepest module known: `from iscsiproxy.session import events` reaches `iscsiproxy.session.events`
    if there is such a module, and `iscsiproxy.session` if `events` is only a name in it.
    """

    line: int
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One source file of the package, by its dotted name without the package's own (`wire.pdu`; the root is empty)."""

    name: str
    path: Path
    is_package: bool

    @property
    def dotted(self) -> str:
        """The full dotted name."""
        return f"{PACKAGE}.{self.name}" if self.name else PACKAGE

    def tree(self) -> ast.Module:
        """Parse the file."""
        return ast.parse(self.path.read_bytes(), filename=str(self.path))


def modules(package: Path) -> list[Module]:
    """List the modules below the package's directory, sorted by name."""
    found = []
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found.append(Module(name=name, path=path, is_package=is_package))
    return sorted(found, key=lambda module: module.name)


def _imported(module: Module, node: ast.AST, known: frozenset[str]) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=origin, names=names, level=level):
            if level:
                parts = module.dotted.split(".")
                keep = len(parts) - level + module.is_package
                base = ".".join([*parts[:keep], *([origin] if origin else [])])
            else:
                base = origin or ""
            for alias in names:
                deeper = f"{base}.{alias.name}"
                yield deeper if deeper in known else base
        case ast.Call(
            func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(value=str(target)), *_]
        ):
            if called in ("import_module", "__import__"):
                yield target
        case _:
            pass


def import_of(module: Module, known: frozenset[str]) -> list[Import]:
    """List every import in the module, in the order of its lines.

    `known` holds the dotted names of all modules of the package: it tells a submodule from a name in a module.
    """
    found = [
        Import(line=node.lineno, target=target)
        for node in ast.walk(module.tree())
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call)
        for target in _imported(module, node, known)
    ]
    return sorted(found, key=lambda one: one.line)


def _covers(entry: str, name: str) -> bool:
    return name == entry or name.startswith(f"{entry}.")


def _key(name: str) -> str:
    """Return the longest key of the table that fits a module, or its room's name where none does."""
    fitting = [key for key in MAY_IMPORT if _covers(key, name)]
    return max(fitting, key=len, default=name.split(".", maxsplit=1)[0])


def _room_refusal(module: str, target: str) -> str | None:
    if target in ("", "errors") or target.startswith("errors."):
        return None
    own, other = _key(module), _key(target)
    allowed = MAY_IMPORT.get(own, frozenset())
    if own == other or allowed == ANY or any(_covers(entry, target) for entry in allowed):
        return None
    return f"{own or PACKAGE} may not import {target}"


def _library_refusal(module: str, target: str) -> str | None:
    room, library = module.split(".", maxsplit=1)[0], target.split(".", maxsplit=1)[0]
    if room == "__main__":
        return None
    if library in LIBRARIES_CONFINED and room not in LIBRARIES_CONFINED[library]:
        return f"{room or PACKAGE} may not import {library}: only {', '.join(sorted(LIBRARIES_CONFINED[library]))} may"
    if library in LIBRARIES_BANNED.get(room, ()):
        return f"{room} may not import {library}"
    return None


def forbidden_imports(package: Path) -> list[str]:
    """List the arrows that the table does not have, one line each: `wire/pdu.py:7: wire may not import session`."""
    all_modules = modules(package)
    known = frozenset(module.dotted for module in all_modules)
    found = []
    for module in all_modules:
        for one in import_of(module, known):
            head, _, rest = one.target.partition(".")
            refuse, target = (_room_refusal, rest) if head == PACKAGE else (_library_refusal, one.target)
            if refusal := refuse(module.name, target):
                found.append(f"{module.path.relative_to(package)}:{one.line}: {refusal}")
    return found


def untested(package: Path, tests: Path, allowed: Mapping[str, str]) -> list[str]:
    """List the test files that are missing: `iscsiproxy/a/b.py` is tested by `tests/a/test_b.py`.

    `__init__.py` and `__main__.py` need none. `allowed` maps a module's dotted name to the reason why it has none; an
    entry that is no longer needed is listed too.
    """
    found = []
    for module in modules(package):
        if module.is_package or module.name == "__main__":
            continue
        *rooms, name = module.name.split(".")
        test = tests.joinpath(*rooms, f"test_{name.lstrip('_')}.py")
        if module.name not in allowed and not test.is_file():
            found.append(f"{module.name}: no {test.relative_to(tests.parent)}")
        elif module.name in allowed and test.is_file():
            found.append(f"{module.name}: on the list of exceptions, but {test.relative_to(tests.parent)} exists")
    names = {module.name for module in modules(package)}
    found.extend(f"{name}: on the list of exceptions, but no such module" for name in allowed if name not in names)
    return found


def orphan_directories(package: Path, tests: Path, allowed: frozenset[str]) -> list[str]:
    """List the directories below `tests` that mirror no package: `tests/a/b` needs `iscsiproxy/a/b`.

    `allowed` names the top directories that may stand alone. Directories without Python files hold data and are free.
    """
    found = []
    for directory in sorted({path.parent for path in tests.rglob("*.py")} - {tests}):
        relative = directory.relative_to(tests)
        if relative.parts[0] not in allowed and not (package / relative).is_dir():
            found.append(str(relative))
    return found
