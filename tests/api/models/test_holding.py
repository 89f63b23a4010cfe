from __future__ import annotations

from iscsiproxy.api.models import Edit, Field, Held, Injected, Injection, PduView, Stepped, Timer
from tests.api.models.wire import read, refused, said

__all__: list[str] = []

HELD = Held(
    n=5, at=1.5, since=1.6, conn=1, leg="target", rule="mine/#1", until="released", label="R2T", summary="R2T …",
    changes=("TTT 1 -> 2",), behind=2,
    timer=Timer(n=5, what="NOP", end="initiator", left=3.0, why="a ping"),
)  # fmt: skip
VIEW = PduView(
    n=5, at=1.5, conn=1, leg="initiator", event="held", label="R2T", summary="R2T …",
    fields=(Field(name="TTT", value=2, text="0x00000002"),), lines=("R2T from target, 48 bytes",), raw="31", size=48,
)  # fmt: skip


def test_what_is_held_and_what_a_step_let_go() -> None:
    stepped = Stepped(released=HELD)
    assert read(Stepped, **said(stepped)) == stepped
    assert "Invalid enum value" in refused(Held, **{**said(HELD), "leg": "both"})


def test_a_pdu_in_full_is_seen_held_or_delivered() -> None:
    assert read(PduView, **said(VIEW)) == VIEW
    assert "Invalid enum value" in refused(PduView, **{**said(VIEW), "event": "lost"})


def test_an_edit_says_what_to_do() -> None:
    assert read(Edit, acts="set TTT=2") == Edit(acts="set TTT=2", confirm=False)
    assert "required field `acts`" in refused(Edit)
    assert "length >= 1" in refused(Edit, acts="")


def test_an_injection_waits_five_seconds_a_day_at_most() -> None:
    assert read(Injection, pdu="NOP-In") == Injection(pdu="NOP-In", conn=None, wait=5.0, confirm=False)
    assert read(Injection, pdu="NOP-In", wait=0).wait == 0
    assert "<= 86400" in refused(Injection, pdu="NOP-In", wait=1e9)


def test_an_injection_that_nothing_answered() -> None:
    told = Injected(rule="line-1/#1", sent=VIEW, asks=True, answer=None)
    assert said(told)["answer"] is None
    assert read(Injected, **said(told)) == told
