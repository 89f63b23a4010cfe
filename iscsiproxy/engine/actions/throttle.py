"""`throttle`: slow, in small segments."""

from __future__ import annotations

from iscsiproxy.engine.actions.delay import until_text
from iscsiproxy.engine.commands import Resume, Throttle
from iscsiproxy.engine.firing import Chain
from iscsiproxy.engine.values import Fn
from iscsiproxy.engine.work import ActError, Built, Outcome, Pause, RuleView, Work
from iscsiproxy.language.spec import ActSpec, Literal_, Param, ParamKind

__all__ = ["SPEC", "run"]

#: Without a `slice`, as many in a second.
_SLICES = 10
#: The largest rate and slice, in bytes: more would slow nothing.
_MAX = 1 << 40

SPEC = ActSpec(
    name="throttle",
    help="write slowly, in small segments, to both legs of the connection",
    main="rate",
    params=(
        Param(name="rate", kind=ParamKind.NUMBER, help="bytes in a second, on each leg", required=True),
        Param(
            name="slice",
            kind=ParamKind.RANGE,
            help="bytes at a time, of a range drawn for each; else a tenth of the rate",
        ),
        Param(name="until", kind=ParamKind.MOMENT, help="when it ends; else with the run"),
    ),
    events=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Slow the connection down; the list goes on meanwhile, and what is in hand goes slowly too."""
    host, hand = work.host, work.hand
    rate = _number(act.params["rate"], act.act.params["rate"], work, "rate")
    size, most = _sizes(act, work, rate)
    seed = host.rng.randint(0, _MAX) if most else 0
    tokens = []
    if hand is not None and not hand.finished:
        hand.held = True
        tokens.append(host.token())
        slow = Throttle(conn=hand.look.conn, rate=rate, slice=size, token=tokens[0], slot=hand.n, most=most, seed=seed)
        host.commands.append(slow)
    else:
        for conn in work.connections(None):
            tokens.append(host.token())
            host.commands.append(
                Throttle(conn=conn, rate=rate, slice=size, token=tokens[-1], most=most, seed=seed + conn if most else 0)
            )
    until = f", until {until_text(act)}" if act.params["until"] else ""
    work.fired(act.act, f"{rate} bytes in a second, {f'{size} to {most}' if most else size} at a time{until}")
    host.reached(work.rule.name)
    if act.params["until"]:
        Chain(host, None, [(_Watch(act, work.rule, tokens), work.look)], work.chain.scope).start()
    else:
        host.lasting |= dict.fromkeys(tokens, work.rule.name)
    return None


class _Watch:
    """The rest of a throttle: it waits for the moment at which it ends, beside the list that began it."""

    def __init__(self, act: Built, rule: RuleView, tokens: list[int]) -> None:
        self.name = rule.name
        self.victim = rule.victim
        self.captures = rule.captures
        self.acts = (Built(act.act, act.spec, self._wait, {}, act.params),)
        self._tokens = tokens

    def __repr__(self) -> str:
        return f"<_Watch {self.name} {self._tokens}>"

    def ended(self, how: str) -> None:
        """Count nothing: the rule has counted its firing."""

    def _wait(self, act: Built, work: Work) -> Pause:
        def resume(outcome: Outcome) -> bool:
            work.host.commands += [Resume(token=token) for token in self._tokens]
            if outcome == "met":
                work.report("released", f"throttle until {until_text(act)}")
            return outcome == "met"

        return Pause(act.params["until"], None, resume)


def _sizes(act: Built, work: Work, rate: int) -> tuple[int, int]:
    """Give how many bytes go at a time, and how many at most where that is drawn, else 0."""
    sizes, written = act.params["slice"], act.act.params["slice"]
    if sizes is None:
        return max(1, rate // _SLICES), 0
    if not isinstance(sizes, tuple) or not isinstance(written, tuple):
        return _number(sizes, written, work, "slice"), 0
    low, high = (_number(fn, one, work, "slice") for fn, one in zip(sizes, written, strict=True))
    if low > high:
        raise ActError(f"slice is {low}..{high}, which begins behind its end")
    return low, high


def _number(fn: Fn, written: object, work: Work, name: str) -> int:
    # A literal needs no connection to look at.
    alone = work.look is None and isinstance(written, Literal_)
    value: object = written.value if alone and isinstance(written, Literal_) else work.value(fn, name)
    if not isinstance(value, int) or not 1 <= value <= _MAX:
        raise ActError(f"{name} is {value}, expected 1 to {_MAX}")
    return value
