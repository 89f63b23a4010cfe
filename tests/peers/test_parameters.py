"""The defaults of RFC 7143 13."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from iscsiproxy.peers.parameters import DEFAULT_SEGMENT, Parameters

__all__: list[str] = []


def test_the_defaults_are_those_of_the_standard() -> None:
    found = Parameters()
    assert (found.header_digest, found.data_digest) == (False, False)
    assert (found.initial_r2t, found.immediate_data) == (True, True)
    assert (found.send_segment, found.receive_segment) == (DEFAULT_SEGMENT, DEFAULT_SEGMENT) == (8192, 8192)
    assert (found.max_burst_length, found.first_burst_length) == (262144, 65536)
    assert (found.time2wait, found.time2retain) == (2, 20)
    assert (found.max_connections, found.max_outstanding_r2t, found.error_recovery_level) == (1, 1, 0)
    assert (found.data_pdu_in_order, found.data_sequence_in_order) == (True, True)
    assert (found.task_reporting, found.protocol_level) == ("RFC3720", 1)


def test_parameters_are_values() -> None:
    found = Parameters()
    with pytest.raises(FrozenInstanceError):
        found.send_segment = 512  # type: ignore[misc]
    assert replace(found, send_segment=512) != found
