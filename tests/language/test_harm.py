from __future__ import annotations

from collections import defaultdict
from functools import cache

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load_all
from iscsiproxy.language.harm import acts_of, harm_of, harmful_act, writing_act
from iscsiproxy.language.line import load_line, read_acts
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.library import shipped
from iscsiproxy.wire.opcodes import Opcode

__all__: list[str] = []


def of_line(line: str) -> str:
    return harm_of(load_line(line, name="x", acts=SPECS))


def scenario(text: str) -> Scenario:
    (one,) = load_all(f"scenario: x\nvictim: target\n{text}", file="x.yaml", acts=SPECS)
    return one


@pytest.mark.parametrize(
    ("line", "why"),
    [
        # commands that write, or that may be any
        ('inject SCSI-Command CDB="WRITE lba=0 blocks=8"', "makes a command"),
        ("probe SCSI-Command CDB=0x2a00", "makes a command"),
        ('set CDB="READ lba=0 blocks=8" SCSI-Command', "can make another command"),
        ("set CDB.LBA=2048 SCSI-Command", "can make another command"),
        ("set LUN=1 SCSI-Command", "can make another command"),
        ("set Opcode=0x05 NOP-Out", "can make another command"),
        ("set BHS.32=0x2a SCSI-Command", "can make another command"),
        ("inject SCSI-Command BHS.32=0x2a when full-feature", "can make another command"),
        # what is written, and where it goes
        ("drop Data-Out", "makes a hole in what is written"),
        ("corrupt data Data-Out", "changes what is written, or what is read"),
        ("corrupt header SCSI-Command", "changes what is written, or what is read"),
        ("resize 512 Data-Out", "changes what is written, or what is read"),
        ("set BufferOffset=0 Data-Out", "changes what is written, or what is read"),
        ("set StatSN=1 BufferOffset=0 Data-In", "changes what is written, or what is read"),
        ("set DataSN=0 fix=none Data-Out", "changes what is written, or what is read"),
        ("duplicate SCSI-Command", "changes what is written, or what is read"),
        ("inject Data-Out ITT=1 when full-feature", "sends a Data-Out of the proxy's own"),
        ("inject R2T ITT=1 when full-feature", "sends a R2T of the proxy's own"),
        ("delay 1s overtake=yes Data-Out", "may bring what is written too late"),
        # what is read, and what is said of both
        ("drop Data-In", "makes a hole in what is read"),
        ("delay 1s overtake=yes Data-In", "may bring what is read too late"),
        ("corrupt data Data-In", "changes what is written, or what is read"),
        ("set Status=GOOD SCSI-Response", "changes what is written, or what is read"),
        ("answer Status=GOOD SCSI-Command", "changes what is written, or what is read"),
        ("answer SCSI-Command", "changes what is written, or what is read"),
        ("answer Response=1 Status=BUSY SCSI-Command", "changes what is written, or what is read"),
        # other disks
        ("set text.TargetName=iqn.x Login-Request", "may lead to other disks"),
        ('text add=["TargetName=iqn.x"] Login-Request', "may lead to other disks"),
        ('text raw="TargetName=iqn.x" Login-Request', "may lead to other disks"),
    ],
)
def test_what_may_corrupt_data_says_how(line: str, why: str) -> None:
    assert of_line(line).endswith(why)
    assert of_line(line).startswith(f"`{line.split(maxsplit=1)[0]}")


@pytest.mark.parametrize(
    "line",
    [
        "drop SCSI-Command",
        "drop SCSI-Response",
        "drop R2T",
        "drop NOP-In",
        "delay 1s Data-Out",
        "delay 1s overtake=yes SCSI-Command",
        "hold SCSI-Command",
        "close rst Data-Out",
        "stall 1s Data-In",
        "throttle 1000 when full-feature",
        "split 512 Data-Out",
        "split 512 Data-In",
        "merge 2 Data-Out",
        "corrupt header-digest Data-Out",
        "corrupt data-digest Data-In",
        "corrupt pad Data-Out",
        "corrupt data NOP-Out",
        "set StatSN=7 SCSI-Response",
        "set ExpCmdSN=7 MaxCmdSN=7 Data-In",
        "set numbers=raw MaxCmdSN=7 SCSI-Response",
        "set C=1 Login-Request",
        "set text.MaxBurstLength=512 Login-Request",
        'text add=["X-a=TargetName"] remove=[TargetName] Login-Request',
        'text raw="X-a" Login-Request',
        "answer Status=BUSY SCSI-Command",
        "answer Status=CHECK_CONDITION sense=B/0C/0D SCSI-Command",
        "answer Reject Reason=4 SCSI-Command",
        "duplicate ITT=fresh NOP-Out",
        "inject NOP-In TTT=0x77",
        "inject Async AsyncEvent=1",
        'inject SCSI-Command CDB="READ lba=0 blocks=8"',
        "inject SCSI-Command CDB=TEST_UNIT_READY",
        "inject TMF-Request Function=ABORT_TASK RefTaskTag=1",
        "note here when SCSI-Command",
    ],
)
def test_what_leaves_data_alone_is_no_harm(line: str) -> None:
    assert of_line(line) == ""


def test_a_rule_that_only_looks_is_no_harm() -> None:
    assert harm_of(scenario("rules:\n  - when: Data-Out as x\n")) == ""


def test_every_rule_is_looked_at_those_of_machines_too() -> None:
    assert harm_of(scenario("rules:\n  - {when: NOP-Out, do: drop}\n  - {when: Data-Out, do: [{note: x}, drop]}\n"))
    machine = "machines:\n  m:\n    states:\n      a:\n        - {when: NOP-Out, do: {goto: b}}\n"
    assert not harm_of(scenario(f"{machine}      b:\n        - {{when: SCSI-Command, do: drop}}\n"))
    assert harm_of(scenario(f"{machine}      b:\n        - {{when: Data-Out, do: drop}}\n"))


def test_what_an_actor_does_counts() -> None:
    login = "actor:\n  - login: {as: A}\n"
    assert harm_of(scenario(f"{login}  - io: {{do: read, conn: A}}\n")) == ""
    assert harm_of(scenario(f"{login}  - io: {{do: write, conn: A}}\n")).startswith("its actor does io")
    assert harm_of(scenario(f"{login}  - io: {{do: verify, conn: A}}\n")).startswith("its actor does io")
    assert harm_of(scenario(f"{login}  - send: {{conn: A, pdu: SCSI-Command, CDB: WRITE lba=0 blocks=8}}\n"))


def test_only_the_pdu_that_is_in_hand_counts() -> None:
    assert of_line("drop when Data-Out then NOP-Out") == ""
    assert of_line("drop when NOP-Out then Data-Out")
    assert of_line("drop Data-Out or NOP-Out")
    assert of_line("drop when [NOP-Out, Data-Out]")


def test_an_act_on_what_is_held_is_judged_by_that() -> None:
    def why(text: str, opcode: Opcode) -> str:
        (act,) = read_acts(text, opcodes=[opcode], acts=SPECS)
        return harmful_act(act, [opcode])

    assert why("set CmdSN=7", Opcode.SCSI_COMMAND)
    assert why("set CmdSN=7", Opcode.NOP_OUT) == ""
    assert why("set CDB.LBA=7", Opcode.SCSI_COMMAND)


def test_what_writes_is_less_than_what_harms() -> None:
    for line in ("drop Data-Out", "corrupt data Data-In", "set text.TargetName=iqn.x Login-Request"):
        (act,) = acts_of(load_line(line, name="x", acts=SPECS))
        assert writing_act(act) == ""


# --- the library -----------------------------------------------------------------------------------------------------


@cache
def library() -> dict[str, set[bool]]:
    """Tell of each scenario that ships whether it may corrupt data, in all of its runs."""
    found: dict[str, set[bool]] = defaultdict(set)
    for name, path in shipped().items():
        for one in load_all(path.read_text(encoding="utf-8"), file=str(path), acts=SPECS):
            found[name].add(bool(harm_of(one)))
    return found


def test_all_runs_of_a_scenario_are_alike() -> None:
    assert {name for name, harms in library().items() if len(harms) != 1} == set()


@pytest.mark.parametrize(
    "family",
    [
        ("data_out_", {"data_out_exceeds_segment_length", "data_out_in_small_pieces", "data_out_starved_by_commands"}
         | {"data_out_of_odd_sizes"}),
        ("data_in_", {"data_in_exceeds_segment_length"}),
        ("r2t_", {"r2t_lost", "r2t_in_small_pieces", "r2t_with_zero_window", "r2t_counted_as_status"}
         | {"r2t_advances_statsn", "r2t_answered_while_aborting", "r2t_beside_another"}),
        ("residual_", set()),
    ],
)  # fmt: skip
def test_what_is_done_to_data_counts(family: tuple[str, set[str]]) -> None:
    begin, harmless = family
    of_it = {name for name in library() if name.startswith(begin)}
    assert len(of_it) >= 3
    assert {name for name in of_it if library()[name] == {False}} == harmless & of_it


@pytest.mark.parametrize(
    "begin",
    [
        "abort_task_",
        "async_",
        "c_bit_",
        "chap_",
        "connection_",
        "login_",
        "logout_",
        "maxcmdsn_",
        "nop_",
        "ping_",
        "statsn_",
        "task_function_",
        "text_",
        "window_",
    ],
)
def test_what_is_done_to_anything_else_does_not(begin: str) -> None:
    of_it = {name for name in library() if name.startswith(begin)}
    assert len(of_it) >= 2
    harmful = {name for name in of_it if library()[name] == {True}}
    # Reinstating a connection is tried with a write under way, and another target has other disks.
    assert harmful <= {"connection_reinstated_while_alive", "login_target_unknown"}
