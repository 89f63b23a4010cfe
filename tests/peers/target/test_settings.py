from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from iscsiproxy.peers.chap import ALGORITHMS
from iscsiproxy.peers.keys import KEYS, Kind, declared_number
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.scsi.command import Nexus
from iscsiproxy.peers.target.settings import Account, Identity, LoggedIn, TargetSettings
from iscsiproxy.peers.target.wishes import wishes

IDENTITY = Identity(initiator="iqn.i", target="iqn.t", isid=0x80, tsih=0, cid=1)


def test_the_defaults_are_values_that_the_keys_may_have() -> None:
    settings = TargetSettings()
    for name, wish in wishes(settings).items():
        if KEYS[name].kind in (Kind.MINIMUM, Kind.MAXIMUM):
            declared_number(KEYS[name], wish)
    declared_number(KEYS["MaxRecvDataSegmentLength"], str(settings.max_recv_data_segment_length))
    assert settings.first_burst_length <= settings.max_burst_length
    assert set(settings.chap_algorithms) <= set(ALGORITHMS)
    assert 0 <= settings.portal_group < 1 << 16


def test_settings_are_values() -> None:
    settings = TargetSettings()
    with pytest.raises(FrozenInstanceError):
        settings.alias = "other"  # type: ignore[misc]
    assert replace(settings, alias="other") != settings


def test_a_secret_shows_in_no_repr() -> None:
    settings = TargetSettings(
        accounts=(Account(name="me", secret=b"hidden-one"),), mutual=Account(name="you", secret=b"hidden-two")
    )
    assert "'me'" in repr(settings)
    assert "hidden" not in repr(settings)


def test_an_identity_without_a_target_is_a_discovery() -> None:
    assert not IDENTITY.discovery
    assert replace(IDENTITY, target=None).discovery


def test_a_nexus_is_of_initiator_ISID_and_portal_group_alone() -> None:
    assert IDENTITY.nexus == Nexus("iqn.i", 0x80, 1)
    assert replace(IDENTITY, tsih=4, cid=7).nexus == IDENTITY.nexus
    assert replace(IDENTITY, isid=0x81).nexus != IDENTITY.nexus != replace(IDENTITY, portal_group=2).nexus


def test_what_a_login_gave_is_a_value() -> None:
    one = LoggedIn(identity=IDENTITY, parameters=Parameters(), exp_cmdsn=1, declared={"InitiatorName": "iqn.i"})
    assert one == replace(one, declared={"InitiatorName": "iqn.i"})
    assert one != replace(one, exp_cmdsn=2)
