from __future__ import annotations

import json
from pathlib import Path

from iscsiproxy.engine import SPECS
from iscsiproxy.language.schema import schema
from tests.cli.program import program


def test_the_schema_is_printed() -> None:
    assert json.loads(program("schema").stdout) == schema(SPECS)


def test_the_schema_is_written_and_the_line_that_names_it_said(tmp_path: Path) -> None:
    file = tmp_path / "scenario.schema.json"
    done = program("schema", "-o", str(file))
    assert json.loads(file.read_text()) == schema(SPECS)
    assert done.stdout == f"# yaml-language-server: $schema={file}\n"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    done = program("schema", "-o", str(tmp_path / "no" / "where"))
    assert done.returncode == 2
    assert "cannot write" in done.stderr


def test_the_form_of_results_is_there_too() -> None:
    facts = json.loads(program("schema", "--of", "result").stdout)
    assert facts["$ref"] == "#/$defs/SuiteForm"
