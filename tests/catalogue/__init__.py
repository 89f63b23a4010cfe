"""The catalogue of faults, and the proof of each that it can be written down and reaches its victim.

`rows.txt` has a line for every fault. A fault is *proven* by a test that plays a scenario and asserts which bytes, or
which order, the victim got. How to prove one:

    from tests.catalogue.harness import at_initiator, at_target, row

    @row("SEQ-15")
    def test_a_response_is_lost() -> None:
        command, answer, ping = read(2, 10), scsi_response(2, 101), nop_in(3, 102)
        played = at_initiator("- {when: SCSI-Response nth 1, do: drop}", command, answer, ping)
        played.assert_missing(answer)

- `row(...)` names the faults that a test proves; a parameter has its own by `pytest.param(..., marks=row("LOG-05"))`.
- `at_target` and `at_initiator` take the rules of a scenario, which stand below `rules:` as a list, or more of a
  scenario (`negotiate:`, `params:`, ... and `rules:`), or the name of one that ships, and play it: PDUs come in as the
  script says, on one connection that is logged in already (`login=False`: the script logs in; `keys={...}` are settled
  in the login, digests for one). A number in the script lets so many seconds pass. A function in it is called with the
  dialogue, and a PDU that it gives back is said: so a script can answer what the proxy made itself, which is the last
  of `talk.sent(End.TARGET)`, or open a connection (`talk.connect(2)`); `On(1, pdu)` is said on connection 1, everything
  else on the newest. It is called in the disarmed run too, in which there is nothing to answer. `play` is the same
  for a scenario that names its victim; `axes=` chooses a run of a matrix, and `runs_of` lists them.
- All is played twice, armed and with the rules disarmed; disarmed, both legs have to be the same, byte for byte. Rules
  that never fire and acts that fail are errors.
- What is asserted is always the *whole* stream of the victim, in bytes: what an assertion does not name has to be as it
  came, and where it came. `assert_changed(pdu, {"Status": 8})`, `assert_missing(pdu)`, `assert_added(after, copy)`,
  `assert_order(second, first)`, `assert_corrupted(pdu, "data-digest")`, `assert_cut(pdu, 20)`,
  `assert_late(pdu, seconds)`, and `assert_got(...)` with all of it (a login before the script aside; `altered(pdu,
  {...})` is a PDU with other values). PDUs are named by the object in the script. Fields have raw values; a LUN is 8
  bytes. `played.at(End.INITIATOR)` is the same for the other leg, with `assert_same` where that end is none the wiser;
  `played.authored` is what this end got of the proxy's own.
- Numbers are translated as the relay does it, and each leg is asserted in its own. What the proxy adds with `inject`,
  `probe`, `answer`, `split` ... is hidden from the other end: what comes behind it on the victim's leg has moved on
  (`moved(pdu, StatSN=1)`), and no hole is seen on either leg. A raw `drop` or `duplicate` leaves its hole. A PDU whose
  tag the proxy has drawn is found in `played.authored`. `also(pdu, instead=...)` is said only where a rule has fired:
  what the victim answers to the fault. `assert_got(..., ended="fin")` is for streams that a fault ends.
- What needs real peers takes `live` (async): embedded initiator, proxy and target on loopback, the same assertions.
  The PDUs to name are found with `played.pick("Data-Out", 2)`. `acted` (async) plays a scenario with an `actor` and
  gives what reached the target; `wired` (async) tells in which segments bytes came, and when.

A test that is marked and asserts nothing about the victim's leg fails, and so does one that is skipped; so what is
green is proven. `python -m tests.catalogue` writes the table `faults/CATALOGUE.md`, and a test holds it against the
marks and against the number in the README, which is the least that has to be proven.
"""

from __future__ import annotations

import pytest

__all__: list[str] = []

pytest.register_assert_rewrite("tests.catalogue.harness")
