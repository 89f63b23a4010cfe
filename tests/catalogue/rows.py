"""The rows of the catalogue, the tests that prove them, and the table of both."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

__all__ = ["HERE", "REAL", "TABLE", "Row", "proofs", "rows", "shown", "table"]

HERE = Path(__file__).parent
#: Where the tests with real peers are.
REAL = HERE.parent / "real"
#: The table that is generated.
TABLE = HERE.parent.parent / "faults" / "CATALOGUE.md"
_VICTIMS = ("target", "initiator", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault of the catalogue; `clauses` are sections of RFC 7143 where they name nothing else."""

    id: str
    family: str
    victim: Literal["target", "initiator", "both"]
    title: str
    clauses: str


@cache
def rows() -> Mapping[str, Row]:
    """Read the catalogue, by id and in its order. Raises ValueError for a line that is wrong."""
    found: dict[str, Row] = {}
    family = ""
    for line in (HERE / "rows.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split("|")]
        if len(parts) == 1:
            family = line
            continue
        name, victim, title, clauses = parts
        if name in found or victim not in _VICTIMS or not family:
            raise ValueError(f"rows.txt: {line}")
        found[name] = Row(id=name, family=family, victim=victim, title=title, clauses=clauses)  # type: ignore[arg-type]
    return found


def _marked(node: ast.AST) -> Iterator[str]:
    """List the ids in every `row("...")` below a node."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "row":
            yield from (str(one.value) for one in call.args if isinstance(one, ast.Constant))


def proofs(folder: Path = HERE) -> Mapping[str, tuple[str, ...]]:
    """Give the tests that prove each row, `module::test`, as the marks say. Raises ValueError for a row without an id.

    A mark counts where it stands: on a test, or on one of its parameters. Nothing is imported or run: that a marked
    test is right is shown by running it.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("test_*.py")):
        for node in ast.parse(path.read_bytes(), filename=str(path)).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
                continue
            for name in dict.fromkeys(one for decorator in node.decorator_list for one in _marked(decorator)):
                if name not in rows():
                    raise ValueError(f"{path.name}: there is no row {name}")
                found.setdefault(name, []).append(f"{path.name}::{node.name}")
    return {name: tuple(found[name]) for name in rows() if name in found}


def shown(folder: Path = REAL) -> frozenset[str]:
    """Give the rows that are shown between real peers: those in every `ROWS = (...)` of a test there.

    Raises ValueError for a row that there is not.
    """
    found: set[str] = set()
    for path in sorted(folder.glob("test_*.py")):
        for node in ast.parse(path.read_bytes(), filename=str(path)).body:
            if isinstance(node, ast.Assign) and any(
                isinstance(to, ast.Name) and to.id == "ROWS" for to in node.targets
            ):
                found |= {str(one.value) for one in ast.walk(node.value) if isinstance(one, ast.Constant)}
    if unknown := found - rows().keys():
        raise ValueError(f"there is no row {', '.join(sorted(unknown))}")
    return frozenset(found)


def table() -> str:
    """Make the table."""
    proven, real = proofs(), shown()
    lines = [
        "# The catalogue of faults",
        "",
        f"{len(proven)} of {len(rows())} faults are proven: written as a scenario and played, with the bytes that then",
        "reach the victim compared to those that were sent. `tests/catalogue` has the scenarios; this table is made by",
        "`python -m tests.catalogue`. Clauses without a name are sections of RFC 7143.",
        "",
        f"{len(real)} are shown on real peers too, with tgtd as the target and QEMU as the initiator, and tshark",
        "reads them on the leg of the victim: `tests/real/test_catalogue.py` has one test for each, named by its row.",
    ]
    family = ""
    for row in rows().values():
        if row.family != family:
            family = row.family
            lines += [
                "",
                f"## {family}",
                "",
                "| fault | victim | what happens | clauses | proven by | also on tgtd and QEMU |",
            ]
            lines += ["|---|---|---|---|---|---|"]
        by = ", ".join(f"`{one.partition('::')[2]}`" for one in proven.get(row.id, ()))
        also = "yes" if row.id in real else "–"
        lines.append(f"| {row.id} | {row.victim} | {row.title} | {row.clauses} | {by or '–'} | {also} |")
    return "\n".join(lines) + "\n"
