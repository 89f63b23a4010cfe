from __future__ import annotations

from collections.abc import Iterable

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.language import candidates
from iscsiproxy.language.candidates import ANY, Candidate, compared, fields, hand_of, items, names, params, pdus, values
from iscsiproxy.language.names import Hand
from iscsiproxy.language.spec import Param
from iscsiproxy.language.vocabulary import ITEMS, RUN_NAMES, STATE
from iscsiproxy.wire.cdb import CDB_NAMES
from iscsiproxy.wire.opcodes import Opcode

__all__: list[str] = []

COMMAND = frozenset({int(Opcode.SCSI_COMMAND)})
LOGIN = frozenset({int(Opcode.LOGIN_REQUEST)})
RESPONSE = frozenset({int(Opcode.SCSI_RESPONSE)})


def texts(found: Iterable[Candidate]) -> list[str]:
    return [one.text for one in found]


def param(act: str, name: str) -> Param:
    return next(param for param in SPECS[act].params if param.name == name)


def test_every_act_and_hold_has_its_help() -> None:
    found = list(candidates.acts(SPECS))
    assert texts(found) == [*SPECS, "hold"]
    assert all(one.help and one.kind == "act" for one in found)
    assert texts(candidates.acts({"drop": SPECS["drop"]})) == ["drop"]


def test_every_pdu_and_event_has_its_help() -> None:
    found = list(items())
    assert set(texts(found)) == set(ITEMS)
    assert all(one.help for one in found)
    assert {one.kind for one in found} == {"pdu", "event"}
    assert texts(pdus(COMMAND)) == ["SCSI-Command"]


def test_what_is_given_already_is_not_offered_again() -> None:
    assert texts(params(SPECS["close"], ["how", "at"])) == ["end=", "conn="]
    assert "CmdSN=" in texts(fields(SPECS["set"], COMMAND, []))
    assert "CmdSN=" not in texts(fields(SPECS["set"], COMMAND, ["CmdSN"]))


def test_fields_are_those_of_the_pdu_and_what_the_act_takes_besides() -> None:
    command = texts(fields(SPECS["set"], COMMAND, []))
    assert {"CDB=", "CDB.LBA=", "CDB.blocks=", "data=", "BHS."} <= set(command)
    assert not {"sense=", "DataSN=", "text.InitiatorName="} & set(command)
    assert "CDB.LBA=" not in texts(fields(SPECS["duplicate"], COMMAND, []))
    assert "sense=" in texts(fields(SPECS["set"], RESPONSE, []))
    assert "text.InitiatorName=" in texts(fields(SPECS["set"], LOGIN, []))
    assert texts(fields(SPECS["close"], COMMAND, [])) == []


@pytest.mark.parametrize(
    ("act", "name", "first"),
    [
        ("close", "how", ["rst", "fin", "half"]),
        ("delay", "overtake", ["yes", "no"]),
        ("delay", "at_most", ["no"]),
        ("close", "at", ["start", "end", "header"]),
        ("text", "add", ["AuthMethod=", "CHAP_A="]),
        ("text", "remove", ["AuthMethod", "CHAP_A"]),
        ("split_text", "at", ["data+", "AuthMethod+"]),
        ("answer", "pdu", ["NOP-In", "SCSI-Response"]),
        ("resize", "to", ["R"]),
        ("replay", "what", []),
    ],
)
def test_a_parameter_is_offered_its_values(act: str, name: str, first: list[str]) -> None:
    assert texts(values(param(act, name), name, COMMAND))[: len(first)] == first
    assert first or texts(values(param(act, name), name, COMMAND)) == []


@pytest.mark.parametrize(
    ("opcodes", "name", "some"),
    [
        (RESPONSE, "Status", ["GOOD", "CHECK_CONDITION"]),
        (RESPONSE, "ITT", ["none", "fresh"]),
        (COMMAND, "W", ["0", "1"]),
        (COMMAND, "CDB", ["READ", "WRITE"]),
        (COMMAND, "CDB.LBA", ["R"]),
        (LOGIN, "text.ImmediateData", ["Yes", "No"]),
    ],
)
def test_a_field_is_offered_its_values(opcodes: frozenset[int], name: str, some: list[str]) -> None:
    assert texts(values(None, name, opcodes))[: len(some)] == some


def test_a_field_that_no_pdu_has_is_offered_nothing() -> None:
    assert texts(values(None, "Nothing", COMMAND)) == []
    assert texts(values(None, "text.InitiatorAlias", LOGIN)) == []


def test_a_name_is_compared_with_what_it_may_be() -> None:
    assert texts(compared("CDB.name", Hand(COMMAND))) == [f'"{name}"' for name in CDB_NAMES]
    assert "CHECK_CONDITION" in texts(compared("Status", Hand(RESPONSE)))
    assert texts(compared("how", Hand(events=frozenset({"close"})))) == ['"fin"', '"rst"', '"timeout"']
    assert texts(compared("key.ImmediateData", Hand(COMMAND))) == ['"Yes"', '"No"']
    assert texts(compared("nobody.knows", Hand(COMMAND))) == []


def test_names_are_those_of_the_pdu_and_the_state_around_it() -> None:
    command = texts(names(COMMAND))
    assert {"CmdSN", "length", "CDB.", "BHS.", "task.", "conn.", "min", *RUN_NAMES} <= set(command)
    assert not {"sense", "text.", "header.", "how", "DataSN"} & set(command)
    assert "how" in texts(names(frozenset(), {"close"}))
    assert "task." not in texts(names(LOGIN))


def test_a_name_with_a_dot_is_offered_what_is_inside() -> None:
    assert texts(names(COMMAND, word="CDB.")) == ["CDB.name", "CDB.LBA", "CDB.blocks"]
    assert texts(names(LOGIN, word="CDB.")) == []
    assert set(texts(names(COMMAND, word="conn."))) | set(texts(names(COMMAND, word="session."))) == set(STATE)
    assert "key.MaxBurstLength" in texts(names(COMMAND, word="key.Max"))
    assert texts(names(COMMAND, word="declared.")) == ["declared.initiator.", "declared.target."]
    assert "declared.target.MaxRecvDataSegmentLength" in texts(names(COMMAND, word="declared.target."))
    assert {"task.EDTL", "task.received"} <= set(texts(names(ANY, word="task.")))
    assert {"n.CmdSN", "n.at"} <= set(texts(names(COMMAND, word="n.Cmd")))


def test_what_is_in_hand_is_told_by_names() -> None:
    assert hand_of(["SCSI-Command", "close", "nobody"]) == Hand(COMMAND, frozenset({"close"}))
