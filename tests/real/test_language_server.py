from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.language.schema import schema
from iscsiproxy.runs.library import shipped
from tests.real.language_server import Editor

pytestmark = pytest.mark.peers("editor")

HEAD = "scenario: mine\nvictim: target\n"


@pytest.fixture
def editor() -> Iterator[Editor]:
    with Editor() as editor:
        yield editor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scenario.schema.json").write_text(json.dumps(schema(SPECS)))
    return tmp_path


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(f"# yaml-language-server: $schema=scenario.schema.json\n{text}")
    return file


def test_do_offers_the_acts_with_their_help(editor: Editor, folder: Path) -> None:
    file = written(folder, f"{HEAD}rules:\n  - when: SCSI-Command nth 1\n    do:\n      - \n")
    with editor.showing(file) as address:
        offered = editor.completions(address, 7, 9)
    for spec in SPECS.values():
        assert spec.help in offered.get(spec.name, ""), offered


def test_a_key_is_offered_with_its_help(editor: Editor, folder: Path) -> None:
    file = written(folder, f"{HEAD}rules:\n  - when: R2T\n    do:\n      - stall:\n          \n")
    with editor.showing(file) as address:
        offered = editor.completions(address, 8, 11)
        assert "how much of the PDU goes first" in offered["at"]
    file = written(folder, f"{HEAD}negotiate:\n  target:\n    \n")
    with editor.showing(file) as address:
        assert "0 to 2" in editor.completions(address, 6, 5)["ErrorRecoveryLevel"]


def test_when_offers_pdus(editor: Editor, folder: Path) -> None:
    file = written(folder, f"{HEAD}rules:\n  - when: \n")
    with editor.showing(file) as address:
        assert {"SCSI-Command nth 1", "full-feature", "barrier"} <= set(editor.completions(address, 5, 11))


def test_a_word_shows_its_help(editor: Editor, folder: Path) -> None:
    file = written(folder, f"{HEAD}rules:\n  - when: R2T\n    do:\n      - delay: {{until: 1s, overtake: yes}}\n")
    with editor.showing(file) as address:
        assert "The end that receives what the rules change" in editor.hover(address, 3, 3)
        assert "what follows may go first" in editor.hover(address, 7, 29)


def test_what_is_wrong_is_marked(editor: Editor, folder: Path) -> None:
    file = written(folder, f"{HEAD}rules:\n  - when: R2T\n    doo: drop\n    do: dorp\n")
    with editor.showing(file) as address:
        lines = {complaint.split(":")[0] for complaint in editor.complaints(address)}
    assert lines == {"6", "7"}


def test_nothing_is_marked_in_the_shipped_scenarios(editor: Editor, folder: Path) -> None:
    for path in shipped().values():
        with editor.showing(written(folder, path.read_text())) as address:
            assert editor.complaints(address) == [], path.stem
