from __future__ import annotations

from iscsiproxy.api.models import Act, Candidate, Completion, CompletionQuery, Param, PduKind, Vocabulary
from tests.api.models.wire import read, refused, said

__all__: list[str] = []


def test_a_vocabulary_reads_as_it_was_said() -> None:
    act = Act(
        name="drop", help="…", main=None, params=(Param(name="numbers", help="…", choices=("raw",)),), fields=False
    )
    pdu = PduKind(name="R2T", sender="target", fields=("TTT",), words={"Status": ("GOOD", "BUSY")})
    words = Vocabulary(
        pdus=(pdu,),
        events=("connect",),
        acts=(act,),
        CDBs=("INQUIRY",),
        keys=("InitialR2T",),
        scenarios=("x",),
    )
    assert said(words)["pdus"][0]["words"] == {"Status": ["GOOD", "BUSY"]}
    assert read(Vocabulary, **said(words)) == words


def test_a_line_may_be_empty_while_it_is_typed() -> None:
    assert read(CompletionQuery) == CompletionQuery(line="", cursor=None, form="line", n=None)
    assert "length <= 4096" in refused(CompletionQuery, line="x" * 4097)
    assert "Invalid enum value" in refused(CompletionQuery, form="poem")


def test_what_may_come_next() -> None:
    told = Completion(start=5, kinds=("PDU",), candidates=(Candidate(text="R2T", kind="PDU", help="…"),))
    assert read(Completion, **said(told)) == told
