"""The initiator's steps of CHAP (RFC 7143 12.1.3): offer algorithms, prove itself, let the target prove itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

from iscsiproxy.errors import UsageError
from iscsiproxy.peers.chap import Account, Challenge, ChapError, choose, parse_challenge, proves, response
from iscsiproxy.peers.initiator.errors import ConnectionLost, ProtocolError
from iscsiproxy.wire.text import TextPair

__all__ = ["ChapInitiator"]

_SECTION = "RFC 7143 12.1.3"


class ChapInitiator:
    """CHAP on one connection; `done` tells that both ends have proved what they were asked for.

    Raises UsageError where one secret is to serve both directions (RFC 7143 9.2.1: it must not).
    """

    def __init__(self, account: Account, mutual: Account | None, *, algorithms: Sequence[int]) -> None:
        if mutual is not None and mutual.secret == account.secret:
            raise UsageError(f"CHAP: {account.name} and {mutual.name} have the same secret (RFC 7143 9.2.1)")
        self.done = False
        self._account = account
        self._mutual = mutual
        self._algorithms = tuple(algorithms)
        self._ours: Challenge | None = None

    def __repr__(self) -> str:
        return f"<ChapInitiator {self._account.name!r} {'done' if self.done else 'at work'}>"

    def begin(self) -> list[TextPair]:
        """Offer the algorithms."""
        return [TextPair("CHAP_A", ",".join(map(str, self._algorithms)))]

    def receive(self, pairs: Iterable[tuple[str, str]]) -> list[TextPair]:
        """Take what the target said and give what is to be said next.

        Raises ProtocolError for what cannot be, ConnectionLost if the target does not prove itself.
        """
        said = dict(pairs)
        try:
            return self._prove(said) if self._ours is None and not self.done else self._believe(said)
        except KeyError as error:
            raise ProtocolError(f"CHAP without {error.args[0]}", section=_SECTION) from error
        except ChapError as error:
            raise ProtocolError(str(error), section=_SECTION) from error

    def _prove(self, said: dict[str, str]) -> list[TextPair]:
        # One algorithm of those offered, not a list of them.
        algorithm = choose(said["CHAP_A"] if "," not in said["CHAP_A"] else "", self._algorithms)
        challenge = parse_challenge(algorithm, said["CHAP_I"], said["CHAP_C"])
        pairs = list(response(challenge, self._account))
        if self._mutual is None:
            self.done = True
        else:
            self._ours = Challenge.fresh(algorithm, secrets.token_bytes)
            pairs += self._ours.pairs
        return [TextPair(*pair) for pair in pairs]

    def _believe(self, said: dict[str, str]) -> list[TextPair]:
        if self._mutual is not None and self._ours is not None and not self.done:
            if not proves(self._ours, self._mutual, said["CHAP_N"], said["CHAP_R"]):
                raise ConnectionLost("the target does not prove itself")
            self.done = True
        return []
