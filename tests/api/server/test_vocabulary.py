from __future__ import annotations

import pytest

from iscsiproxy.api.server.vocabulary import vocabulary
from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError
from iscsiproxy.language.line import read_line, read_pattern
from iscsiproxy.language.vocabulary import ITEMS
from iscsiproxy.wire.opcodes import Opcode

__all__: list[str] = []

_WORDS = vocabulary(["b", "a"])


def test_every_pdu_and_every_event_of_the_language_is_among_them() -> None:
    assert {one.name for one in _WORDS.pdus} | set(_WORDS.events) == set(ITEMS)
    assert len(_WORDS.pdus) == len(Opcode)
    assert {"connect", "close", "full-feature", "escalation"} <= set(_WORDS.events)
    for one in _WORDS.pdus:
        read_pattern(one.name)


def test_a_pdu_has_its_sender_its_fields_and_the_names_of_their_codes() -> None:
    pdus = {one.name: one for one in _WORDS.pdus}
    assert (pdus["SCSI-Command"].sender, pdus["SCSI-Response"].sender) == ("initiator", "target")
    assert {"ITT", "CmdSN", "EDTL", "CDB"} <= set(pdus["SCSI-Command"].fields)
    assert {"GOOD", "BUSY", "TASK_SET_FULL"} <= set(pdus["SCSI-Response"].words["Status"])
    assert "ABORT_TASK" in pdus["TMF-Request"].words["Function"]
    assert "CmdSN" not in pdus["SCSI-Command"].words


def test_every_field_and_every_word_can_be_written_in_a_pattern() -> None:
    for one in _WORDS.pdus:
        for field, words in one.words.items():
            for word in words:
                read_pattern(f"{one.name} where {field} == {word}")


def test_every_act_is_among_them_with_its_parameters() -> None:
    acts = {one.name: one for one in _WORDS.acts}
    assert list(acts) == list(SPECS)
    delay = acts["delay"]
    assert (delay.main, delay.fields) == ("until", False)
    assert {param.name: param.choices for param in delay.params}["orphans"] == ("drop", "deliver")
    assert acts["set"].fields
    assert all(one.help and all(param.help for param in one.params) for one in acts.values())
    with pytest.raises(FileError):
        read_line("dorp R2T", acts=SPECS)


def test_scenarios_are_told_in_their_order_and_words_of_commands_and_keys_too() -> None:
    assert _WORDS.scenarios == ("a", "b")
    assert {"READ(10)", "WRITE(10)"} <= set(_WORDS.CDBs)
    assert {"MaxBurstLength", "HeaderDigest"} <= set(_WORDS.keys)
    for words in (_WORDS.CDBs, _WORDS.keys):
        assert list(words) == sorted(set(words))
