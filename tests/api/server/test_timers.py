from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
import trio
import trio.testing

from iscsiproxy.api.models import Held, Timer
from iscsiproxy.api.server.timers import Patience, parse_timer
from iscsiproxy.errors import UsageError
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.api.server.stand import Stand, ping, response, stand, write
from tests.proxy.fakes import login_request, nop_in

__all__: list[str] = []

Clock = trio.testing.MockClock


async def held_behind(the: Stand, line: str, clock: Clock, *pdus: Pdu, login: bool = True) -> Held:
    """Log in at 1 s, let the PDUs come at 3 s, one of which is held; give how that is at 4 s."""
    clock.jump(1)
    initiator, target = await (the.login() if login else the.bench.connect())
    the.arm(line)
    clock.jump(2)
    for pdu in pdus:
        await (initiator if pdu.sender.value == "initiator" else target).send(pdu)
        await trio.testing.wait_all_tasks_blocked()
    await the.held()
    clock.jump(1)
    (held,) = the.control.held()
    return held


def told(held: Held) -> tuple[str, str, float]:
    assert held.timer is not None
    assert held.timer.n == held.n
    return (held.timer.what, held.timer.end, held.timer.left)


def request(opcode: Opcode, itt: int, fields: Mapping[str, int]) -> Pdu:
    return Pdu.build(opcode).with_fields({"ITT": itt, **fields})


_R2T = request(
    Opcode.R2T, 2, {"F": 1, "TTT": 5, "StatSN": 2, "ExpCmdSN": 2, "MaxCmdSN": 64, "DesiredDataTransferLength": 512}
)
_SOLICITED = request(Opcode.DATA_OUT, 2, {"TTT": 5, "F": 1})
_UNSOLICITED = request(Opcode.DATA_OUT, 2, {"TTT": NO_TAG, "F": 1})
_ASKING = nop_in(NO_TAG).with_fields({"TTT": 9})


@pytest.mark.parametrize(
    ("line", "pdus", "what", "end", "left"),
    [
        # 3 s behind 3 s: solicited data, and the R2T that asks for it
        ("hold Data-Out", (write(2, 1), _SOLICITED), "Data-Out", "target", 2.0),
        ("hold R2T", (write(2, 1), _R2T), "Data-Out", "target", 2.0),
        # 5 s of silence and 5 s for an answer, both behind 3 s
        ("hold Data-Out", (write(2, 1), _UNSOLICITED), "NOP", "initiator", 9.0),
        ("hold SCSI-Command", (write(2, 1),), "NOP", "initiator", 9.0),
        ("hold SCSI-Response", (write(2, 1), response(2, 2)), "NOP", "initiator", 9.0),
        # 5 s for the answer to a ping of 3 s, on its way there or back
        ("hold NOP-Out", (ping(8),), "NOP", "initiator", 4.0),
        ("hold NOP-In", (ping(8), nop_in(8)), "NOP", "initiator", 4.0),
        ("hold SCSI-Response", (ping(8), write(2, 1), response(2, 2)), "NOP", "initiator", 4.0),
        # the target's own ping has 30 s: the initiator is the first
        ("hold NOP-In", (_ASKING,), "NOP", "initiator", 9.0),
    ],
)
async def test_which_timer_runs_out_next(
    line: str, pdus: tuple[Pdu, ...], what: str, end: str, left: float, mock_clock: Clock
) -> None:
    async with stand(always=True, patience=100) as the:
        assert told(await held_behind(the, line, mock_clock, *pdus)) == (what, end, left)


async def test_a_login_has_15_seconds_from_the_connection_on(mock_clock: Clock) -> None:
    async with stand(patience=100) as the:
        held = await held_behind(the, "hold Login-Request", mock_clock, login_request(), login=False)
        assert told(held) == ("login", "target", 12.0), "it began at 1 s, and now it is 4 s"


async def test_a_command_has_30_seconds_from_when_it_came(mock_clock: Clock) -> None:
    async with stand(always=True, patience=100) as the:
        initiator, target = await the.login()
        mock_clock.jump(3)
        await initiator.send(write(2, 1))
        await target.pdu()
        the.arm("hold SCSI-Response")
        mock_clock.jump(25)
        await target.send(response(2, 2))
        (held,) = await the.held()
        assert told(held) == ("command", "initiator", 5.0)


async def test_a_command_has_30_seconds_and_that_is_next_when_nobody_pings_any_more(mock_clock: Clock) -> None:
    logout = request(Opcode.LOGOUT_REQUEST, 9, {"I": 1, "F": 1, "CmdSN": 2, "ExpStatSN": 2})
    async with stand(always=True, patience=100) as the:
        held = await held_behind(the, "hold Logout-Request", mock_clock, write(2, 1), logout)
        assert told(held) == ("command", "initiator", 29.0)


async def test_the_answer_to_a_ping_of_the_target_has_30_seconds(mock_clock: Clock) -> None:
    answer = ping(NO_TAG).with_fields({"TTT": 9})
    async with stand(always=True, patience=100) as the:
        held = await held_behind(the, "hold NOP-Out", mock_clock, answer)
        assert told(held) == ("NOP", "initiator", 9.0)
        mock_clock.jump(20)
        assert told(the.control.held()[0]) == ("NOP", "initiator", -11.0), "it is over by now"


async def test_the_run_tells_the_next_of_all(mock_clock: Clock) -> None:
    async with stand(always=True, patience=100) as the:
        held = await held_behind(the, "hold Any-PDU", mock_clock, write(2, 1))
        other, _ = await the.bench.connect()
        await other.send(login_request())
        await the.held(2)
        assert (
            the.control.proxy().timer
            == held.timer
            == Timer(
                n=held.n,
                what="NOP",
                end="initiator",
                left=9.0,
                why="noop_out_interval 5 s: open-iscsi, noop_out_timeout 5 s: open-iscsi",
            )
        )


async def test_where_the_connection_has_gone_no_timer_runs() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.arm("hold SCSI-Command")
        await initiator.send(write(2, 1))
        await the.held()
        engine = the.relay.engine
        assert engine is not None
        (holding,) = engine.held()
        initiator.reset()
        await target.until_reset()
        await the.bench.no_pairs()
        assert Patience().next_timer(the.relay, holding) is None


@pytest.mark.parametrize(
    ("told_", "what", "left", "why"),
    [
        ({"noop_out_timeout": 30}, "command", 29.0, "command_timeout 30 s: Linux"),
        ({"noop_out_interval": 0}, "command", 29.0, "command_timeout 30 s: Linux"),
        ({"noop_out_timeout": 0, "command_timeout": 60}, "command", 59.0, "command_timeout 60 s, as was told"),
        ({"noop_out_timeout": 0, "command_timeout": 0}, None, 0.0, ""),
    ],
)
async def test_what_is_told_of_the_peers_counts(
    told_: dict[str, float], what: str | None, left: float, why: str, mock_clock: Clock
) -> None:
    async with stand(always=True, patience=100, timers=told_) as the:
        held = await held_behind(the, "hold SCSI-Command", mock_clock, write(2, 1))
        if what is None:
            assert held.timer is None
        else:
            assert told(held) == (what, "initiator", left)
            assert held.timer is not None
            assert held.timer.why == why


def test_a_timer_is_read_strictly() -> None:
    assert parse_timer("dataout_timeout=2.5") == ("dataout_timeout", 2.5)
    assert parse_timer("noop_out_interval=0") == ("noop_out_interval", 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("noop_out_timeut=3", "there is no timer 'noop_out_timeut' (did you mean noop_out_timeout?)"),
        ("x=3", "there is no timer 'x' (there are: login_timeout, "),
        ("login_timeout", "'login_timeout': expected login_timeout=SECONDS, as in login_timeout=15; 0: there is none"),
        ("login_timeout=-1", "expected login_timeout=SECONDS"),
        ("login_timeout=nan", "expected login_timeout=SECONDS"),
        ("login_timeout=inf", "expected login_timeout=SECONDS"),
        ("login_timeout=soon", "expected login_timeout=SECONDS"),
    ],
)
def test_what_is_no_timer_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_timer(text)


def test_repr_says_what_was_told() -> None:
    assert repr(Patience()) == "<Patience by default>"
    assert repr(Patience({"login_timeout": 2})) == "<Patience {'login_timeout': 2}>"
