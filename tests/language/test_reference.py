from __future__ import annotations

import re
from pathlib import Path

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.language import STEPS, glossary, load_all
from iscsiproxy.language.keys import KEYS
from iscsiproxy.language.reference import BLOCKS, console_form, fill
from iscsiproxy.language.vocabulary import PDU_NAMES
from iscsiproxy.wire.fields import FIELDS

GUIDE = (Path(__file__).parents[2] / "iscsiproxy" / "cli" / "guide.md").read_text()
WHOLE = fill(GUIDE, SPECS)


def test_every_table_has_its_place_and_every_place_its_table() -> None:
    places = re.findall(r"<!-- (\w+) -->", GUIDE)
    assert sorted(places) == sorted(BLOCKS)
    assert "<!--" not in WHOLE
    with pytest.raises(KeyError):
        fill("<!-- nothing -->", SPECS)


@pytest.mark.parametrize("name", [*SPECS, *STEPS])
def test_everything_about_an_act_is_said(name: str) -> None:
    spec = SPECS.get(name) or STEPS[name]
    head = f"#### `{name}`" + (" (a step)" if name in STEPS else "")
    section = WHOLE.partition(f"{head}\n")[2].partition("\n#### ")[0]
    assert spec.help[1:] in section
    for param in spec.params:
        (row,) = [line for line in section.splitlines() if re.match(rf"\| (\*\*)?`{param.name}`", line)]
        assert param.help in row
        assert ("(needed)" in row) is param.required
        assert row.startswith("| **") is (param.name == spec.main)
    assert ("any field" in section) is spec.fields


def test_defaults_are_written_as_in_a_file() -> None:
    acts = BLOCKS["acts"](SPECS)
    assert "| `at_most` | a duration, or `no` | 60s |" in acts
    assert "| `overtake` | yes or no | no |" in acts
    assert "| `bits` | a number | 1 |" in acts
    assert "| `at` | a place in the PDU | start |" in acts


def test_all_words_are_there() -> None:
    words = [glossary.SECTIONS, glossary.PICKS, glossary.EVENTS, glossary.NAMES, glossary.FUNCTIONS, glossary.HEADS]
    for table in words:
        for word, help_ in table.items():
            assert f"| `{word}` | {help_.replace('|', '/')} |" in WHOLE
    for name in PDU_NAMES:
        assert f"`{name}`" in WHOLE
    assert all(f"| `{key}` |" in WHOLE for key in KEYS)
    for fields in FIELDS.values():
        assert all(f"| `{name}` |" in WHOLE for name in fields)


def test_an_act_is_shown_as_one_line_of_the_console_too() -> None:
    assert console_form("drop", SPECS) == "drop Data-Out where DataSN == 2 nth 1"
    assert console_form("pass", SPECS) == "pass; delay 20s; close fin TMF-Request"
    assert console_form("set", SPECS) == "set C=1 T=0 Login-Request nth 1"
    assert console_form("probe", SPECS) == "probe Text-Request text=[SendTargets=] full-feature"
    assert console_form("note", SPECS) == 'note "something was rejected" Reject'
    assert console_form("goto", SPECS) == ""
    assert console_form("arm", SPECS) == ""


def test_every_whole_file_in_the_guide_is_right() -> None:
    files = re.findall(r"^```yaml\n(scenario: (\w+)\n.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert [name for _, name in files] == ["lost", "typo", "hole"]
    for text, name in files:
        assert load_all(text, file=f"{name}.yaml", acts=SPECS)
