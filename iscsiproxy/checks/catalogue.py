"""All families of rules, in the order in which they are listed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from iscsiproxy.checks.invariants import (
    acknowledgements,
    answers,
    asyncs,
    attentions,
    closes,
    command_format,
    command_numbers,
    data_in,
    data_out,
    delays,
    deliveries,
    digests,
    discovery,
    first_login,
    format_errors,
    headers,
    immediate_delivery,
    initiator_keys,
    lengths,
    liveness,
    login_end,
    logins,
    logouts,
    management,
    nops,
    r2ts,
    reassignment,
    reconnects,
    recovery,
    rejects,
    residuals,
    response_format,
    retries,
    snacks,
    status_numbers,
    statuses,
    target_keys,
    task_tags,
    texts,
    unsolicited,
    windows,
    writes,
)
from iscsiproxy.checks.rules import Family, Rule

__all__ = ["FAMILIES", "RULES"]

FAMILIES: tuple[Family, ...] = (
    headers.FAMILY,
    lengths.FAMILY,
    digests.FAMILY,
    first_login.FAMILY,
    logins.FAMILY,
    login_end.FAMILY,
    reconnects.FAMILY,
    texts.FAMILY,
    target_keys.FAMILY,
    initiator_keys.FAMILY,
    discovery.FAMILY,
    status_numbers.FAMILY,
    acknowledgements.FAMILY,
    command_numbers.FAMILY,
    retries.FAMILY,
    task_tags.FAMILY,
    windows.FAMILY,
    deliveries.FAMILY,
    command_format.FAMILY,
    immediate_delivery.FAMILY,
    response_format.FAMILY,
    format_errors.FAMILY,
    answers.FAMILY,
    data_in.FAMILY,
    unsolicited.FAMILY,
    r2ts.FAMILY,
    data_out.FAMILY,
    statuses.FAMILY,
    writes.FAMILY,
    residuals.FAMILY,
    rejects.FAMILY,
    nops.FAMILY,
    attentions.FAMILY,
    recovery.FAMILY,
    snacks.FAMILY,
    reassignment.FAMILY,
    management.FAMILY,
    asyncs.FAMILY,
    logouts.FAMILY,
    closes.FAMILY,
    delays.FAMILY,
    liveness.FAMILY,
)

#: Every rule by its id
RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.id: rule for family in FAMILIES for rule in sorted(family.rules, key=lambda rule: rule.id)}
)
