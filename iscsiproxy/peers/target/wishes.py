"""What the target would have for each key that an initiator may offer (RFC 7143 13)."""

from __future__ import annotations

from collections.abc import Mapping

from iscsiproxy.peers.keys import KEYS
from iscsiproxy.peers.target.settings import TargetSettings

__all__ = ["wishes"]


def wishes(settings: TargetSettings) -> Mapping[str, str]:
    """Give a value for every key that is negotiated, lists for lists; its default where the settings name none."""
    return {key.name: key.default or "" for key in KEYS.values() if key.negotiated} | {
        "HeaderDigest": ",".join(settings.header_digests),
        "DataDigest": ",".join(settings.data_digests),
        "InitialR2T": _yes(settings.initial_r2t),
        "ImmediateData": _yes(settings.immediate_data),
        "MaxBurstLength": str(settings.max_burst_length),
        "FirstBurstLength": str(settings.first_burst_length),
        "MaxOutstandingR2T": str(settings.max_outstanding_r2t),
        "DataPDUInOrder": _yes(settings.data_pdu_in_order),
        "DataSequenceInOrder": _yes(settings.data_sequence_in_order),
        "DefaultTime2Wait": str(settings.time2wait),
        "DefaultTime2Retain": str(settings.time2retain),
        "TaskReporting": ",".join(settings.task_reporting),
        "iSCSIProtocolLevel": str(settings.protocol_level),
    }


def _yes(value: bool) -> str:
    return "Yes" if value else "No"
