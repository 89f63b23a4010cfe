"""What the target would have: for each key that may be offered, a value that the key may have."""

from __future__ import annotations

import pytest

from iscsiproxy.peers.keys import KEYS, Answer, Kind, respond
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.peers.target.wishes import wishes

__all__: list[str] = []

NEGOTIATED = sorted(key.name for key in KEYS.values() if key.negotiated)


def test_there_is_one_for_every_key_that_is_negotiated() -> None:
    assert sorted(wishes(TargetSettings())) == NEGOTIATED


@pytest.mark.parametrize("name", [name for name in NEGOTIATED if KEYS[name].default is not None])
def test_each_is_a_value_of_its_key(name: str) -> None:
    key, wish = KEYS[name], wishes(TargetSettings())[name]
    offer = wish.split(",")[0] if key.kind is Kind.LIST else wish
    assert respond(key, offer, wish) == Answer(offer, offer)


def test_they_are_those_of_the_settings() -> None:
    found = wishes(
        TargetSettings(
            header_digests=("None",),
            initial_r2t=True,
            immediate_data=False,
            max_burst_length=4096,
            time2retain=7,
            task_reporting=("RFC3720",),
        )
    )
    assert [found[name] for name in ("HeaderDigest", "InitialR2T", "ImmediateData", "TaskReporting")] == [
        *("None", "Yes", "No", "RFC3720"),
    ]
    assert (found["MaxBurstLength"], found["DefaultTime2Retain"]) == ("4096", "7")


def test_what_no_setting_names_is_the_default() -> None:
    found = wishes(TargetSettings())
    assert (found["MaxConnections"], found["ErrorRecoveryLevel"]) == ("1", "0")
