from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import pytest

from iscsiproxy.language import expectations, glossary, moments, rules, scenario, sections, vocabulary
from iscsiproxy.language.captures import OWN_NAMES
from iscsiproxy.language.spec import Verdict
from iscsiproxy.wire.opcodes import GROUPS

WORDS = [
    (glossary.SECTIONS, scenario.KEYS),
    (glossary.VICTIMS, scenario._VICTIMS),
    (glossary.AFTERMATHS, scenario._AFTERMATHS),
    (glossary.TRAFFIC, sections._TRAFFIC_KEYS),
    (glossary.TIMING, sections._TIMING_KEYS),
    (glossary.RULE, rules._RULE_KEYS),
    (glossary.HEADS, expectations._HEADS),
    (glossary.WINDOW, expectations._MORE),
    (glossary.VERDICTS, get_args(Verdict)),
    (glossary.EVENTS, vocabulary.EVENTS),
    (glossary.GROUPS, GROUPS),
    (glossary.PICKS, moments._PICKS),
    (glossary.ENDS, moments._ENDS),
    (glossary.CLAUSES, (*moments._CLAUSES, "as")),
    (glossary.FUNCTIONS, vocabulary.FUNCTIONS),
]


@pytest.mark.parametrize(("words", "known"), WORDS)
def test_every_word_of_the_reader_is_explained_and_no_other(words: glossary.Words, known: Iterable[str]) -> None:
    assert sorted(words) == sorted(known)
    assert all(words.values())


def test_every_name_of_state_is_explained() -> None:
    assert {*vocabulary.STATE, *vocabulary.RUN_NAMES} <= set(glossary.NAMES)
    assert {f"task.{name}" for name in vocabulary.TASK_NAMES} <= set(glossary.NAMES)
    assert set(OWN_NAMES) == {name.split(".")[0] for name in glossary.NAMES} & set(OWN_NAMES)
