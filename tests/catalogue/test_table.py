"""The catalogue is whole, its table is what the marks say, and the README does not boast."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.catalogue.conftest import missing
from tests.catalogue.rows import TABLE, proofs, rows, shown, table

__all__: list[str] = []

README = Path(__file__).parent.parent.parent / "README.md"
FAMILIES = {
    "LOG": 45,
    "SEC": 12,
    "SEQ": 26,
    "DAT": 40,
    "DIG": 18,
    "REC": 19,
    "TMF": 15,
    "NOP": 12,
    "ASY": 10,
    "CON": 16,
    "TCP": 10,
    "SCS": 14,
    "GAR": 15,
}


def test_the_catalogue_is_whole() -> None:
    assert Counter(name.partition("-")[0] for name in rows()) == FAMILIES
    assert list(rows()) == [f"{family}-{n:02d}" for family, count in FAMILIES.items() for n in range(1, count + 1)]


def test_every_clause_is_one() -> None:
    # RFC 7143 has sections 1 to 14 and an appendix C, and others are named.
    named = re.compile(r"(RFC 5048 |RFC 7144 )?(1[0-4]|[1-9])(\.[0-9]+)*|C|SAM|SPC|SBC")
    for row in rows().values():
        assert all(named.fullmatch(clause) for clause in row.clauses.split(", ")), row


def test_the_table_is_what_the_marks_say() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(), "run python -m tests.catalogue"


def test_no_fewer_are_proven_than_the_readme_says() -> None:
    (promised,) = re.findall(r"(\d+) of (\d+) faults in it", README.read_text(encoding="utf-8"))
    assert int(promised[0]) <= len(proofs())
    assert int(promised[1]) == len(rows())


def test_marks_are_found_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "from somewhere import row\n"
        "@row('LOG-01', 'LOG-02')\ndef test_one(): ...\n"
        "@parametrize('x', [param(1, marks=row('LOG-03')), param(2, marks=[row('LOG-01')])])\ndef test_two(x): ...\n"
        "@row('SEC-01')\nasync def test_three(): ...\n"
        "@row('SEC-02')\ndef helper(): ...\n"
        "def test_four():\n    row('SEC-03')\n"
    )
    assert proofs(tmp_path) == {
        "LOG-01": ("test_x.py::test_one", "test_x.py::test_two"),
        "LOG-02": ("test_x.py::test_one",),
        "LOG-03": ("test_x.py::test_two",),
        "SEC-01": ("test_x.py::test_three",),
    }
    (tmp_path / "test_y.py").write_text("@row('LOG-46')\ndef test_one(): ...\n")
    with pytest.raises(ValueError, match="there is no row LOG-46"):
        proofs(tmp_path)


def test_rows_on_real_peers_are_found_where_they_are_listed(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text('ROWS = (*("LOG-01", "SEQ-02"), "GAR-01")\nOTHERS = ("LOG-02",)\n')
    (tmp_path / "helper.py").write_text('ROWS = ("LOG-03",)\n')
    assert shown(tmp_path) == {"LOG-01", "SEQ-02", "GAR-01"}
    (tmp_path / "test_y.py").write_text('ROWS = ("LOG-46", "LOG-05")\n')
    with pytest.raises(ValueError, match="there is no row LOG-46"):
        shown(tmp_path)


def test_a_row_needs_something_about_its_victim() -> None:
    assert missing(["LOG-01"], {"target"}) == missing(["TCP-01"], {"initiator"}) == ""
    assert missing(["LOG-01", "LOG-27"], {"target"}) == "nothing was asserted about the leg of the victim of LOG-27"
    assert "TCP-01" in missing(["TCP-01"], set())
