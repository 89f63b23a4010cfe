from __future__ import annotations

import pytest

from iscsiproxy.peers.target.conduct import Conduct, Disconnect, with_quirks
from iscsiproxy.peers.target.login import Login
from iscsiproxy.peers.target.quirks import PERSONALITIES, QUIRKS, Quirk
from iscsiproxy.peers.target.text import TextExchange
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.peers.target import desk
from tests.peers.target.desk import NAMES, TARGET, TSIH, Desk, answer, login_request, said, status, text_request
from tests.peers.target.wire import BLOCK, Initiator, node, pattern, sense
from tests.peers.target.wire import one as only

SEGMENT = {"MaxRecvDataSegmentLength": "8192"}
#: Each test is done by the standard and with the quirk, and shows the difference.
STANDARD = Conduct()
ALL = with_quirks(QUIRKS.values())


def quirk(name: str) -> list[Conduct]:
    """Give the quirk alone and among all the others."""
    return [with_quirks([QUIRKS[name]]), ALL]


def login(conduct: Conduct) -> Login:
    return Login(Desk(conduct=conduct))


def one(login: Login, request: Pdu) -> Pdu:
    (response,) = login.receive(request)
    return response


def normal(conduct: Conduct) -> TextExchange:
    return desk.normal(Desk(conduct=conduct))


def discovery(conduct: Conduct) -> TextExchange:
    return desk.discovery(Desk(conduct=conduct))


# --- the table ---


@pytest.mark.parametrize("name", QUIRKS)
def test_a_quirk_says_what_it_does_and_what_it_should_have_heeded(name: str) -> None:
    assert QUIRKS[name].clause.startswith("RFC ")
    assert 20 < len(QUIRKS[name].summary()) < 120
    assert not QUIRKS[name].summary().endswith(".")


@pytest.mark.parametrize("name", QUIRKS)
def test_a_quirk_overrides_decisions_that_there_are(name: str) -> None:
    decisions = {decision for decision in vars(Conduct) if not decision.startswith("_")}
    layers = [layer for layer in QUIRKS[name].__mro__ if issubclass(layer, Quirk) and layer is not Quirk]
    overridden = {decision for layer in layers for decision in vars(layer) if not decision.startswith("_")}
    overridden -= {"name", "clause"}
    assert overridden
    assert overridden <= decisions


def test_personalities_are_made_of_quirks() -> None:
    assert all(set(names) <= set(QUIRKS) for names in PERSONALITIES.values())
    assert PERSONALITIES["windows-server-2012"] == tuple(f"W{number:02}" for number in range(1, 20))


# --- login ---


def test_W11_gives_the_TSIH_early() -> None:
    for conduct, early in [(STANDARD, 0), *((conduct, TSIH) for conduct in quirk("W11"))]:
        exchange = login(conduct)
        assert one(exchange, login_request(NAMES, T=0))["TSIH"] == early
        assert one(exchange, login_request())["TSIH"] == TSIH


def test_W11_is_no_matter_before_the_names_are_known() -> None:
    exchange = login(ALL)
    assert one(exchange, login_request(b"Init", T=0, C=1))["TSIH"] == 0


def test_W16_lets_the_portal_group_tag_not_be_understood() -> None:
    for conduct, outcome in [(STANDARD, 0x0200), *((conduct, 0) for conduct in quirk("W16"))]:
        exchange = login(conduct)
        assert said(one(exchange, login_request(NAMES, T=0)))["TargetPortalGroupTag"] == "1"
        response = one(exchange, login_request({"TargetPortalGroupTag": "NotUnderstood"}))
        assert (status(response), response["T"], exchange.failed) == (outcome, outcome == 0, outcome != 0)


@pytest.mark.parametrize("text", [{"TargetPortalGroupTag": "Reject"}, {"TargetAlias": "NotUnderstood"}])
def test_W16_is_about_nothing_else(text: dict[str, str]) -> None:
    exchange = login(ALL)
    one(exchange, login_request(NAMES, T=0))
    assert status(one(exchange, login_request(text))) == 0x0200


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"ImmediateData": "Yes"}, {"ImmediateData": "Yes"}),
        ({"MaxBurstLength": "65536"}, {"MaxBurstLength": "32768"}),
        ({"DataDigest": "None"}, {"DataDigest": "CRC32C"}),
        ({}, {"InitiatorName": "iqn.2026-01.example.iscsiproxy:initiator"}),
    ],
)
def test_W17_negotiates_twice(first: dict[str, str], again: dict[str, str]) -> None:
    for conduct, outcome in [(STANDARD, 0x0200), *((conduct, 0) for conduct in quirk("W17"))]:
        exchange = login(conduct)
        one(exchange, login_request(NAMES | first, T=0))
        response = one(exchange, login_request(again))
        assert status(response) == outcome
        assert (exchange.logged_in is None) == bool(outcome)


def test_W17_takes_what_came_last() -> None:
    for conduct in quirk("W17"):
        exchange = login(conduct)
        one(exchange, login_request(NAMES | {"DataDigest": "None"}, T=0))
        assert said(one(exchange, login_request({"DataDigest": "CRC32C"}))) == {"DataDigest": "CRC32C"}
        assert exchange.logged_in is not None
        assert exchange.logged_in.parameters.data_digest


def test_W17_takes_a_key_twice_in_one_text() -> None:
    text = [*NAMES.items(), ("ImmediateData", "Yes"), ("ImmediateData", "No")]
    assert status(one(login(STANDARD), login_request(text))) == 0x0200
    for conduct in quirk("W17"):
        assert said(one(login(conduct), login_request(text)))["ImmediateData"] == "No"


def test_W19_says_nothing_to_an_unknown_key_in_a_text_of_several_parts() -> None:
    text = encode_text((NAMES | {"X-com.example.proxy": "1", "DataDigest": "None"}).items())
    for conduct, expected in [(STANDARD, "NotUnderstood"), *((conduct, None) for conduct in quirk("W19"))]:
        exchange = login(conduct)
        assert one(exchange, login_request(text[:-30], T=0, C=1)).data == b""
        keys = said(one(exchange, login_request(text[-30:])))
        assert (keys.get("X-com.example.proxy"), keys["DataDigest"]) == (expected, "None")
        whole = said(one(login(conduct), login_request(text)))
        assert whole["X-com.example.proxy"] == "NotUnderstood"


def test_W19_is_about_that_text_alone() -> None:
    exchange, text = login(with_quirks([QUIRKS["W19"]])), encode_text(NAMES.items())
    one(exchange, login_request(text[:9], T=0, C=1))
    one(exchange, login_request(text[9:], T=0))
    assert said(one(exchange, login_request({"X-k": "1"}))) == {"X-k": "NotUnderstood"}


# --- Text ---


def test_W04_leaves_the_tag_of_discovery_out() -> None:
    request = text_request({"SendTargets": "All"}, final=False)
    assert answer(discovery(STANDARD), request)["TTT"] != NO_TAG
    for conduct in quirk("W04"):
        response = answer(discovery(conduct), request)
        assert (response["F"], response["TTT"]) == (0, NO_TAG)
    response = answer(normal(with_quirks([QUIRKS["W04"]])), text_request(SEGMENT, final=False))
    assert response["TTT"] != NO_TAG


@pytest.mark.parametrize("name", ["W05", "W09"])
def test_W05_and_W09_do_not_live_with_an_unfinished_negotiation(name: str) -> None:
    request = text_request(SEGMENT, final=False)
    response = answer(normal(STANDARD), request)
    assert (response["F"], response["TTT"] != NO_TAG) == (0, True)
    for conduct in quirk(name):
        with pytest.raises(Disconnect):
            normal(conduct).receive(request)
    alone = with_quirks([QUIRKS[name]])
    assert answer(normal(alone), text_request(SEGMENT))["F"] == 1
    assert said(answer(discovery(alone), request)) == {"MaxRecvDataSegmentLength": "Reject"}


def test_W06_disconnects_at_a_negotiation_in_discovery() -> None:
    assert said(answer(discovery(STANDARD), text_request(SEGMENT))) == {"MaxRecvDataSegmentLength": "Reject"}
    for conduct in quirk("W06"):
        with pytest.raises(Disconnect):
            discovery(conduct).receive(text_request(SEGMENT))
        assert answer(normal(conduct), text_request(SEGMENT))["F"] == 1
        assert "TargetName" in said(answer(discovery(conduct), text_request({"SendTargets": "All"})))


def test_W07_disconnects_at_an_empty_SendTargets() -> None:
    request = text_request({"SendTargets": ""})
    assert said(answer(normal(STANDARD), request))["TargetName"] == TARGET
    assert said(answer(discovery(STANDARD), request)) == {"SendTargets": "Reject"}
    for conduct in quirk("W07"):
        for exchange in (normal(conduct), discovery(conduct)):
            with pytest.raises(Disconnect):
                exchange.receive(request)
        assert said(answer(normal(conduct), text_request({"SendTargets": TARGET})))["TargetName"] == TARGET


def test_W08_disconnects_at_SendTargets_All_in_a_normal_session() -> None:
    request = text_request({"SendTargets": "All"})
    assert said(answer(normal(STANDARD), request)) == {"SendTargets": "Reject"}
    for conduct in quirk("W08"):
        with pytest.raises(Disconnect):
            normal(conduct).receive(request)
        assert said(answer(discovery(conduct), request))["TargetName"] == TARGET


def test_W10_disconnects_at_the_C_bit() -> None:
    request = text_request(b"SendTar", final=False, more=True)
    for exchange in (normal(STANDARD), discovery(STANDARD)):
        response = answer(exchange, request)
        assert (response["F"], response["C"], response.data) == (0, 0, b"")
    for conduct in quirk("W10"):
        for exchange in (normal(conduct), discovery(conduct)):
            with pytest.raises(Disconnect):
                exchange.receive(request)


# --- write data ---

#: What may come without being asked for
FREE = {"InitialR2T": "No", "ImmediateData": "Yes", "FirstBurstLength": "2048", "MaxBurstLength": "2048"}
ASKED = FREE | {"InitialR2T": "Yes", "ImmediateData": "No"}


def initiator(conduct: Conduct, keys: dict[str, str] | None = None) -> Initiator:
    return Initiator(node(conduct=conduct)).start(keys)


def test_W01_takes_more_immediate_data_than_FirstBurstLength() -> None:
    for conduct, outcome in [(STANDARD, "B/0C/0C"), *((conduct, "00") for conduct in quirk("W01"))]:
        peer = initiator(conduct, {"FirstBurstLength": "512"})
        assert sense(only(peer.send(peer.write(0, 4, pattern(4))))) == outcome
        assert peer.contents(0, 4) == (pattern(4) if outcome == "00" else bytes(2048))


@pytest.mark.parametrize("blocks", [2, 6, 8])
def test_W02_takes_another_amount_of_unsolicited_data(blocks: int) -> None:
    for conduct, outcome in [(STANDARD, "B/0C/0D"), *((conduct, "00") for conduct in quirk("W02"))]:
        peer = initiator(conduct, FREE)
        write = peer.write(0, 8, F=0)
        assert peer.send(write) == []
        got = peer.send(peer.data_out(write["ITT"], pattern(blocks)))
        while got[0].opcode == Opcode.R2T:
            got = peer.send(*peer.answer(only(got), pattern(8)))
        assert sense(only(got)) == outcome
        taken = pattern(8) if blocks > 4 else pattern(blocks) + bytes((8 - blocks) * BLOCK)
        assert peer.contents(0, 8) == (taken if outcome == "00" else bytes(8 * BLOCK))


def test_W02_takes_a_short_answer_to_an_r2t() -> None:
    for conduct, outcome in [(STANDARD, "B/0C/0D"), *((conduct, "00") for conduct in quirk("W02"))]:
        peer = initiator(conduct, ASKED)
        r2t = only(peer.send(peer.write(0, 4)))
        short = peer.data_out(r2t["ITT"], pattern(2), TTT=r2t["TTT"])
        assert sense(only(peer.send(short))) == outcome
        assert peer.contents(0, 4) == (pattern(2) if outcome == "00" else bytes(1024)) + bytes(1024)


@pytest.mark.parametrize("immediate", [False, True])
def test_W03_takes_unsolicited_data_that_was_not_agreed(immediate: bool) -> None:
    for conduct, outcome in [(STANDARD, "B/0C/0C"), *((conduct, "00") for conduct in quirk("W03"))]:
        peer = initiator(conduct, ASKED)
        write = peer.write(0, 1, pattern(1) if immediate else b"", F=int(immediate))
        got = peer.send(write) if immediate else peer.send(write, peer.data_out(write["ITT"], pattern(1)))
        assert sense(only(got)) == outcome
        assert peer.contents(0) == (pattern(1) if outcome == "00" else bytes(BLOCK))


@pytest.mark.parametrize("missing", range(3))
def test_tgt_holes_writes_what_came_of_a_burst_with_a_hole(missing: int) -> None:
    alone = with_quirks([QUIRKS["tgt-holes"]])
    for conduct, outcome in [(STANDARD, "B/0C/0D"), (alone, "00"), (ALL, "00")]:
        peer = initiator(conduct, ASKED)
        r2t = only(peer.send(peer.write(0, 4)))
        parts = peer.answer(r2t, pattern(4), step=BLOCK)
        del parts[missing]
        assert sense(only(peer.send(*parts))) == outcome
        blocks = [pattern(4)[at * BLOCK : (at + 1) * BLOCK] for at in range(4)]
        blocks[missing] = bytes(BLOCK)
        assert peer.contents(0, 4) == (b"".join(blocks) if outcome == "00" else bytes(4 * BLOCK))


def test_a_hole_that_is_forgiven_costs_no_more_than_a_burst() -> None:
    peer = initiator(ALL, ASKED)
    r2t = only(peer.send(peer.write(0, 4, EDTL=0xFFFFFFFF)))
    far = peer.data_out(r2t["ITT"], pattern(1), TTT=r2t["TTT"], BufferOffset=0xF0000000)
    assert sense(only(peer.send(far))) == "B/0C/0D"


# --- commands and task management ---


def test_W12_ignores_what_is_ahead() -> None:
    for conduct, keeps in [(STANDARD, True), *((conduct, False) for conduct in quirk("W12"))]:
        peer = initiator(conduct)
        first, second = peer.ready(), peer.ready()
        assert peer.send(second) == []
        assert [pdu["ITT"] for pdu in peer.send(first)] == [first["ITT"], second["ITT"]][: 1 + keeps]
        assert len(peer.send(second)) == 1 - keeps


def test_W12_lets_a_duplicate_cost_the_original_its_answer() -> None:
    for conduct, keeps in [(STANDARD, True), *((conduct, False) for conduct in quirk("W12"))]:
        peer = initiator(conduct, ASKED)
        write = peer.write(0, 1)
        r2t = only(peer.send(write))
        assert peer.send(write.with_fields({"ITT": 0x77})) == []
        got = peer.send(*peer.answer(r2t, pattern(1)))
        assert [sense(pdu) for pdu in got] == ["00"] * keeps


def test_W13_has_completed_what_never_was() -> None:
    for conduct, outcome in [(STANDARD, 1), *((conduct, 0) for conduct in quirk("W13"))]:
        peer = initiator(conduct)
        request = peer.tmf(1, RefTaskTag=0x77, RefCmdSN=peer.session.exp - 5000 & NO_TAG)
        assert only(peer.send(request))["Response"] == outcome


# --- logout, SNACK ---


@pytest.mark.parametrize("reason", [1, 2])
def test_W14_lets_discovery_log_out_for_any_reason(reason: int) -> None:
    for conduct, deviates in [(STANDARD, False), *((conduct, True) for conduct in quirk("W14"))]:
        peer = Initiator(node(conduct=conduct))
        peer.log_in(target=None)
        answer_ = only(peer.send(peer.logout(reason)))
        succeeded = answer_.opcode == Opcode.LOGOUT_RESPONSE and answer_["Response"] == 0
        assert (succeeded, peer.connection.closed) == (deviates, deviates)


def test_W15_logs_out_a_connection_that_is_not_there() -> None:
    for conduct, outcome in [(STANDARD, 1), *((conduct, 0) for conduct in quirk("W15"))]:
        peer = initiator(conduct)
        assert only(peer.send(peer.logout(1, CID=0x7777)))["Response"] == outcome
        assert peer.alive()


def test_W18_uses_the_StatSN_of_a_rejected_SNACK_again() -> None:
    for conduct, step in [(STANDARD, 1), *((conduct, 0) for conduct in quirk("W18"))]:
        peer = initiator(conduct)
        peer.feed(Pdu.build(Opcode.SNACK, F=1, Type=1, ITT=NO_TAG, TTT=NO_TAG, BegRun=1, RunLength=1))
        peer.feed(peer.ping())
        reject, pong = peer.connection.next_pdu(), peer.connection.next_pdu()
        assert reject is not None
        assert pong is not None
        assert (reject["Reason"], pong["StatSN"] - reject["StatSN"]) == (0x04, step)
        peer.feed(Pdu.build(0x1C, ITT=5))
        peer.feed(peer.ping())
        other, last = peer.connection.next_pdu(), peer.connection.next_pdu()
        assert other is not None
        assert last is not None
        assert last["StatSN"] - other["StatSN"] == 1


# --- all of them ---


def test_every_quirk_has_a_test() -> None:
    tests = {name for name in globals() if name.startswith("test_")}
    for name in QUIRKS:
        said_so = name.replace("-", "_") + "_"
        assert any(said_so in test for test in tests), f"no test says {name}"
