"""Login and negotiation: the rows LOG."""

from __future__ import annotations

from collections.abc import Mapping

from iscsiproxy.peers.chap import Account
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.runs.targets import IQN
from tests.faults.proof import Deviant, Proof, beside, quirk
from tests.runs.playing import Own

__all__ = ["PROOFS"]


def _target(name: str, *rules: str, **axes: str) -> Deviant:
    """Give a target with these rules at its side; `axes` choose the run."""
    return beside(name, f"victim: target\nrules: [{', '.join(rules)}]\n", axes=axes)


def _initiator(name: str, *rules: str, verdict: str = "fail", **axes: str) -> Deviant:
    """Give an initiator with these rules at its side; `axes` choose the run."""
    return beside(name, f"victim: initiator\nrules: [{', '.join(rules)}]\n", verdict=verdict, axes=axes)


def _asks_again(status: int) -> Deviant:
    """Give an initiator that sends its login once more over a connection on which it has failed."""
    return _initiator(
        "asks again at once",
        "{when: Login-Request nth 1 as first}",
        f"{{when: Login-Response where Status-Class == {status} nth 1, do: {{replay: first}}}}",
    )


_ACCOUNT = Account(name="user", secret=b"sesamesesame")
#: One that wants to know who is there
_CHAP = Own(settings=TargetSettings(accounts=(_ACCOUNT,), time2wait=0), account=_ACCOUNT)
#: One that agrees to data that nobody has asked for, as much as the default lets it be
_UNASKED = Own(settings=TargetSettings(initial_r2t=False, first_burst_length=65536, time2wait=0))

PROOFS: Mapping[str, Proof] = {
    "answers_missing": Proof(
        deviants=(
            _initiator(
                "goes by its own offers",
                "{when: Login-Response where text.InitialR2T == absent nth 1, "
                'do: {set: {text.InitialR2T: No, text.ImmediateData: Yes, text.FirstBurstLength: "65536"}}}',
            ),
        ),
    ),
    "boolean_offered_misspelt": Proof(
        deviants=(
            _target(
                "agrees to Maybe",
                '{when: Login-Response where text.ImmediateData == "Reject" nth 1, '
                "do: {set: {text.ImmediateData: Maybe}}}",
            ),
            _target(
                "says nothing to it",
                '{when: Login-Response where text.ImmediateData == "Reject" nth 1, '
                "do: {text: {remove: ImmediateData}}}",
            ),
        ),
    ),
    "burst_length_answered_too_large": Proof(deviants=(quirk("libiscsi-login-keys"),)),
    "c_bit_login_response": Proof(deviants=(quirk("libiscsi-c-bit"),)),
    "digest_answered_unoffered": Proof(deviants=(quirk("libiscsi-login-keys"),)),
    "digest_offered_unknown": Proof(
        deviants=(
            _target(
                "answers None, which was not offered",
                '{when: Login-Response where text.HeaderDigest == "Reject" nth 1, '
                "do: {set: {text.HeaderDigest: None}}}",
            ),
        ),
    ),
    "first_burst_exceeds_max_burst": Proof(
        deviants=(
            _target(
                "looks at each key alone",
                '{when: Login-Response where text.FirstBurstLength == "512" nth 1, '
                'do: {set: {text.FirstBurstLength: "65536"}}}',
            ),
        ),
    ),
    "immediate_data_overruled": Proof(deviants=(quirk("libiscsi-login-keys"),)),
    "initial_r2t_overruled": Proof(deviants=(quirk("libiscsi-login-keys"),)),
    "login_ends_with_c_bit": Proof(
        deviants=(
            _target(
                "answers the keys of half a text",
                "{when: Login-Request where C nth 1, do: {set: {C: 0, T: 0, NSG: 0}}}",
            ),
        ),
    ),
    "login_ends_without_tsih": Proof(
        deviants=(
            _initiator(
                "does not look at it",
                "{when: Login-Response where TSIH == 0 nth 1, do: {set: {TSIH: 1}}}",
                verdict="warn",
            ),
            _initiator("waits for another answer", "{when: Login-Response where TSIH == 0 nth 1, do: drop}"),
        ),
    ),
    "login_in_full_feature_phase": Proof(
        deviants=(
            _target(
                "lets it in once more",
                "{when: Login-Request where conn.phase == full-feature, do: {answer: {T: 1, CSG: 1, NSG: 3}}}",
            ),
        ),
    ),
    "login_interrupted": Proof(
        deviants=(
            _target("closes without a word", "{when: NOP-Out nth 1, do: [drop, close]}", pdu="NOP-Out"),
            _target("answers the ping", "{when: NOP-Out nth 1, do: {answer: {}}}", pdu="NOP-Out"),
        ),
    ),
    "login_key_malformed": Proof(
        deviants=(_target("falls over it and hangs", "{when: Login-Request nth 1, do: drop}"),),
    ),
    "login_left_half_done": Proof(
        deviants=(_target("serves one login at a time", "{when: connect nth 2..30, do: refuse}"),),
    ),
    "login_name_missing": Proof(
        deviants=(
            _target(
                "lets in who has no name",
                "{when: Login-Request where text.InitiatorName == absent nth 1, "
                "do: {text: {add: InitiatorName=iqn.2001-04.com.example:nobody}}}",
                key="InitiatorName",
            ),
            _target(
                "has only one target to offer",
                "{when: Login-Request where text.TargetName == absent nth 1, "
                f"do: {{text: {{add: 'TargetName={IQN}'}}}}}}",
                key="TargetName",
            ),
        ),
    ),
    "login_never_answered": Proof(
        deviants=(
            _initiator(
                "asks again",
                "{when: Login-Request nth 1 as first}",
                "{when: first then 400ms, do: {replay: first}}",
            ),
        ),
        within=1.5,
    ),
    "login_not_first": Proof(
        deviants=(_target("passes over it", "{when: NOP-Out nth 1, do: drop}", pdu="NOP-Out"),),
    ),
    "login_redirected": Proof(deviants=(_asks_again(1),)),
    "login_redirected_nowhere": Proof(deviants=(_asks_again(1),)),
    "login_refused": Proof(deviants=(_asks_again(2),)),
    "login_request_changes_identity": Proof(
        deviants=(
            _target(
                "takes the ISID of the second request",
                "{when: Login-Request nth 1 as first}",
                "{when: Login-Request where ISID == 5, do: {set: {ISID: first.ISID}}}",
                "{when: Login-Response where T nth 1, do: {set: {ISID: 5}}}",
                field="ISID",
            ),
        ),
    ),
    "login_request_too_long": Proof(
        deviants=(
            _target("waits for more room", "{when: Login-Request where length > 8192 nth 1, do: drop}", length="8196"),
        ),
    ),
    "login_requests_at_once": Proof(
        deviants=(_target("misses what has come already", "{when: Login-Request nth 2, do: drop}"),),
    ),
    "login_response_for_another_session": Proof(
        deviants=(
            _initiator(
                "does not look at the ISID",
                "{when: Login-Request nth 1 as first}",
                "{when: Login-Response where ISID == 5 nth 1, do: {set: {ISID: first.ISID}}}",
                verdict="warn",
            ),
            _initiator("waits for another answer", "{when: Login-Response where ISID == 5 nth 1, do: drop}"),
        ),
    ),
    "login_response_to_somebody_else": Proof(
        deviants=(
            _initiator(
                "does not look at the tag",
                "{when: Login-Request nth 1 as first}",
                "{when: Login-Response where ITT == 5 nth 1, do: {set: {ITT: first.ITT}}}",
            ),
            _initiator(
                "waits for another answer", "{when: Login-Response where ITT == 5 nth 1, do: drop}", verdict="warn"
            ),
        ),
    ),
    "login_round_added": Proof(deviants=(quirk("libiscsi-offers"),)),
    "login_security_cut_short": Proof(
        target=_CHAP,
        deviants=(
            _initiator(
                "takes no notice of T",
                "{when: Login-Response where T and CSG == 0 nth 1, do: {set: {T: 0, NSG: 0}}}",
            ),
        ),
    ),
    "login_skips_a_stage": Proof(deviants=(quirk("libiscsi-transit", "libiscsi-login-keys"),)),
    "login_stage_illegal": Proof(
        deviants=(
            _target(
                "takes stage 2 for the last",
                "{when: Login-Request where NSG == 2 nth 1, do: {set: {NSG: 3}}}",
                stages="12",
            ),
            _target(
                "answers from a stage where no login begins",
                "{when: Login-Request where CSG == 3 nth 1, do: {set: {CSG: 1, NSG: 0, T: 0}}}",
                "{when: Login-Response nth 1, do: {set: {CSG: 3}}}",
                stages="33",
            ),
        ),
    ),
    "login_status_unknown": Proof(
        deviants=(
            _initiator(
                "looks only for what it knows",
                "{when: Login-Response where Status-Class == 7 nth 1, do: {set: {Status-Class: 0, Status-Detail: 0}}}",
            ),
        ),
    ),
    "login_target_unknown": Proof(
        deviants=(
            _target(
                "has only one target to offer",
                f"{{when: Login-Request nth 1, do: {{set: {{text.TargetName: '{IQN}'}}}}}}",
            ),
        ),
    ),
    "login_text_8192_bytes": Proof(
        deviants=(
            _target(
                "has less room",
                "{when: Login-Request where length == 8192 nth 1, do: {text: {remove: X-pad.example.1}}}",
            ),
        ),
    ),
    "login_text_endless": Proof(
        deviants=(_target("stands still", "{when: Login-Request nth 5, do: drop}"),),
    ),
    "login_text_in_parts": Proof(
        deviants=(
            _target(
                "takes no notice of C",
                "{when: Login-Request where C nth 1, do: [{set: {C: 0}}, {text: {raw: 'X-com.example.a=1'}}]}",
            ),
        ),
    ),
    "login_text_malformed": Proof(
        deviants=(_target("falls over it and hangs", "{when: Login-Request nth 1, do: drop}"),),
    ),
    "login_transit_not_asked_for": Proof(deviants=(quirk("libiscsi-transit"),)),
    "login_unavailable": Proof(deviants=(_asks_again(3),)),
    "login_value_too_long": Proof(
        deviants=(_target("falls over it and hangs", "{when: Login-Request nth 1, do: drop}"),),
    ),
    "login_version_unsupported": Proof(
        deviants=(
            _target(
                "does not look",
                "{when: Login-Request where Version-min == 1 nth 1, do: {set: {Version-max: 0, Version-min: 0}}}",
            ),
        ),
    ),
    "marker_interval_offered": Proof(
        deviants=(
            _target(
                "does not know the key",
                '{when: Login-Response where text.IFMarkInt == "Reject" nth 1, '
                "do: {set: {text.IFMarkInt: NotUnderstood}}}",
            ),
        ),
    ),
    "markers_offered": Proof(
        deviants=(
            _target(
                "wants markers",
                "{when: Login-Response where text.IFMarker != absent nth 1, do: {set: {text.IFMarker: Yes}}}",
            ),
        ),
    ),
    "number_offered_out_of_range": Proof(
        deviants=(
            _target(
                "agrees to no connections",
                '{when: Login-Response where text.MaxConnections == "Reject" nth 1, '
                'do: {set: {text.MaxConnections: "0"}}}',
            ),
        ),
    ),
    "operational_keys_in_security_stage": Proof(
        deviants=(
            _target(
                "goes on in the operational stage",
                "{when: Login-Request where CSG == 0 nth 1, do: {set: {CSG: 1, NSG: 3}}}",
            ),
        ),
    ),
    "ping_during_login": Proof(deviants=(_initiator("passes over it", "{when: NOP-In nth 1, do: drop}"),)),
    "required_key_not_understood": Proof(
        deviants=(
            _initiator(
                "goes on by the default",
                '{when: Login-Response where text.MaxBurstLength == "NotUnderstood" nth 1, '
                "do: {set: {text.MaxBurstLength: Irrelevant}}}",
            ),
        ),
    ),
    "required_key_rejected": Proof(
        deviants=(
            _initiator(
                "goes by its own offer",
                '{when: Login-Response where text.FirstBurstLength == "Reject" nth 1, '
                'do: {set: {text.FirstBurstLength: "131072"}}}',
                word="Reject",
            ),
        ),
        target=_UNASKED,
    ),
    "reserved_word_offered": Proof(
        deviants=(
            _target(
                "goes on as if nothing had been said",
                '{when: Login-Request where text.MaxBurstLength == "NotUnderstood" nth 1, '
                "do: {text: {remove: MaxBurstLength}}}",
            ),
        ),
    ),
    "segment_length_of_512": Proof(
        deviants=(
            _initiator(
                "never changes its mind about 8192",
                '{when: Login-Response where text.MaxRecvDataSegmentLength == "512" nth 1, '
                'do: {set: {text.MaxRecvDataSegmentLength: "8192"}}}',
            ),
        ),
    ),
    "session_type_unknown": Proof(
        deviants=(
            _target(
                "takes any word for Normal",
                "{when: Login-Request nth 1, do: {set: {text.SessionType: Normal}}}",
            ),
        ),
    ),
    "unknown_key_from_target": Proof(
        deviants=(
            _initiator(
                "says nothing to it",
                "{when: Login-Request where text.X-com.example.proxy != absent nth 1, "
                "do: {text: {remove: X-com.example.proxy}}}",
            ),
        ),
    ),
    "unknown_key_in_login": Proof(
        deviants=(
            _target(
                "says nothing to it",
                "{when: Login-Response nth 1, do: {text: {remove: X-com.example.proxy}}}",
            ),
        ),
    ),
}
