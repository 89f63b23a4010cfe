from __future__ import annotations

import dataclasses

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language.spec import ActSpec
from iscsiproxy.language.unbuilt import STEPS, UNBUILT, check_built
from tests.language.samples import ACTS, errors_of, read

__all__: list[str] = []

#: The acts of the language, in all.
ACT_NAMES = {
    *("pass", "drop", "delay", "set", "text", "corrupt", "resize", "duplicate", "replay", "split", "merge"),
    *("split_text", "swap", "answer", "inject", "probe", "close", "stall", "throttle", "refuse"),
    *("note", "goto", "arm", "disarm"),
}


def test_every_act_of_the_language_is_known() -> None:
    assert UNBUILT.keys() | ACTS.keys() == ACT_NAMES
    assert not UNBUILT.keys() & ACTS.keys()


@pytest.mark.parametrize("spec", [*UNBUILT.values(), *STEPS.values()], ids=lambda spec: spec.name)
def test_a_specification_holds_together(spec: ActSpec) -> None:
    names = [param.name for param in spec.params]
    assert not spec.built
    assert len(names) == len(set(names))
    assert spec.main is None or spec.main in names
    assert all(param.default in (None, True, False, *param.choices) or param.default for param in spec.params)
    assert spec.help
    assert all(param.help for param in spec.params)


BUILT = """
traffic: {io: write}
needs: [initiator.depth >= 1]
rules:
  - {when: SCSI-Command nth 1 as n, do: [{set: {F: 1}}, {delay: 5s}, drop]}
expect:
  - {never: Reject, after: n then barrier}
  - first: [{pass: SCSI-Response of n}, {fail: nothing}]
"""


def test_what_is_built_passes() -> None:
    check_built(read(BUILT), ACTS)
    assert errors_of(BUILT, built=True) == []


#: what is said, line, column, what is not built
MISSING = [
    ("rules: [{when: R2T, do: {inject: {pdu: NOP-In}}}]", 3, 26, "act `inject`"),
    ("rules: [{when: R2T then barrier, do: close}]", 3, 16, "`barrier` in a rule"),
    ("rules: [{when: R2T, do: {stall: [5s, barrier]}}]", 3, 38, "`barrier` in a rule"),
    ("rules: [{when: R2T, do: pass, until: barrier}]", 3, 38, "`barrier` in a rule"),
    ("rules: [{when: R2T, do: {drop: {numbers: translate}}}]", 3, 26, "`numbers: translate` of `drop`"),
    ("negotiate: {target: {DataDigest: CRC32C}}\nrules: [{when: R2T, do: pass}]", 3, 1, "`negotiate`"),
    ("machines: {a: {states: {b: [{when: R2T, do: {inject: {pdu: NOP-In}}}]}}}", 3, 47, "act `inject`"),
    ("actor: [{io: read}]", 3, 1, "`actor`"),
]


@pytest.mark.parametrize(("body", "line", "column", "what"), MISSING)
def test_what_is_not_built_is_refused_with_its_place(body: str, line: int, column: int, what: str) -> None:
    assert errors_of(body) == []
    (error,) = errors_of(body, built=True)
    assert error.message == f"{what} is part of the language but not built yet"
    assert (error.line, error.column) == (line, column)


def test_all_that_is_not_built_is_told() -> None:
    scenario = read("rules:\n  - {when: R2T, do: {inject: {pdu: NOP-In}}}\n  - {when: barrier, do: {note: x}}\n")
    with pytest.raises(FileError) as caught:
        check_built(scenario, ACTS)
    assert [error.line for error in (caught.value, *caught.value.others)] == [4, 5]


def test_an_engine_may_bring_an_act() -> None:
    scenario = read("rules: [{when: R2T, do: {inject: {pdu: NOP-In}}}]")
    check_built(scenario, {**ACTS, "inject": dataclasses.replace(UNBUILT["inject"], built=True)})
    with pytest.raises(FileError, match="not built yet"):
        check_built(scenario, {**ACTS, "inject": UNBUILT["inject"]})


def test_what_is_wrong_is_told_before_what_is_not_built() -> None:
    (error,) = errors_of("rules: [{when: R2T, do: {inject: {pdu: NOP-Inn}}}]", built=True)
    assert "NOP-Inn" in error.message
