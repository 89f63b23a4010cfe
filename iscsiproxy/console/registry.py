"""The one list of commands: prompt, completion, help, scripts and `--json` are made from it."""

from __future__ import annotations

from typing import Final

from iscsiproxy.console.command import Command, Registry, unless_it_fits, with_moment
from iscsiproxy.console.commands import holding, recording, rules, scripts, session, state, watching, wire

__all__ = ["COMMANDS"]

COMMANDS: Final = Registry(
    (
        Command(name="proxy", group="state", run=state.proxy, aliases=("status",)),
        Command(name="sessions", group="state", run=state.sessions),
        Command(name="conns", group="state", run=state.connections, aliases=("connections",)),
        Command(name="tasks", group="state", run=state.tasks),
        Command(name="negotiated", group="state", run=state.negotiated, aliases=("keys",)),
        Command(name="window", group="state", run=state.window),
        Command(name="use", group="state", run=state.use, examples=("use 2",)),
        Command(
            name="watch",
            group="watching",
            run=watching.watch,
            examples=("watch", "watch SCSI-Command where W", "watch both R2T or Data-Out", "watch off"),
        ),
        Command(name="log", group="watching", run=watching.log, examples=("log", "log 1200 Any-PDU")),
        Command(name="quiet", group="watching", run=watching.quiet),
        Command(name="findings", group="watching", run=rules.findings),
        Command(name="rules", group="rules", run=rules.rules),
        Command(
            name="arm",
            group="rules",
            run=rules.arm,
            rule_if=with_moment,
            examples=("arm data_out_lost", "arm ./mine.yaml -p nth=3", "arm mine/strict"),
        ),
        Command(name="disarm", group="rules", run=rules.disarm, rule_if=with_moment, examples=("disarm all",)),
        Command(name="remove", group="rules", run=rules.remove),
        Command(name="explain", group="rules", run=rules.explain),
        Command(name="clear", group="rules", run=rules.clear),
        Command(
            name="hold",
            group="holding",
            run=rules.hold,
            rule_if=rules.is_always_a_rule,
            examples=("hold SCSI-Command where W nth 1",),
        ),
        Command(name="held", group="holding", run=holding.held),
        Command(name="show", group="holding", run=holding.show, examples=("show", "show 1234")),
        Command(
            name="edit",
            group="holding",
            run=holding.edit,
            examples=("edit CDB.LBA=2048", "edit last corrupt header-digest", "edit 17 resize 512; set F=0"),
        ),
        Command(name="release", group="holding", run=holding.release, examples=("release", "release all")),
        Command(name="drop", group="holding", run=holding.drop, rule_if=unless_it_fits, examples=("drop last",)),
        Command(name="step", group="holding", run=holding.step),
        Command(
            name="inject",
            group="wire",
            run=wire.inject,
            rule_if=with_moment,
            examples=("inject NOP-In TTT=0x12345678", "inject NOP-Out for 2s"),
        ),
        Command(name="kill", group="wire", run=wire.kill, examples=("kill", "kill 2 fin target")),
        Command(name="stall", group="wire", run=wire.stall, rule_if=unless_it_fits, examples=("stall 2 for 5s",)),
        Command(name="resume", group="wire", run=wire.resume),
        Command(name="record", group="recording", run=recording.record, examples=("record on", "record")),
        Command(name="save", group="recording", run=recording.save, examples=("save lost_twice", "save mine --armed")),
        Command(
            name="note",
            group="recording",
            run=recording.note,
            rule_if=recording.note_is_rule,
            examples=("note the disk was pulled here",),
        ),
        Command(
            name="wait",
            group="scripts",
            run=scripts.wait,
            examples=("wait held", "wait fired mine/strict for 30s", "wait SCSI-Response where Status != GOOD"),
        ),
        Command(name="sleep", group="scripts", run=scripts.sleep, examples=("sleep 500ms",)),
        Command(name="echo", group="scripts", run=scripts.echo),
        Command(name="help", group="console", run=session.help_, aliases=("?",), examples=("help drop",)),
        Command(name="editing", group="console", run=session.editing, examples=("editing vi",)),
        Command(name="detach", group="console", run=session.detach),
        Command(name="quit", group="console", run=session.quit_, aliases=("exit",)),
    )
)
