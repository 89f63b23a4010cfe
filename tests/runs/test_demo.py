"""The demonstration is not canned: what it tells changes with what happens."""

from __future__ import annotations

from dataclasses import replace

from iscsiproxy.runs.demo import ACTS, clean, play

__all__: list[str] = []

LOST, CARELESS, HEADER, PAYLOAD = ACTS


async def test_clean_traffic_is_clean() -> None:
    found = await clean(1)
    assert found.passed
    assert found.pdus == found.untouched > 1000
    assert found.report.commands == 400
    assert dict(found.keys)["DataDigest"] == "CRC32C"


async def test_a_lost_data_out_ends_the_write_with_an_error() -> None:
    played = await play(LOST, 1)
    assert played.fired is not None
    assert [rung.arrival for rung in played.rungs].count("never") == 1
    told = dict(played.saw)
    assert told["the target"].startswith("answered CHECK CONDITION: B/0C/0D")
    assert told["the disk"] == "has all of it once the write is given again"


async def test_a_careless_target_says_GOOD_and_has_a_hole() -> None:
    told = dict((await play(CARELESS, 1)).saw)
    assert told["the target"] == "answered GOOD"
    assert told["the disk"] == "16 of 128 blocks are not what was written"


async def test_a_wrong_header_digest_costs_the_session_and_no_data() -> None:
    played = await play(HEADER, 1)
    assert [rung.text for rung in played.rungs if rung.pdu is None][:1] == ["closes the connection"]
    told = dict(played.saw)
    assert told["the target"] == "closed the connection"
    assert told["the initiator"].startswith("logged in again; I/O went on after ")
    assert "blocks that were read are what was written" in told["the disk"]


async def test_a_changed_payload_is_seen_by_a_comparison_alone() -> None:
    told = dict((await play(PAYLOAD, 1)).saw)
    assert told == {
        "the initiator": "took the read for GOOD: every digest fits",
        "a comparison": "3 bits are wrong",
        "read again": "all of it is right",
    }


async def test_a_fault_that_does_not_fire_shows_nothing() -> None:
    played = await play(replace(PAYLOAD, scenario="c_bit_text_request"), 1)
    assert played.fired is None
    assert played.rungs == ()
    assert not played.as_expected
    assert dict(played.saw)["a comparison"] == "finds nothing wrong"


async def test_what_came_of_it_is_held_against_what_was_to_come() -> None:
    played = await play(CARELESS, 1)
    assert played.as_expected
    assert not replace(played, act=LOST).as_expected
    assert not replace(played, saw=()).as_expected
    assert not replace(played, fired=None).as_expected
