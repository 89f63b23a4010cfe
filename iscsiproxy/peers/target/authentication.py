"""The security stage of a login as the target holds it: AuthMethod and CHAP (RFC 7143 12.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from iscsiproxy.peers.chap import Account, Challenge, ChapError, choose, parse_challenge, proves, response
from iscsiproxy.peers.keys import KEYS, REJECT, respond
from iscsiproxy.peers.target.settings import TargetSettings

__all__ = ["CHAP_KEYS", "Authentication", "AuthenticationFailed"]

#: The keys of the method, in the order in which they come up (RFC 7143 12.1.3)
CHAP_KEYS = ("CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R")


class AuthenticationFailed(Exception):  # noqa: N818 -- what the peer did, and no error of the program
    """The initiator has not proved who it is: login status 0201 (RFC 7143 11.13.5)."""


class Authentication:
    """One login's proof. `done` once nothing more is needed to leave the stage."""

    def __init__(self, settings: TargetSettings, random_bytes: Callable[[int], bytes]) -> None:
        self._settings = settings
        self._random_bytes = random_bytes
        self._required = bool(settings.accounts)
        self._method: str | None = None
        self._challenge: Challenge | None = None
        self._proved = False

    def __repr__(self) -> str:
        return f"<Authentication {'required' if self._required else 'not required'}, {self._method}, done={self.done}>"

    def require(self, *, discovery: bool) -> None:
        """Take note of the session type: discovery may need no proof."""
        self._required = bool(self._settings.accounts) and (self._settings.discovery_chap or not discovery)

    @property
    def done(self) -> bool:
        """Whether the initiator may go on."""
        return self._proved or (not self._required and self._method in (None, "None"))

    def take(self, keys: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Take what came in one request of the stage and give the answers to it.

        Raises AuthenticationFailed for a wrong proof, or keys that are not those whose turn it is.
        """
        step = [key for key in CHAP_KEYS if key in keys]
        if "AuthMethod" in keys and not step:
            return self._choose_method(keys["AuthMethod"])
        if not step:
            return ()
        if self._method != "CHAP" or "AuthMethod" in keys:
            raise AuthenticationFailed("CHAP keys before the answer AuthMethod=CHAP")
        if self._challenge is None:
            if step != ["CHAP_A"]:
                raise AuthenticationFailed(f"expected CHAP_A alone, got {', '.join(step)}")
            return self._ask(keys["CHAP_A"])
        return self._check(self._challenge, keys)

    def _choose_method(self, offered: str) -> tuple[tuple[str, str], ...]:
        # Where no proof is needed, one that the initiator prefers to give is taken all the same.
        methods = "CHAP" if self._required else "CHAP,None" if self._settings.accounts else "None"
        answer = respond(KEYS["AuthMethod"], offered, methods).text
        if answer is None or answer == REJECT:
            raise AuthenticationFailed(f"AuthMethod={offered}: none that is taken here")
        self._method = answer
        return (("AuthMethod", answer),)

    def _ask(self, offered: str) -> tuple[tuple[str, str], ...]:
        try:
            algorithm = choose(offered, self._settings.chap_algorithms)
        except ChapError as error:
            raise AuthenticationFailed(str(error)) from None
        self._challenge = Challenge.fresh(algorithm, self._random_bytes)
        return (("CHAP_A", str(algorithm)), *self._challenge.pairs)

    def _check(self, challenge: Challenge, keys: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        if self._proved or "CHAP_N" not in keys or "CHAP_R" not in keys or "CHAP_A" in keys:
            raise AuthenticationFailed("expected CHAP_N and CHAP_R")
        known = [account for account in self._settings.accounts if account.name == keys["CHAP_N"]]
        # A name that nobody has is worked through like one with a wrong secret: the time tells nothing.
        account = known[0] if known else Account(name="", secret=b"")
        if not proves(challenge, account, keys["CHAP_N"], keys["CHAP_R"]) or not known:
            raise AuthenticationFailed("wrong CHAP_N or CHAP_R")
        self._proved = True
        if "CHAP_I" not in keys and "CHAP_C" not in keys:
            return ()
        mutual = self._settings.mutual
        if mutual is None or "CHAP_I" not in keys or "CHAP_C" not in keys:
            raise AuthenticationFailed("the target cannot prove itself to that")
        try:
            theirs = parse_challenge(challenge.algorithm, keys["CHAP_I"], keys["CHAP_C"])
        except ChapError as error:
            raise AuthenticationFailed(str(error)) from None
        # RFC 7143 9.2.1: neither an echo of our own challenge nor one secret for both directions
        if theirs.value == challenge.value or mutual.secret == account.secret:
            raise AuthenticationFailed("the same challenge or the same secret both ways")
        return response(theirs, mutual)
