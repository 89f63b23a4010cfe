"""What commands that judge have in common: the lists of known deviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from iscsiproxy import checks
from iscsiproxy.checks.catalogue import RULES
from iscsiproxy.checks.known import Deviation, read_known
from iscsiproxy.errors import UsageError, meant

__all__ = ["known_lists", "shipped_lists"]

_FOLDER = Path(checks.__file__).parent / "deviations"


def shipped_lists() -> Mapping[str, Path]:
    """Give the lists that ship with the program, by the name of the peer."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def known_lists(names: Sequence[str]) -> tuple[Deviation, ...]:
    """Read lists of known deviations: files, or names of those that ship. Raises UsageError, FileError."""
    found: list[Deviation] = []
    shipped = shipped_lists()
    for name in names:
        path = Path(name)
        if not path.is_file():
            if name not in shipped:
                raise UsageError(f"--known {name}: there is no such file or list ({meant(name, shipped)})")
            path = shipped[name]
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {path}: {error}") from error
        found += read_known(text, str(path), rules=RULES)
    return tuple(found)
