"""Texts in several rounds between the embedded peers: the victim does them, and the other end sees one."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import discover, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.runs.stage import BLOCK, IQN, Stage, stage
from iscsiproxy.session.events import Decided, Delivered, Received, Violated
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []

WORKED = Path(__file__).parent.parent / "language" / "worked"


def worked(name: str) -> Scenario:
    return load((WORKED / f"{name}.yaml").read_text(encoding="utf-8"), file=f"{name}.yaml", acts=SPECS)


def scenario(when: str, act: str) -> Scenario:
    text = f"scenario: x\nvictim: both\nrules:\n  - when: {when} nth 1\n    do:\n      - split_text: {act}\n"
    return load(text, file="x.yaml", acts=SPECS)


async def io_through(one: Scenario, settings: InitiatorSettings | None = None) -> Stage:
    """Log in through the proxy, write and read back: numbers that are wrong would end that."""
    with trio.fail_after(10):
        async with (
            stage(seed=1, blocks=64, scenarios=[one]) as here,
            open_session((here.portal.host, here.portal.port), settings or InitiatorSettings(target=IQN)) as session,
        ):
            await session.command(0, commands.test_unit_ready())
            for block in range(8):
                data = bytes([block]) * BLOCK
                assert (await session.command(0, commands.write10(block, 1), data_out=data)).good
                assert (await session.command(0, commands.read10(block, 1), read_length=BLOCK)).data == data
    assert_clean(here)
    return here


def assert_clean(here: Stage) -> None:
    """Nothing failed, and no end saw anything that the standard does not have."""
    assert not [event for event in here.events if isinstance(event, Decided) and event.what == "failed"]
    assert not [event for event in here.events if isinstance(event, Violated)]


def seen(here: Stage, leg: End, opcode: Opcode) -> list[Pdu]:
    return [
        event.pdu
        for event in here.events
        if isinstance(event, Received | Delivered) and event.leg is leg and event.pdu.opcode == opcode
    ]


async def test_W19_a_key_across_the_C_bit_is_understood_by_the_target_and_unseen_by_the_initiator() -> None:
    here = await io_through(worked("x_key_across_c_bit"))
    first, second = seen(here, End.TARGET, Opcode.LOGIN_REQUEST)
    assert first.data.endswith(b"\0X-com.")
    assert second.data == b"example.proxy=1\0"
    empty, answer = seen(here, End.TARGET, Opcode.LOGIN_RESPONSE)
    assert empty.data == b""
    assert b"X-com.example.proxy=NotUnderstood\0" in answer.data
    (told,) = seen(here, End.INITIATOR, Opcode.LOGIN_RESPONSE)
    assert told.data == answer.data.replace(b"X-com.example.proxy=NotUnderstood\0", b"")
    assert here.proxy.relay is None or here.proxy.relay.engine is not None


async def test_W04_a_text_request_without_F_is_finished_behind_the_initiators_back() -> None:
    with trio.fail_after(10):
        async with stage(seed=1, blocks=64, scenarios=[worked("text_response_partial")]) as here:
            records = await discover((here.portal.host, here.portal.port), InitiatorSettings())
    assert [record.name for record in records] == [IQN]
    assert_clean(here)
    asked, rest = seen(here, End.TARGET, Opcode.TEXT_REQUEST)
    begun, ended = seen(here, End.TARGET, Opcode.TEXT_RESPONSE)
    assert (asked["F"], begun["F"], rest["F"], ended["F"]) == (0, 0, 1, 1)
    assert (rest.data, rest["TTT"]) == (b"", begun["TTT"])
    (told,) = seen(here, End.INITIATOR, Opcode.TEXT_RESPONSE)
    assert (told["F"], told["StatSN"]) == (1, begun["StatSN"])


@pytest.mark.parametrize("act", ["C", "T", "{by: C, rounds: 5}", "{by: T, rounds: 4}", "{by: T, at: MaxBurstLength+0}"])
@pytest.mark.parametrize("when", ["Login-Request", "Login-Request where CSG == 1"])
async def test_W10_W11_a_login_in_more_rounds_is_the_same_login(when: str, act: str) -> None:
    here = await io_through(scenario(when, act))
    requests = seen(here, End.TARGET, Opcode.LOGIN_REQUEST)
    assert b"".join(one.data for one in requests) == b"".join(
        one.data for one in seen(here, End.INITIATOR, Opcode.LOGIN_REQUEST)
    )
    assert len(requests) > len(seen(here, End.INITIATOR, Opcode.LOGIN_REQUEST))
    *partial, _ = seen(here, End.TARGET, Opcode.LOGIN_RESPONSE)
    assert {one["TSIH"] for one in partial} == {0}
    (told,) = seen(here, End.INITIATOR, Opcode.LOGIN_RESPONSE)
    assert told["TSIH"]


@pytest.mark.parametrize("rounds", [2, 4])
async def test_LOG_40_a_login_response_in_pieces_is_asked_for_piece_by_piece(rounds: int) -> None:
    here = await io_through(scenario("Login-Response", f"{{by: C, rounds: {rounds}}}"))
    _, *empty = seen(here, End.INITIATOR, Opcode.LOGIN_REQUEST)
    assert empty
    assert not any(one.data for one in empty)
    assert len(seen(here, End.TARGET, Opcode.LOGIN_REQUEST)) == 1
    pieces = seen(here, End.INITIATOR, Opcode.LOGIN_RESPONSE)
    (whole,) = seen(here, End.TARGET, Opcode.LOGIN_RESPONSE)
    assert b"".join(one.data for one in pieces) == whole.data
    # This initiator asks for pieces with T=0, and may only be told of the end when it asks for that.
    assert [one["T"] for one in empty] == [0] * (rounds - 1) + [1]
    assert [(one["C"], one["T"]) for one in pieces] == [(1, 0)] * (rounds - 1) + [(0, 0), (0, 1)]


async def test_LOG_41_an_extra_round_makes_the_initiator_ask_again_without_repeating_itself() -> None:
    here = await io_through(scenario("Login-Response", "T"))
    asked, again = seen(here, End.INITIATOR, Opcode.LOGIN_REQUEST)
    assert asked.data
    assert (again.data, again["T"]) == (b"", 1)
    assert [one["T"] for one in seen(here, End.INITIATOR, Opcode.LOGIN_RESPONSE)] == [0, 1]


async def test_digests_begin_behind_the_last_piece() -> None:
    settings = InitiatorSettings(target=IQN, header_digests=("CRC32C",), data_digests=("CRC32C",))
    here = await io_through(scenario("Login-Response", "C"), settings)
    assert all(pdu.header_digest for pdu in seen(here, End.INITIATOR, Opcode.SCSI_COMMAND))


async def test_a_negotiation_of_its_own_on_each_leg_can_be_in_rounds_too() -> None:
    text = (
        "scenario: x\nvictim: target\nnegotiate: {target: {MaxBurstLength: 65536, DataDigest: CRC32C}}\n"
        "rules:\n  - when: Login-Request nth 1\n    do: {split_text: T}\n"
    )
    here = await io_through(load(text, file="x.yaml", acts=SPECS))
    first, second = seen(here, End.TARGET, Opcode.LOGIN_REQUEST)
    assert b"MaxBurstLength=65536\0" in first.data
    assert second.data == b""
    (told,) = seen(here, End.INITIATOR, Opcode.LOGIN_RESPONSE)
    assert b"MaxBurstLength=65536\0" in told.data
