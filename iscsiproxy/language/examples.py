"""One rule for each act, and one step for each thing that only an actor does, as the reference shows them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["EXAMPLES", "STEP_EXAMPLES"]

#: Act to a rule that does it, or several rules; a rule of another kind stands before where a name is needed.
EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "pass": "- {when: TMF-Request, do: [pass, {delay: 20s}, {close: fin}]}",
        "drop": "- {when: Data-Out where DataSN == 2 nth 1, do: drop}",
        "delay": "- {when: Data-In every 3, do: {delay: 200ms}}",
        "set": "- {when: Login-Request nth 1, do: {set: {C: 1, T: 0}}}",
        "text": "- {when: Login-Request nth 1, do: {text: {add: X-org.example.key=1, remove: DataDigest}}}",
        "corrupt": "- {when: SCSI-Command where W chance 1%, do: {corrupt: header-digest}}",
        "resize": "- {when: Data-In nth 4, do: {resize: 100}}",
        "duplicate": "- {when: SCSI-Command where not I nth 5, do: {duplicate: {ITT: fresh}}}",
        "replay": "- {when: SCSI-Command nth 2 as old}\n- {when: SCSI-Response of old nth 1, do: {replay: old}}",
        "split": "- {when: Data-Out, do: {split: 512}}",
        "merge": "- {when: Data-Out, do: {merge: 2}}",
        "split_text": "- {when: Text-Request nth 1, do: {split_text: F}}",
        "swap": "- {when: NOP-Out where ITT != none nth 1, do: {swap: {pdu: Logout-Request, CID: 0x77}}}",
        "answer": "- {when: SCSI-Command times 5, do: {answer: {Status: BUSY}}}",
        "inject": "- {when: SCSI-Response nth 20, do: {inject: {pdu: Async, AsyncEvent: 1, Parameter3: 20}}}",
        "probe": "- {when: full-feature, do: {probe: {pdu: Text-Request, text: [SendTargets=]}}}",
        "close": "- {when: SCSI-Command nth 10, do: {close: {how: rst, at: header+20}}}",
        "stall": "- {when: R2T nth 3, do: {stall: {until: 5s, end: target}}}",
        "throttle": "- {when: full-feature, do: {throttle: 64KiB}}",
        "refuse": "- {when: connect nth 2..4, do: refuse}",
        "note": "- {when: Reject, do: {note: something was rejected}}",
        "goto": "# in a state of a machine\n- {when: 5s, do: {goto: up}}",
        "arm": "- {when: Async, do: {arm: strict}}\n- {name: strict, armed: no, when: SCSI-Command, do: drop}",
        "disarm": "- {name: lossy, when: Data-In chance 5%, do: drop}\n- {when: Logout-Request, do: {disarm: lossy}}",
    }
)

#: Step to an actor that does it
STEP_EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "login": "- login: {as: A, offer: {MaxConnections: 2}}\n- login: {as: B, join: A}",
        "send": "- login: {as: A}\n- send: {conn: A, pdu: SCSI-Command, CDB: WRITE lba=0 blocks=8, as: n}",
        "io": "- login: {as: A}\n- io: {do: verify, conn: A, size: 64KiB}",
    }
)
