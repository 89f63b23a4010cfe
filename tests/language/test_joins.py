from __future__ import annotations

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language.joins import check_joins
from tests.language.samples import errors_of, read

__all__: list[str] = []

WHOLE = """
traffic: {io: write}
negotiate: {target: {DataDigest: CRC32C}}
rules:
  - {when: SCSI-Command nth 1 as n, do: [{set: {F: 1}}, {stall: [5s, barrier]}, {drop: {numbers: translate}}]}
machines: {a: {states: {b: [{when: R2T, do: {inject: {pdu: NOP-In}}}]}}}
actor:
  - login: {as: A}
  - login: {as: B, reinstate: A}
  - io: read
expect:
  - {never: Reject, after: n then barrier}
"""
TWICE = "actor:\n  - login: {as: A}\n  - login: {as: B, join: A}\n  - login: {as: C, join: A}\n"


def test_what_is_built_passes() -> None:
    check_joins(read(WHOLE))
    assert errors_of(WHOLE, built=True) == []


def test_every_join_is_refused_with_its_place() -> None:
    assert errors_of(TWICE) == []
    errors = errors_of(TWICE, built=True)
    assert [(error.line, error.column) for error in errors] == [(5, 5), (6, 5)]
    message = "`join`, a second connection of one session, is part of the language but not built yet"
    assert {error.message for error in errors} == {message}
    with pytest.raises(FileError) as caught:
        check_joins(read(TWICE))
    assert len(caught.value.others) == 1


def test_what_is_wrong_is_told_before_what_is_not_built() -> None:
    (error,) = errors_of(TWICE.replace("as: C", "az: C"), built=True)
    assert "az" in error.message
