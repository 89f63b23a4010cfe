"""The scenario files: the ones that ship with the program, and the user's own.

A shipped scenario is named by its file's stem; it is in a group, which is the folder it lies in. In an installed wheel
the files are inside the package, in a checkout beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError, UsageError, meant
from iscsiproxy.language import lint, load_all
from iscsiproxy.language.spec import Scenario

__all__ = ["arm", "check", "every", "find", "groups", "shipped", "shipped_folder"]


def shipped_folder() -> Path:
    """Give the folder of the shipped scenarios."""
    package = Path(__file__).parent.parent
    inside = package / "faults"
    return inside if inside.is_dir() else package.parent / "faults"


def shipped() -> Mapping[str, Path]:
    """Give every shipped scenario by name, in alphabetical order."""
    return {path.stem: path for path in sorted(shipped_folder().rglob("*.yaml"), key=lambda path: path.stem)}


def groups() -> Mapping[str, tuple[str, ...]]:
    """Give the names of the shipped scenarios by group, both in alphabetical order."""
    found: dict[str, list[str]] = {}
    for name, path in shipped().items():
        found.setdefault(path.parent.name, []).append(name)
    return {group: tuple(found[group]) for group in sorted(found)}


def find(name: str, library: Mapping[str, Path] | None = None) -> Path:
    """Give the file that a user means: a path, or the name of a shipped scenario; `library` are these, if known.

    Raises UsageError, with the nearest shipped name, if there is neither.
    """
    if "/" in name or name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"there is no file {name}")
        return path
    known = shipped() if library is None else library
    if name in known:
        return known[name]
    hint = meant(name, [*known, *groups()], "`iscsiproxy faults` lists them")
    raise UsageError(f"no scenario is called {name!r} ({hint})")


def arm(names: Iterable[str], settings: Mapping[str, str]) -> tuple[Scenario, ...]:
    """Read the scenarios for one run; `settings` are parameters, and values of matrix axes.

    Each setting goes to the scenarios that know it. Raises UsageError for one that no scenario knows, for a matrix that
    the settings do not narrow to one combination, and for a scenario named twice; FileError for a file that is wrong.
    """
    scenarios = every(names, settings)
    for scenario in scenarios:
        same = [one for one in scenarios if one.name == scenario.name]
        if len({tuple(one.axes.items()) for one in same}) > 1:
            wanted = " ".join(f"-p {axis}={value}" for axis, value in scenario.axes.items())
            raise UsageError(f"{scenario.name} has a matrix of {len(same)} runs: choose one, as in {wanted}")
    return scenarios


def every(names: Iterable[str], settings: Mapping[str, str]) -> tuple[Scenario, ...]:
    """Read the scenarios, one for each combination of a matrix that agrees with the settings.

    Each setting goes to the scenarios that know it. Raises UsageError for one that no scenario knows, and for a
    scenario named twice; FileError for a file that is wrong.
    """
    library = shipped()
    found: dict[str, tuple[Scenario, ...]] = {}
    known: set[str] = set()
    for name in names:
        path = find(name, library)
        text = _read(path)
        plain = load_all(text, file=str(path), acts=SPECS)
        params, axes = set(plain[0].params), set(plain[0].axes)
        known |= params | axes
        chosen = plain
        if not settings.keys().isdisjoint(params | axes):
            chosen = load_all(
                text,
                file=str(path),
                acts=SPECS,
                params={key: value for key, value in settings.items() if key in params},
                axes={key: value for key, value in settings.items() if key in axes},
            )
        if chosen[0].name in found:
            raise UsageError(f"{chosen[0].name} is given twice")
        found[chosen[0].name] = chosen
    for key in settings:
        if key not in known:
            raise UsageError(f"no scenario has a parameter {key!r} ({meant(key, sorted(known))})")
    return tuple(scenario for chosen in found.values() for scenario in chosen)


def check(path: Path, *, built: bool = True) -> tuple[FileError, ...]:
    """Give everything that is wrong with a file. Raises UsageError if it cannot be read."""
    return lint(_read(path), file=str(path), acts=SPECS, built=built)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: byte {error.start} cannot be read") from error
