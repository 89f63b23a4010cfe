from __future__ import annotations

from iscsiproxy.api.models import Recording, RecordingSwitch, Saving, ScenarioText
from tests.api.models.wire import read, refused, said

__all__: list[str] = []


def test_recording_is_switched_on_or_off() -> None:
    assert read(RecordingSwitch, on=True) == RecordingSwitch(on=True)
    assert "required field `on`" in refused(RecordingSwitch)
    recording = Recording(on=True, lines=("0.1s  drop NOP-In",))
    assert said(recording) == {"on": True, "lines": ["0.1s  drop NOP-In"]}


def test_what_is_saved_is_chosen_or_left_to_the_proxy() -> None:
    assert read(Saving) == Saving(what=None)
    assert read(Saving, what="armed") == Saving(what="armed")
    assert "Invalid enum value 'all'" in refused(Saving, what="all")
    text = ScenarioText(name="mine", text="scenario: mine\n")
    assert read(ScenarioText, **said(text)) == text
