from __future__ import annotations

import pytest

from iscsiproxy.peers.target.conduct import INCORRECT_AMOUNT, UNEXPECTED_UNSOLICITED, Conduct, Disconnect, with_quirks
from iscsiproxy.wire.opcodes import Opcode

CONFORMING = Conduct()


class Early(Conduct):
    def partial_tsih(self, requested: int, future: int) -> int:
        return future


class Forgiving(Conduct):
    def accepts_repeated_key(self, key: str) -> bool:
        return key == "X-one" or super().accepts_repeated_key(key)


class MoreForgiving(Conduct):
    def accepts_repeated_key(self, key: str) -> bool:
        return key == "X-two" or super().accepts_repeated_key(key)


def test_the_TSIH_comes_last() -> None:
    assert CONFORMING.partial_tsih(0, 9) == 0
    assert CONFORMING.partial_tsih(9, 9) == 9


def test_login_keys_come_once_and_are_understood() -> None:
    assert not CONFORMING.accepts_repeated_key("InitiatorName")
    assert not CONFORMING.accepts_not_understood("TargetPortalGroupTag")


@pytest.mark.parametrize("continued", [True, False])
def test_an_unknown_key_is_always_answered(continued: bool) -> None:
    assert CONFORMING.answers_unknown_key("X-odd", continued=continued)


@pytest.mark.parametrize("discovery", [True, False])
def test_text_goes_on_with_a_tag_and_without_a_disconnect(discovery: bool) -> None:
    assert CONFORMING.text_tag(7, discovery=discovery) == 7
    keys = ["MaxRecvDataSegmentLength", "SendTargets"]
    CONFORMING.on_text(keys, final=False, continues=True, discovery=discovery)
    for value in ("", "All"):
        CONFORMING.on_send_targets(value, discovery=discovery)


def test_data_that_nobody_asked_for_or_of_a_wrong_amount_is_a_check_condition() -> None:
    assert CONFORMING.excess_immediate(1024, 512) == CONFORMING.unexpected_unsolicited() == UNEXPECTED_UNSOLICITED
    assert CONFORMING.wrong_unsolicited(512, 1024) == CONFORMING.wrong_sequence(512, 1024) == INCORRECT_AMOUNT
    assert CONFORMING.broken_sequence() == INCORRECT_AMOUNT
    assert (str(UNEXPECTED_UNSOLICITED), str(INCORRECT_AMOUNT)) == ("B/0C/0C", "B/0C/0D")


def test_commands_wait_for_their_turn_and_duplicates_do_no_harm() -> None:
    assert CONFORMING.queues_ahead()
    assert not CONFORMING.duplicate_kills_original()


def test_a_task_that_may_still_come_is_as_good_as_aborted() -> None:
    assert CONFORMING.missing_task_response(inside_window=True) == 0
    assert CONFORMING.missing_task_response(inside_window=False) == 1


def test_discovery_ends_with_a_logout_of_the_session() -> None:
    assert [reason for reason in range(3) if CONFORMING.accepts_discovery_logout(reason)] == [0]
    assert CONFORMING.unknown_cid_response() == 1


@pytest.mark.parametrize("opcode", [Opcode.SNACK, Opcode.TEXT_REQUEST])
def test_every_reject_takes_a_StatSN(opcode: Opcode) -> None:
    assert CONFORMING.reject_advances(opcode)


def test_quirks_deviate_where_they_say_and_nowhere_else() -> None:
    conduct = with_quirks([Early])
    assert conduct.partial_tsih(0, 9) == 9
    assert not conduct.accepts_repeated_key("X-one")
    assert conduct.unknown_cid_response() == 1


def test_quirks_of_one_decision_add_up_in_any_order() -> None:
    for quirks in ([Forgiving, MoreForgiving], [MoreForgiving, Forgiving], [Forgiving, MoreForgiving, Forgiving]):
        conduct = with_quirks(quirks)
        assert [conduct.accepts_repeated_key(key) for key in ("X-one", "X-two", "X-three")] == [True, True, False]


def test_no_quirks_are_the_standard() -> None:
    conduct = with_quirks([])
    assert isinstance(conduct, Conduct)
    assert conduct.partial_tsih(0, 9) == 0


def test_a_disconnect_is_no_error_of_the_program() -> None:
    assert not issubclass(Disconnect, (ValueError, OSError))
