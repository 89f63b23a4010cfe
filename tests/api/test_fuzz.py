"""A running proxy is asked whatever its own description allows, and what it does not, with a load going through it.

Nothing of it may be an error of the proxy, every answer is what the description says, what is refused has changed
nothing, and what is read is what was written, until somebody confirms that it need not be. `ISCSIPROXY_FUZZ=N` asks for
everything N times over, never the same.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
import trio
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, openapi
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation

from iscsiproxy.api.client import ApiAddress, AsyncClient, Client
from iscsiproxy.api.models import Event
from iscsiproxy.api.operations import OPERATIONS
from iscsiproxy.api.server.openapi import make_openapi
from iscsiproxy.errors import PeerError
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings, random_isid
from iscsiproxy.peers.workload.drive import SessionDrive
from iscsiproxy.peers.workload.load import Workload, WorkloadSettings
from iscsiproxy.peers.workload.tally import WorkloadReport
from tests.real.embedded import running_target
from tests.real.served import Served, serving

__all__: list[str] = []

PATIENT = os.environ.get("ISCSIPROXY_FUZZ")
#: How often all there is is asked for, a few times each
ROUNDS = int(PATIENT or 2)
PROFILE = settings(
    max_examples=2,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
#: So many requests are made between two that clear everything: else nothing passes any more.
CLEARED = 20
#: A stream of events is listened to for so long; an injection waits at most so long for its answer, in seconds.
GLIMPSE = 0.05

load_all_checks()
CHECKED: list[Any] = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
    ]
)

# What means something to the proxy, and would hardly be found by chance.
LINES = (
    "hold SCSI-Response nth 2",
    "hold Data-In chance 20%",
    "hold SCSI-Command where W nth 3",
    "hold Any-PDU nth 5",
    "delay 5ms Data-In every 3",
    "drop NOP-Out",
    "drop SCSI-Response nth 7",
    "duplicate NOP-In",
    "close rst SCSI-Response nth 9",
    "close fin",
    "close half end=target",
    "stall 20ms R2T nth 2",
    "stall released",
    "split 512 Data-Out",
    "set Status=BUSY SCSI-Response nth 3",
    "corrupt header-digest SCSI-Command chance 5%",
    "drop Data-Out nth 2",
    'answer Status=BUSY SCSI-Command where CDB.name == "WRITE(10)" times 2',
    'note "seen" SCSI-Command as c; note "again" SCSI-Response of c',
    "probe NOP-In TTT=0x12345678",
    "throttle 64KiB when full-feature",
    "refuse connect nth 1",
)
FILES = (
    "scenario: scenario\nvictim: target\nrules:\n  - when: SCSI-Response nth 2\n    do: {delay: 20ms}\n",
    "scenario: scenario\nrules:\n- {name: a, when: NOP-Out, do: drop}\n- {name: b, armed: no, when: R2T, do: pass}\n",
    "scenario: scenario\nrules:\n  - when: SCSI-Comand\n    do: drop\n",
)
PDUS = (
    "NOP-In TTT=0x1234",
    "NOP-In",
    "NOP-Out",
    "Async AsyncEvent=1",
    "Text-Request",
    "SCSI-Response Status=GOOD",
    "R2T",
)
ACTS = (
    "set Status=BUSY",
    "set CDB.LBA=0",
    "resize 8",
    "corrupt header-digest",
    "duplicate",
    "set TTT=1; set F=0",
    "drop",
)
PATTERNS = ("SCSI-Command", "Any-PDU", "Data-In where DataSN == 0", "Status-PDU where Status != GOOD", "R2T of x")
NAMES = ("data_out_lost", "cmdsn_duplicate_write", "status_busy", "slow", "a.b", "…", "#1")
SEVERAL: Mapping[str, tuple[str, ...]] = {
    "line": LINES,
    "text": FILES,
    "pdu": PDUS,
    "acts": ACTS,
    "where": PATTERNS,
    "scenario": NAMES,
}

#: What a refusal may not change: of rules and of what is held, what neither the load nor the time changes.
State = dict[str, Any]


@dataclass
class Asking:
    """Asks, and looks at what comes of it. Runs in a thread; what is wrong is kept in `wrong`."""

    address: ApiAddress
    confirming: bool
    asked: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    confirmed: bool = False
    rng: random.Random = field(default_factory=lambda: random.Random(None if PATIENT else 1))

    def run(self) -> None:
        """Ask as often as the profile says."""
        document = make_openapi(secured=False)  # the token is always shown: what happens without is tested elsewhere
        schema = openapi.from_dict(json.loads(msgspec.json.encode(document)))
        found = [schema[path][method.upper()] for path, methods in document["paths"].items() for method in methods]
        found += [schema["/v1/rules"]["POST"]] * 3 + [schema["/v1/connections/{conn}/stall"]["POST"]]
        headers = {} if self.address.token is None else {"Authorization": f"Bearer {self.address.token}"}
        base = "http://localhost" if self.address.path else str(self.address)
        transport = httpx.HTTPTransport(uds=str(self.address.path)) if self.address.path else None
        with (
            Client(self.address) as self.client,
            httpx.Client(transport=transport, base_url=base, headers=headers, timeout=20, trust_env=False) as self.http,
        ):
            # One client wants all there is, and reads none of it.
            with self.client.events(pdus=True, deliveries=True):
                for _ in range(ROUNDS):
                    for operation in self.rng.sample(found, len(found)):
                        self.play(operation)
            self.client.clear()

    def play(self, operation: APIOperation[Any, Any, Any, Any]) -> None:
        """Ask for one operation a few times, in different ways."""
        if not self.client.rules():
            self.client.arm(line="hold Status-PDU chance 20%", name="standing")
        cases = st.one_of([operation.as_strategy(mode) for mode in (_RIGHT, _RIGHT, _WRONG)])

        @seed(self.rng.randrange(1 << 32))
        @PROFILE
        @given(cases)
        def ask(case: Case[Any]) -> None:
            self.ask(case)

        ask()

    def ask(self, case: Case[Any]) -> None:
        """Ask once; mostly for what there is, where that is allowed."""
        before = self.state()
        name = case.operation.definition.raw["operationId"]
        right = case.meta is not None and case.meta.generation.mode is _RIGHT
        if right and self.rng.random() < 0.75:
            self.aim(case, before)
        body: dict[str, Any] = case.body if isinstance(case.body, dict) else {}
        if body.get("confirm") is True:
            body["confirm"] = self.confirming
            self.confirmed |= self.confirming
        if isinstance(body.get("wait"), float | int):
            body["wait"] = min(body["wait"], GLIMPSE)
        response = self.send(case)
        self.asked[name] += 1
        self.statuses[response.status_code] += 1
        try:
            # Too large is one way of being wrong that schemathesis does not know.
            case.validate_response(response, checks=CHECKED[: -1 if response.status_code == 413 else None])
        except FailureGroup as group:
            self.wrong += [f"{case.as_curl_command()}\n{one}" for one in group.exceptions]
        if 400 <= response.status_code < 500 and (changed := self.changed(before, self.state())):
            self.wrong.append(f"{case.as_curl_command()} was refused ({response.text[:200]}), but changed {changed}")
        if sum(self.asked.values()) % CLEARED == 0:
            self.client.clear()

    def aim(self, case: Case[Any], before: State) -> None:
        """Ask for what is there, in words that mean something."""
        rng = self.rng
        scenario, _, rule = rng.choice([name for name, _, _ in before["rules"]] or ["none/none"]).partition("/")
        conns = before["conns"] or [1]
        recent = [max(0, before["last"] - back) for back in range(20)]
        there = {
            "conn": conns,
            "session": before["sessions"] or [1],
            "n": [*before["held"]] or recent if "held" in case.path else recent,
            "scenario": [scenario],
            "rule": [rule],
        }
        # The generated ones are quoted already.
        case.path_parameters = {
            name: quote(str(rng.choice(there[name])), safe="") for name in case.path_parameters or {}
        }
        for sent in (case.query, case.body):
            if isinstance(sent, dict):
                sent |= {name: rng.choice(SEVERAL[name]) for name in sent.keys() & SEVERAL.keys()}
                sent |= {name: rng.choice(conns) for name in sent.keys() & {"conn"}}
        if case.method == "POST" and case.path in ("/v1/rules", "/v1/rules/check", "/v1/inject"):
            kind = "pdu" if case.path == "/v1/inject" else rng.choice(["line", "line", "line", "text", "scenario"])
            body: dict[str, Any] = {kind: rng.choice(SEVERAL[kind])}
            if kind in ("line", "pdu") and rng.random() < 0.8:
                body["conn"] = rng.choice(conns)
            if kind == "line" and rng.random() < 0.5:
                body["name"] = rng.choice(NAMES)
            case.body = body
        if isinstance(case.body, dict) and case.body.keys() & {"acts", "line", "pdu", "text", "scenario"}:
            case.body["confirm"] = rng.random() < 0.75

    def send(self, case: Case[Any]) -> httpx.Response:
        """Send it, and give what comes back; of events those of a moment."""
        sent = case.as_transport_kwargs(base_url=str(self.http.base_url))
        content = json.dumps(sent["json"]).encode() if "json" in sent else sent.get("data")
        kept = {name: value for name, value in sent["headers"].items() if name in ("Content-Type", "Accept")}
        request = self.http.build_request(
            sent["method"], sent["url"], params=sent["params"], content=content, headers=kept
        )
        response = self.http.send(request, stream=True)
        if case.path == "/v1/events":
            request.extensions["timeout"]["read"] = GLIMPSE
        pieces = []
        try:
            with suppress(httpx.ReadTimeout):
                for piece in response.iter_raw():
                    pieces.append(piece)
                    if len(pieces) > 100 and case.path == "/v1/events":
                        break
        finally:
            response.close()
        content = b"".join(pieces)
        if response.headers["content-type"] == "application/x-ndjson":
            for line in content.split(b"\n")[:-1]:
                assert not line or msgspec.json.decode(line, type=Event).event
        whole = httpx.Response(response.status_code, headers=response.headers, content=content, request=request)
        whole.elapsed = timedelta()
        return whole

    def changed(self, before: State, after: State) -> str:
        """Say what a refusal has changed; empty: nothing. What the load or the time has changed is not its doing."""
        for name in ("rules", "recording", "errors"):
            if before[name] != after[name]:
                return f"{name}: {before[name]} -> {after[name]}"
        for n, one in before["held"].items():
            # What is held goes with its connection, which may be about to go.
            if after["held"].get(n) != one and one[1] == "released" and self.stays(one[0]):
                return f"what is held: {before['held']} -> {after['held']}"
        return ""

    def stays(self, conn: int) -> bool:
        """Tell whether a connection is still there, and not only for a moment."""
        until = time.monotonic() + 2.0
        while conn in self.state()["conns"]:
            if time.monotonic() > until:
                return True
        return False

    def state(self) -> State:
        """Look at what there is."""
        proxy, rules, held = self.client.proxy(), self.client.rules(), self.client.held()
        sessions = self.client.sessions()
        return {
            "rules": [(one.name, one.armed, one.text) for one in rules if not one.once],
            "held": {one.n: (one.conn, one.until, one.changes) for one in held},
            "conns": [conn for session in sessions for conn in session.connections],
            "recording": proxy.recording,
            "errors": proxy.internal_errors,
            "last": proxy.last,
            "sessions": [session.id for session in sessions],
        }


_RIGHT, _WRONG = GenerationMode.POSITIVE, GenerationMode.NEGATIVE


# --- the load ------------------------------------------------------------------------------------------------------


def _load(number: int, **changes: Any) -> WorkloadSettings:
    values: dict[str, Any] = {
        "lun": 0,
        "first": 2048 * number,
        "blocks": 1024,
        "block_size": 512,
        "sizes": ((8, 3), (128, 1)),
        "depth": 4,
        "seconds": 2.0,
        "run": random.SystemRandom().randrange(1 << 32),
    }
    return WorkloadSettings(**values | changes)


def _initiator(iqn: str, number: int, *, patience: float = 0.5) -> InitiatorSettings:
    return InitiatorSettings(
        target=iqn,
        isid=random_isid(f"fuzz {number}"),
        time2wait=0,
        first_burst_length=8192,
        command_timeout=patience,
        login_timeout=4 * patience,
        logout_timeout=patience,
        nop_interval=patience,
    )


class _Unhurried(SessionDrive):
    """Leaves the processor to others between two commands."""

    async def start(self, lun: int, cdb: bytes, **given: Any) -> Any:
        await trio.sleep(0.02)
        return await super().start(lun, cdb, **given)


async def _work(portal: tuple[str, int], iqn: str, number: int, reports: list[WorkloadReport]) -> None:
    """Log in, write and read and compare, again and again, whatever becomes of it; runs until cancelled."""
    while True:
        with suppress(PeerError):
            with trio.move_on_after(6):
                async with open_session(portal, _initiator(iqn, number)) as session:
                    workload = Workload(_Unhurried(session), _load(number), random.Random(number))
                    try:
                        await workload.run()
                    finally:
                        reports.append(workload.report())
        await trio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("confirming", [False, True], ids=["careful", "confirming"])
async def test_whatever_it_is_asked_the_proxy_lives_and_says_what_it_does(tmp_path: Path, confirming: bool) -> None:
    where = "127.0.0.1:0" if confirming else str(tmp_path / "api.sock")
    reports: list[WorkloadReport] = []
    async with running_target("--lun", "4M") as target:
        run = ("run", "--listen", "127.0.0.1:0", "--target", f"{target.host}:{target.port}", "--api", where)
        async with serving(Served, *run) as proxy, trio.open_nursery() as nursery:
            portal = (proxy.host, proxy.port)
            for number in (0, 1):
                nursery.start_soon(_work, portal, target.iqn, number, reports)
            asking = Asking(_address(proxy.ready), confirming)
            await trio.to_thread.run_sync(asking.run)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True), trio.fail_after(30):
                async with AsyncClient(_address(proxy.ready)) as client:
                    end = await client.proxy()
                # And behind it everything is as it should be: nothing is armed or held any more.
                async with open_session(portal, _initiator(target.iqn, 2, patience=5.0)) as session:
                    clean = await Workload(
                        SessionDrive(session), _load(2, seconds=None, count=50), random.Random(5)
                    ).run()
                status = await proxy.stop()
    assert not asking.wrong, "\n\n".join(asking.wrong[:10])
    assert (end.internal_errors, end.held, end.armed) == ((), 0, 0)
    assert clean.passed, clean
    assert status == 0
    assert set(asking.asked) == {one.name for one in OPERATIONS}
    assert asking.statuses.keys() >= {200, 201, 400, 404, 409}
    assert sum(report.commands for report in reports) > 10
    mismatches = [mismatch for report in reports for mismatch in report.mismatches]
    assert not mismatches or asking.confirmed, mismatches[:3]


def _address(ready: Mapping[str, Any]) -> ApiAddress:
    with Client(ready["api"], token=ready["token"]) as client:
        return client.address
