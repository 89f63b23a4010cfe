from __future__ import annotations

import msgspec
import pytest

from iscsiproxy.api import models
from iscsiproxy.api.operations import OPERATIONS
from iscsiproxy.api.reference import reference
from tests.api.page import PAGE, page

__all__: list[str] = []

MODELS = [one for name in models.__all__ if isinstance(one := getattr(models, name), type)]


def test_the_page_has_the_reference_as_it_is() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "run: python -m tests.api.page"


def test_every_operation_is_in_the_table() -> None:
    text = reference()
    for one in OPERATIONS:
        assert f"\n| `{one.name}` | `{one.method} {one.path}` |" in text
    assert "| RuleSwitch: `armed`* | list of Rule |" in text
    assert "| Injected, status 201 |" in text
    assert "| Event, one a line |" in text


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_is_described_once_with_all_its_members(model: type[msgspec.Struct]) -> None:
    members = " ".join(f"`{name}`" for name in model.__struct_fields__)
    assert reference().count(f"\n- **{model.__name__}** {members}\n") == 1
